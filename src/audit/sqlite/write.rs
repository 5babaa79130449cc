//! Writing on SQLite.

use std::time::Duration;

use sqlx::{Connection, SqliteConnection, types::Json};
use time::OffsetDateTime;

use super::{BEGIN, columns, select};
use crate::{
    audit::{
        Begun,
        batch_writer::Entry,
        record::{Attempt, Conclusion, IdempotencyKey, Lease, Mark, learned},
        row::{KeyRow, kill_columns},
        sql::{KEY_STANDS, claim_key},
        timestamp::Timestamp,
    },
    domain::{Kill, KillId, Session, Status},
};

/// Writes entries one after the other in one transaction; for each it answers whether anything was written.
pub(super) async fn write(connection: &mut SqliteConnection, entries: &[Entry]) -> sqlx::Result<Vec<bool>> {
    let mut tx = connection.begin_with(BEGIN).await?;
    let mut written = Vec::with_capacity(entries.len());
    for entry in entries {
        written.push(match entry {
            Entry::Attempt(attempt) => record(&mut tx, attempt).await.map(|()| true)?,
            Entry::Mark(mark) => mark_sent(&mut tx, mark).await?,
            Entry::Conclusion(conclusion) => conclude(&mut tx, conclusion).await?,
        });
    }
    tx.commit().await?;
    Ok(written)
}

/// Records an attempt that claims a key, or says whose the key is.
pub(in crate::audit) async fn begin(
    connection: &mut SqliteConnection,
    attempt: &Attempt,
    key: &IdempotencyKey,
    ttl: Duration,
) -> sqlx::Result<Begun> {
    let mut tx = connection.begin_with(BEGIN).await?;
    if let Some(existing) = claim_key(&mut tx, &attempt.kill, key, ttl).await? {
        tx.rollback().await?;
        return Ok(existing);
    }
    record(&mut tx, attempt).await?;
    tx.commit().await?;
    Ok(Begun::New)
}

async fn record(tx: &mut SqliteConnection, attempt: &Attempt) -> sqlx::Result<()> {
    let kill = &attempt.kill;
    // A settled kill takes no sessions and no event, so it is settled once it has them.
    write_kill(tx, attempt).await?;
    if let Some(words) = attempt.words() {
        sqlx::query(WRITE_WORDS).bind(kill.id).bind(words).execute(&mut *tx).await?;
    }
    write_sessions(tx, kill.id, &kill.sessions).await?;
    write_event(tx, kill, kill.requested_at, "recorded", learned(kill, None), Some(&attempt.gateway)).await?;
    for webhook in &attempt.webhooks {
        sqlx::query(TELL).bind(webhook).bind(kill.id).bind(Timestamp(kill.requested_at)).execute(&mut *tx).await?;
    }
    if !kill.status.is_open() {
        sqlx::query(SETTLE).bind(kill.id).bind(kill.status.as_str()).execute(&mut *tx).await?;
    }
    if kill.status.is_open() { write_lease(tx, kill.id, attempt.deadline).await } else { rests(tx, kill.id).await }
}

const WRITE_WORDS: &str = "INSERT INTO kill_reasons (rowid, words) SELECT rowid, $2 FROM kills WHERE id = $1";

const TELL: &str = "INSERT INTO webhook_deliveries (webhook, kill_id, due_at) VALUES ($1, $2, $3)";

/// Claims the key for this kill, or says whose it is.
async fn claim_key(
    tx: &mut SqliteConnection,
    kill: &Kill,
    key: &IdempotencyKey,
    ttl: Duration,
) -> sqlx::Result<Option<Begun>> {
    let claimed = sqlx::query(CLAIM_KEY)
        .bind(&kill.caller)
        .bind(&key.key)
        .bind(key.fingerprint.as_slice())
        .bind(kill.id)
        .bind(Timestamp(kill.requested_at))
        .bind(Timestamp(kill.requested_at + ttl))
        .execute(&mut *tx)
        .await?;
    if claimed.rows_affected() > 0 {
        return Ok(None);
    }
    let row: KeyRow = sqlx::query_as(FIND_KEY).bind(&kill.caller).bind(&key.key).fetch_one(tx).await?;
    row.read(&key.fingerprint).map(Some)
}

const CLAIM_KEY: &str = claim_key!("VALUES ($1, $2, $3, $4, $5, $6)");

const FIND_KEY: &str = select!(
    ", i.fingerprint FROM idempotency_keys i JOIN kills k ON k.id = i.kill_id WHERE i.caller = $1 AND i.key = $2"
);

/// Whether a key stands for a kill at that time.
pub(in crate::audit) async fn stands(
    connection: &mut SqliteConnection,
    caller: &str,
    key: &str,
    at: OffsetDateTime,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(KEY_STANDS).bind(caller).bind(key).bind(Timestamp(at)).fetch_one(connection).await
}

/// Writes the kill, as pending if it is settled.
async fn write_kill(tx: &mut SqliteConnection, attempt: &Attempt) -> sqlx::Result<()> {
    let kill = &attempt.kill;
    sqlx::query(WRITE_KILL)
        .bind(kill.id)
        .bind(if kill.status.is_open() { kill.status } else { Status::Pending }.as_str())
        .bind(&kill.caller)
        .bind(&kill.on_behalf_of)
        .bind(&kill.reason)
        .bind(kill.target.as_ref().map(Json))
        .bind(kill.select.as_ref().map(Json))
        .bind(&attempt.request)
        .bind(attempt.dry_run)
        .bind(&attempt.client_address)
        .bind(&attempt.client_id)
        .bind(&attempt.token_id)
        .bind(&attempt.request_id)
        .bind(attempt.key.as_ref().map(|key| &key.key))
        .bind(&attempt.gateway)
        .bind(Timestamp(kill.requested_at))
        .bind(kill.completed_at.map(Timestamp))
        .bind(kill.upstream.http_status.map(i32::from))
        .bind(&kill.upstream.request_id)
        .bind(&kill.upstream.task_id)
        .bind(&kill.upstream.error_code)
        .bind(&kill.upstream.error_message)
        .bind(kill.problem.as_ref().map(Json))
        .bind(kill.look.map(|look| Timestamp(look.at)))
        .bind(kill.look.map(|look| look.complete))
        .bind(kill.confirms)
        .bind(&kill.actor)
        .execute(tx)
        .await?;
    Ok(())
}

const WRITE_KILL: &str = "
    INSERT INTO kills (id, status, caller, on_behalf_of, reason, target, selector, request, dry_run, client_address,
        client_id, token_id, request_id, idempotency_key, gateway, requested_at, completed_at, upstream_http_status,
        upstream_request_id, upstream_task_id, upstream_error_code, upstream_error_message, problem, looked_at,
        list_complete, confirms, actor)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
        $24, $25, $26, $27)";

const SETTLE: &str = "UPDATE kills SET status = $2 WHERE id = $1";

/// Adds sessions and outcomes; answers the ids of those that are new or have another outcome than before.
async fn write_sessions(tx: &mut SqliteConnection, kill: KillId, sessions: &[Session]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(WRITE_SESSIONS).bind(kill).bind(Json(sessions)).fetch_all(tx).await
}

const WRITE_SESSIONS: &str = "
    INSERT INTO kill_sessions (kill_id, session_id, position, outcome, detail, identity)
    SELECT $1, value ->> 'id', key, value ->> 'outcome', value ->> 'detail', value ->> 'identity'
    FROM json_each($2) WHERE true
    ON CONFLICT (kill_id, session_id) DO UPDATE SET outcome = excluded.outcome, detail = excluded.detail,
        identity = coalesce(excluded.identity, identity)
    WHERE (outcome, detail, identity) IS NOT (excluded.outcome, excluded.detail, coalesce(excluded.identity, identity))
    RETURNING session_id";

/// Records a change of a kill, and what was learned with it.
async fn write_event(
    tx: &mut SqliteConnection,
    kill: &Kill,
    at: OffsetDateTime,
    kind: &str,
    learned: serde_json::Value,
    gateway: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query(WRITE_EVENT)
        .bind(kill.id)
        .bind(Timestamp(at))
        .bind(kind)
        .bind(kill.status.as_str())
        .bind(gateway)
        .bind(Json(learned))
        .execute(tx)
        .await?;
    Ok(())
}

const WRITE_EVENT: &str = "
    INSERT INTO kill_events (kill_id, seq, at, kind, status, gateway, detail)
    SELECT $1, coalesce(max(seq), 0) + 1, $2, $3, $4,
        coalesce($5, (SELECT gateway FROM kill_leases WHERE kill_id = $1)), $6
    FROM kill_events WHERE kill_id = $1";

async fn write_lease(tx: &mut SqliteConnection, kill: KillId, due: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query(WRITE_LEASE).bind(kill).bind(Timestamp(due)).execute(tx).await?;
    Ok(())
}

const WRITE_LEASE: &str = "
    INSERT INTO kill_leases (kill_id, gateway, due_at) SELECT id, gateway, $2 FROM kills WHERE id = $1
    ON CONFLICT (kill_id) DO UPDATE SET due_at = excluded.due_at";

/// Nobody works on the kill any more: it is to be sealed as it is.
async fn rests(tx: &mut SqliteConnection, kill: KillId) -> sqlx::Result<()> {
    sqlx::query(RESTS).bind(kill).execute(tx).await?;
    Ok(())
}

const RESTS: &str = "
    INSERT INTO unsealed (entry_id) SELECT $1 WHERE EXISTS (SELECT 1 FROM sealing)
    ON CONFLICT (entry_id) DO UPDATE SET times = times + 1";

async fn mark_sent(tx: &mut SqliteConnection, mark: &Mark) -> sqlx::Result<bool> {
    let (id, gateway, at) = (mark.id, &mark.gateway, Timestamp(mark.at));
    let marked = sqlx::query(MARK_SENT).bind(id).bind(gateway).bind(at).execute(&mut *tx).await?;
    if marked.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(SENT).bind(id).bind(at).bind(gateway).execute(&mut *tx).await?;
    sqlx::query(LASTS).bind(id).bind(Timestamp(mark.due)).execute(tx).await?;
    Ok(true)
}

const MARK_SENT: &str = "
    UPDATE kills SET sent_at = coalesce(sent_at, $3)
    WHERE id = $1 AND status = 'pending'
        AND EXISTS (SELECT 1 FROM kill_leases l WHERE l.kill_id = kills.id AND l.gateway = $2)";

const LASTS: &str = "UPDATE kill_leases SET due_at = max(due_at, $2) WHERE kill_id = $1";

const SENT: &str = "
    INSERT INTO kill_events (kill_id, seq, at, kind, status, gateway, detail)
    SELECT $1, coalesce(max(seq), 0) + 1, $2, 'sent', 'pending', $3, '{}' FROM kill_events WHERE kill_id = $1";

async fn conclude(tx: &mut SqliteConnection, conclusion: &Conclusion) -> sqlx::Result<bool> {
    let kill = &conclusion.kill;
    // None where it is not there, or closed.
    let status: Option<String> = sqlx::query_scalar(STATUS).bind(kill.id).fetch_optional(&mut *tx).await?;
    if !status.as_deref().and_then(Status::parse).is_some_and(Status::is_open) {
        return Ok(false);
    }
    // Sessions first: as soon as the kill is settled, the database lets none of them change.
    let changed = write_sessions(tx, kill.id, &kill.sessions).await?;
    let (what, learned) = (conclusion.what.as_str(), conclusion.learned(&changed));
    write_event(tx, kill, conclusion.at, what, learned, None).await?;
    sqlx::query(CONCLUDE)
        .bind(kill.id)
        .bind(kill.status.as_str())
        .bind(kill.completed_at.map(Timestamp))
        .bind(kill.problem.as_ref().map(Json))
        .bind(kill.upstream.http_status.map(i32::from))
        .bind(&kill.upstream.request_id)
        .bind(&kill.upstream.task_id)
        .bind(&kill.upstream.error_code)
        .bind(&kill.upstream.error_message)
        .bind(kill.look.map(|look| Timestamp(look.at)))
        .bind(kill.look.map(|look| look.complete))
        .bind(kill.verified_at.map(Timestamp))
        .bind(conclusion.lease() == Lease::End)
        .bind(&kill.upstream.evidence_url)
        .execute(&mut *tx)
        .await?;
    match conclusion.lease() {
        Lease::Keep => {}
        Lease::Until(at) => write_lease(tx, kill.id, at).await?,
        Lease::End => {
            sqlx::query(END_LEASE).bind(kill.id).execute(&mut *tx).await?;
            rests(tx, kill.id).await?;
        }
    }
    if conclusion.releases_key() {
        sqlx::query(RELEASE_KEY).bind(kill.id).execute(&mut *tx).await?;
    }
    Ok(true)
}

/// Lets a kill's key go, unless it stands for another kill by now.
const RELEASE_KEY: &str = "
    DELETE FROM idempotency_keys
    WHERE (caller, key) = (SELECT caller, idempotency_key FROM kills WHERE id = $1) AND kill_id = $1";

const STATUS: &str = "SELECT status FROM kills WHERE id = $1 AND closed = 0";

const END_LEASE: &str = "DELETE FROM kill_leases WHERE kill_id = $1";

const CONCLUDE: &str = "
    UPDATE kills SET status = $2, completed_at = $3, problem = $4, upstream_http_status = $5,
        upstream_request_id = $6, upstream_task_id = $7, upstream_error_code = $8, upstream_error_message = $9,
        looked_at = coalesce($10, looked_at), list_complete = coalesce($11, list_complete),
        verified_at = coalesce($12, verified_at), closed = $13, upstream_evidence_url = $14
    WHERE id = $1";
