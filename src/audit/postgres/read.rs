//! Reading on Postgres.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use crate::audit::{filter::Dialect, reading::reading};

reading!(
    sqlx::Postgres, PgConnection, DIALECT,
    snapshot: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    number: "e.recorded_in",
    among: "= ANY($1)",
    ids: given
);

/// Ids as a statement takes many of them.
pub(super) fn given(ids: &[Uuid]) -> Vec<Uuid> {
    ids.to_vec()
}

/// The statement that finds the kills of a page in the index, and the one that reads their entries.
pub(in crate::audit) fn page_sql(filter: &Filter, limit: u32) -> [String; 2] {
    let index = filter.query::<sqlx::Postgres>(&DIALECT, limit.saturating_add(1));
    [index.sql().as_str().to_owned(), MANY.to_owned()]
}

pub(in crate::audit) async fn stats(
    connection: &mut PgConnection,
    filter: &Filter,
    grouping: &Grouping,
    limit: u32,
    within: Duration,
) -> sqlx::Result<Option<Vec<Count>>> {
    let before: String = sqlx::query_scalar(TIMEOUT).fetch_one(&mut *connection).await?;
    let millis = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    sqlx::query(WITHIN).bind(millis).execute(&mut *connection).await?;
    let counted = count(connection, filter, grouping, limit, Instant::now() + within).await;
    sqlx::query(AGAIN).bind(before).execute(connection).await?;
    match counted {
        Ok(counts) => Ok(counts),
        Err(sqlx::Error::Database(refusal)) if refusal.code().as_deref() == Some("57014") => Ok(None),
        Err(error) => Err(error),
    }
}

const TIMEOUT: &str = "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'";

/// Cancels what takes longer, where nothing else does sooner.
const WITHIN: &str = "
    SELECT set_config('statement_timeout', least($1, setting::integer)::text, false)
    FROM pg_settings WHERE name = 'statement_timeout'";

const AGAIN: &str = "SELECT set_config('statement_timeout', $1, false)";

/// What a page sees is what its transaction's own snapshot holds.
const DIALECT: Dialect = Dialect {
    seen: "SELECT (extract(epoch FROM now()) * 1000)::bigint || ':' || pg_current_snapshot()",
    words: [" AND k.words <> '{}' AND k.words @> string_to_array(", ", ' ')"],
    one_text: |words| words.join(" "),
    // The first half is what the indexes have for a condition.
    has_any: |column| [format!("{column} <> '{{}}' AND {column} && ARRAY["), "]::text[]".to_owned()],
    each: [" LEFT JOIN LATERAL unnest(", ") AS ", " (value) ON TRUE"],
    forbidden: "(k.status = 'refused' AND EXISTS (SELECT FROM kill_log f WHERE f.kill_id = k.id AND f.seq = 1 \
        AND f.body #>> '{problem,code}' = 'forbidden' AND f.body #>> '{problem,field}' = 'target'))",
    finds: ["strpos(e.body::text, ", ") > 0"],
    hour: "floor(extract(epoch FROM k.requested_at) / 3600)::bigint * 3600000",
    day: "floor(extract(epoch FROM k.requested_at) / 86400)::bigint * 86400000",
};
