//! The record in a SQLite file: one writer, many readers.
//!
//! A writing transaction takes the write lock at its start, so what it read is still true when it writes. The
//! write-ahead log lets readers go on meanwhile; `synchronous=FULL` makes what was committed survive a power cut.

use std::{fs::File, io, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};

use sqlx::{
    ConnectOptions, Connection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::runtime::Handle;

use super::{
    AuditError,
    lane::{Lane, Trouble},
    migrations,
    queue::Queue,
    trials::Trials,
};

mod deliveries;
mod events;
mod read;
mod seal;
mod watch;
mod write;

pub(in crate::audit) use deliveries::{claim_deliveries, deliver_later, delivered, drop_deliveries};
pub(in crate::audit) use events::{events, progress};
pub(in crate::audit) use read::{claim, find, forget_keys, lines, make_months, page, ping, stats, versions};
pub(in crate::audit) use seal::{
    add, begin_sealing, block_before, blocks, due, heads, ids, last_head, removals, standing, waiting, waits_for,
};
pub(in crate::audit) use watch::{claim_watches, note_look, watch};
pub(in crate::audit) use write::{begin, stands};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// The newest version of the tables that this program knows.
pub(in crate::audit) fn newest() -> i64 {
    migrations::newest(&MIGRATIONS)
}

/// The record in a SQLite file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    pub(in crate::audit) queue: Queue,
    pub(in crate::audit) writer: Lane<sqlx::Sqlite>,
    pub(in crate::audit) readers: Lane<sqlx::Sqlite>,
    pub(in crate::audit) trials: Trials,
}

/// The shared columns of a kill.
macro_rules! columns {
    () => {
        kill_columns!(
            "(SELECT json_group_array(json_object('id', s.session_id, 'outcome', s.outcome, 'detail', s.detail, 'identity', json(s.identity)) \
             ORDER BY s.position, s.session_id) FROM kill_sessions s WHERE s.kill_id = k.id)"
        )
    };
}
use columns;

/// A statement that reads kills: the shared columns, then what `$more` adds.
macro_rules! select {
    ($($more:literal),+) => {
        concat!("SELECT ", columns!(), $($more),+)
    };
}
use select;

const BEGIN: &str = "BEGIN IMMEDIATE";

impl Sqlite {
    /// Makes the file where there is none.
    pub(in crate::audit) async fn open(path: &Path, limit: Duration, readers: u32) -> Result<Self, AuditError> {
        let failed = |error: sqlx::Error| AuditError::from_sqlx("open", &error);
        make(path)?;
        // Left behind open, it keeps the file in its journal mode until the pools have it.
        let first = options(path).connect().await.map_err(failed)?;
        let pool = |size: u32| SqlitePoolOptions::new().max_connections(size.max(1)).acquire_timeout(limit);
        let lane = |pool| Lane::new(pool, Handle::current(), limit, Trouble::default());
        let writer = lane(pool(1).connect_lazy_with(options(path)));
        let readers = lane(pool(readers).connect_lazy_with(options(path).read_only(true)));
        first.close().await.map_err(failed)?;
        let queue = Queue::start(&writer, None, 1, |connection, entries| Box::pin(write::write(connection, entries)));
        Ok(Self { queue, writer, readers, trials: Trials::default() })
    }

    pub(in crate::audit) async fn migrate(path: &Path) -> Result<(), AuditError> {
        let failed = |error: sqlx::Error| AuditError::from_sqlx("migrate", &error);
        make(path)?;
        let mut connection = options(path).connect().await.map_err(failed)?;
        migrations::beside_newer(&MIGRATIONS)
            .run(&mut connection)
            .await
            .map_err(|error| AuditError::from_migration(&error))?;
        connection.close().await.map_err(failed)
    }
}

/// Makes the file where there is none, for nobody else to read; SQLite gives the files beside it the same mode. One that
/// is there is left alone: whoever opened and closed it here would let go of locks that this process holds on it.
fn make(path: &Path) -> Result<(), AuditError> {
    match File::options().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(AuditError::unavailable("open", format!("{}: {}", path.display(), error.kind())))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true)
        .disable_statement_logging()
}
