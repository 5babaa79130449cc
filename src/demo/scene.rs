//! Two sessions of the demo's own on a real database server, one of which blocks the other.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, MySqlConnection, PgConnection, mysql::MySqlConnectOptions,
    postgres::PgConnectOptions,
};
use tokio::task::JoinHandle;
use url::Url;

/// See the module. Both sessions go with it.
pub(super) struct Scene {
    url: Url,
    engine: &'static str,
    /// The session that blocks the other one.
    blocker: String,
    head: Head,
    waiting: JoinHandle<()>,
}

/// The session that blocks the other.
enum Head {
    Postgres(PgConnection),
    MySql(MySqlConnection),
}

/// What both ask for on PostgreSQL; nobody else does.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7595439231297287540) /* killgate demo */";
/// A table of which both lock a row, where a server has no locks without one.
const TABLE: [&str; 2] = ["CREATE TABLE killgate_demo (id INT PRIMARY KEY)", "INSERT INTO killgate_demo VALUES (1)"];
const LOCK_ROW: &str = "SELECT id FROM killgate_demo WHERE id = 1 FOR UPDATE";
const WAIT_LONG: &str = "SET innodb_lock_wait_timeout = 86400";
const NO_TABLE: &str = "DROP TABLE killgate_demo";

impl Scene {
    /// Opens both on the server at a URL.
    ///
    /// # Errors
    /// It is none of a server that can be reached.
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        // Whatever is wrong with it, it may have a password in it.
        let url: Url = url
            .parse()
            .ok()
            .context("--postgres and --mysql take a URL such as postgres://USER:PASSWORD@HOST:PORT/DATABASE")?;
        let at = format!("the server at {}", url.host_str().unwrap_or_default());
        match url.scheme() {
            "postgres" | "postgresql" => Self::postgres(url).await.context(at),
            "mysql" | "mariadb" => Self::mysql(url).await.context(at),
            _ => bail!("--postgres takes a postgres:// URL, --mysql a mysql:// one"),
        }
    }

    async fn postgres(url: Url) -> anyhow::Result<Self> {
        let options: PgConnectOptions = url.as_str().parse()?;
        // One that waits is no slow statement.
        let options = options.application_name("killgate demo").disable_statement_logging();
        let mut head = PgConnection::connect_with(&options).await?;
        let mut waiting = PgConnection::connect_with(&options).await?;
        let blocker: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut head).await?;
        head.execute("BEGIN").await?;
        // Another demo on this server holds it as long as it runs.
        head.execute("SET LOCAL lock_timeout = '2s'").await?;
        head.execute(LOCK).await.context("another demo runs there")?;
        let waiting = tokio::spawn(async move {
            // Until the other one is ended.
            let _ = waiting.execute(LOCK).await;
            std::future::pending::<()>().await;
        });
        Ok(Self { url, engine: "postgresql", blocker: blocker.to_string(), head: Head::Postgres(head), waiting })
    }

    async fn mysql(url: Url) -> anyhow::Result<Self> {
        let options = url.as_str().parse::<MySqlConnectOptions>()?.disable_statement_logging();
        let mut head = MySqlConnection::connect_with(&options).await?;
        let mut waiting = MySqlConnection::connect_with(&options).await?;
        let (version, blocker): (String, u64) =
            sqlx::query_as("SELECT VERSION(), CAST(CONNECTION_ID() AS UNSIGNED)").fetch_one(&mut head).await?;
        let engine = if version.contains("MariaDB") { "mariadb" } else { "mysql" };
        for statement in TABLE.into_iter().chain(["BEGIN", LOCK_ROW]) {
            head.execute(statement).await?;
        }
        waiting.execute(WAIT_LONG).await?;
        let waiting = tokio::spawn(async move {
            // Until the other one is ended.
            let _ = waiting.execute(LOCK_ROW).await;
            std::future::pending::<()>().await;
        });
        Ok(Self { url, engine, blocker: blocker.to_string(), head: Head::MySql(head), waiting })
    }

    /// The account and the target of that server.
    pub(super) fn configuration(&self) -> String {
        let Self { url, engine, .. } = self;
        let text = |text: &str| {
            let plain = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
            // A JSON string reads the same in TOML.
            serde_json::Value::String(plain.into_owned()).to_string()
        };
        let host = url.host_str().unwrap_or_default();
        let port = url.port().unwrap_or(if *engine == "postgresql" { 5432 } else { 3306 });
        let is_local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        let database = url.path().trim_start_matches('/');
        let database = if database.is_empty() { String::new() } else { format!("database = {}\n", text(database)) };
        format!(
            "\n[accounts.{engine}-demo]\nengine = \"{engine}\"\nusername = {}\npassword = {}\n\
             nodes.server = \"{host}:{port}\"\ntls = \"{}\"\n{database}\
             [targets.real-{engine}]\nvendor = \"{engine}\"\naccount = \"{engine}-demo\"\n",
            text(url.username()),
            text(url.password().unwrap_or_default()),
            if is_local { "off" } else { "verify" },
        )
    }

    /// The lines that find the blocker and end it.
    pub(super) fn guide(&self, address: SocketAddr) -> String {
        let Self { engine, blocker, .. } = self;
        format!(
            "\n# your own {engine} server: who blocks others there; session {blocker} is the demo's, and blocks another of its own\n\
             curl -s 'http://{address}/sessions?target=real-{engine}&blocking=true' -H \"Authorization: Bearer $DBA\"\n\
             \n# end it: it is looked at, ended and seen gone, and the one that waited goes on\n\
             curl -s http://{address}/sessions/kill -H \"Authorization: Bearer $DBA\" -H 'Content-Type: application/json'{} \\\n  \
             -d '{{\"target\":\"real-{engine}\",\"select\":{{\"ids\":[\"{blocker}\"]}},\"reason\":\"INC-4711 blocks others\"}}'\n",
            super::WAIT,
        )
    }

    /// Ends both, and leaves nothing behind.
    pub(super) async fn close(self) {
        self.waiting.abort();
        // What is gone already need not be ended.
        match self.head {
            Head::Postgres(head) => drop(head.close().await),
            Head::MySql(head) => {
                let _ = head.close().await;
                if let Ok(mut last) = MySqlConnection::connect(self.url.as_str()).await {
                    let _ = last.execute(NO_TABLE).await;
                }
            }
        }
    }
}
