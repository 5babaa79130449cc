//! Two roles on Postgres: one that owns the record, and one that serves and can change nothing that was recorded.

mod may;
mod may_not;

use std::{
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use sqlx::{Connection, PgConnection, QueryBuilder};
use tokio::task::block_in_place;

use crate::support::{
    gateway::{Engine, Gateway, Setup},
    postgres::Database,
};

/// A record of one's own with a second role that only serves. The database goes before the role does.
#[derive(Debug)]
struct TwoRoles {
    database: Database,
    role: Role,
}

/// A role of the cluster; dropped with the value.
#[derive(Debug)]
struct Role {
    name: String,
    server: String,
}

impl TwoRoles {
    /// Makes the role and lets it serve, as the documentation tells it.
    async fn made() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let database = Database::empty().await;
        let name = format!("serving_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run(&database.url(), &format!("CREATE ROLE {name} LOGIN PASSWORD '{name}'")).await.unwrap();
        let server = database.server().to_owned();
        let two = Self { role: Role { name, server }, database };
        for _ in 0..2 {
            let (done, told) = two.migrate(&two.role.name);
            assert!(done, "{told}");
        }
        two
    }

    /// `killgate migrate --serving-role`, as the owner.
    fn migrate(&self, role: &str) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_killgate"));
        command.args(["migrate", "--serving-role", role]).env_clear().env("DATABASE_URL", self.database.url());
        let directory = tempfile::tempdir().unwrap();
        let output = block_in_place(|| command.current_dir(directory.path()).output().unwrap());
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    }

    /// The database, as the serving role.
    fn url(&self) -> String {
        let url = self.database.url();
        let (scheme, rest) = url.split_once("://").unwrap();
        let (_, place) = rest.rsplit_once('@').unwrap();
        format!("{scheme}://{name}:{name}@{place}", name = self.role.name)
    }

    /// A gateway that connects as the serving role and does not migrate.
    async fn serve(&self) -> Gateway {
        let env = vec![("KILLGATE__AUDIT__MIGRATE", "false"), ("KILLGATE__AUDIT__TIMEOUT_MS", "30000")];
        let setup = Setup { database_url: Some(self.url()), env, ..Setup::default() };
        Gateway::start_with(Engine::Postgres, setup).await
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let (server, sql) = (self.server.clone(), format!("DROP ROLE {}", self.name));
        // A runtime cannot wait for itself, so another one does it.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(&server, &sql)).unwrap();
        });
        assert!(dropped.join().is_ok() || thread::panicking(), "{} could not be dropped", self.name);
    }
}

/// Runs SQL on a connection of its own; answers how many rows it touched, or why it did not.
async fn run(url: &str, sql: &str) -> Result<u64, String> {
    let mut connection = PgConnection::connect(url).await.map_err(|error| error.to_string())?;
    let done = QueryBuilder::<sqlx::Postgres>::new(sql).build().execute(&mut connection).await;
    done.map(|done| done.rows_affected()).map_err(|error| error.to_string())
}
