//! Authentication as an extractor: a handler that takes a [`Caller`] cannot be reached without a valid token.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web};

use crate::{
    auth::{Auth, Caller, Scope},
    domain::{Problem, ProblemCode},
};

use super::problem::Failure;

/// A caller whose token was checked.
#[derive(Debug, Clone)]
pub(super) struct Authenticated(pub(super) Caller);

impl Authenticated {
    /// # Errors
    /// `forbidden`, naming the scope, where the token has none of these scopes.
    pub(super) fn require(&self, any_of: &[Scope]) -> Result<(), Problem> {
        if any_of.iter().any(|scope| self.0.has(*scope)) {
            return Ok(());
        }
        let names: Vec<_> = any_of.iter().map(|scope| scope.as_str()).collect();
        Err(Problem::new(ProblemCode::Forbidden, format!("the token lacks the scope {}", names.join(" or "))))
    }
}

impl FromRequest for Authenticated {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Failure>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let auth = request.app_data::<web::Data<Auth>>().cloned();
        let given = request.headers().get(header::AUTHORIZATION).cloned();
        Box::pin(async move {
            let Some(auth) = auth else {
                return Err(Problem::new(ProblemCode::Internal, "authentication is not set up").into());
            };
            // A header that is not text is no token either.
            let given = given.as_ref().map(|value| value.to_str().unwrap_or("?"));
            auth.authenticate(given).await.map(Self).map_err(|error| {
                let problem = Problem::new(ProblemCode::Unauthenticated, error.to_string());
                Failure::from(problem).with(header::WWW_AUTHENTICATE, error.challenge())
            })
        })
    }
}
