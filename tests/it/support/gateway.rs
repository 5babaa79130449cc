//! A whole gateway over simulated clouds, on a database of its own, spoken to over HTTP.

use std::{net::SocketAddr, time::Duration};

use actix_web::http::{Method, StatusCode, header::HeaderMap};
use killgate::{
    app::App,
    auth::{Grant, mint},
    clock::Clock,
    config::{self, Config, Secret},
    sandbox::{Clouds, Sandbox, demo as world},
    upstream::transport::{Request, Transport, TransportError},
};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{
    configuration::{BLIND, configuration_text, record_at},
    patience::PATIENCE,
    postgres::Database,
    watchdog,
};

/// What callers of test gateways share with them.
pub(crate) const JWT_SECRET: &str = "a-secret-that-only-the-tests-know-0001";
pub(crate) const ISSUER: &str = "https://sso.test";
pub(crate) const AUDIENCE: &str = "killgate";

/// Makes a test on each engine of every scenario, each with a gateway of its own.
macro_rules! on_both_engines {
    ($($scenario:ident),+ $(,)?) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(crate::support::gateway::Engine::Postgres).await;
            })+
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(crate::support::gateway::Engine::Sqlite).await;
            })+
        }
    };
}
pub(crate) use on_both_engines;

/// Makes a test of every scenario in which it cannot matter where the record is kept: on SQLite.
macro_rules! on_one_engine {
    ($($scenario:ident),+ $(,)?) => {
        mod on_one_engine {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(crate::support::gateway::Engine::Sqlite).await;
            })+
        }
    };
}
pub(crate) use on_one_engine;

/// Where a test gateway keeps its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Postgres,
    Sqlite,
}

#[expect(dead_code, reason = "kept only to be removed with the test")]
#[derive(Debug)]
enum Home {
    Database(Database),
    Directory(TempDir),
}

/// A gateway, its clouds and a client.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) app: App,
    pub(crate) clouds: Clouds,
    pub(crate) sandbox: Sandbox,
    pub(crate) config: Config,
    client: Client,
    home: Home,
}

/// How a test gateway differs from the usual one.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    /// Lines of TOML behind the usual ones; `{clouds}` in them is the clouds' address.
    pub(crate) more: String,
    /// Variables laid over the configuration, such as `KILLGATE__SERVER__WORKERS`.
    pub(crate) env: Vec<(&'static str, &'static str)>,
    /// A record that is not one of the test's own.
    pub(crate) database_url: Option<String>,
    pub(crate) clouds: Option<Clouds>,
    pub(crate) clock: Option<Clock>,
}

impl Gateway {
    /// The usual gateway on the demo's clouds.
    pub(crate) async fn start(engine: Engine) -> Self {
        Self::start_with(engine, Setup::default()).await
    }

    /// The same where kills by ids go blind.
    pub(crate) async fn start_blind(engine: Engine) -> Self {
        Self::start_blind_with(engine, Setup::default()).await
    }

    pub(crate) async fn start_blind_with(engine: Engine, setup: Setup) -> Self {
        Self::start_with(engine, Setup { more: format!("{BLIND}{}", setup.more), ..setup }).await
    }

    pub(crate) async fn start_with(engine: Engine, setup: Setup) -> Self {
        watchdog::is_running();
        let sandbox = Sandbox::start(SocketAddr::from(([127, 0, 0, 1], 0)), setup.clouds.unwrap_or_else(Clouds::demo));
        let sandbox = sandbox.expect("a free port");
        let (home, audit) = match (engine, setup.database_url) {
            (Engine::Sqlite, None) => {
                let directory = tempfile::tempdir().expect("a directory");
                let audit = record_at(&format!("sqlite:{}", directory.path().join("killgate.db").display()));
                (Home::Directory(directory), audit)
            }
            (Engine::Postgres, None) => {
                let database = Database::fresh().await;
                let audit = record_at(&database.url());
                (Home::Database(database), audit)
            }
            (_, Some(url)) => {
                let directory = tempfile::tempdir().expect("a directory");
                (Home::Directory(directory), record_at(&url))
            }
        };
        let text = configuration_text(&audit, &sandbox.url, &setup.more);
        let env = setup.env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let config = config::parse(&text, env).unwrap_or_else(|error| panic!("{error}"));
        let app = App::start(&config, setup.clock.unwrap_or_else(Clock::system)).await.expect("a gateway that starts");
        let client = Client::new(app.address());
        Self { app, clouds: sandbox.clouds.clone(), sandbox, config, client, home }
    }

    /// A token of the usual issuer.
    pub(crate) fn token(subject: &str, scope: &str) -> String {
        token_with(subject, scope, Map::new())
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Asks for a kill as `chatops-bot`, who may kill and look.
    pub(crate) async fn kill(&self, body: &Value) -> Answer {
        self.kill_with(&[], body).await
    }

    pub(crate) async fn kill_with(&self, headers: &[(&str, &str)], body: &Value) -> Answer {
        let token = Self::token("chatops-bot", "sessions:kill sessions:read");
        self.client.post("/sessions/kill", &token, headers, body.to_string()).await
    }

    /// Reads as `auditor`, who may read every kill.
    pub(crate) async fn read(&self, path: &str) -> Answer {
        self.client.get(path, &Self::token("auditor", "kills:read")).await
    }

    /// The record of a kill.
    pub(crate) async fn record(&self, id: &str) -> Value {
        let answer = self.read(&format!("/kills/{id}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body
    }

    /// The database of a gateway on Postgres.
    pub(crate) fn database_url(&self) -> String {
        match &self.home {
            Home::Database(database) => database.url(),
            Home::Directory(_) => panic!("this gateway keeps its record in a file"),
        }
    }

    /// Stops the gateway in order; the clouds and the record stay.
    pub(crate) async fn stop(self) -> (Sandbox, impl Sized) {
        self.app.stop().await.expect("a gateway that stops");
        (self.sandbox, self.home)
    }
}

pub(crate) fn token_with(subject: &str, scope: &str, extra: Map<String, Value>) -> String {
    // Good half a day ago and for a day from now, also on a clock that stands or was moved.
    let made = Clock::manual(Clock::system().now() - Duration::from_hours(12));
    let grant = Grant { issuer: ISSUER, audience: AUDIENCE, subject, scope, ttl: Duration::from_hours(36), extra };
    mint(&grant, &Secret::from(JWT_SECRET.to_owned()), &made).expect("a token")
}

/// Where a gateway keeps its record, as another one is told it.
pub(crate) fn url_of(gateway: &Gateway) -> String {
    match &gateway.config.audit.database {
        config::Database::Postgres(url) => url.expose().to_owned(),
        config::Database::Sqlite(path) => format!("sqlite:{}", path.display()),
    }
}

/// The aliases of every test gateway, by vendor.
pub(crate) fn targets() -> [(&'static str, Value); 4] {
    [
        (
            "ledger",
            json!({ "vendor": "gaussdb", "instance_id": world::GAUSSDB_INSTANCE, "node_id": world::GAUSSDB_NODE, "component_id": world::GAUSSDB_COMPONENT }),
        ),
        ("shop", json!({ "vendor": "das", "instance_id": world::DAS_INSTANCE, "db_user_id": world::DAS_DB_USER_ID })),
        (
            "orders-ro",
            json!({ "vendor": "taurusdb", "instance_id": world::TAURUSDB_INSTANCE, "node_id": world::TAURUSDB_NODE }),
        ),
        (
            "orders-shard-1",
            json!({ "vendor": "dcdb", "instance_id": world::DCDB_INSTANCE, "shard_id": world::DCDB_SHARD }),
        ),
    ]
}

/// A kill of these ids, as callers ask for it.
pub(crate) fn kill_of(target: impl Into<Value>, ids: &[u64]) -> Value {
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    json!({ "target": target.into(), "select": { "ids": ids }, "reason": "INC-4711 runaway report" })
}

/// Speaks HTTP to a gateway.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    base: String,
    transport: Transport,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The body as JSON; a text where it is not JSON.
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// The id of the kill: of its record, or the one that a problem names.
    pub(crate) fn kill_id(&self) -> &str {
        let id = self.body.get("kill_id").or_else(|| self.body.get("id"));
        id.and_then(Value::as_str).unwrap_or_else(|| panic!("no kill in {}", self.body))
    }

    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let transport = Transport::start(PATIENCE).expect("a transport");
        Self { base: format!("http://{address}"), transport }
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(Method::GET, path, &[("Authorization", &format!("Bearer {token}"))], String::new()).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut all = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        for (name, value) in headers {
            all.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
            all.push((name, value));
        }
        self.send(Method::POST, path, &all, body).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The same to a gateway that may die before it answers.
    pub(crate) async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Answer, TransportError> {
        let request = Request {
            method,
            url: format!("{}{path}", self.base).parse().expect("a URL"),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: body.into_bytes(),
            timeout: PATIENCE,
            longest: 10 * Request::USUAL,
        };
        let response = self.transport.send(request).await?;
        let text = String::from_utf8_lossy(&response.body).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status: response.status, headers: response.headers, body })
    }
}
