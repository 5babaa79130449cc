//! Whether a database can hold the record at all, asked once, before anything is recorded in it.
//!
//! What is found here does not heal by itself, so it is told apart from a database that is away for a while: another
//! encoding, tables of another version, and a pooler that hands each transaction to another session. Such a pooler would
//! take from the sessions what makes a commit durable, and the prepared statements with it.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _, postgres::PgConnectOptions};
use tokio::runtime::Handle;

use super::{AuditError, Trials, migrations};
use crate::audit::sql::VERSIONS;

const OPERATION: &str = "examine";

/// What tells whether there is a pooler in between, tried more than once: it may have sessions to choose from.
const ROUNDS: u32 = 4;

const POOLED: &str = "a pooler in between gives each transaction another session, such as PgBouncer with pool_mode = \
     transaction or statement: killgate needs sessions of its own, so use pool_mode = session or go past the pooler";

/// Remembers that a database was found fit; one that was away is asked again.
pub(in crate::audit) struct Fitness {
    options: PgConnectOptions,
    limit: Duration,
    home: Handle,
    is_fit: AtomicBool,
    trials: Trials,
}

/// Without the options, which show the password.
impl fmt::Debug for Fitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fitness").field("is_fit", &self.is_fit).finish_non_exhaustive()
    }
}

impl Fitness {
    pub(super) fn new(options: PgConnectOptions, limit: Duration) -> Self {
        Self { options, limit, home: Handle::current(), is_fit: AtomicBool::new(false), trials: Trials::default() }
    }

    /// Those who ask at the same time share one examination.
    ///
    /// # Errors
    /// [`AuditError::Failed`] says what has to be changed; [`AuditError::Unavailable`] that it cannot be told now.
    pub(in crate::audit) async fn sure(&self) -> Result<(), AuditError> {
        if self.is_fit.load(Ordering::Relaxed) {
            return Ok(());
        }
        let examined = self.trials.share(async {
            let (options, limit) = (self.options.clone(), self.limit);
            let examined = async move { tokio::time::timeout(limit, examine(&options)).await };
            let examined = self.home.spawn(examined).await;
            let examined = examined.map_err(|_| AuditError::unavailable(OPERATION, "the gateway is stopping"))?;
            examined.unwrap_or_else(|_| Err(AuditError::too_slow(OPERATION, limit)))
        });
        examined.await?;
        self.is_fit.store(true, Ordering::Relaxed);
        Ok(())
    }
}

async fn examine(options: &PgConnectOptions) -> Result<(), AuditError> {
    let failed = |error: sqlx::Error| AuditError::from_sqlx(OPERATION, &error);
    let mut one = options.connect().await.map_err(failed)?;
    encoding(&mut one).await?;
    let mut other = options.connect().await.map_err(failed)?;
    if !are_sessions(&mut one, &mut other).await.map_err(failed)? {
        return Err(AuditError::failed(OPERATION, POOLED));
    }
    version(&mut one).await?;
    // Whoever is away by the goodbye was there.
    let _ = (one.close().await, other.close().await);
    Ok(())
}

/// # Errors
/// The database keeps its texts in another encoding than UTF-8.
pub(super) async fn encoding(connection: &mut PgConnection) -> Result<(), AuditError> {
    let encoding: sqlx::Result<String> =
        async { sqlx::raw_sql("SHOW server_encoding").fetch_one(connection).await?.try_get(0) }.await;
    match encoding.map_err(|error| AuditError::from_sqlx(OPERATION, &error))?.as_str() {
        "UTF8" => Ok(()),
        other => {
            let why = format!("the database's encoding is {other}; the record needs one that is UTF8");
            Err(AuditError::failed(OPERATION, why))
        }
    }
}

/// Whether each connection keeps a setting of its own while the other sets it too. No statement is prepared: those would
/// be mixed up as well.
async fn are_sessions(one: &mut PgConnection, other: &mut PgConnection) -> sqlx::Result<bool> {
    const SET: &str = "SELECT set_config('killgate.session', clock_timestamp() || ' ' || random(), false)";
    const GET: &str = "SELECT current_setting('killgate.session', true)";
    for _ in 0..ROUNDS {
        let said: String = sqlx::raw_sql(SET).fetch_one(&mut *one).await?.try_get(0)?;
        let other_said: String = sqlx::raw_sql(SET).fetch_one(&mut *other).await?.try_get(0)?;
        // In the other order: a pooler that takes its sessions in turn would else come round to the right ones.
        let other_kept: Option<String> = sqlx::raw_sql(GET).fetch_one(&mut *other).await?.try_get(0)?;
        let kept: Option<String> = sqlx::raw_sql(GET).fetch_one(&mut *one).await?.try_get(0)?;
        if kept != Some(said) || other_kept != Some(other_said) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether this version of killgate may serve on these tables.
async fn version(connection: &mut PgConnection) -> Result<(), AuditError> {
    let versions = sqlx::query_as(VERSIONS).fetch_one(connection).await;
    match versions {
        Ok((applied, from)) => migrations::fits(OPERATION, super::newest(), applied, from),
        Err(sqlx::Error::Database(refusal)) if refusal.code().as_deref() == Some("42P01") => {
            Err(AuditError::unavailable(OPERATION, migrations::NO_TABLES))
        }
        Err(error) => Err(AuditError::from_sqlx(OPERATION, &error)),
    }
}
