//! Which webhooks are still to be told of a kill.
//!
//! A delivery is written with the kill's intent, in the same transaction, and only where a webhook is to be told. It can
//! be claimed once nothing more will be learned of the kill: the kill is settled, or nobody looks after it any more. So
//! what is told never changes from one try to the next, whoever makes it. It is gone once it is delivered or given up.

use std::collections::HashMap;

use time::OffsetDateTime;

use super::{
    Audit, AuditError,
    log::{self, Folded, Found},
    on_engine, postgres, sqlite,
};
use crate::domain::{Kill, KillId};

/// A kill that a webhook is to be told of, claimed to do so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// As it stays.
    pub kill: Kill,
    /// When the last of it was learned.
    pub at: OffsetDateTime,
    /// How often it was claimed, this time included: 1 or more. Also tells this claim from others.
    pub tries: i32,
}

/// What is not delivered any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwanted {
    /// The webhooks there are. What is for another one is dropped if it has been due since before `unknown_since`:
    /// a gateway that was started with another configuration may still know it.
    pub webhooks: Vec<String>,
    pub unknown_since: OffsetDateTime,
    /// Whatever has been due since before is dropped, whoever it is for; nothing for its age if `None`.
    pub overdue_since: Option<OffsetDateTime>,
}

impl Audit {
    /// Takes up to `limit` deliveries of that webhook that are due. They are this gateway's until `until`; no two gateways
    /// get the same one before.
    pub async fn claim_deliveries(
        &self,
        webhook: &str,
        now: OffsetDateTime,
        until: OffsetDateTime,
        limit: u32,
    ) -> Result<Vec<Delivery>, AuditError> {
        let webhook = webhook.to_owned();
        on_engine!(self, readers / writer, claim_deliveries(&webhook, now, until, limit))
    }

    /// Ends a delivery, as one that was taken or given up; `false` if somebody else has claimed it since.
    pub async fn delivered(&self, webhook: &str, kill: KillId, tries: i32) -> Result<bool, AuditError> {
        let webhook = webhook.to_owned();
        on_engine!(self, readers / writer, delivered(&webhook, kill, tries))
    }

    /// Leaves a delivery for later; `false` if somebody else has claimed it since.
    pub async fn deliver_later(
        &self,
        webhook: &str,
        kill: KillId,
        tries: i32,
        due_at: OffsetDateTime,
    ) -> Result<bool, AuditError> {
        let webhook = webhook.to_owned();
        on_engine!(self, readers / writer, deliver_later(&webhook, kill, tries, due_at))
    }

    /// Drops what nobody will deliver; answers for each how its webhook is called and its kill.
    pub async fn drop_deliveries(&self, unwanted: &Unwanted) -> Result<Vec<(String, KillId)>, AuditError> {
        let unwanted = unwanted.clone();
        on_engine!(self, readers / writer, drop_deliveries(&unwanted))
    }
}

/// A delivery that was claimed, as either engine reads it: of which kill, and how often it was claimed.
pub(super) type Claimed = (KillId, i32);

/// Deliveries with the kills that they are of.
pub(super) fn deliveries(claimed: Vec<Claimed>, found: Vec<Found>) -> Vec<Delivery> {
    let tries: HashMap<KillId, i32> = claimed.into_iter().collect();
    let read = |folded: Folded| {
        let (at, tries) = (folded.last_at(), tries.get(&folded.id).copied().unwrap_or(1));
        Ok(Delivery { kill: folded.kill()?, at, tries })
    };
    log::readable(found, read, NOT_TOLD)
}

/// Said of a kill that cannot be read; it is looked at again when the lease of its delivery is over.
const NOT_TOLD: &str = "a kill cannot be read, so no webhook is told of it";

/// The functions for deliveries, for connections of a kind. `$begin` begins a transaction that writes, `$claim` takes
/// those that are due, and `$drop` removes what is for none of the webhooks in `$1`, of which `$webhooks` makes a value.
macro_rules! delivery_functions {
    ($Connection:ty, begin: $begin:expr, claim: $claim:expr, drop: $drop:expr, webhooks: $webhooks:expr) => {
        use sqlx::Connection as _;
        use time::OffsetDateTime;

        use super::read::among;
        use crate::{
            audit::{
                Delivery, Unwanted,
                delivery::{Claimed, deliveries},
                timestamp::Timestamp,
            },
            domain::KillId,
        };

        pub(in crate::audit) async fn claim_deliveries(
            connection: &mut $Connection,
            webhook: &str,
            now: OffsetDateTime,
            until: OffsetDateTime,
            limit: u32,
        ) -> sqlx::Result<Vec<Delivery>> {
            let mut tx = connection.begin_with($begin).await?;
            let taken: Vec<Claimed> = sqlx::query_as($claim)
                .bind(webhook)
                .bind(Timestamp(now))
                .bind(Timestamp(until))
                .bind(i64::from(limit))
                .fetch_all(&mut *tx)
                .await?;
            let ids: Vec<KillId> = taken.iter().map(|(kill, _)| *kill).collect();
            let found = among(&mut tx, &ids).await?;
            tx.commit().await?;
            Ok(deliveries(taken, found))
        }

        pub(in crate::audit) async fn delivered(
            connection: &mut $Connection,
            webhook: &str,
            kill: KillId,
            tries: i32,
        ) -> sqlx::Result<bool> {
            let done = sqlx::query(DELIVERED).bind(webhook).bind(kill).bind(tries).execute(connection).await?;
            Ok(done.rows_affected() > 0)
        }

        /// Ends a delivery that is still this claim's.
        const DELIVERED: &str = "DELETE FROM webhook_deliveries WHERE webhook = $1 AND kill_id = $2 AND tries = $3";

        pub(in crate::audit) async fn deliver_later(
            connection: &mut $Connection,
            webhook: &str,
            kill: KillId,
            tries: i32,
            due_at: OffsetDateTime,
        ) -> sqlx::Result<bool> {
            let left = sqlx::query(LATER)
                .bind(webhook)
                .bind(kill)
                .bind(tries)
                .bind(Timestamp(due_at))
                .execute(connection)
                .await?;
            Ok(left.rows_affected() > 0)
        }

        /// Leaves a delivery that is still this claim's for later.
        const LATER: &str =
            "UPDATE webhook_deliveries SET due_at = $4 WHERE webhook = $1 AND kill_id = $2 AND tries = $3";

        pub(in crate::audit) async fn drop_deliveries(
            connection: &mut $Connection,
            unwanted: &Unwanted,
        ) -> sqlx::Result<Vec<(String, KillId)>> {
            sqlx::query_as($drop)
                .bind($webhooks(&unwanted.webhooks))
                .bind(Timestamp(unwanted.unknown_since))
                .bind(unwanted.overdue_since.map(Timestamp))
                .fetch_all(connection)
                .await
        }
    };
}
pub(super) use delivery_functions;
