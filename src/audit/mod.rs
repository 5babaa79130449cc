//! The record: every attempt, before it is made, and what became of it.
//!
//! [`Audit::begin`] commits the attempt before any vendor sees a byte, [`Audit::mark_sent`] the moment before the
//! first one leaves, [`Audit::conclude`] what was learned. Whatever is left open is somebody's to [`Audit::claim`].
//!
//! The record is a log: each of these adds an entry, in one statement, and nothing is ever changed or removed. What
//! makes kills findable is an index that is made from the log in bulk, a moment after a kill has ended; readers
//! see a kill from its first entry on, indexed or not. Nothing here decides, sends or reads a clock. Both engines behave
//! alike; one suite of tests runs on both.
//!
//! Each call is one whole operation within one time limit, every wait included, and is carried to its end even if the
//! caller goes away. Writes that wait at the same time share a transaction; none of their callers can tell.
//!
//! Who only reads has connections that whoever records, claims or settles never waits for.

mod batch_writer;
mod connections;
mod cursor;
mod delivery;
mod error;
mod events;
mod filter;
mod index;
mod keys;
mod line;
mod log;
mod migrations;
mod name;
mod owed;
mod page;
mod permits;
mod postgres;
mod reading;
mod record;
mod removal;
mod sealed;
mod sealing;
mod sql;
mod sqlite;
mod stats;
mod timestamp;
mod trials;
mod verified;
mod watch;
mod words;

use std::{path::PathBuf, sync::Arc, time::Duration};

use secrecy::SecretString;
use time::{Date, OffsetDateTime};

pub use cursor::{Cursor, CursorError};
pub use delivery::{Delivery, Unwanted};
pub use error::AuditError;
pub use events::{KillEvent, LookEvent, Progress};
pub use filter::Filter;
pub use line::{Line, LineEvent, LineSession, LineUpstream};
pub use name::Name;
pub use page::Page;
pub use permits::{Ask, Heard, Rate, Slot};
pub use postgres::Postgres;
pub use record::{Attempt, Begun, IdempotencyKey, Open};
pub use removal::Removal;
pub use sealed::{Sealing, Standing};
pub use sqlite::Sqlite;
pub use stats::{By, Count, Grouping, Per};
pub use verified::Verification;
pub use watch::{Returned, Seen, Sightings, Watch};
pub use words::words;

use crate::domain::{Kill, KillId, Sent, Session};
use batch_writer::Entry;
use record::{FirstEntry, NextEntry};

/// Where the record is kept and how long it may take.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A Postgres database; without one the record is kept in the SQLite file.
    pub database_url: Option<SecretString>,
    /// Certificates of authorities that Postgres may have its own from, beside the web's, as PEM.
    pub authorities: Vec<u8>,
    /// Whether Postgres has to show one of those even where the URL says nothing of it.
    pub verify: bool,
    pub sqlite_path: PathBuf,
    /// Bring the tables up to date when opening.
    pub migrate: bool,
    /// The longest any operation may take, every wait included.
    pub timeout: Duration,
    /// Connections to the database; Postgres has at least seven, one for each purpose.
    pub max_connections: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            database_url: None,
            authorities: vec![],
            verify: false,
            sqlite_path: "killgate.db".into(),
            migrate: true,
            timeout: Duration::from_secs(3),
            max_connections: 16,
        }
    }
}

/// The record. Clones are the same record.
#[derive(Debug, Clone)]
pub enum Audit {
    Postgres(Arc<Postgres>),
    Sqlite(Sqlite),
}

/// Runs an engine's function of that name, on connections that Postgres has for the purpose or those that SQLite has.
macro_rules! on_engine {
    ($audit:expr, $postgres:ident / $sqlite:ident, $operation:ident($($argument:expr),*)) => {
        match $audit {
            Self::Postgres(engine) => {
                engine
                    .$postgres
                    .run(stringify!($operation), move |connection| {
                        Box::pin(async move { postgres::$operation(connection, $($argument),*).await })
                    })
                    .await
            }
            Self::Sqlite(engine) => {
                engine
                    .$sqlite
                    .run(stringify!($operation), move |connection| {
                        Box::pin(async move { sqlite::$operation(connection, $($argument),*).await })
                    })
                    .await
            }
        }
    };
}
use on_engine;

impl Audit {
    /// Opens the record. Its connections live on the runtime this is called on, which must outlive every user.
    ///
    /// Postgres is connected to when first needed, so a record that is opened without migrating heals by itself
    /// when its database comes back.
    ///
    /// # Errors
    /// The URL is none, the file cannot be made, or it cannot be brought up to date.
    pub async fn open(settings: &Settings) -> Result<Self, AuditError> {
        if settings.migrate {
            Self::migrate(settings).await?;
        }
        match &settings.database_url {
            Some(_) => Postgres::new(settings).map(|engine| Self::Postgres(Arc::new(engine))),
            None => {
                Sqlite::open(&settings.sqlite_path, settings.timeout, settings.max_connections).await.map(Self::Sqlite)
            }
        }
    }

    /// The same record for those who work on kills: what they read never waits for what others read.
    #[must_use]
    pub fn for_kills(&self) -> Self {
        match self {
            Self::Postgres(engine) => Self::Postgres(Arc::new(engine.for_kills())),
            Self::Sqlite(engine) => Self::Sqlite(engine.for_kills()),
        }
    }

    /// Brings the tables up to date, as the owner of the database.
    pub async fn migrate(settings: &Settings) -> Result<(), AuditError> {
        match &settings.database_url {
            Some(_) => Postgres::migrate(settings).await,
            None => Sqlite::migrate(&settings.sqlite_path).await,
        }
    }

    /// Lets a role of the database do what serving needs, and nothing else; as the owner, after migrating.
    ///
    /// # Errors
    /// There is no such role, this one owns nothing, or the record is a file, which knows no roles.
    pub async fn let_serve(settings: &Settings, role: &str) -> Result<(), AuditError> {
        match &settings.database_url {
            Some(_) => Postgres::let_serve(settings, role).await,
            None => Err(AuditError::failed("let_serve", "an SQLite file has no roles")),
        }
    }

    /// Removes the kills of a month as a whole, as the owner of the tables, and leaves a record of it; answers how many
    /// kills it had. Takes the time it takes.
    ///
    /// # Errors
    /// There is no such month, it is not over, or something in it is still to be done. On SQLite always: one file holds
    /// all months.
    pub async fn remove_month(settings: &Settings, month: Date, reason: &str) -> Result<i64, AuditError> {
        match &settings.database_url {
            Some(_) => {
                let audit = Self::open(&Settings { migrate: false, ..settings.clone() }).await?;
                audit.index_month(month).await;
                audit.close().await;
                Postgres::remove_month(settings, month, reason).await
            }
            None => Err(AuditError::failed("remove_month", "an SQLite file holds all months and is kept whole")),
        }
    }

    /// Records an attempt and claims its key; committed when it returns. Nothing may be sent before.
    ///
    /// A kill that is final already is recorded the same way. If the key stands for another kill, nothing is
    /// recorded and that kill is answered; of several at once exactly one is new.
    ///
    /// # Errors
    /// Nobody may then act on the attempt. It may have been recorded all the same, and is then settled by whoever
    /// claims it after its deadline.
    pub async fn begin(&self, attempt: &Attempt, key_ttl: Duration) -> Result<Begun, AuditError> {
        let first = FirstEntry::of(attempt, key_ttl);
        if first.claim.is_none() {
            return self.write(Entry::First(Box::new(first))).await.map(|_| Begun::New);
        }
        // Batch writers ask for themselves.
        if let Self::Postgres(engine) = self {
            engine.sure().await?;
        }
        on_engine!(self, keyed / writer, begin(&first))
    }

    /// Records the moment before bytes go to a vendor, and that nobody else is to settle the kill before `due`.
    ///
    /// `false` if the kill is not pending or no longer this gateway's: then nothing may be sent, also if it was marked
    /// before.
    pub async fn mark_sent(
        &self,
        id: KillId,
        gateway: &str,
        at: OffsetDateTime,
        due: OffsetDateTime,
    ) -> Result<bool, AuditError> {
        self.write(Entry::Next(Box::new(NextEntry::sent(id, gateway, at, due)))).await
    }

    /// Records what became of a kill, with the calls of it that left; otherwise as [`Audit::conclude`].
    pub async fn answer(
        &self,
        kill: &Kill,
        calls: &[Sent],
        at: OffsetDateTime,
        look_at: Option<OffsetDateTime>,
    ) -> Result<bool, AuditError> {
        self.write(Entry::Next(Box::new(NextEntry::learned(kill, &[], calls, at, "answered", look_at)))).await
    }

    /// Records what was learned of an open kill, as an event of the kind `what`; `false` if it was settled already,
    /// and then nothing changes.
    ///
    /// Sessions that `kill` does not name keep their outcomes. While the kill stays open, it can be claimed from
    /// `look_at` on; without that nobody looks again, except that a pending one keeps its deadline. A kill that was
    /// rate-limited or refused here, and of which nothing was sent, lets its idempotency key go.
    pub async fn conclude(
        &self,
        kill: &Kill,
        at: OffsetDateTime,
        what: &str,
        look_at: Option<OffsetDateTime>,
    ) -> Result<bool, AuditError> {
        self.learn(kill, &[], at, what, look_at).await
    }

    /// The same where the sessions that are on record are known: where all are as they were none is written again.
    pub async fn learn(
        &self,
        kill: &Kill,
        known: &[Session],
        at: OffsetDateTime,
        what: &str,
        look_at: Option<OffsetDateTime>,
    ) -> Result<bool, AuditError> {
        self.write(Entry::Next(Box::new(NextEntry::learned(kill, known, &[], at, what, look_at)))).await
    }

    /// Takes up to `limit` open kills that are due: pending ones past their deadline, others whose next look has
    /// come. They are this gateway's until `now + lease`; no two gateways get the same one.
    pub async fn claim(
        &self,
        gateway: &str,
        now: OffsetDateTime,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<Open>, AuditError> {
        let gateway = gateway.to_owned();
        on_engine!(self, upkeep / writer, claim(&gateway, now, lease, limit))
    }

    /// The kill of that id.
    pub async fn find(&self, id: KillId) -> Result<Option<Kill>, AuditError> {
        on_engine!(self, readers / readers, find(id))
    }

    /// Up to `limit` kills that pass the filter, in its order.
    pub async fn page(&self, filter: &Filter, limit: u32) -> Result<Page, AuditError> {
        let filter = filter.clone();
        on_engine!(self, readers / readers, page(&filter, limit))
    }

    /// The statements with which [`Audit::page`] finds the kills of a page in the index and reads their entries on Postgres,
    /// with `$1` and so on where their values go: those of the filter and the limit; the ids, the lowest and the highest.
    /// For measurements beside other clients.
    #[must_use]
    pub fn page_sql(filter: &Filter, limit: u32) -> [String; 2] {
        postgres::page_sql(filter, limit)
    }

    /// The same kills with everything that is on record about them.
    pub async fn lines(&self, filter: &Filter, limit: u32) -> Result<Page<Line>, AuditError> {
        let filter = filter.clone();
        on_engine!(self, readers / readers, lines(&filter, limit))
    }

    /// How many kills pass the filter, up to `limit` counts in the order of time; `None` where counting them takes longer
    /// than `within`.
    pub async fn stats(
        &self,
        filter: &Filter,
        grouping: &Grouping,
        limit: u32,
        within: Duration,
    ) -> Result<Option<Vec<Count>>, AuditError> {
        let (filter, grouping) = (filter.clone(), grouping.clone());
        on_engine!(self, readers / readers, stats(&filter, &grouping, limit, within))
    }

    /// Makes room ahead of time for the kills of this month and the next ones.
    pub async fn make_months(&self, now: OffsetDateTime) -> Result<(), AuditError> {
        on_engine!(self, upkeep / writer, make_months(now))
    }

    /// Whether the database is one that can hold the record, as far as time does not heal it: its encoding, the version of
    /// its tables, and a session for each connection.
    ///
    /// # Errors
    /// [`AuditError::Failed`] where it is none, [`AuditError::Unavailable`] where that cannot be told now.
    pub async fn examine(&self) -> Result<(), AuditError> {
        match self {
            Self::Postgres(engine) => engine.sure().await,
            Self::Sqlite(engine) => {
                let versions = engine
                    .inner
                    .run("examine", move |connection| Box::pin(async move { sqlite::versions(connection).await }));
                let (applied, from) = versions.await?;
                migrations::fits("examine", sqlite::newest(), applied, from)
            }
        }
    }

    /// Whether it can record: tried by writing. Those who ask at the same time share one trial.
    ///
    /// # Errors
    /// It cannot.
    pub async fn ping(&self) -> Result<(), AuditError> {
        let trials = match self {
            Self::Postgres(engine) => &engine.trials,
            Self::Sqlite(engine) => &engine.trials,
        };
        trials
            .share(async {
                self.examine().await?;
                on_engine!(self, upkeep / writer, ping())
            })
            .await
    }

    /// Lets go of all connections.
    pub async fn close(&self) {
        match self {
            Self::Postgres(engine) => {
                engine.writers.close().await;
                engine.permits.close().await;
                engine.sealer.close().await;
                engine.keyed.close().await;
                engine.upkeep.close().await;
                engine.indexer.close().await;
                engine.readers.close().await;
            }
            Self::Sqlite(engine) => {
                engine.readers.close().await;
                engine.inner.close().await;
                // Last, so that the write-ahead log is folded into the file.
                engine.writer.close().await;
            }
        }
    }

    async fn write(&self, entry: Entry) -> Result<bool, AuditError> {
        let writer = match (self, &entry) {
            (Self::Postgres(engine), Entry::First(_)) => &engine.beginnings,
            (Self::Postgres(engine), Entry::Next(_)) => &engine.learnings,
            (Self::Sqlite(engine), _) => &engine.batches,
        };
        writer.write(entry).await
    }
}
