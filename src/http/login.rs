//! `GET /.well-known/oauth-protected-resource`: how to get a token, for whoever has none (RFC 9728).

use actix_web::{
    HttpRequest, HttpResponse,
    http::{header, uri},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    auth::Scope,
    config::{Auth, Issuer, Keys, Login},
};

use super::{client, current, prefix, problem::Failure, query, schema::WrongMethod};

/// What is told of it, as it is configured.
#[derive(Debug, Clone, Default)]
pub struct HowToLogIn {
    /// Issuers that are addresses: one that only shares a secret with callers gives nobody a token.
    issuers: Vec<String>,
    login: Option<Login>,
}

impl HowToLogIn {
    #[must_use]
    pub fn new(auth: &Auth, login: Option<&Login>) -> Self {
        let is_address = |issuer: &str| ["https://", "http://"].iter().any(|scheme| issuer.starts_with(scheme));
        let can_be_asked = |issuer: &&Issuer| is_address(&issuer.issuer) && matches!(issuer.keys, Keys::Set(_));
        let issuers = auth.issuers.iter().filter(can_be_asked).map(|issuer| issuer.issuer.clone()).collect();
        Self { issuers, login: login.cloned() }
    }
}

/// How to get a token.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProtectedResource {
    /// This gateway, as it was asked.
    #[schema(example = "https://killgate.example.com")]
    resource: String,
    /// Who issues tokens; empty where nobody does whom one could ask.
    #[schema(example = json!(["https://sso.example.com"]))]
    authorization_servers: Vec<String>,
    bearer_methods_supported: Vec<&'static str>,
    /// What a token may allow.
    #[schema(example = json!(["sessions:read", "sessions:kill"]))]
    scopes_supported: Vec<&'static str>,
    resource_name: &'static str,
    /// With what `killgate login` asks the issuer, where it is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<LoginClient>,
}

/// The client that people's own programs are at the issuer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LoginClient {
    #[schema(example = "killgate-cli")]
    client_id: String,
    #[schema(example = "openid sessions:read sessions:kill")]
    scope: String,
    /// Whom a token is for, where the issuer wants to be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
}

/// How to get a token
///
/// The metadata of a protected resource (RFC 9728): who issues tokens for this gateway. No token is needed.
#[utoipa::path(
    get, path = "/.well-known/oauth-protected-resource", operation_id = "howToLogIn", tag = "operations", security(()),
    responses((status = 200, description = "Who issues tokens", body = ProtectedResource), WrongMethod),
)]
pub(super) async fn how(request: HttpRequest) -> Result<HttpResponse, Failure> {
    query::none(&request)?;
    let HowToLogIn { issuers, login } = current::of(&request)?.login.as_ref().clone();
    let login = login.map(|Login { client_id, scope, audience }| LoginClient { client_id, scope, audience });
    let mut response = HttpResponse::Ok();
    // It says how it was asked, so it is of use to nobody else.
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(response.json(ProtectedResource {
        resource: format!("{}{}", asked_as(&request), prefix::of(&request)),
        authorization_servers: issuers,
        bearer_methods_supported: vec!["header"],
        scopes_supported: Scope::ALL.iter().map(|scope| scope.as_str()).collect(),
        resource_name: "killgate",
        login,
    }))
}

/// The scheme and the host by which this gateway was asked: a proxy that is trusted says so, and nobody else.
fn asked_as(request: &HttpRequest) -> String {
    if client::is_of_proxy(request) {
        let asked = request.connection_info();
        return format!("{}://{}", asked.scheme(), asked.host());
    }
    let scheme = if request.app_config().secure() { "https" } else { "http" };
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(uri::Authority::as_str).or(host);
    format!("{scheme}://{}", host.unwrap_or_else(|| request.app_config().host()))
}
