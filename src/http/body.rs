//! The body of a request: read within bounds, and kept for the record however it turns out.
//!
//! The invariant: neither the token that came with the request nor a confirm is in anything that is recorded of its body.

use actix_web::{
    HttpRequest,
    http::header,
    web::{Bytes, Payload},
};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    domain::{Problem, ProblemCode},
    kill::confirm::{Given, MASK, without_tokens},
};

/// Largest body, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// How much is kept of what is not JSON, in characters.
const KEPT: usize = 4096;

/// What came in.
#[derive(Debug)]
pub(super) struct Body {
    /// What is recorded of it: JSON as it is, the beginning of anything else as a text; `None` where nothing came.
    pub(super) sent: Option<Value>,
    /// All of it, or why it is not read any further.
    ///
    /// A word stands in it wherever a confirm was.
    pub(super) whole: Result<Vec<u8>, Problem>,
    /// Its member `confirm`.
    pub(super) confirm: Option<Given>,
}

/// The member alone, whatever else there is.
#[derive(Deserialize)]
struct Confirmed {
    confirm: Option<String>,
}

/// Reads the body; what is beyond the largest stays unread.
pub(super) async fn read(request: &HttpRequest, payload: Payload) -> Body {
    let (mut bytes, came) = receive(payload).await;
    let given = request.headers().get(header::AUTHORIZATION).and_then(|given| given.to_str().ok());
    if let Some((_, token)) = given.and_then(|given| given.split_once(' ')) {
        bytes = without(token.trim(), bytes);
    }
    let confirm = serde_json::from_slice::<Confirmed>(&bytes).ok().and_then(|body| body.confirm);
    let bytes = without_confirms(bytes);
    let mut sent = kept(&bytes, came.is_ok());
    // Of whatever form: it may be most of one.
    if let Some(member @ Value::String(_)) = sent.as_mut().and_then(|sent| sent.get_mut("confirm")) {
        *member = MASK.into();
    }
    let whole = is_called_json(request).and(came).map(|()| bytes);
    Body { sent, whole, confirm: confirm.map(Given::from) }
}

async fn receive(mut payload: Payload) -> (Vec<u8>, Result<(), Problem>) {
    let mut bytes = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk: Bytes = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                let sentence = format!("the body did not arrive: {error}");
                return (bytes, Err(Problem::new(ProblemCode::Malformed, sentence)));
            }
        };
        let room = MAX_BODY - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            let sentence = format!("the body may have at most {MAX_BODY} bytes");
            return (bytes, Err(Problem::new(ProblemCode::TooLarge, sentence)));
        }
    }
    (bytes, Ok(()))
}

fn is_called_json(request: &HttpRequest) -> Result<(), Problem> {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let sentence = "the body must be JSON: send Content-Type: application/json";
    Err(Problem::new(ProblemCode::UnsupportedMediaType, sentence))
}

/// The body with a word in place of the token: some put it into a form as well, or quote their own request.
fn without(token: &str, bytes: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&bytes);
    if token.is_empty() || !text.contains(token) {
        return bytes;
    }
    text.replace(token, "[token]").into_bytes()
}

fn without_confirms(bytes: Vec<u8>) -> Vec<u8> {
    let masked = match std::str::from_utf8(&bytes) {
        Ok(text) => without_tokens(text),
        Err(_) => without_tokens(&String::from_utf8_lossy(&bytes)),
    };
    // What has none stays as it came, also where it is no text.
    if masked.contains(MASK) { masked.into_bytes() } else { bytes }
}

fn kept(bytes: &[u8], is_whole: bool) -> Option<Value> {
    if bytes.is_empty() {
        return None;
    }
    if is_whole && let Ok(json) = serde_json::from_slice(bytes) {
        return Some(json);
    }
    let text = String::from_utf8_lossy(bytes);
    let mut beginning: String = text.chars().take(KEPT).collect();
    if beginning.len() < text.len() {
        beginning.push('…');
    }
    Some(Value::String(beginning))
}
