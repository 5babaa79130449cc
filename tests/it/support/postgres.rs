//! Postgres for tests: a fresh database for each, and clusters of one's own to break.

use std::{
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use sqlx::{Connection, PgConnection, QueryBuilder};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/test-postgres.sh");
const VARIABLE: &str = "KILLGATE_TEST_DATABASE_URL";

/// A database of one's own on the shared cluster; dropped with the value.
#[derive(Debug)]
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    /// # Panics
    /// Without a cluster: a test that cannot run must not look like one that passed.
    pub(crate) async fn fresh() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
        let Ok(server) = std::env::var(VARIABLE) else {
            panic!("{VARIABLE} is not set: run `make test`, or `scripts/test-postgres.sh run -- cargo test`");
        };
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // template0 has no visitors, so databases can be made side by side.
        execute(&server, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        Self { server, name }
    }

    pub(crate) fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').expect("a URL with a database");
        format!("{server}/{}", self.name)
    }
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
                .block_on(execute(&server, &sql));
        });
        assert!(dropped.join().is_ok() || thread::panicking(), "{} could not be dropped", self.name);
    }
}

async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.expect("the test cluster runs");
    QueryBuilder::<sqlx::Postgres>::new(sql).build().execute(&mut connection).await.expect(sql);
    connection.close().await.expect("a goodbye");
}

/// A cluster of one's own, to stop and start; removed with the value.
#[derive(Debug)]
pub(crate) struct Cluster {
    url: String,
    dir: String,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let answer = script(&["start"]);
        let mut lines = answer.lines().map(str::to_owned);
        Self { url: lines.next().expect("a URL"), dir: lines.next().expect("a directory") }
    }

    /// Its database, with the user and the password.
    pub(crate) fn url(&self) -> &str {
        &self.url
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
    #[expect(clippy::unused_self, reason = "processes of the shared cluster are to be left alone")]
    pub(crate) fn silence(&self, process: i32) {
        let silenced = Command::new("kill").args(["-STOP", &process.to_string()]).status();
        assert!(silenced.expect("kill runs").success());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        script(&["stop", &self.dir]);
    }
}

fn script(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = Command::new(SCRIPT).args(arguments).output().expect("the script runs");
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("text")
}
