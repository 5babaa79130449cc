//! Tokens from an issuer: discovery (OpenID Connect), the device flow (RFC 8628), and making a token anew (RFC 6749, 6).

use std::time::Duration;

use actix_web::http::Method;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use url::{Url, form_urlencoded};

use super::{
    connection::Connection,
    exit::Exit,
    failure::Failure,
    gateway::at,
    http::{Http, Request},
    store::{Login, Refresh},
};
use crate::clock::Clock;

const PATIENCE: Duration = Duration::from_secs(30);
/// How long a code is good where the issuer does not say.
const CODE_LIVES: u64 = 900;
/// How often is asked whether the person is done, where the issuer does not say.
const EVERY: u64 = 5;
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Who issues tokens for a gateway, and as which client they are asked for.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) issuer: Url,
    pub(super) id: String,
    pub(super) scope: String,
    /// For issuers that want to be told whom a token is for.
    pub(super) audience: Option<String>,
}

/// The issuer's addresses.
#[derive(Debug, Deserialize)]
struct Discovered {
    issuer: String,
    token_endpoint: String,
    device_authorization_endpoint: Option<String>,
}

/// What a person is to do.
#[derive(Deserialize)]
pub(super) struct Device {
    #[serde(rename = "device_code")]
    code: String,
    pub(super) user_code: String,
    pub(super) verification_uri: String,
    pub(super) verification_uri_complete: Option<String>,
    expires_in: Option<u64>,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(rename = "access_token")]
    access: String,
    #[serde(rename = "refresh_token")]
    refresh: Option<String>,
    expires_in: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    error: String,
    error_description: Option<String>,
}

impl Refused {
    fn failure(&self) -> Failure {
        let described = self.error_description.as_deref().filter(|text| !text.is_empty());
        let sentence = format!("the issuer refused: {}", described.unwrap_or(&self.error));
        let failure = Failure::new(Exit::NotAllowed, sentence);
        match self.error.as_str() {
            "expired_token" => failure.hint("the code ran out before it was entered: log in again"),
            "invalid_scope" => failure.hint("--scope says what is asked for; the issuer has to know each of its words"),
            "invalid_client" | "unauthorized_client" => failure.hint(
                "the client must be a public one at the issuer, with the device flow on; --client-id names another",
            ),
            _ => failure,
        }
    }
}

/// A login under way at an issuer.
pub(super) struct Flow {
    client: Client,
    token_endpoint: Url,
    pub(super) device: Device,
}

impl Flow {
    /// Asks the issuer for a code that a person can enter.
    pub(super) async fn begin(http: &Http, connection: &Connection, client: Client) -> Result<Self, Failure> {
        let found = discover(http, connection, &client.issuer).await?;
        let endpoint = found.device_authorization_endpoint.ok_or_else(|| {
            Failure::here(format!("{} offers no device flow", client.issuer))
                .hint("switch it on there, or give a token: `killgate login --with-token`")
        })?;
        let endpoint = connection.address("device_authorization_endpoint", &endpoint)?;
        let token_endpoint = connection.address("token_endpoint", &found.token_endpoint)?;
        let mut form = vec![("client_id", client.id.as_str()), ("scope", client.scope.as_str())];
        form.extend(client.audience.as_deref().map(|audience| ("audience", audience)));
        let device = post(http, &endpoint, &form).await?.map_err(|refused| refused.failure())?;
        Ok(Self { client, token_endpoint, device })
    }

    /// Waits until the person has entered the code, or has not.
    pub(super) async fn finish(self, http: &Http) -> Result<Login, Failure> {
        let Self { client, token_endpoint, device } = self;
        let until = Instant::now() + Duration::from_secs(device.expires_in.unwrap_or(CODE_LIVES));
        let mut pause = Duration::from_secs(device.interval.unwrap_or(EVERY)).max(Duration::from_millis(100));
        let form = [("grant_type", DEVICE_GRANT), ("device_code", &device.code), ("client_id", &client.id)];
        loop {
            sleep(pause).await;
            match post::<Token>(http, &token_endpoint, &form).await {
                Ok(Ok(token)) => return Ok(login(token, &client.issuer, &client.id, None)),
                Ok(Err(refused)) if refused.error == "authorization_pending" => {}
                Ok(Err(refused)) if refused.error == "slow_down" => pause += Duration::from_secs(5),
                Ok(Err(refused)) => return Err(refused.failure()),
                // RFC 8628, 3.5: what is away for a moment is asked again.
                Err(_) if Instant::now() < until => {}
                Err(failure) => return Err(failure),
            }
            if Instant::now() >= until {
                return Err(Refused { error: "expired_token".to_owned(), error_description: None }.failure());
            }
        }
    }
}

/// A token in place of one that has run out.
pub(super) async fn refresh(http: &Http, connection: &Connection, kept: &Refresh) -> Result<Login, Failure> {
    let issuer = connection.address("issuer", &kept.issuer)?;
    let found = discover(http, connection, &issuer).await?;
    let endpoint = connection.address("token_endpoint", &found.token_endpoint)?;
    let form = [("grant_type", "refresh_token"), ("refresh_token", &kept.token), ("client_id", &kept.client_id)];
    let token = post::<Token>(http, &endpoint, &form).await?.map_err(|refused| refused.failure())?;
    Ok(login(token, &issuer, &kept.client_id, Some(&kept.token)))
}

/// When a JWT runs out, as it says itself; nobody has checked it.
pub(super) fn runs_out(token: &str) -> Option<i64> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Value>(&payload).ok()?.get("exp")?.as_i64()
}

fn login(token: Token, issuer: &Url, client_id: &str, kept: Option<&str>) -> Login {
    let lives = token.expires_in.map(|seconds| Clock::system().now().unix_timestamp().saturating_add(seconds));
    let refresh = token.refresh.or_else(|| kept.map(str::to_owned));
    let refresh = refresh.map(|token| Refresh { token, issuer: issuer.to_string(), client_id: client_id.to_owned() });
    Login { expires_at: lives.or_else(|| runs_out(&token.access)), access_token: token.access, refresh }
}

async fn discover(http: &Http, connection: &Connection, issuer: &Url) -> Result<Discovered, Failure> {
    let url = at(issuer, &[".well-known", "openid-configuration"], "");
    let (status, body) = exchange(http, Method::GET, &url, vec![]).await?;
    let found: Discovered = Some(status)
        .filter(|status| *status == 200)
        .and_then(|_| serde_json::from_slice(&body).ok())
        .ok_or_else(|| {
            Failure::here(format!("{url} tells no issuer's addresses (HTTP {status})"))
                .hint("is the issuer right? See --issuer")
        })?;
    // One that speaks for another would get what is meant for that one.
    let same = |url: &str| url.trim_end_matches('/').to_owned();
    if same(&found.issuer) != same(issuer.as_str()) {
        return Err(Failure::here(format!("{issuer} says that it is another issuer: {}", found.issuer)));
    }
    connection.address("token_endpoint", &found.token_endpoint)?;
    Ok(found)
}

async fn post<T: DeserializeOwned>(
    http: &Http,
    url: &Url,
    form: &[(&str, &str)],
) -> Result<Result<T, Refused>, Failure> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let (status, body) = exchange(http, Method::POST, url, body.into_bytes()).await?;
    let host = url.host_str().unwrap_or_default();
    if status == 200 {
        // No word of what it has: there are tokens in it.
        let read = serde_json::from_slice(&body);
        return read.map(Ok).map_err(|_| Failure::here(format!("the answer of {host} was not understood")));
    }
    let refused = serde_json::from_slice(&body);
    refused.map(Err).map_err(|_| Failure::here(format!("{host} answered HTTP {status}")))
}

/// What an address answers, whatever its status.
pub(super) async fn exchange(http: &Http, method: Method, url: &Url, body: Vec<u8>) -> Result<(u16, Vec<u8>), Failure> {
    let mut headers = vec![("accept", "application/json".to_owned())];
    if method == Method::POST {
        headers.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
    }
    let unreachable = |error| Failure::here(format!("{} {error}", &url[..url::Position::BeforePath]));
    let request = Request { method, url: url.clone(), headers, body, patience: PATIENCE };
    let answer = http.send(request).await.map_err(unreachable)?;
    let status = answer.status.as_u16();
    Ok((status, answer.whole().await.map_err(unreachable)?))
}
