//! Making the index on Postgres.

use sqlx::{PgConnection, Postgres, Row as _, postgres::PgArguments, query::Query, types::Json};

use super::read::given;
use crate::audit::index::{AT_ONCE, Taken, index_functions};

index_functions!(
    PgConnection,
    among: "= ANY($1)",
    ids: given,
    words: "array_to_string(k.words, ' ')",
    list: ["to_json(", ")"],
    size: "pg_column_size(e.body)"
);

/// Puts a batch of kills that have ended into the index.
pub(in crate::audit) async fn index(connection: &mut PgConnection, batch: &Batch) -> sqlx::Result<Taken> {
    let mut tx = connection.begin().await?;
    let ended = ended(&mut tx, batch).await?;
    if ended.is_empty() {
        tx.rollback().await?;
        return Ok(Taken::default());
    }
    let rows = rows(&mut tx, &ended, batch).await?;
    let indexed: i64 = columns(sqlx::query(INDEX_KILLS), &rows).fetch_one(&mut *tx).await?.try_get(0)?;
    tx.commit().await?;
    Ok(Taken::of(&ended, rows.len(), u64::try_from(indexed).unwrap_or(0)))
}

/// The kills of a batch that have ended. Those that another gateway has at hand are left to it.
pub(in crate::audit) async fn ended(connection: &mut PgConnection, batch: &Batch) -> sqlx::Result<Vec<KillId>> {
    let ended = match batch {
        Batch::First(others) => sqlx::query_scalar(ENDED).bind(i64::from(AT_ONCE)).bind(others),
        Batch::These(ids) => sqlx::query_scalar(ENDED_OF).bind(ids),
        Batch::Damaged(id) => sqlx::query_scalar(ENDED_OF).bind(vec![*id]),
    };
    ended.fetch_all(connection).await
}

const ENDED: &str = "SELECT kill_id FROM kill_leases WHERE ended AND kill_id <> ALL($2) ORDER BY kill_id LIMIT $1 \
     FOR UPDATE SKIP LOCKED";
const ENDED_OF: &str = "SELECT kill_id FROM kill_leases WHERE kill_id = ANY($1) AND ended ORDER BY kill_id \
     FOR UPDATE SKIP LOCKED";

const INDEX_KILLS: &str = "SELECT index_kills($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
     $19)";

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// The statement with the rows, column by column, after what it has already.
fn columns<'q>(statement: Statement<'q>, rows: &'q [IndexRow]) -> Statement<'q> {
    fn column<'r, C>(rows: &'r [IndexRow], of: impl Fn(&'r IndexRow) -> C) -> Vec<C> {
        rows.iter().map(of).collect()
    }
    let sessions = || rows.iter().flat_map(|row| row.sessions.iter().map(move |session| (row, session)));
    statement
        .bind(column(rows, |row| row.id))
        .bind(column(rows, |row| row.status.as_str()))
        .bind(column(rows, |row| row.caller.as_str()))
        .bind(column(rows, |row| row.on_behalf_of.as_deref()))
        .bind(column(rows, |row| row.vendor.as_deref()))
        .bind(column(rows, |row| row.account.as_deref()))
        .bind(column(rows, |row| row.alias.as_deref()))
        .bind(column(rows, |row| row.instance_id.as_deref()))
        .bind(column(rows, |row| Json(&row.users)))
        .bind(column(rows, |row| Json(&row.databases)))
        .bind(column(rows, |row| Json(&row.outcomes)))
        .bind(column(rows, |row| row.ever_unknown))
        .bind(column(rows, |row| Timestamp(row.requested_at)))
        .bind(column(rows, |row| row.size))
        .bind(column(rows, |row| Some(row.words.join(" ")).filter(|words| !words.is_empty())))
        .bind(column(rows, |row| row.recorded_in))
        .bind(sessions().map(|(row, _)| row.id).collect::<Vec<_>>())
        .bind(sessions().map(|(_, session)| session.as_str()).collect::<Vec<_>>())
        .bind(sessions().map(|(row, _)| row.recorded_in).collect::<Vec<_>>())
}

/// Makes the rows of kills above one id and up to another anew where they are not what the log says; answers how many were
/// not.
pub(in crate::audit) async fn reindex(
    connection: &mut PgConnection,
    after: Option<KillId>,
    upto: Option<KillId>,
) -> sqlx::Result<u64> {
    let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    let mut compared = compared(&mut tx, after, upto).await?;
    let differing = compared.differing();
    if !differing.is_empty() {
        for remove in [REMOVE_SESSIONS, REMOVE] {
            sqlx::query(remove)
                .bind(&differing)
                .bind(differing.first())
                .bind(differing.last())
                .execute(&mut *tx)
                .await?;
        }
        let rows: Vec<IndexRow> = differing.iter().filter_map(|id| compared.expected.remove(id)).collect();
        let only: Vec<KillId> = rows.iter().map(|row| row.id).collect();
        columns(sqlx::query(ADD).bind(only), &rows).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(differing.len() as u64)
}

const REMOVE_SESSIONS: &str = "DELETE FROM kill_index_sessions WHERE kill_id = ANY($1) AND kill_id BETWEEN $2 AND $3";
const REMOVE: &str = "DELETE FROM kill_index WHERE id = ANY($1) AND id BETWEEN $2 AND $3";

const ADD: &str = "SELECT add_to_index($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
     $20)";
