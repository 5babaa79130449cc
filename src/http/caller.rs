//! Authentication as an extractor: a handler that takes a [`Caller`] cannot be reached without a valid token.

use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Instant};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web};

use crate::{
    auth::{AuthError, Caller, Scope, key_id},
    domain::{Problem, ProblemCode},
    metrics::Metrics,
};

use super::{client, current, problem::Failure, seldom::Seldom, tokens, traces};

/// Seconds after which the issuer's keys are asked for again while there are none.
pub(super) const KEYS_AGAIN: u64 = 3;

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
        let current = current::of(request);
        let refusals = request.app_data::<web::Data<Refusals>>().cloned();
        let address = client::of(request);
        let given = request.headers().get(header::AUTHORIZATION).cloned();
        let request = request.clone();
        Box::pin(async move {
            let auth = current?.auth;
            // A header that is not text is no token either.
            let given = given.as_ref().map(|value| value.to_str().unwrap_or("?"));
            let caller = auth.authenticate(given).await.map_err(|error| {
                if let Some(refusals) = refusals {
                    refusals.note(error, given, address);
                }
                failure(error)
            })?;
            traces::is_of(&request, &caller);
            Ok(Self(caller))
        })
    }
}

fn failure(error: AuthError) -> Failure {
    if error == AuthError::KeysUnavailable {
        // Nothing is known to be wrong with the token.
        return Problem::new(ProblemCode::KeysUnavailable, error.to_string()).retry_after(KEYS_AGAIN).into();
    }
    let problem = Problem::new(ProblemCode::Unauthenticated, error.to_string());
    Failure::from(problem).with(header::WWW_AUTHENTICATE, error.challenge())
}

/// Tokens that were refused: counted by reason, and told in the log now and then.
#[derive(Debug)]
pub(super) struct Refusals {
    metrics: Arc<Metrics>,
    told: Seldom,
}

impl Refusals {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, told: Seldom::default() }
    }

    fn note(&self, error: AuthError, authorization: Option<&str>, address: Option<IpAddr>) {
        self.metrics.refused_token(error.word());
        let Some(untold) = self.told.untold(Instant::now()) else { return };
        let key = key_id(authorization).map(|key| tokens::without("", &key));
        let client_address = address.map(tracing::field::display);
        tracing::info!(reason = %error, client_address, key, untold, "a token was refused");
    }
}
