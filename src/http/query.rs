//! Query strings of operations that take none: whoever sends one means something by it.

use actix_web::HttpRequest;

use crate::domain::{Problem, ProblemCode};

/// # Errors
/// `malformed`, naming the first parameter.
pub(super) fn none(request: &HttpRequest) -> Result<(), Problem> {
    match url::form_urlencoded::parse(request.query_string().as_bytes()).next() {
        None => Ok(()),
        Some((name, _)) => {
            let sentence = "unknown query parameter; this operation takes none";
            Err(Problem::new(ProblemCode::Malformed, sentence).at(name))
        }
    }
}
