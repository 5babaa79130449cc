//! Watches over kills: what is remembered until it is known whether ended sessions came back, and how that is noted, the
//! same on either engine but for how due ones are claimed.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};
use sqlx::{FromRow, types::Json};
use time::OffsetDateTime;

use super::{
    Audit, AuditError, on_engine, postgres, sqlite,
    timestamp::{Timestamp, whole_millis},
};
use crate::domain::KillId;

/// A kill after which will be looked for sessions that come back. It is bookkeeping, and gone once that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    pub kill_id: KillId,
    /// The gateway process that made it or took it last.
    pub gateway: String,
    /// From then on any gateway may take it.
    pub due_at: OffsetDateTime,
    /// How many looks there were.
    pub looks: i32,
    pub sightings: Sightings,
}

/// Which sessions were seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sightings {
    /// Sessions of the same clients on the list before the kill.
    pub before: Vec<Seen>,
    /// The only database whose sessions that list could show, where it was narrowed to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The ids of those that have come back so far.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub came: BTreeSet<String>,
}

/// A session by its id and the client's address, with its port where the vendor tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen(pub String, pub Option<String>);

/// What a look brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Returned {
    /// 1 within the time, 2 at its end.
    pub look: i32,
    /// When the list had been read.
    pub at: OffsetDateTime,
    /// How many had come back by then.
    pub count: u32,
    /// Whether that list held all sessions.
    pub complete: bool,
}

impl Audit {
    /// Begins to watch a kill that is on record.
    pub async fn watch(&self, watch: &Watch) -> Result<(), AuditError> {
        let watch = Watch { due_at: whole_millis(watch.due_at), ..watch.clone() };
        on_engine!(self, upkeep / writer, watch(&watch))
    }

    /// Takes up to `limit` watches that are due. They are this gateway's until `now + lease`; no two gateways get the
    /// same one.
    pub async fn claim_watches(
        &self,
        gateway: &str,
        now: OffsetDateTime,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<Watch>, AuditError> {
        let gateway = gateway.to_owned();
        on_engine!(self, upkeep / writer, claim_watches(&gateway, now, lease, limit))
    }

    /// Notes what a look brought, where it did, and leaves the watch to be taken again when it is due; without `on` it
    /// ends.
    pub async fn note_look(
        &self,
        id: KillId,
        returned: Option<Returned>,
        on: Option<&Watch>,
    ) -> Result<(), AuditError> {
        let on = on.map(|watch| Watch { due_at: whole_millis(watch.due_at), ..watch.clone() });
        on_engine!(self, upkeep / writer, note_look(id, returned, on.as_ref()))
    }
}

#[derive(FromRow)]
pub(super) struct WatchRow {
    kill_id: KillId,
    gateway: String,
    due_at: Timestamp,
    looks: i32,
    sightings: Json<Sightings>,
}

impl WatchRow {
    pub(super) fn read(self) -> Watch {
        let Self { kill_id, gateway, due_at, looks, sightings } = self;
        Watch { kill_id, gateway, due_at: due_at.0, looks, sightings: sightings.0 }
    }
}

/// The functions for watches, for connections of a kind. `$begin` begins a transaction that writes, and `$claim` takes
/// those that are due.
macro_rules! watch_functions {
    ($Connection:ty, begin: $begin:expr, claim: $claim:expr) => {
        use std::time::Duration;

        use sqlx::{Connection as _, types::Json};
        use time::OffsetDateTime;

        use crate::{
            audit::{
                timestamp::Timestamp,
                watch::{Returned, Watch, WatchRow},
            },
            domain::KillId,
        };

        pub(in crate::audit) async fn watch(connection: &mut $Connection, watch: &Watch) -> sqlx::Result<()> {
            sqlx::query(WATCH)
                .bind(watch.kill_id)
                .bind(&watch.gateway)
                .bind(Timestamp(watch.due_at))
                .bind(watch.looks)
                .bind(Json(&watch.sightings))
                .execute(connection)
                .await?;
            Ok(())
        }

        /// Begins to watch a kill, unless it is watched already.
        const WATCH: &str = "INSERT INTO kill_watches (kill_id, gateway, due_at, looks, sightings) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (kill_id) DO NOTHING";

        pub(in crate::audit) async fn claim_watches(
            connection: &mut $Connection,
            gateway: &str,
            now: OffsetDateTime,
            lease: Duration,
            limit: u32,
        ) -> sqlx::Result<Vec<Watch>> {
            let rows: Vec<WatchRow> = sqlx::query_as($claim)
                .bind(gateway)
                .bind(Timestamp(now))
                .bind(Timestamp(now + lease))
                .bind(i64::from(limit))
                .fetch_all(connection)
                .await?;
            Ok(rows.into_iter().map(WatchRow::read).collect())
        }

        pub(in crate::audit) async fn note_look(
            connection: &mut $Connection,
            id: KillId,
            returned: Option<Returned>,
            on: Option<&Watch>,
        ) -> sqlx::Result<()> {
            let mut tx = connection.begin_with($begin).await?;
            if let Some(Returned { look, at, count, complete }) = returned {
                sqlx::query(NOTE_RETURNED)
                    .bind(id)
                    .bind(look)
                    .bind(Timestamp(at))
                    .bind(i32::try_from(count).unwrap_or(i32::MAX))
                    .bind(complete)
                    .execute(&mut *tx)
                    .await?;
            }
            match on {
                Some(on) => {
                    sqlx::query(WATCH_ON)
                        .bind(id)
                        .bind(&on.gateway)
                        .bind(Timestamp(on.due_at))
                        .bind(on.looks)
                        .bind(Json(&on.sightings))
                        .execute(&mut *tx)
                        .await?
                }
                None => sqlx::query(END_WATCH).bind(id).execute(&mut *tx).await?,
            };
            tx.commit().await
        }

        /// Notes what a look found, unless another gateway has noted that look.
        const NOTE_RETURNED: &str = "INSERT INTO kill_returns (kill_id, look, at, returned, list_complete) \
             SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT 1 FROM kill_returns WHERE kill_id = $1 AND look = $2)";

        const WATCH_ON: &str =
            "UPDATE kill_watches SET gateway = $2, due_at = $3, looks = $4, sightings = $5 WHERE kill_id = $1";

        const END_WATCH: &str = "DELETE FROM kill_watches WHERE kill_id = $1";
    };
}
pub(super) use watch_functions;
