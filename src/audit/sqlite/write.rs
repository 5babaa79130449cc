//! Writing on SQLite.

use std::collections::HashSet;

use sqlx::{Connection as _, SqliteConnection};
use time::OffsetDateTime;

use super::{BEGIN, read::of_key};
use crate::audit::{
    Begun,
    batch_writer::Entry,
    record::{Claim, FirstEntry, NextEntry},
    sql::claim_key,
    timestamp::Timestamp,
};
use crate::domain::KillId;

/// Writes entries one after the other in one transaction; for each it answers whether anything was written.
pub(super) async fn write(connection: &mut SqliteConnection, entries: &[Entry]) -> sqlx::Result<Vec<bool>> {
    let mut tx = connection.begin_with(BEGIN).await?;
    let mut written = Vec::with_capacity(entries.len());
    for entry in entries {
        written.push(match entry {
            Entry::First(first) => record(&mut tx, first).await.map(|()| true)?,
            Entry::Next(next) => append(&mut tx, next).await?,
        });
    }
    tx.commit().await?;
    Ok(written)
}

/// Records a kill that claims a key, or says whose the key is.
pub(in crate::audit) async fn begin(connection: &mut SqliteConnection, first: &FirstEntry) -> sqlx::Result<Begun> {
    let mut tx = connection.begin_with(BEGIN).await?;
    if let Some(claim) = &first.claim
        && !claimed(&mut tx, first, claim).await?
    {
        let found = of_key(&mut tx, &claim.caller, &claim.key, first.at).await?;
        tx.rollback().await?;
        let (kill, same_request) = found.ok_or(sqlx::Error::RowNotFound)?;
        return Ok(Begun::Existing { kill: Box::new(kill), same_request });
    }
    record(&mut tx, first).await?;
    tx.commit().await?;
    Ok(Begun::New)
}

/// Claims the key for this kill; false where it is somebody's.
async fn claimed(tx: &mut SqliteConnection, first: &FirstEntry, claim: &Claim) -> sqlx::Result<bool> {
    let claimed = sqlx::query(CLAIM_KEY)
        .bind(&claim.caller)
        .bind(&claim.key.key)
        .bind(claim.key.fingerprint.as_slice())
        .bind(first.kill)
        .bind(Timestamp(first.at))
        .bind(Timestamp(claim.expires_at))
        .execute(tx)
        .await?;
    Ok(claimed.rows_affected() > 0)
}

const CLAIM_KEY: &str = claim_key!("VALUES ($1, $2, $3, $4, $5, $6)");

async fn record(tx: &mut SqliteConnection, first: &FirstEntry) -> sqlx::Result<()> {
    sqlx::query(LEASE)
        .bind(first.kill)
        .bind(if first.is_marked { 2 } else { 1 })
        .bind(&first.gateway)
        .bind(first.status.as_str() == "pending")
        .bind(first.ends)
        .bind(Timestamp(first.due))
        .execute(&mut *tx)
        .await?;
    let entry = Written {
        kill: first.kill,
        seq: 1,
        at: first.at,
        kind: "recorded",
        status: first.status.as_str(),
        gateway: &first.gateway,
        ends: first.ends,
        body: &first.body,
    };
    entry.write(&mut *tx).await?;
    if first.is_marked {
        entry.sent().write(&mut *tx).await?;
    }
    let webhooks: HashSet<&String> = first.webhooks.iter().collect();
    for webhook in webhooks {
        sqlx::query(TELL).bind(webhook).bind(first.kill).bind(Timestamp(first.at)).execute(&mut *tx).await?;
    }
    Ok(())
}

const LEASE: &str =
    "INSERT INTO kill_leases (kill_id, seq, gateway, pending, ended, due_at) VALUES ($1, $2, $3, $4, $5, $6)";

const TELL: &str = "INSERT INTO webhook_deliveries (webhook, kill_id, due_at) VALUES ($1, $2, $3)";

/// An entry as it goes into the table.
struct Written<'e> {
    kill: KillId,
    seq: i32,
    at: OffsetDateTime,
    kind: &'e str,
    status: &'e str,
    gateway: &'e str,
    ends: bool,
    body: &'e str,
}

impl Written<'_> {
    /// The mark that goes with it.
    fn sent(&self) -> Self {
        Self { seq: 2, kind: "sent", body: "{}", ..*self }
    }

    async fn write(&self, tx: &mut SqliteConnection) -> sqlx::Result<()> {
        sqlx::query(WRITE)
            .bind(self.kill)
            .bind(self.seq)
            .bind(Timestamp(self.at))
            .bind(self.kind)
            .bind(self.status)
            .bind(self.gateway)
            .bind(self.ends)
            .bind(self.body)
            .execute(tx)
            .await?;
        Ok(())
    }
}

const WRITE: &str = "
    INSERT INTO kill_log (kill_id, seq, at, kind, status, gateway, ends, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

/// Adds an entry to a kill that has not ended; false where it has, or is not the owner's.
async fn append(tx: &mut SqliteConnection, next: &NextEntry) -> sqlx::Result<bool> {
    let held: Option<(i32, String)> = sqlx::query_as(HOLD)
        .bind(next.kill)
        .bind(next.status.as_str() == "pending")
        .bind(next.ends)
        .bind(next.due.map(Timestamp))
        .bind(&next.owner)
        .fetch_optional(&mut *tx)
        .await?;
    let Some((seq, gateway)) = held else { return Ok(false) };
    let entry = Written {
        kill: next.kill,
        seq,
        at: next.at,
        kind: &next.kind,
        status: next.status.as_str(),
        gateway: &gateway,
        ends: next.ends,
        body: &next.body,
    };
    entry.write(&mut *tx).await?;
    if next.releases {
        sqlx::query(RELEASE_KEY).bind(next.kill).execute(&mut *tx).await?;
    }
    Ok(true)
}

const HOLD: &str = "
    UPDATE kill_leases SET seq = seq + 1, pending = $2, ended = $3,
        due_at = CASE WHEN $5 IS NULL THEN coalesce($4, due_at) ELSE max(due_at, $4) END
    WHERE kill_id = $1 AND NOT ended AND (pending OR NOT $2) AND ($5 IS NULL OR pending AND gateway = $5)
    RETURNING seq, gateway";

/// Lets a kill's key go, unless it stands for another kill by now.
const RELEASE_KEY: &str = "
    DELETE FROM idempotency_keys
    WHERE (caller, key) = (SELECT body ->> '$.asked.caller', body ->> '$.asked.idempotency_key' FROM kill_log
                           WHERE kill_id = $1 AND seq = 1) AND kill_id = $1";
