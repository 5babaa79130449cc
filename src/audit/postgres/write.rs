//! Writing many entries at once on Postgres: one statement, one round trip and one commit for all of a kind.

use std::{collections::HashSet, time::Duration};

use sqlx::{Arguments, PgConnection, postgres::PgArguments, types::Json};

use super::{attempts::record_together, read::MAKE_MONTHS};
use crate::{
    audit::{
        batch_writer::Entry,
        record::{Attempt, Conclusion, Lease, Mark},
        timestamp::Timestamp,
    },
    domain::{Identity, Kill, KillId},
};

/// Writes entries of one kind and of different kills; for each it answers whether anything was written.
pub(super) async fn write(connection: &mut PgConnection, entries: &[Entry]) -> sqlx::Result<Vec<bool>> {
    let batch = Batch::of(entries);
    let mut written: HashSet<KillId> = HashSet::with_capacity(entries.len());
    if !batch.attempts.is_empty() {
        written.extend(record_all(connection, &batch.attempts).await?);
    }
    if !batch.marks.is_empty() {
        written.extend(mark_sent(connection, &batch.marks).await?);
    }
    if !batch.conclusions.is_empty() {
        written.extend(conclude(connection, &batch.conclusions).await?);
    }
    Ok(entries.iter().map(|entry| written.contains(&entry.kill())).collect())
}

/// Records attempts that claim no key, in months that may have to be made first.
async fn record_all(connection: &mut PgConnection, attempts: &[&Attempt]) -> sqlx::Result<HashSet<KillId>> {
    match record_together(connection, attempts, Duration::ZERO).await {
        Err(error) if has_no_month(&error) => {
            for attempt in attempts {
                make_month(connection, attempt).await?;
            }
            record_together(connection, attempts, Duration::ZERO).await
        }
        recorded => recorded,
    }
}

/// True where a kill belongs into a month that was not made ahead of time.
pub(super) fn has_no_month(error: &sqlx::Error) -> bool {
    let refusal = error.as_database_error();
    // A row that fits no partition is a check violation of no constraint.
    refusal.is_some_and(|it| it.code().as_deref() == Some("23514") && it.constraint().is_none())
}

pub(super) async fn make_month(connection: &mut PgConnection, attempt: &Attempt) -> sqlx::Result<()> {
    sqlx::query(MAKE_MONTHS).bind(Timestamp(attempt.kill.requested_at)).bind(1).execute(connection).await?;
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
}

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
    identities: Vec<Option<Json<&'k Identity>>>,
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
                columns.identities.push(session.identity.as_ref().map(Json));
            }
        }
        columns
    }

    /// The first six arguments of a statement.
    pub(super) fn arguments(self) -> sqlx::Result<PgArguments> {
        let mut arguments = PgArguments::default();
        arguments
            .add(self.kills)
            .and_then(|()| arguments.add(self.ids))
            .and_then(|()| arguments.add(self.positions))
            .and_then(|()| arguments.add(self.outcomes))
            .and_then(|()| arguments.add(self.details))
            .and_then(|()| arguments.add(self.identities))
            .map_err(sqlx::Error::Encode)?;
        Ok(arguments)
    }
}

/// Answers the kills that are still pending and their gateways'.
async fn mark_sent(connection: &mut PgConnection, marks: &[&Mark]) -> sqlx::Result<Vec<KillId>> {
    sqlx::query_scalar(MARK_SENT)
        .bind(column(marks, |mark| mark.id))
        .bind(column(marks, |mark| &mark.gateway))
        .bind(column(marks, |mark| Timestamp(mark.at)))
        .bind(column(marks, |mark| Timestamp(mark.due)))
        .bind(marks.iter().map(|mark| mark.id).min())
        .bind(marks.iter().map(|mark| mark.id).max())
        .fetch_all(connection)
        .await
}

const MARK_SENT: &str = "SELECT mark_kills_sent($1, $2, $3, $4, $5, $6)";

/// Answers the kills that were open.
pub(super) async fn conclude(connection: &mut PgConnection, conclusions: &[&Conclusion]) -> sqlx::Result<Vec<KillId>> {
    let due = |conclusion: &Conclusion| match conclusion.lease() {
        Lease::Until(at) => Some(Timestamp(at)),
        Lease::Keep | Lease::End => None,
    };
    let sessions = Sessions::of(conclusions.iter().map(|conclusion| &conclusion.kill)).arguments()?;
    sqlx::query_scalar_with(CONCLUDE, sessions)
        .bind(column(conclusions, |conclusion| conclusion.kill.id))
        .bind(column(conclusions, |conclusion| conclusion.kill.status.as_str()))
        .bind(column(conclusions, |conclusion| conclusion.kill.completed_at.map(Timestamp)))
        .bind(column(conclusions, |conclusion| conclusion.kill.problem.as_ref().map(Json)))
        .bind(column(conclusions, |conclusion| conclusion.kill.upstream.http_status.map(i32::from)))
        .bind(column(conclusions, |conclusion| &conclusion.kill.upstream.request_id))
        .bind(column(conclusions, |conclusion| &conclusion.kill.upstream.task_id))
        .bind(column(conclusions, |conclusion| &conclusion.kill.upstream.evidence_url))
        .bind(column(conclusions, |conclusion| &conclusion.kill.upstream.error_code))
        .bind(column(conclusions, |conclusion| &conclusion.kill.upstream.error_message))
        .bind(column(conclusions, |conclusion| conclusion.lease() == Lease::End))
        .bind(column(conclusions, due))
        .bind(column(conclusions, |conclusion| Timestamp(conclusion.at)))
        .bind(column(conclusions, |conclusion| &conclusion.what))
        // The database adds the sessions that changed, which only it knows.
        .bind(column(conclusions, |conclusion| Json(conclusion.learned(&[]))))
        .bind(column(conclusions, Conclusion::releases_key))
        .bind(column(conclusions, |conclusion| conclusion.kill.look.map(|look| Timestamp(look.at))))
        .bind(column(conclusions, |conclusion| conclusion.kill.look.map(|look| look.complete)))
        .bind(column(conclusions, |conclusion| conclusion.kill.verified_at.map(Timestamp)))
        .bind(conclusions.iter().map(|conclusion| conclusion.kill.id).min())
        .bind(conclusions.iter().map(|conclusion| conclusion.kill.id).max())
        .fetch_all(connection)
        .await
}

const CONCLUDE: &str = "SELECT conclude_kills($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
     $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)";
