//! `killgate mcp --listen`: the same tools over HTTP (Streamable HTTP), for several agents.
//!
//! The protocol is the SDK's; the server below it is the one that the gateway has, with a bridge of a few lines between the two
//! versions of the `http` crate. It refuses a request without a token that the gateway takes, one for a host that is not this one's
//! (DNS rebinding), and to let anybody into another's session. The invariant: the login of whoever started it is used for nobody.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    http::{
        Method, StatusCode,
        header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    web::{self, Bytes},
};
use clap::Args;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use serde_json::Value;
use tokio::{sync::Semaphore, time::timeout};
use url::Url;

use super::{
    callers::{Caller, Callers, Who},
    previews::Previews,
    tools::Tools,
};
use crate::{
    cli::stopped,
    client::{connection::Connection, exit::Exit, failure::Failure, gateway::at, http::Http, oidc::exchange, print},
    config::Secret,
    domain::legible,
};

type Service = StreamableHttpService<Tools, LocalSessionManager>;

/// Longest body of a request, in bytes: more than a preview by ids can have.
const LONGEST: usize = 1024 * 1024;
/// Longest time until it is there.
const BODY: Duration = Duration::from_secs(30);
/// Longest time that answers have to end when it stops.
const GRACE_SECONDS: u64 = 5;
const CONNECTIONS: usize = 1024;
/// Where the protocol is spoken.
const PATH: &str = "/mcp";
const FULL: &str = "Too many sessions are open here.";
const SESSION: &str = "mcp-session-id";
const METADATA: [&str; 2] = [".well-known", "oauth-protected-resource"];

/// How it listens.
#[derive(Debug, Args)]
#[command(next_help_heading = "Over HTTP")]
pub(super) struct Listen {
    /// Serve over HTTP at this address, such as 127.0.0.1:8090, below /mcp; each request brings a token of its own
    #[arg(long = "listen", value_name = "ADDRESS")]
    address: Option<SocketAddr>,
    /// A name that requests may be for, beside those of this machine (localhost, 127.0.0.1, ::1); with a port that port alone
    #[arg(long = "allowed-host", value_name = "HOST", requires = "address", value_parser = host)]
    allowed_hosts: Vec<String>,
    /// Listen beyond this machine although there is no TLS, for a proxy elsewhere that has it
    #[arg(long, requires = "address")]
    allow_plain: bool,
    /// Most sessions at once
    #[arg(long, value_name = "NUMBER", default_value = "100", requires = "address", value_parser = clap::value_parser!(u16).range(1..))]
    max_sessions: u16,
    /// A session of which nothing is heard for so long is ended
    #[arg(long, value_name = "TIME", default_value = "30m", requires = "address", value_parser = humantime::parse_duration)]
    idle: Duration,
}

fn host(text: &str) -> Result<String, String> {
    let authority: Result<http_1::uri::Authority, _> = text.parse();
    let is_host = authority.is_ok_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty());
    is_host.then(|| text.to_owned()).ok_or_else(|| "must be a host, or host:port".to_owned())
}

impl Listen {
    pub(super) const fn is_wanted(&self) -> bool {
        self.address.is_some()
    }

    pub(super) async fn serve(
        self,
        connection: &Connection,
        http: Http,
        person: Option<String>,
    ) -> Result<Exit, Failure> {
        let Some(address) = self.address else { return Ok(Exit::Done) };
        if !address.ip().is_loopback() && !self.allow_plain {
            return Err(Failure::wrong("--listen: leads beyond this machine, where tokens would come in plain text")
                .hint(
                    "listen on 127.0.0.1 behind a proxy with TLS, or say --allow-plain where that proxy is elsewhere",
                ));
        }
        let gateway = connection.named()?;
        let seats = Arc::new(Semaphore::new(self.max_sessions.into()));
        let sessions = self.sessions();
        let service = self.service(person, Arc::clone(&sessions), Arc::clone(&seats));
        let stopping = service.config.cancellation_token.clone();
        let server = web::Data::new(Server {
            // Where the gateway is not there, this is told at once.
            challenge: challenge(&gateway, &http).await?,
            callers: Callers::new(gateway, http),
            owners: Mutex::default(),
            sessions,
            seats,
            service,
        });
        let app = move || App::new().app_data(server.clone()).route(PATH, web::route().to(answer));
        let failed = |error: io::Error| Failure::here(format!("--listen: cannot listen on {address}: {error}"));
        let server = HttpServer::new(app)
            .workers(2)
            .max_connections(CONNECTIONS)
            .shutdown_timeout(GRACE_SECONDS)
            .disable_signals()
            .bind(address)
            .map_err(failed)?;
        for address in server.addrs() {
            print::aside(&format!("agents are served at http://{address}{PATH}"));
        }
        let server = server.run();
        let handle = server.handle();
        let running = tokio::spawn(server);
        let told = stopped().await;
        stopping.cancel();
        handle.stop(true).await;
        let ended = running.await;
        told.map_err(|error| Failure::here(error.to_string()))?;
        ended.map_err(io::Error::other).flatten().map_err(failed)?;
        Ok(Exit::Done)
    }

    fn sessions(&self) -> Arc<LocalSessionManager> {
        let mut sessions = LocalSessionManager::default();
        sessions.session_config.keep_alive = Some(self.idle);
        Arc::new(sessions)
    }

    fn service(&self, person: Option<String>, sessions: Arc<LocalSessionManager>, seats: Arc<Semaphore>) -> Service {
        let config = StreamableHttpServerConfig::default().with_max_request_body_bytes(LONGEST);
        let hosts: Vec<_> = config.allowed_hosts.iter().chain(&self.allowed_hosts).cloned().collect();
        let config = config.with_allowed_origins(hosts.iter().flat_map(|host| origins(host))).with_allowed_hosts(hosts);
        let (person, previews) = (person.map(Arc::from), Arc::<Previews>::default());
        // One for each session, and for each request that belongs to none.
        let tools = move || {
            let seat = Arc::clone(&seats).try_acquire_owned();
            let seat = seat.map_err(|_| io::Error::other(FULL))?;
            Ok(Tools::of_requests(person.clone(), Arc::clone(&previews), seat))
        };
        StreamableHttpService::new(tools, sessions, config)
    }
}

/// Pages of these may ask, and no others.
fn origins(host: &str) -> [String; 2] {
    let is_address = host.parse::<std::net::Ipv6Addr>().is_ok();
    let host = if is_address { format!("[{host}]") } else { host.to_owned() };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let port = if has_port { "" } else { ":*" };
    ["http", "https"].map(|scheme| format!("{scheme}://{host}{port}"))
}

/// What a challenge says of how to get a token: where the gateway tells it, if it does.
async fn challenge(gateway: &Url, http: &Http) -> Result<String, Failure> {
    let metadata = at(gateway, &METADATA, "");
    let (status, body) = exchange(http, Method::GET, &metadata, vec![]).await?;
    let told: Option<Value> = serde_json::from_slice(&body).ok().filter(|_| status == 200);
    let is_told = told.is_some_and(|told| told.get("resource").is_some());
    Ok(if is_told { format!("Bearer resource_metadata=\"{metadata}\"") } else { "Bearer".to_owned() })
}

/// What every worker answers with.
struct Server {
    challenge: String,
    callers: Callers,
    /// Whose each session is.
    owners: Mutex<HashMap<String, Who>>,
    sessions: Arc<LocalSessionManager>,
    seats: Arc<Semaphore>,
    service: Service,
}

async fn answer(request: HttpRequest, body: web::Payload, server: web::Data<Server>) -> HttpResponse {
    server.answer(&request, body).await.unwrap_or_else(|refused| refused)
}

impl Server {
    /// # Errors
    /// What is refused before the protocol sees it, as it is answered.
    async fn answer(&self, request: &HttpRequest, body: web::Payload) -> Result<HttpResponse, HttpResponse> {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let session = header(SESSION).map(str::to_owned);
        let token = header("authorization").and_then(bearer);
        let token = token.ok_or_else(|| self.unauthorized("", "Send a token of the gateway as a bearer token."))?;
        let caller = self.callers.caller(token, session).await.map_err(|failure| self.not_told(&failure))?;
        if let Some(session) = &caller.session {
            let is_own = self.owners().get(session).is_some_and(|owner| *owner == caller.who);
            if !is_own {
                return Err(refused(StatusCode::NOT_FOUND, "There is no such session of this caller."));
            }
        } else if self.seats.available_permits() == 0 {
            let mut refused = refused(StatusCode::SERVICE_UNAVAILABLE, FULL);
            refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
            return Err(refused);
        }
        let who = caller.who.clone();
        let answer = self.service.handle(bridged(request, body, caller).await?).await;
        if let Some(session) = answer.headers().get(SESSION).and_then(|id| id.to_str().ok()) {
            self.own(session, who).await;
        }
        Ok(bridged_back(answer))
    }

    /// Notes whose a session is that has just begun, and forgets those that have ended.
    async fn own(&self, session: &str, who: Who) {
        let open = self.sessions.sessions.read().await;
        let mut owners = self.owners();
        owners.retain(|id, _| open.contains_key(id.as_str()));
        owners.insert(session.to_owned(), who);
    }

    fn unauthorized(&self, error: &str, why: &str) -> HttpResponse {
        let mut refused = refused(StatusCode::UNAUTHORIZED, why);
        if let Ok(challenge) = HeaderValue::try_from(format!("{}{error}", self.challenge)) {
            refused.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        refused
    }

    /// The gateway does not say whose the token is.
    fn not_told(&self, failure: &Failure) -> HttpResponse {
        if failure.code() == "unauthenticated" {
            let separator = if self.challenge.contains(' ') { "," } else { "" };
            return self.unauthorized(&format!("{separator} error=\"invalid_token\""), &failure.sentence);
        }
        refused(StatusCode::SERVICE_UNAVAILABLE, &failure.sentence)
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<String, Who>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bearer(value: &str) -> Option<Secret> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Secret::from(token.to_owned()))
}

fn refused(status: StatusCode, why: &str) -> HttpResponse {
    HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(legible(why).into_owned())
}

/// A request as the SDK takes it. The token goes along as the caller alone, out of sight of whatever logs headers.
async fn bridged(
    request: &HttpRequest,
    body: web::Payload,
    caller: Caller,
) -> Result<http_1::Request<Full<Bytes>>, HttpResponse> {
    let slow = |_| refused(StatusCode::REQUEST_TIMEOUT, "The body did not come in time.");
    let long = |_| refused(StatusCode::PAYLOAD_TOO_LARGE, "The body is too long.");
    let broken = || refused(StatusCode::BAD_REQUEST, "The request cannot be read.");
    let body = timeout(BODY, body.to_bytes_limited(LONGEST)).await.map_err(slow)?.map_err(long)?;
    let mut bridged = http_1::Request::builder().method(request.method().as_str()).uri(request.uri().to_string());
    for (name, value) in request.headers().iter().filter(|(name, _)| *name != AUTHORIZATION) {
        bridged = bridged.header(name.as_str(), value.as_bytes());
    }
    let body = Full::new(body.map_err(|_| broken())?);
    bridged.extension(caller).body(body).map_err(|_| broken())
}

fn bridged_back(answer: http_1::Response<BoxBody<Bytes, Infallible>>) -> HttpResponse {
    let (head, body) = answer.into_parts();
    let status = StatusCode::from_u16(head.status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    for (name, value) in &head.headers {
        response.append_header((name.as_str(), value.as_bytes()));
    }
    response.streaming(body.into_data_stream())
}
