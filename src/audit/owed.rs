//! What of the record is open and owed, for whoever watches: counts, and nothing of any kill.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Audit, AuditError, on_engine, page::first_id_from, postgres, sqlite};
use crate::{
    domain::KillId,
    metrics::{Owed, PoolUse},
};

/// Up to which age a kill is young; then it is looked after; and what is older than that nobody looks after any more.
const AGES: [(&str, Duration); 2] = [("under_1m", Duration::MINUTE), ("under_15m", Duration::minutes(15))];
/// What is older.
const OLDER: &str = "over_15m";

impl Audit {
    /// What is open and owed now.
    ///
    /// # Errors
    /// The record cannot be read.
    pub async fn owed(&self, now: OffsetDateTime) -> Result<Owed, AuditError> {
        let [minute, quarter] = AGES.map(|(_, age)| first_id_from(now - age));
        let found: Found = on_engine!(self, readers / readers, owed(minute, quarter))?;
        Ok(found.owed(now))
    }

    /// How the connections for each purpose are used now.
    #[must_use]
    pub fn usage(&self) -> Vec<PoolUse> {
        match self {
            Self::Postgres(engine) => vec![
                engine.writers.usage("writers"),
                engine.permits.usage("permits"),
                engine.sealer.usage("sealer"),
                engine.keyed.usage("keyed"),
                engine.upkeep.usage("upkeep"),
                engine.indexer.usage("indexer"),
                engine.readers.usage("readers"),
            ],
            Self::Sqlite(engine) => {
                vec![engine.writer.usage("writer"), engine.inner.usage("inner"), engine.readers.usage("readers")]
            }
        }
    }
}

/// The same as either engine reads it.
pub(super) struct Found {
    /// Open kills: all of them, those older than a minute, and those older than a quarter of an hour.
    pub(super) open: (i64, i64, i64),
    pub(super) oldest: Option<KillId>,
    pub(super) backlog: Vec<(String, i64)>,
}

impl Found {
    fn owed(self, now: OffsetDateTime) -> Owed {
        let (all, minute, quarter) = self.open;
        let open = [(AGES[0].0, all - minute), (AGES[1].0, minute - quarter), (OLDER, quarter)];
        let counted = |number: i64| u64::try_from(number).unwrap_or(0);
        Owed {
            open: open.map(|(age, kills)| (age, counted(kills))).into(),
            oldest: self.oldest.map_or(0.0, |kill| age(kill, now)),
            backlog: self.backlog.into_iter().map(|(webhook, kills)| (webhook, counted(kills))).collect(),
        }
    }
}

/// How old a kill is, in seconds: its id begins with the time when it was asked for.
fn age(kill: Uuid, now: OffsetDateTime) -> f64 {
    let Some(made) = kill.get_timestamp() else { return 0.0 };
    let (seconds, nanos) = made.to_unix();
    let made = OffsetDateTime::UNIX_EPOCH + Duration::new(i64::try_from(seconds).unwrap_or(0), nanos.cast_signed());
    (now - made).as_seconds_f64().max(0.0)
}

/// The function that reads it, for connections of a kind.
macro_rules! owed_function {
    ($Connection:ty) => {
        use crate::{audit::owed::Found, domain::KillId};

        pub(in crate::audit) async fn owed(
            connection: &mut $Connection,
            minute: KillId,
            quarter: KillId,
        ) -> sqlx::Result<Found> {
            let open = sqlx::query_as(OPEN).bind(minute).bind(quarter).fetch_one(&mut *connection).await?;
            let oldest = sqlx::query_scalar(OLDEST).fetch_optional(&mut *connection).await?;
            let backlog = sqlx::query_as(BACKLOG).fetch_all(connection).await?;
            Ok(Found { open, oldest, backlog })
        }

        const OPEN: &str = "
            SELECT count(*), count(CASE WHEN kill_id < $1 THEN 1 END), count(CASE WHEN kill_id < $2 THEN 1 END)
            FROM kill_leases WHERE NOT ended";

        const OLDEST: &str = "SELECT kill_id FROM kill_leases WHERE NOT ended ORDER BY kill_id LIMIT 1";

        const BACKLOG: &str = "SELECT webhook, count(*) FROM webhook_deliveries GROUP BY webhook";
    };
}
pub(super) use owed_function;
