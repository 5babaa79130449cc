//! Postgres for tests: a fresh database for each, and clusters of one's own to break.

use std::{
    fmt::Write as _,
    process::{Command, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use killgate::audit::{Audit, Settings};
use sqlx::{Connection, PgConnection, QueryBuilder};
use tokio::sync::OnceCell;

use super::{patience::eventually, watchdog};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/test-postgres.sh");
const VARIABLE: &str = "KILLGATE_TEST_DATABASE_URL";

/// A database of one's own on the shared cluster; dropped with the value.
#[derive(Debug)]
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    /// One that has the tables of today and nothing in them.
    ///
    /// # Panics
    /// Without a cluster: a test that cannot run must not look like one that passed.
    pub(crate) async fn fresh() -> Self {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        watchdog::is_running();
        let server = server();
        let template = TEMPLATE.get_or_init(|| template(&server)).await;
        Self::like(server, template).await
    }

    /// One that has nothing in it.
    pub(crate) async fn empty() -> Self {
        Self::like(server(), "template0").await
    }

    /// Templates have no visitors, so databases can be made side by side.
    async fn like(server: String, template: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        execute(&server, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        Self { server, name }
    }

    pub(crate) fn url(&self) -> String {
        at(&self.server, &self.name)
    }
}

fn server() -> String {
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
    let server = std::env::var(VARIABLE);
    server.unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: run `make test`, or `scripts/test-postgres.sh run -- cargo test`")
    })
}

/// The URL of another database of the same cluster.
fn at(server: &str, database: &str) -> String {
    let (server, _) = server.rsplit_once('/').expect("a URL with a database");
    format!("{server}/{database}")
}

/// The database that fresh ones are copies of, migrated once for each state of the migrations. Whoever comes first makes
/// it, under another name until it is whole.
async fn template(server: &str) -> String {
    let mut name = "killgate_template_".to_owned();
    for byte in sqlx::migrate!("migrations/postgres").iter().flat_map(|one| one.checksum.iter().take(2)) {
        write!(name, "{byte:02x}").expect("a String");
    }
    let mut connection = PgConnection::connect(server).await.expect("the test cluster runs");
    sqlx::query("SELECT pg_advisory_lock(4711)").execute(&mut connection).await.expect("a turn");
    let sql = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    let is_there: bool = sqlx::query_scalar(sql).bind(&name).fetch_one(&mut connection).await.expect("an answer");
    if !is_there {
        let part = format!("{name}_part");
        execute(server, &format!("DROP DATABASE IF EXISTS {part} WITH (FORCE)")).await;
        execute(server, &format!("CREATE DATABASE {part} TEMPLATE template0")).await;
        let url = Some(at(server, &part).into());
        let settings = Settings { database_url: url, timeout: Duration::from_mins(1), ..Settings::default() };
        Audit::migrate(&settings).await.expect("it migrates");
        execute(server, &format!("ALTER DATABASE {part} RENAME TO {name}")).await;
    }
    connection.close().await.expect("a goodbye");
    name
}

impl Database {
    /// The cluster's own database, as its owner.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, sql) = (self.server.clone(), format!("DROP DATABASE {} WITH (FORCE)", self.name));
        // A runtime cannot wait for itself, so another one does it.
        let dropped = thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(eventually("it is dropped", async || try_execute(&server, &sql).await.ok()));
        });
        assert!(dropped.join().is_ok() || thread::panicking(), "{} could not be dropped", self.name);
    }
}

async fn execute(url: &str, sql: &str) {
    try_execute(url, sql).await.expect(sql);
}

async fn try_execute(url: &str, sql: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    QueryBuilder::<sqlx::Postgres>::new(sql).build().execute(&mut connection).await?;
    connection.close().await
}

/// Lets no gateway mark a kill as sent while somebody holds the lock.
const GATE: &str = "
    ALTER FUNCTION append_to_kills RENAME TO append_behind_the_gate;
    CREATE FUNCTION append_to_kills(ids uuid[], times timestamptz[], kinds text[], statuses text[], endings boolean[],
        dues timestamptz[], bodies text[], owners text[], releases boolean[]) RETURNS SETOF uuid
    LANGUAGE plpgsql AS $$
    BEGIN
        IF 'sent' = ANY (kinds) THEN
            PERFORM pg_advisory_xact_lock_shared(1);
        END IF;
        RETURN QUERY SELECT append_behind_the_gate(ids, times, kinds, statuses, endings, dues, bodies, owners, releases);
    END $$;
    SELECT pg_advisory_lock(1)";

/// A session that holds that lock of a record.
pub(crate) async fn gate(url: &str) -> PgConnection {
    let mut gate = PgConnection::connect(url).await.expect("the test cluster runs");
    sqlx::raw_sql(GATE).execute(&mut gate).await.expect("a gate");
    gate
}

/// A cluster of one's own, to stop and start; removed with the value.
#[derive(Debug)]
pub(crate) struct Cluster {
    url: String,
    dir: String,
    /// Server processes that hear nothing, and no end either.
    silent: Mutex<Vec<i32>>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let answer = script(&["start"]);
        let mut lines = answer.lines().map(str::to_owned);
        Self { url: lines.next().expect("a URL"), dir: lines.next().expect("a directory"), silent: Mutex::default() }
    }

    /// Its database, with the user and the password.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(format!("{}/log", self.dir)).expect("its log");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Stops it at once, as a crash would.
    pub(crate) fn stop(&self) {
        script(&["halt", &self.dir]);
    }

    /// Starts it again at the same address.
    pub(crate) fn restart(&self) {
        script(&["resume", &self.dir]);
    }

    /// Makes one of its server processes fall silent without closing its connection.
    pub(crate) fn silence(&self, process: i32) {
        self.silent.lock().unwrap().push(process);
        let silenced = Command::new("kill").args(["-STOP", &process.to_string()]).status();
        assert!(silenced.expect("kill runs").success());
    }
}

impl Cluster {
    /// Has a process that fell silent go on.
    pub(crate) fn wake(&self, process: i32) {
        self.silent.lock().unwrap().retain(|silent| *silent != process);
        let woken = Command::new("kill").args(["-CONT", &process.to_string()]).status();
        assert!(woken.expect("kill runs").success());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.silent.get_mut().unwrap().drain(..) {
            // It may have been ended already.
            let _ = Command::new("kill").args(["-CONT", &process.to_string()]).stderr(Stdio::null()).status();
        }
        script(&["stop", &self.dir]);
    }
}

/// PgBouncer before a database; removed with the value.
#[derive(Debug)]
pub(crate) struct Pooler {
    url: String,
    dir: String,
}

impl Pooler {
    /// `mode` is its `pool_mode`.
    pub(crate) fn start(url: &str, mode: &str) -> Self {
        let answer = script(&["pool", url, mode]);
        let mut lines = answer.lines().map(str::to_owned);
        Self { url: lines.next().expect("a URL"), dir: lines.next().expect("a directory") }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        script(&["unpool", &self.dir]);
    }
}

fn script(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = Command::new(SCRIPT).args(arguments).output().expect("the script runs");
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("text")
}
