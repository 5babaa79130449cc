//! The record on Postgres.
//!
//! Nobody waits for a lock while holding one that others wait for the other way round: leases are locked in the order of
//! their kills' ids, then keys. Who claims a key holds nothing else meanwhile, and only one key at a time. Those who take what
//! is due pass over what others hold.

use std::{net::IpAddr, sync::Arc, time::Duration};

use fitness::Fitness;
use futures_util::future::BoxFuture;
use secrecy::ExposeSecret;
use sqlx::{
    ConnectOptions, Connection, PgConnection, Row as _,
    migrate::MigrateError,
    postgres::{PgConnectOptions, PgSslMode},
};
use time::Date;
use url::Url;

use super::{
    AuditError, Settings,
    batch_writer::{BatchWriter, Sure},
    connections::{Connect, Connections, Trouble},
    index::Refused,
    migrations,
    trials::Trials,
};

mod begin;
mod deliveries;
mod fitness;
mod index;
mod owed;
mod permits;
mod read;
mod seal;
mod upkeep;
mod verified;
mod watch;
mod write;

pub(in crate::audit) use begin::begin;
pub(in crate::audit) use deliveries::{claim_deliveries, deliver_later, delivered, drop_deliveries};
pub(in crate::audit) use index::{ended, index, misindexed, reindex, unindexed};
pub(in crate::audit) use owed::owed;
pub(in crate::audit) use permits::take_permits;
pub(in crate::audit) use read::{
    events, find, ids, keyed, lines, newest_place, page, page_sql, progress, returns, standing, stats,
};
pub(in crate::audit) use seal::{
    begin_sealing, block_before, blocks, heads, last_head, next_to_seal, removals, seal, waiting, waits_for,
};
pub(in crate::audit) use upkeep::{claim, forget_keys, make_months, ping};
pub(in crate::audit) use verified::{last_verification, note_verification};
pub(in crate::audit) use watch::{claim_watches, note_look, watch};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/postgres");

/// The newest version of the tables that this program knows.
pub(super) fn newest() -> i64 {
    migrations::newest(&MIGRATIONS)
}

const BEGIN: &str = "BEGIN";

/// The record on Postgres.
#[derive(Debug, Clone)]
pub struct Postgres {
    /// For first entries, and for all later ones: those of a kind are one statement, and neither waits for the other.
    pub(in crate::audit) beginnings: BatchWriter,
    pub(in crate::audit) learnings: BatchWriter,
    pub(in crate::audit) writers: Connections<sqlx::Postgres>,
    /// For permits, which are worth nothing if they come late: they do not queue with anything else.
    pub(in crate::audit) permits: Connections<sqlx::Postgres>,
    /// For whoever seals, which takes its time: it does not keep others waiting.
    pub(in crate::audit) sealer: Connections<sqlx::Postgres>,
    /// For attempts with a key, which may wait for somebody who claims the same one.
    pub(in crate::audit) keyed: Connections<sqlx::Postgres>,
    /// For whoever claims and settles what is open, and for what kills have to read.
    pub(in crate::audit) upkeep: Connections<sqlx::Postgres>,
    /// For whoever makes the index: it is nobody's to wait for.
    pub(in crate::audit) indexer: Connections<sqlx::Postgres>,
    /// For all who only read, and for webhooks: nothing of a kill waits for them.
    pub(in crate::audit) readers: Connections<sqlx::Postgres>,
    fitness: Arc<Fitness>,
    pub(in crate::audit) trials: Trials,
    pub(in crate::audit) refused: Refused,
}

/// How many can write batches of a kind. One does, and one that the network swallowed leaves others to write.
const WRITERS: u32 = 3;

/// How many connections take permits. Each takes one in about a millisecond, and those of one budget go one by one.
const PERMITS: u32 = 2;

/// How many connections there are for each purpose; sealing and indexing have one each.
#[derive(Debug, PartialEq, Eq)]
struct Shares {
    writers: u32,
    permits: u32,
    upkeep: u32,
    readers: u32,
    keyed: u32,
}

impl Shares {
    /// Of so many, or of seven where they are fewer. Of many most go to keys, of which each may wait for another's.
    fn of(all: u32) -> Self {
        let writers = (2 * WRITERS).min(all * 3 / 8).min(all.saturating_sub(6)).max(1);
        let permits = PERMITS.min(all / 8).max(1);
        let upkeep = (all / 12).clamp(1, 2);
        let others = all.saturating_sub(writers + permits + upkeep + 2);
        let readers = (all / 4).min(others.saturating_sub(1)).max(1);
        let keyed = others.saturating_sub(readers).max(1);
        Self { writers, permits, upkeep, readers, keyed }
    }
}

/// The least time that sealing a block may take. A block that fails for want of time would fail again.
const SEALING: Duration = Duration::from_secs(30);

impl Postgres {
    /// Connects when first needed, so a gateway may start before its database and outlive its absence.
    pub(in crate::audit) fn new(settings: &Settings) -> Result<Self, AuditError> {
        let (options, limit) = (options(settings)?, settings.timeout);
        let trouble = Trouble::default();
        let connections = |size: u32, limit: Duration, more| {
            Connections::new(Session::new(&options, limit, more), size, limit, trouble.clone())
        };
        let shares = Shares::of(settings.max_connections);
        let fitness = Arc::new(Fitness::new(options.clone(), limit));
        let writers = connections(shares.writers, limit, Some(WRITER));
        let batches = || {
            let sure = Arc::clone(&fitness);
            let sure: Sure = Arc::new(move || {
                let fitness = Arc::clone(&sure);
                Box::pin(async move { fitness.sure().await })
            });
            BatchWriter::start(&writers, Some(&sure), WRITERS as usize, |connection, entries| {
                Box::pin(write::write(connection, entries))
            })
        };
        Ok(Self {
            beginnings: batches(),
            learnings: batches(),
            permits: connections(shares.permits, limit, None),
            sealer: connections(1, limit.max(SEALING), Some(WRITER)),
            keyed: connections(shares.keyed, limit, None),
            upkeep: connections(shares.upkeep, limit, None),
            indexer: connections(1, limit.max(SEALING), Some(WRITER)),
            readers: connections(shares.readers, limit, None),
            writers,
            fitness,
            trials: Trials::default(),
            refused: Refused::default(),
        })
    }

    /// The same for those who work on kills, whose reads wait for no reader.
    pub(in crate::audit) fn for_kills(&self) -> Self {
        Self { readers: self.upkeep.clone(), ..self.clone() }
    }

    /// Whether the database can hold the record; what was found once is not asked again.
    ///
    /// # Errors
    /// [`AuditError::Failed`] where it cannot, [`AuditError::Unavailable`] where that cannot be told now.
    pub(in crate::audit) async fn sure(&self) -> Result<(), AuditError> {
        self.fitness.sure().await
    }

    /// Brings the tables up to date on a connection of its own, which may take its time.
    pub(in crate::audit) async fn migrate(settings: &Settings) -> Result<(), AuditError> {
        let migrator = migrations::beside_newer(&MIGRATIONS);
        for tried in 1.. {
            let mut connection = connect("migrate", settings).await?;
            fitness::encoding(&mut connection).await.map_err(|error| error.during("migrate"))?;
            let failed = |error: sqlx::Error| AuditError::from_sqlx("migrate", &error);
            sqlx::query(BRIEFLY).execute(&mut connection).await.map_err(failed)?;
            match migrator.run(&mut connection).await {
                Ok(()) => return connection.close().await.map_err(failed),
                Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) if is_locked(&error) => {
                    // The connection holds the lock against other migrations, so it goes.
                    connection.close().await.map_err(failed)?;
                    again("migrate", tried).await?;
                }
                Err(error) => return Err(AuditError::from_migration(&error)),
            }
        }
        Ok(())
    }

    /// Grants a role what serving needs.
    pub(in crate::audit) async fn let_serve(settings: &Settings, role: &str) -> Result<(), AuditError> {
        let failed = |error| AuditError::from_sqlx("let_serve", &error);
        let mut connection = connect("let_serve", settings).await?;
        sqlx::query("SELECT let_serve($1)").bind(role).execute(&mut connection).await.map_err(failed)?;
        connection.close().await.map_err(failed)
    }

    /// Removes a month on a connection of its own, which may take its time.
    pub(in crate::audit) async fn remove_month(
        settings: &Settings,
        month: Date,
        reason: &str,
    ) -> Result<i64, AuditError> {
        const REMOVE: &str = "SELECT remove_month($1, $2)";
        let failed = |error: sqlx::Error| AuditError::from_sqlx("remove_month", &error);
        let mut connection = connect("remove_month", settings).await?;
        for tried in 1.. {
            match sqlx::query_scalar(REMOVE).bind(month).bind(reason).fetch_one(&mut connection).await {
                Ok(kills) => {
                    connection.close().await.map_err(failed)?;
                    return Ok(kills);
                }
                Err(error) if is_locked(&error) => again("remove_month", tried).await?,
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(0)
    }
}

/// Whoever changes tables waits for their readers, and everybody who comes after waits for both: so only for so long.
const BRIEFLY: &str = "SELECT set_config('lock_timeout', '1s', false)";
/// How often it is tried to change tables that somebody reads, and how long others go on in between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);

/// Whether anything of a month has ended and is not indexed.
pub(in crate::audit) async fn has_unindexed(connection: &mut PgConnection, month: Date) -> sqlx::Result<bool> {
    sqlx::query_scalar(HAS_UNINDEXED).bind(month).fetch_one(connection).await
}

const HAS_UNINDEXED: &str = "SELECT EXISTS (SELECT FROM kill_leases WHERE ended \
     AND kill_id >= first_id(date_trunc('month', $1::date::timestamp) AT TIME ZONE 'UTC') \
     AND kill_id < first_id((date_trunc('month', $1::date::timestamp) + interval '1 month') AT TIME ZONE 'UTC'))";

/// Whether a lock was not had in time.
fn is_locked(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|refusal| refusal.code().as_deref() == Some("55P03"))
}

/// Waits for another try.
async fn again(operation: &'static str, tried: u32) -> Result<(), AuditError> {
    if tried >= TRIES {
        let why = "somebody reads or writes the record all the time, such as a backup or an open transaction: nothing \
                   was changed, try again when that is over";
        return Err(AuditError::unavailable(operation, why));
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

/// A connection of one's own, made within the limit.
async fn connect(operation: &'static str, settings: &Settings) -> Result<PgConnection, AuditError> {
    let limit = settings.timeout;
    let connected = tokio::time::timeout(limit, options(settings)?.connect()).await;
    let connected = connected.map_err(|_| AuditError::too_slow(operation, limit))?;
    connected.map_err(|error| AuditError::from_sqlx(operation, &error))
}

fn options(settings: &Settings) -> Result<PgConnectOptions, AuditError> {
    // What the parser says may quote the URL.
    let wrong = || AuditError::failed("open", "audit.database_url is not a postgres:// URL");
    let url = settings.database_url.as_ref().ok_or_else(wrong)?.expose_secret();
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(wrong());
    }
    let options: PgConnectOptions = url.parse().map_err(|_| wrong())?;
    let options = match settings.authorities.as_slice() {
        [] => options,
        _ if is_said(url, &["sslrootcert", "ssl-root-cert", "ssl-ca"]) => options,
        pem => options.ssl_root_cert_from_pem(pem.to_vec()),
    };
    let is_open = matches!(options.get_ssl_mode(), PgSslMode::Prefer) && !is_said(url, &["sslmode", "ssl-mode"]);
    let options = match (is_open, settings.verify, is_near(&options)) {
        (true, true, _) => options.ssl_mode(PgSslMode::VerifyFull),
        (true, false, false) => options.ssl_mode(PgSslMode::Require),
        _ => options,
    };
    let named = options.get_application_name().is_some();
    let options = if named { options } else { options.application_name("killgate") };
    Ok(options.disable_statement_logging())
}

/// Whether the server is on this machine. To others the driver would go in plain text where the server, or whoever is in
/// between, says that it knows no TLS.
fn is_near(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether the URL has one of these parameters.
fn is_said(url: &str, names: &[&str]) -> bool {
    Url::parse(url).is_ok_and(|url| url.query_pairs().any(|(name, _)| names.contains(&name.as_ref())))
}

/// What the connections for one purpose begin with.
struct Session {
    options: PgConnectOptions,
    /// The longest that a statement may take, in milliseconds.
    millis: String,
    /// More than `SESSION`.
    more: Option<&'static str>,
}

impl Session {
    fn new(options: &PgConnectOptions, limit: Duration, more: Option<&'static str>) -> Self {
        let millis = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX).to_string();
        Self { options: options.clone(), millis, more }
    }
}

impl Connect<sqlx::Postgres> for Session {
    fn connect(&self) -> BoxFuture<'_, sqlx::Result<PgConnection>> {
        Box::pin(async {
            let mut connection = self.options.connect().await?;
            sqlx::query(SESSION).bind(&self.millis).execute(&mut connection).await?;
            if let Some(more) = self.more {
                sqlx::query(more).execute(&mut connection).await?;
            }
            Ok(connection)
        })
    }

    /// One that takes no writes any more is of the old primary, or the next one is not.
    fn is_well<'c>(&'c self, connection: &'c mut PgConnection) -> BoxFuture<'c, sqlx::Result<bool>> {
        Box::pin(async { Ok(sqlx::raw_sql(IS_OFF).fetch_one(connection).await?.try_get::<String, _>(0)? == "off") })
    }
}

const IS_OFF: &str = "SHOW transaction_read_only";

/// The server gives up when we do, so that nothing waits there for a connection we have dropped. A statement sees
/// what was committed before it, whatever the database's own defaults: a begin must see what another one, on whose
/// key it waited, has just committed. Whether it takes writes stays as the server has it: one that was set read-only is
/// no primary any more. What is committed is on disk, though a database may be set to say so sooner: a
/// mark that a crash took back would make a call that left look like one that did not. Nothing here runs long enough to be worth compiling, however much a planner that
/// counts all partitions expects of it.
const SESSION: &str = "SELECT set_config('statement_timeout', $1, false), \
     set_config('idle_in_transaction_session_timeout', $1, false), set_config('TimeZone', 'UTC', false), \
     set_config('default_transaction_isolation', 'read committed', false), \
     set_config('jit', 'off', false), \
     set_config('synchronous_commit', \
     CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, \
     false)";

/// Who writes or seals finds every row by its key, whatever is in it: the statements are planned once, and for tables
/// that grow. Planning them anew each time would take longer than running them.
const WRITER: &str = "SELECT set_config('plan_cache_mode', 'force_generic_plan', false), \
     set_config('enable_seqscan', 'off', false)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_has_connections_and_all_together_no_more_than_there_may_be() {
        for all in 1..=1000 {
            let Shares { writers, permits, upkeep, readers, keyed } = Shares::of(all);
            let shares = [writers, permits, upkeep, readers, keyed, 1, 1];
            assert!(
                shares.iter().all(|share| *share > 0) && shares.iter().sum::<u32>() <= all.max(7),
                "{all}: {shares:?}"
            );
        }
        assert_eq!(Shares::of(16), Shares { writers: 6, permits: 2, upkeep: 1, readers: 4, keyed: 1 });
    }

    #[test]
    fn beyond_the_machine_the_record_is_reached_by_tls_unless_the_url_says_otherwise() {
        let of = |url: &str, verify| Settings { database_url: Some(url.into()), verify, ..Settings::default() };
        let mode = |url: &str| options(&of(url, false)).unwrap().get_ssl_mode();
        let verified = |url: &str| options(&of(url, true)).unwrap().get_ssl_mode();
        assert!(matches!(verified("postgres://u@localhost/k"), PgSslMode::VerifyFull));
        assert!(matches!(verified("postgres://u@db.example.com/k?sslmode=verify-ca"), PgSslMode::VerifyCa));
        for url in ["postgres://u@db.example.com/k", "postgres://u@10.0.0.1/k?application_name=x"] {
            assert!(matches!(mode(url), PgSslMode::Require), "{url}");
        }
        for url in ["postgres://u@localhost/k", "postgres://u@127.0.0.1:5433/k", "postgres://u@[::1]/k"] {
            assert!(matches!(mode(url), PgSslMode::Prefer), "{url}");
        }
        assert!(matches!(mode("postgres://u@db/k?sslmode=prefer"), PgSslMode::Prefer));
        assert!(matches!(mode("postgres://u@db/k?sslmode=verify-full"), PgSslMode::VerifyFull));
        assert!(matches!(mode("postgres:///k?host=/run/postgresql"), PgSslMode::Prefer));
    }
}
