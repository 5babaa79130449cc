//! Writing many entries at once on Postgres: one statement for all of a kind, one transaction for all kinds.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use sqlx::{Arguments, Connection, PgConnection, postgres::PgArguments, types::Json};

use super::{
    attempts::{goes_in_two, record},
    read::MAKE_MONTHS,
};
use crate::{
    audit::{
        moment::Moment,
        queue::Entry,
        record::{Attempt, Conclusion, Lease, Mark, learned},
    },
    domain::{Kill, KillId},
};

/// Writes entries of different kills; for each it answers whether anything was written.
pub(super) async fn write(connection: &mut PgConnection, entries: &[Entry]) -> sqlx::Result<Vec<bool>> {
    let batch = Batch::of(entries);
    let written = match batch.commit(connection).await {
        Err(error) if has_no_month(&error) => {
            for attempt in &batch.attempts {
                make_month(connection, attempt).await?;
            }
            batch.commit(connection).await?
        }
        done => done?,
    };
    Ok(entries.iter().map(|entry| written.contains(&entry.kill())).collect())
}

/// True where a kill belongs into a month that was not made ahead of time.
pub(super) fn has_no_month(error: &sqlx::Error) -> bool {
    let refusal = error.as_database_error();
    // A row that fits no partition is a check violation of no constraint.
    refusal.is_some_and(|it| it.code().as_deref() == Some("23514") && it.constraint().is_none())
}

pub(super) async fn make_month(connection: &mut PgConnection, attempt: &Attempt) -> sqlx::Result<()> {
    sqlx::query(MAKE_MONTHS).bind(Moment(attempt.kill.requested_at)).bind(1).execute(connection).await?;
    Ok(())
}

/// Entries by kind.
#[derive(Default)]
struct Batch<'e> {
    attempts: Vec<&'e Attempt>,
    marks: Vec<&'e Mark>,
    conclusions: Vec<&'e Conclusion>,
}

impl<'e> Batch<'e> {
    fn of(entries: &'e [Entry]) -> Self {
        let mut batch = Self::default();
        for entry in entries {
            match entry {
                Entry::Attempt(attempt) => batch.attempts.push(attempt),
                Entry::Mark(mark) => batch.marks.push(mark),
                Entry::Conclusion(conclusion) => batch.conclusions.push(conclusion),
            }
        }
        batch
    }

    /// True if it needs no transaction around it, which would be two more round trips.
    fn is_one_statement(&self) -> bool {
        let one_kind = self.attempts.is_empty() || self.marks.is_empty();
        one_kind && self.conclusions.is_empty() && !self.attempts.iter().any(|attempt| goes_in_two(attempt))
    }

    /// Answers the kills of which something was written, once it is committed.
    async fn commit(&self, connection: &mut PgConnection) -> sqlx::Result<HashSet<KillId>> {
        if self.is_one_statement() {
            return self.write(connection).await;
        }
        let mut tx = connection.begin().await?;
        let written = self.write(&mut tx).await?;
        tx.commit().await?;
        Ok(written)
    }

    async fn write(&self, connection: &mut PgConnection) -> sqlx::Result<HashSet<KillId>> {
        let mut written = HashSet::new();
        if !self.attempts.is_empty() {
            // None of them claims a key.
            written.extend(record(connection, &self.attempts, Duration::ZERO).await?);
        }
        if !self.marks.is_empty() && !self.conclusions.is_empty() {
            let marked = self.marks.iter().map(|mark| mark.id);
            let kills: Vec<KillId> = marked.chain(self.conclusions.iter().map(|it| it.kill.id)).collect();
            sqlx::query(LOCK).bind(kills).execute(&mut *connection).await?;
        }
        if !self.marks.is_empty() {
            written.extend(mark_sent(connection, &self.marks).await?);
        }
        if !self.conclusions.is_empty() {
            written.extend(conclude(connection, &self.conclusions).await?);
        }
        Ok(written)
    }
}

/// Two statements that lock kills do so in order only if a first one has locked them all.
const LOCK: &str = "SELECT FROM kills WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";

/// One column of rows.
pub(super) fn column<'r, R, C>(rows: &[&'r R], of: impl Fn(&'r R) -> C) -> Vec<C> {
    rows.iter().map(|row| of(row)).collect()
}

/// The sessions of kills, column by column.
#[derive(Default)]
pub(super) struct Sessions<'k> {
    kills: Vec<KillId>,
    pub(super) ids: Vec<&'k str>,
    positions: Vec<i32>,
    outcomes: Vec<&'static str>,
    details: Vec<Option<&'k str>>,
}

impl<'k> Sessions<'k> {
    pub(super) fn of(kills: impl Iterator<Item = &'k Kill>) -> Self {
        let mut columns = Self::default();
        for kill in kills {
            for (position, session) in kill.sessions.iter().enumerate() {
                columns.kills.push(kill.id);
                columns.ids.push(&session.id);
                columns.positions.push(i32::try_from(position).unwrap_or(i32::MAX));
                columns.outcomes.push(session.outcome.as_str());
                columns.details.push(session.detail.as_deref());
            }
        }
        columns
    }

    /// The first five arguments of a statement.
    pub(super) fn arguments(self) -> sqlx::Result<PgArguments> {
        let mut arguments = PgArguments::default();
        arguments
            .add(self.kills)
            .and_then(|()| arguments.add(self.ids))
            .and_then(|()| arguments.add(self.positions))
            .and_then(|()| arguments.add(self.outcomes))
            .and_then(|()| arguments.add(self.details))
            .map_err(sqlx::Error::Encode)?;
        Ok(arguments)
    }
}

/// Answers the kills that are still pending and their gateways'.
async fn mark_sent(connection: &mut PgConnection, marks: &[&Mark]) -> sqlx::Result<Vec<KillId>> {
    sqlx::query_scalar(MARK_SENT)
        .bind(column(marks, |mark| mark.id))
        .bind(column(marks, |mark| &mark.gateway))
        .bind(column(marks, |mark| Moment(mark.at)))
        .fetch_all(connection)
        .await
}

/// The leases are locked while the marks are set, so a kill is either taken over or sent, never both.
const MARK_SENT: &str = "
    WITH given AS (
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS given (id, gateway, at)
    ), pending AS MATERIALIZED (
        SELECT id FROM kills WHERE id = ANY($1) AND status = 'pending' ORDER BY id FOR NO KEY UPDATE
    ), held AS (
        SELECT l.kill_id AS id, l.gateway, given.at
        FROM pending JOIN given ON given.id = pending.id JOIN kill_leases l ON l.kill_id = pending.id
        WHERE l.gateway = given.gateway
        FOR UPDATE OF l
    ), sent AS (
        UPDATE kills k SET sent_at = coalesce(k.sent_at, held.at) FROM held WHERE k.id = held.id
        RETURNING k.id, k.status, held.gateway, held.at
    )
    INSERT INTO kill_events (kill_id, seq, at, kind, status, gateway, detail)
    SELECT id, (SELECT coalesce(max(e.seq), 0) + 1 FROM kill_events e WHERE e.kill_id = sent.id), at, 'sent', status,
        gateway, '{}'
    FROM sent
    RETURNING kill_id";

/// Answers the kills that were open.
async fn conclude(connection: &mut PgConnection, conclusions: &[&Conclusion]) -> sqlx::Result<Vec<KillId>> {
    // Sessions first: as soon as a kill is settled, the database lets none of them change.
    let sessions = Sessions::of(conclusions.iter().map(|conclusion| &conclusion.kill)).arguments()?;
    let open: Vec<(KillId, Vec<String>)> = sqlx::query_as_with(WRITE_SESSIONS, sessions)
        .bind(column(conclusions, |conclusion| conclusion.kill.id))
        .fetch_all(&mut *connection)
        .await?;
    let changed: HashMap<KillId, Vec<String>> = open.into_iter().collect();
    let open: Vec<&Conclusion> =
        conclusions.iter().filter(|conclusion| changed.contains_key(&conclusion.kill.id)).copied().collect();
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let due = |conclusion: &Conclusion| match conclusion.lease() {
        Lease::Until(at) => Some(Moment(at)),
        Lease::Keep | Lease::End => None,
    };
    let detail =
        |conclusion: &Conclusion| Json(learned(&conclusion.kill, changed.get(&conclusion.kill.id).map(Vec::as_slice)));
    sqlx::query_scalar(CONCLUDE)
        .bind(column(&open, |conclusion| conclusion.kill.id))
        .bind(column(&open, |conclusion| conclusion.kill.status.as_str()))
        .bind(column(&open, |conclusion| conclusion.kill.completed_at.map(Moment)))
        .bind(column(&open, |conclusion| conclusion.kill.problem.as_ref().map(Json)))
        .bind(column(&open, |conclusion| conclusion.kill.upstream.http_status.map(i32::from)))
        .bind(column(&open, |conclusion| &conclusion.kill.upstream.request_id))
        .bind(column(&open, |conclusion| &conclusion.kill.upstream.task_id))
        .bind(column(&open, |conclusion| &conclusion.kill.upstream.error_code))
        .bind(column(&open, |conclusion| &conclusion.kill.upstream.error_message))
        .bind(column(&open, |conclusion| conclusion.lease() == Lease::End))
        .bind(column(&open, due))
        .bind(column(&open, |conclusion| Moment(conclusion.at)))
        .bind(column(&open, |conclusion| &conclusion.what))
        .bind(column(&open, detail))
        .bind(column(&open, Conclusion::releases_key))
        .fetch_all(connection)
        .await
}

/// Locks the kills that are open, adds sessions and outcomes, and answers for each kill the ids of those that are new
/// or have another outcome than before.
const WRITE_SESSIONS: &str = "
    WITH open AS MATERIALIZED (
        SELECT id FROM kills WHERE id = ANY($6) AND status IN ('pending', 'accepted', 'unknown')
        ORDER BY id FOR NO KEY UPDATE
    ), changed AS (
        INSERT INTO kill_sessions (kill_id, session_id, position, outcome, detail)
        SELECT s.* FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[])
            AS s (kill_id, session_id, position, outcome, detail)
        WHERE s.kill_id IN (SELECT id FROM open)
        ON CONFLICT (kill_id, session_id) DO UPDATE SET outcome = excluded.outcome, detail = excluded.detail
        WHERE (kill_sessions.outcome, kill_sessions.detail) IS DISTINCT FROM (excluded.outcome, excluded.detail)
        RETURNING kill_id, session_id
    )
    SELECT id, array(SELECT session_id FROM changed WHERE kill_id = id) FROM open";

const CONCLUDE: &str = "
    WITH given AS (
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::jsonb[], $5::integer[], $6::text[],
            $7::text[], $8::text[], $9::text[], $10::boolean[], $11::timestamptz[], $12::timestamptz[], $13::text[],
            $14::jsonb[], $15::boolean[])
        AS given (id, status, completed_at, problem, http_status, request_id, task_id, error_code, error_message,
            ends, due_at, at, kind, detail, releases)
    ), kill AS (
        UPDATE kills k SET status = g.status, completed_at = g.completed_at, problem = g.problem,
            upstream_http_status = g.http_status, upstream_request_id = g.request_id, upstream_task_id = g.task_id,
            upstream_error_code = g.error_code, upstream_error_message = g.error_message
        FROM given g WHERE k.id = g.id
    ), ended AS (
        DELETE FROM kill_leases WHERE kill_id IN (SELECT id FROM given WHERE ends)
    ), kept AS (
        INSERT INTO kill_leases (kill_id, gateway, due_at)
        SELECT k.id, k.gateway, g.due_at FROM given g JOIN kills k ON k.id = g.id WHERE g.due_at IS NOT NULL
        ON CONFLICT (kill_id) DO UPDATE SET due_at = excluded.due_at
    ), rests AS (
        INSERT INTO unsealed (entry_id) SELECT id FROM given WHERE ends
        ON CONFLICT (entry_id) DO UPDATE SET times = unsealed.times + 1
    ), released AS (
        DELETE FROM idempotency_keys i USING given g, kills k
        WHERE g.releases AND k.id = g.id AND i.caller = k.caller AND i.key = k.idempotency_key AND i.kill_id = k.id
    )
    INSERT INTO kill_events (kill_id, seq, at, kind, status, gateway, detail)
    SELECT g.id, (SELECT coalesce(max(e.seq), 0) + 1 FROM kill_events e WHERE e.kill_id = g.id), g.at, g.kind,
        g.status, (SELECT l.gateway FROM kill_leases l WHERE l.kill_id = g.id), g.detail
    FROM given g
    RETURNING kill_id";
