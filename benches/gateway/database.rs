//! The Postgres that everything is measured on.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};
use sqlx::{Connection as _, PgConnection, QueryBuilder};

const VARIABLE: &str = "KILLGATE_TEST_DATABASE_URL";

/// The server to measure on.
///
/// # Errors
/// There is none.
pub(crate) fn server() -> Result<String> {
    #[expect(clippy::disallowed_methods, reason = "a benchmark has no configuration")]
    let server = std::env::var(VARIABLE);
    server.ok().with_context(|| {
        format!(
            "{VARIABLE} is not set: run `make bench`, which starts a throw-away Postgres, or give the URL of one whose \
             user may create databases"
        )
    })
}

/// Version and durability of the server, in one line.
///
/// # Errors
/// It cannot be reached.
pub(crate) async fn describe(server: &str) -> Result<String> {
    let mut connection = connect(server).await?;
    let settings: (String, String, String, String) = sqlx::query_as(
        "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('full_page_writes'), \
         current_setting('synchronous_commit')",
    )
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    let (version, fsync, pages, commit) = settings;
    let line = format!("Postgres {version}: fsync {fsync}, full_page_writes {pages}, synchronous_commit {commit}");
    if [&fsync, &pages, &commit].iter().any(|setting| *setting != "on") {
        return Ok(format!("{line}\nNOT DURABLE: the figures below are not those of a record that survives a crash"));
    }
    Ok(line)
}

/// A database of its own, for one measurement. It goes with the throw-away server.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) url: String,
}

impl Database {
    /// # Errors
    /// It cannot be made.
    pub(crate) async fn fresh(server: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bench_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut connection = connect(server).await?;
        let mut create = QueryBuilder::<sqlx::Postgres>::new(format!("CREATE DATABASE {name}"));
        create.build().execute(&mut connection).await.context("the user must be able to create databases")?;
        connection.close().await?;
        let Some((server, _)) = server.rsplit_once('/') else {
            bail!("{VARIABLE} must end with the name of a database")
        };
        Ok(Self { url: format!("{server}/{name}") })
    }

    /// What earlier measurements left behind is written out and counted, so that none pays for another.
    ///
    /// # Errors
    /// The user may not.
    pub(crate) async fn settle(&self) -> Result<()> {
        let mut connection = connect(&self.url).await?;
        for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
            sqlx::query(statement).execute(&mut connection).await?;
        }
        Ok(connection.close().await?)
    }

    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        connect(&self.url).await
    }
}

async fn connect(url: &str) -> Result<PgConnection> {
    PgConnection::connect(url).await.context("Postgres cannot be reached")
}
