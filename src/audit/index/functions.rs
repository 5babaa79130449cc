//! Reading the index and what it is made of, the same on either engine but for the words that each has of its own.

use sqlx::FromRow;

use crate::domain::KillId;

/// The session ids of a row of the index.
#[derive(FromRow)]
pub(in crate::audit) struct SessionRow {
    pub(in crate::audit) kill_id: KillId,
    pub(in crate::audit) session_id: String,
}

/// The functions for the index, for connections of a kind. `$among` is the condition that a column is one of the ids in `$1`,
/// which `$ids` makes of them, `$words` the words of a row as one text, `$list` and
/// `$end` what makes JSON of a list, and `$size` how many bytes the body of an entry has.
macro_rules! index_functions {
    (
        $Connection:ty, among: $among:literal, ids: $ids:path, words: $words:literal, list: [$list:literal, $end:literal],
        size: $size:literal
    ) => {
        use std::collections::HashMap;

        use sqlx::{Connection as _, FromRow as _};

        use super::read::{SNAPSHOT, among};
        use crate::{
            audit::{
                index::{Batch, Compared, IndexRow, Indexed, SessionRow, few_sessions, index_columns, light, rows_of},
                timestamp::Timestamp,
            },
            domain::KillId,
        };

        /// The rows of kills that have ended: of the first of them, as many as go into the index at once.
        async fn rows(connection: &mut $Connection, ended: &[KillId], batch: &Batch) -> sqlx::Result<Vec<IndexRow>> {
            if matches!(batch, Batch::Damaged(_)) {
                return Ok(ended.iter().copied().map(IndexRow::damaged).collect());
            }
            let weights: Vec<(KillId, i64)> = sqlx::query_as(WEIGHTS)
                .bind($ids(ended))
                .bind(ended.iter().min())
                .bind(ended.iter().max())
                .fetch_all(&mut *connection)
                .await?;
            let ended = light(ended, weights);
            Ok(few_sessions(rows_of(ended, among(connection, ended).await?)))
        }

        const WEIGHTS: &str = concat!(
            "SELECT e.kill_id, CAST(sum(",
            $size,
            ") AS bigint) FROM kill_log e WHERE e.kill_id ",
            $among,
            " AND e.kill_id BETWEEN $2 AND $3 GROUP BY e.kill_id"
        );

        /// Holds log and index against each other: the kills above one id and up to another.
        async fn compared(
            connection: &mut $Connection,
            after: Option<KillId>,
            upto: Option<KillId>,
        ) -> sqlx::Result<Compared> {
            let (after, upto) = (after.unwrap_or(KillId::nil()), upto.unwrap_or(KillId::max()));
            let settled: Vec<KillId> =
                sqlx::query_scalar(SETTLED).bind(after).bind(upto).fetch_all(&mut *connection).await?;
            let mut compared = Compared::default();
            for (id, folded) in among(&mut *connection, &settled).await? {
                match folded {
                    Ok(folded) => drop(compared.expected.insert(id, folded.index())),
                    Err(_) => drop(compared.unreadable.insert(id)),
                }
            }
            let mut sessions = HashMap::<KillId, Vec<String>>::new();
            let of_index: Vec<SessionRow> =
                sqlx::query_as(INDEX_SESSIONS).bind(after).bind(upto).fetch_all(&mut *connection).await?;
            for SessionRow { kill_id, session_id } in of_index {
                sessions.entry(kill_id).or_default().push(session_id);
            }
            for row in sqlx::query(INDEX).bind(after).bind(upto).fetch_all(connection).await? {
                let id: KillId = sqlx::Row::try_get(&row, "id")?;
                let sessions = sessions.remove(&id).unwrap_or_default();
                let row = Indexed::from_row(&row).map_or_else(|_| IndexRow::damaged(id), |row| row.with(sessions));
                compared.indexed.insert(id, row);
            }
            for id in sessions.into_keys() {
                compared.indexed.insert(id, IndexRow::damaged(id));
            }
            Ok(compared)
        }

        const SETTLED: &str = "SELECT DISTINCT e.kill_id FROM kill_log e WHERE e.kill_id > $1 AND e.kill_id <= $2 \
             AND NOT EXISTS (SELECT 1 FROM kill_leases l WHERE l.kill_id = e.kill_id) ORDER BY e.kill_id";
        const INDEX: &str = concat!(
            "SELECT ",
            index_columns!($words, $list, $end),
            " FROM kill_index k WHERE k.id > $1 AND k.id <= $2"
        );
        const INDEX_SESSIONS: &str = "SELECT s.kill_id, s.session_id FROM kill_index_sessions s \
             WHERE s.kill_id > $1 AND s.kill_id <= $2";

        /// The ids of which log and index do not say the same.
        pub(in crate::audit) async fn misindexed(
            connection: &mut $Connection,
            after: Option<KillId>,
            upto: Option<KillId>,
        ) -> sqlx::Result<Vec<KillId>> {
            let mut tx = connection.begin_with(SNAPSHOT).await?;
            let compared = compared(&mut tx, after, upto).await?;
            tx.rollback().await?;
            Ok(compared.differing())
        }

        /// When the first kill of those that have ended and are not in the index did; `None` where all are.
        pub(in crate::audit) async fn unindexed(connection: &mut $Connection) -> sqlx::Result<Option<Timestamp>> {
            sqlx::query_scalar(UNINDEXED).fetch_one(connection).await
        }

        /// Only the first few are asked when they ended: of many there is no end of asking.
        const UNINDEXED: &str = "SELECT min(e.at) FROM \
             (SELECT l.kill_id, l.seq FROM kill_leases l WHERE l.ended ORDER BY l.kill_id LIMIT 20) s \
             JOIN kill_log e ON e.kill_id = s.kill_id AND e.seq = s.seq";
    };
}
pub(in crate::audit) use index_functions;
