//! The record in a SQLite file: one writer, many readers.
//!
//! A writing transaction takes the write lock at its start, so what it read is still true when it writes. The
//! write-ahead log lets readers go on meanwhile; `synchronous=FULL` makes what was committed survive a power cut.

use std::{fs, io, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};

use futures_util::future::BoxFuture;
use sqlx::{
    ConnectOptions, Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{
    AuditError,
    batch_writer::BatchWriter,
    connections::{Connect, Connections, Trouble},
    index::Refused,
    migrations,
    trials::Trials,
};

mod deliveries;
mod index;
mod owed;
mod read;
mod seal;
mod upkeep;
mod verified;
mod watch;
mod write;

pub(in crate::audit) use deliveries::{claim_deliveries, deliver_later, delivered, drop_deliveries};
pub(in crate::audit) use index::{ended, index, misindexed, ready, reindex, unindexed};
pub(in crate::audit) use owed::owed;
pub(in crate::audit) use read::{
    events, find, ids, keyed, lines, newest_place, page, progress, returns, standing, stats,
};
pub(in crate::audit) use seal::{
    add, begin_sealing, block_before, blocks, due, heads, last_head, next_to_seal, removals, waiting, waits_for,
};
pub(in crate::audit) use upkeep::{claim, forget_keys, make_months, ping, versions};
pub(in crate::audit) use verified::{last_verification, note_verification};
pub(in crate::audit) use watch::{claim_watches, note_look, watch};
pub(in crate::audit) use write::begin;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// The newest version of the tables that this program knows.
pub(in crate::audit) fn newest() -> i64 {
    migrations::newest(&MIGRATIONS)
}

/// The record in a SQLite file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    pub(in crate::audit) batches: BatchWriter,
    pub(in crate::audit) writer: Connections<sqlx::Sqlite>,
    pub(in crate::audit) readers: Connections<sqlx::Sqlite>,
    /// For what kills have to read.
    pub(in crate::audit) inner: Connections<sqlx::Sqlite>,
    pub(in crate::audit) trials: Trials,
    pub(in crate::audit) refused: Refused,
}

/// How many connections read what kills have to.
const INNER: u32 = 2;

const BEGIN: &str = "BEGIN IMMEDIATE";

impl Sqlite {
    /// Makes the file where there is none.
    pub(in crate::audit) async fn open(path: &Path, limit: Duration, readers: u32) -> Result<Self, AuditError> {
        let failed = |error: sqlx::Error| AuditError::from_sqlx("open", &error);
        make(path)?;
        // Left behind open, it keeps the file in its journal mode until others have it.
        let first = options(path).connect().await.map_err(failed)?;
        let connections = |options, size| Connections::new(File(options), size, limit, Trouble::default());
        let writer = connections(options(path), 1);
        let readers = connections(options(path).read_only(true), readers);
        let inner = connections(options(path).read_only(true), INNER);
        first.close().await.map_err(failed)?;
        let batches =
            BatchWriter::start(&writer, None, 1, |connection, entries| Box::pin(write::write(connection, entries)));
        Ok(Self { batches, writer, readers, inner, trials: Trials::default(), refused: Refused::default() })
    }

    /// The same for those who work on kills, whose reads wait for no reader.
    pub(in crate::audit) fn for_kills(&self) -> Self {
        Self { readers: self.inner.clone(), ..self.clone() }
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

struct File(SqliteConnectOptions);

impl Connect<sqlx::Sqlite> for File {
    fn connect(&self) -> BoxFuture<'_, sqlx::Result<SqliteConnection>> {
        Box::pin(self.0.connect())
    }

    /// A file does not go away.
    fn is_well<'c>(&'c self, _: &'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<bool>> {
        Box::pin(std::future::ready(Ok(true)))
    }
}

/// Makes the file where there is none, for nobody else to read; SQLite gives the files beside it the same mode. One that
/// is there is left alone: whoever opened and closed it here would let go of locks that this process holds on it.
fn make(path: &Path) -> Result<(), AuditError> {
    match fs::File::options().write(true).create_new(true).mode(0o600).open(path) {
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
