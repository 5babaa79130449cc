//! Recording attempts on Postgres.

use std::{collections::HashSet, time::Duration};

use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;

use super::{
    columns, select,
    write::{Sessions, column, has_no_month, make_month},
};
use crate::{
    audit::{
        Begun,
        record::{Attempt, IdempotencyKey, learned},
        row::{KeyRow, kill_columns},
        sql::{KEY_STANDS, claim_key},
        timestamp::Timestamp,
    },
    domain::KillId,
};

/// Records an attempt that claims a key, or says whose the key is.
pub(in crate::audit) async fn begin(
    connection: &mut PgConnection,
    attempt: &Attempt,
    key: &IdempotencyKey,
    ttl: Duration,
) -> sqlx::Result<Begun> {
    loop {
        match record_together(connection, &[attempt], ttl).await {
            Ok(recorded) if !recorded.is_empty() => return Ok(Begun::New),
            Ok(_) => {}
            Err(error) if has_no_month(&error) => {
                make_month(connection, attempt).await?;
                continue;
            }
            Err(error) => return Err(error),
        }
        let row: Option<KeyRow> =
            sqlx::query_as(FIND_KEY).bind(&attempt.kill.caller).bind(&key.key).fetch_optional(&mut *connection).await?;
        // Released between the two statements: try again.
        if let Some(row) = row {
            return row.read(&key.fingerprint);
        }
    }
}

const FIND_KEY: &str = select!(
    ", i.fingerprint FROM idempotency_keys i JOIN kills k ON k.id = i.kill_id WHERE i.caller = $1 AND i.key = $2"
);

/// Whether a key stands for a kill at that time.
pub(in crate::audit) async fn stands(
    connection: &mut PgConnection,
    caller: &str,
    key: &str,
    at: OffsetDateTime,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(KEY_STANDS).bind(caller).bind(key).bind(Timestamp(at)).fetch_one(connection).await
}

/// Records attempts, all of them or nothing, and claims their keys for that long; answers which are recorded: all but
/// those whose keys are somebody's. Waits for whoever is writing the same key.
///
/// One statement, since a settled kill takes sessions and events only from the transaction that records it.
pub(super) async fn record_together(
    connection: &mut PgConnection,
    attempts: &[&Attempt],
    ttl: Duration,
) -> sqlx::Result<HashSet<KillId>> {
    let sessions = Sessions::of(attempts.iter().map(|attempt| &attempt.kill));
    let told = || attempts.iter().flat_map(|attempt| attempt.webhooks.iter().map(|webhook| (attempt.kill.id, webhook)));
    let statement = if told().next().is_some() { RECORD_AND_TELL } else { RECORD };
    let mut query = sqlx::query_scalar_with(statement, sessions.arguments()?)
        .bind(column(attempts, |attempt| attempt.kill.id))
        .bind(column(attempts, |attempt| attempt.kill.status.as_str()))
        .bind(column(attempts, |attempt| &attempt.kill.caller))
        .bind(column(attempts, |attempt| &attempt.kill.on_behalf_of))
        .bind(column(attempts, |attempt| &attempt.kill.reason))
        .bind(column(attempts, |attempt| attempt.kill.target.as_ref().map(Json)))
        .bind(column(attempts, |attempt| attempt.kill.select.as_ref().map(Json)))
        .bind(column(attempts, |attempt| &attempt.request))
        .bind(column(attempts, |attempt| attempt.dry_run))
        .bind(column(attempts, |attempt| &attempt.client_address))
        .bind(column(attempts, |attempt| &attempt.client_id))
        .bind(column(attempts, |attempt| &attempt.token_id))
        .bind(column(attempts, |attempt| &attempt.request_id))
        .bind(column(attempts, |attempt| attempt.key.as_ref().map(|key| &key.key)))
        .bind(column(attempts, |attempt| &attempt.gateway))
        .bind(column(attempts, |attempt| Timestamp(attempt.kill.requested_at)))
        .bind(column(attempts, |attempt| attempt.kill.completed_at.map(Timestamp)))
        .bind(column(attempts, |attempt| attempt.kill.upstream.http_status.map(i32::from)))
        .bind(column(attempts, |attempt| &attempt.kill.upstream.request_id))
        .bind(column(attempts, |attempt| &attempt.kill.upstream.task_id))
        .bind(column(attempts, |attempt| &attempt.kill.upstream.error_code))
        .bind(column(attempts, |attempt| &attempt.kill.upstream.error_message))
        .bind(column(attempts, |attempt| attempt.kill.problem.as_ref().map(Json)))
        .bind(column(attempts, |attempt| attempt.kill.status.is_open().then_some(Timestamp(attempt.deadline))))
        .bind(column(attempts, |attempt| Json(learned(&attempt.kill, None))))
        .bind(column(attempts, |attempt| attempt.claims().map(|key| key.fingerprint.as_slice())))
        .bind(column(attempts, |attempt| attempt.claims().map(|_| Timestamp(attempt.kill.requested_at + ttl))))
        .bind(column(attempts, |attempt| attempt.kill.look.map(|look| Timestamp(look.at))))
        .bind(column(attempts, |attempt| attempt.kill.look.map(|look| look.complete)))
        .bind(column(attempts, |attempt| attempt.kill.confirms))
        .bind(column(attempts, Attempt::words))
        .bind(column(attempts, |attempt| &attempt.kill.actor));
    if told().next().is_some() {
        query = query.bind(told().map(|(kill, _)| kill).collect::<Vec<_>>());
        query = query.bind(told().map(|(_, webhook)| webhook.as_str()).collect::<Vec<_>>());
    }
    let recorded: Vec<KillId> = query.fetch_all(connection).await?;
    Ok(recorded.into_iter().collect())
}

/// The statement that records attempts, with what `$more` adds to it.
macro_rules! record {
    ($more:literal) => {
        concat!(
    "WITH given AS (
        SELECT * FROM unnest($7::uuid[], $8::text[], $9::text[], $10::text[], $11::text[], $12::jsonb[], $13::jsonb[],
            $14::text[], $15::boolean[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[],
            $22::timestamptz[], $23::timestamptz[], $24::integer[], $25::text[], $26::text[], $27::text[],
            $28::text[], $29::jsonb[], $30::timestamptz[], $31::jsonb[], $32::bytea[], $33::timestamptz[], $34::timestamptz[], $35::boolean[],
            $36::uuid[], $37::text[], $38::text[])
        AS given (id, status, caller, on_behalf_of, reason, target, selector, request, dry_run, client_address,
            client_id, token_id, request_id, idempotency_key, gateway, requested_at, completed_at,
            upstream_http_status, upstream_request_id, upstream_task_id, upstream_error_code, upstream_error_message,
            problem, due_at, detail, fingerprint, expires_at, looked_at, list_complete, confirms,
            words, actor)
    ), claimed AS (",
    claim_key!(
        "SELECT caller, idempotency_key, fingerprint, id, requested_at, expires_at FROM given \
         WHERE fingerprint IS NOT NULL"
    ),
    "   RETURNING kill_id
    ), admitted AS (
        SELECT * FROM given WHERE fingerprint IS NULL OR id IN (SELECT kill_id FROM claimed)
    ), kill AS (
        INSERT INTO kills (id, status, caller, on_behalf_of, reason, target, selector, request, dry_run,
            client_address, client_id, token_id, request_id, idempotency_key, gateway, requested_at, completed_at,
            upstream_http_status, upstream_request_id, upstream_task_id, upstream_error_code, upstream_error_message,
            problem, looked_at, list_complete, confirms, words, actor)
        SELECT id, status, caller, on_behalf_of, reason, target, selector, request, dry_run,
            client_address, client_id, token_id, request_id, idempotency_key, gateway, requested_at, completed_at,
            upstream_http_status, upstream_request_id, upstream_task_id, upstream_error_code, upstream_error_message,
            problem, looked_at, list_complete, confirms, coalesce(string_to_array(words, ' '), '{}'), actor
        FROM admitted
    ), session AS (
        INSERT INTO kill_sessions (kill_id, session_id, position, outcome, detail, identity)
        SELECT s.* FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::jsonb[])
            AS s (kill_id, session_id, position, outcome, detail, identity)
        WHERE s.kill_id IN (SELECT id FROM admitted)
    ), lease AS (
        INSERT INTO kill_leases (kill_id, gateway, due_at)
        SELECT id, gateway, due_at FROM admitted WHERE due_at IS NOT NULL
    )",
    $more,
    "INSERT INTO kill_events (kill_id, seq, at, kind, status, gateway, detail)
    SELECT id, 1, requested_at, 'recorded', status, gateway, detail FROM admitted
    RETURNING kill_id"
)
    };
}

const RECORD: &str = record!(" ");

/// The same where webhooks will be told of some of them.
const RECORD_AND_TELL: &str = record!(
    ", told AS (
        INSERT INTO webhook_deliveries (webhook, kill_id, due_at)
        SELECT t.webhook, t.kill_id, a.requested_at FROM unnest($39::uuid[], $40::text[]) AS t (kill_id, webhook)
        JOIN admitted a ON a.id = t.kill_id
    ) "
);
