//! Authentication as an extractor: a handler that takes a [`Caller`] cannot be reached without a valid token, or a certificate that
//! stands for one. Where there is a token it alone counts: a certificate neither adds to it nor mends it.

use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Instant};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web};

use crate::{
    auth::{AuthError, Caller, ClientCertificate, Scope, key_id},
    domain::{Problem, ProblemCode},
    metrics::Metrics,
};

use super::{client, connection::certificate_of, current, problem::Failure, seldom::Seldom, tokens, visits};

/// Seconds after which the issuer's keys are asked for again while there are none.
pub(super) const KEYS_AGAIN: u64 = 3;

/// A caller whose token, or certificate, was checked.
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
            let certificate = certificate_of(&request).filter(|_| given.is_none() && auth.knows_certificates());
            let known = match certificate {
                // Browsers show certificates in whose page's name ever they ask.
                Some(_) if is_of_browser(&request) => Err(AuthError::CertificateOfBrowser),
                Some(certificate) => auth.by_certificate(certificate),
                None => auth.authenticate(given).await,
            };
            let caller = known.map_err(|error| {
                if let Some(refusals) = refusals {
                    refusals.note(error, given, certificate, address);
                }
                failure(error)
            })?;
            visits::is_of(&request, &caller);
            Ok(Self(caller))
        })
    }
}

/// Whether a browser says for which page it asks; no page can keep it from that (the Fetch standard, forbidden headers).
fn is_of_browser(request: &HttpRequest) -> bool {
    ["origin", "sec-fetch-site", "sec-fetch-mode"].iter().any(|name| request.headers().contains_key(*name))
}

fn failure(error: AuthError) -> Failure {
    if error == AuthError::KeysUnavailable {
        // Nothing is known to be wrong with the token.
        return Problem::new(ProblemCode::KeysUnavailable, error.to_string()).retry_after(KEYS_AGAIN).into();
    }
    let problem = Problem::new(ProblemCode::Unauthenticated, error.to_string());
    Failure::from(problem).with(header::WWW_AUTHENTICATE, error.challenge())
}

/// Longest text of a certificate's names that is told, in characters.
const LONGEST_NAMES: usize = 500;

/// Names of a certificate for the log: cut, and without what could break a line.
fn shown_names(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(LONGEST_NAMES).collect()
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

    fn note(
        &self,
        error: AuthError,
        authorization: Option<&str>,
        certificate: Option<&ClientCertificate>,
        address: Option<IpAddr>,
    ) {
        self.metrics.refused_token(error.word());
        let Some(untold) = self.told.untold(Instant::now()) else { return };
        let key = key_id(authorization).map(|key| tokens::without("", &key));
        let client_address = address.map(tracing::field::display);
        let certificate = certificate.map(|shown| shown_names(shown.names()));
        tracing::info!(reason = %error, client_address, key, certificate, untold, "a token was refused");
    }
}
