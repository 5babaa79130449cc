//! Authentication as an extractor: a handler that takes a [`Caller`] cannot be reached without a valid token.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web};

use crate::{
    auth::{Auth, AuthError, Caller, Scope, key_id},
    domain::{Problem, ProblemCode},
    lock::lock,
    metrics::Metrics,
};

use super::{client, problem::Failure, tokens};

/// Refused tokens are logged no more often than this; all of them are counted.
const EVERY: Duration = Duration::from_secs(1);
/// Seconds after which the issuer's keys are asked for again while there are none.
const KEYS_AGAIN: u64 = 3;

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
        let refusals = request.app_data::<web::Data<Refusals>>().cloned();
        let address = client::of(request);
        let given = request.headers().get(header::AUTHORIZATION).cloned();
        Box::pin(async move {
            let Some(auth) = auth else {
                return Err(Problem::new(ProblemCode::Internal, "authentication is not set up").into());
            };
            // A header that is not text is no token either.
            let given = given.as_ref().map(|value| value.to_str().unwrap_or("?"));
            auth.authenticate(given).await.map(Self).map_err(|error| {
                if let Some(refusals) = refusals {
                    refusals.note(error, given, address);
                }
                failure(error)
            })
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
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    /// How many were not told since.
    untold: u64,
}

impl Refusals {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, told: Mutex::default() }
    }

    fn note(&self, error: AuthError, authorization: Option<&str>, address: Option<IpAddr>) {
        self.metrics.refused_token(error.word());
        let Some(untold) = self.untold(Instant::now()) else { return };
        let key = key_id(authorization).map(|key| tokens::without("", &key));
        let client_address = address.map(tracing::field::display);
        tracing::info!(reason = %error, client_address, key, untold, "a token was refused");
    }

    /// How many were not told since the last one that was, where this one may be.
    fn untold(&self, now: Instant) -> Option<u64> {
        let mut told = lock(&self.told);
        if told.at.is_some_and(|at| now.saturating_duration_since(at) < EVERY) {
            told.untold += 1;
            return None;
        }
        let untold = std::mem::replace(&mut *told, Told { at: Some(now), untold: 0 }).untold;
        Some(untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_a_second_is_told_and_how_many_were_not() {
        let refusals = Refusals::new(Arc::default());
        let start = Instant::now();
        let untold = [0, 1, 999, 1000, 1500, 2000].map(|ms| refusals.untold(start + Duration::from_millis(ms)));
        assert_eq!(untold, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
