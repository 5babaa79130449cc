//! Reading the record, the same on either engine but for the words that each has of its own.
//!
//! What several statements read is of one moment: they run in a transaction that sees one.

use sqlx::FromRow;

use super::{
    Filter, Progress,
    log::{self, Folded, Found},
};
use crate::domain::{KillId, Status};

/// How many kills that are not indexed yet are read at once.
pub(super) const SOME: u32 = 50;

/// How far a kill has come.
#[derive(FromRow)]
pub(super) struct ProgressRow {
    kill_id: KillId,
    seq: i32,
    status: String,
    ends: bool,
}

impl ProgressRow {
    pub(super) fn read(self) -> Progress {
        // Whoever spoiled the word has at least ended the wait.
        let is_final = Status::parse(&self.status).is_none_or(Status::is_final);
        Progress { kill: self.kill_id, seq: self.seq, is_over: is_final || self.ends, has_ended: self.ends }
    }
}

/// How a kill stands beside what its entries say.
#[derive(FromRow)]
pub(super) struct StandingRow {
    pub(super) kill_id: KillId,
    /// Whether it is to be sealed, or nothing is.
    pub(super) waits: bool,
    /// Whether it is open, or not indexed yet.
    pub(super) is_leased: bool,
    pub(super) is_open: bool,
}

/// Said of an open kill that cannot be read.
pub(super) const NOT_SETTLED: &str = "an open kill cannot be read, so it is left alone";

/// The kills that may pass the filter. One that cannot be read keeps nobody from reading what is narrowed to others: it is
/// logged and left out there.
pub(super) fn of_filter(found: Vec<Found>, filter: &Filter) -> sqlx::Result<Vec<Folded>> {
    if filter.narrows() {
        return Ok(log::readable(found, Ok, NOT_SHOWN));
    }
    found.into_iter().map(|(_, folded)| folded).collect()
}

/// Said of a kill that is not indexed and cannot be read.
const NOT_SHOWN: &str = "a kill cannot be read, so nobody can tell whether it passes a filter";

/// The functions that read, for connections of a kind. `$snapshot` begins a transaction that sees one moment, `$number` is
/// the column that tells the order of commits, and `$among` the condition that a column is one of the ids in `$1`,
/// which `$ids` makes of them.
macro_rules! reading {
    (
        $DB:ty, $Connection:ty, $dialect:expr, snapshot: $snapshot:literal, number: $number:literal, among: $among:literal,
        ids: $ids:path
    ) => {
        use std::collections::{BTreeMap, HashMap};

        use sqlx::Connection as _;
        use time::OffsetDateTime;

        use crate::{
            audit::{
                Count, Cursor, Filter, Grouping, IdempotencyKey, KillEvent, Line, Page, Progress, Standing,
                cursor::Snapshot,
                log::{self, Folded, Found, log_columns},
                page::{Candidate, Chosen, LARGE},
                reading::{ProgressRow, SOME, StandingRow, of_filter},
                sql::FIND_KEY,
                stats::together,
                timestamp::Timestamp,
            },
            domain::{Kill, KillId},
        };

        /// Begins a transaction that sees one moment.
        pub(super) const SNAPSHOT: &str = $snapshot;

        /// The entries of a kill.
        const ONE: &str =
            concat!("SELECT ", log_columns!($number), " FROM kill_log e WHERE e.kill_id = $1 ORDER BY e.seq");

        /// The entries of many; `$2` and `$3` are the lowest and the highest of them, so that only the months between are
        /// looked at, and not every month there is for each.
        const MANY: &str = concat!(
            "SELECT ", log_columns!($number), " FROM kill_log e WHERE e.kill_id ", $among,
            " AND e.kill_id BETWEEN $2 AND $3 ORDER BY e.kill_id, e.seq"
        );

        /// The kill of that id.
        pub(in crate::audit) async fn find(connection: &mut $Connection, id: KillId) -> sqlx::Result<Option<Kill>> {
            folded(connection, id).await?.map(Folded::kill).transpose()
        }

        async fn folded(connection: &mut $Connection, id: KillId) -> sqlx::Result<Option<Folded>> {
            let rows = sqlx::query(ONE).bind(id).fetch_all(connection).await?;
            log::kills(&rows)?.pop().map(|(_, folded)| folded).transpose()
        }

        /// The kill that a key stands for at that time, and whether the very same request made it.
        pub(in crate::audit) async fn keyed(
            connection: &mut $Connection,
            caller: &str,
            key: &IdempotencyKey,
            at: OffsetDateTime,
        ) -> sqlx::Result<Option<(Kill, bool)>> {
            let mut tx = connection.begin_with(SNAPSHOT).await?;
            let found = of_key(&mut tx, caller, key, at).await?;
            tx.rollback().await?;
            Ok(found)
        }

        /// The same within a transaction.
        pub(in crate::audit) async fn of_key(
            connection: &mut $Connection,
            caller: &str,
            key: &IdempotencyKey,
            at: OffsetDateTime,
        ) -> sqlx::Result<Option<(Kill, bool)>> {
            let found: Option<(KillId, Vec<u8>)> = sqlx::query_as(FIND_KEY)
                .bind(caller)
                .bind(&key.key)
                .bind(Timestamp(at))
                .fetch_optional(&mut *connection)
                .await?;
            let Some((kill, fingerprint)) = found else { return Ok(None) };
            let kill = find(connection, kill).await?.ok_or(sqlx::Error::RowNotFound)?;
            Ok(Some((kill, fingerprint == key.fingerprint)))
        }

        /// The kills of these ids that are there, in the order of their ids.
        pub(in crate::audit) async fn among(connection: &mut $Connection, kills: &[KillId]) -> sqlx::Result<Vec<Found>> {
            if kills.is_empty() {
                return Ok(Vec::new());
            }
            let rows = sqlx::query(MANY)
                .bind($ids(kills))
                .bind(kills.iter().min())
                .bind(kills.iter().max())
                .fetch_all(connection)
                .await?;
            log::kills(&rows)
        }

        /// Whether these kills can be returned, whatever they say.
        pub(in crate::audit) async fn returns(connection: &mut $Connection, kills: &[KillId]) -> sqlx::Result<()> {
            // Asked without any too, as that tells whether the log can be read at all.
            sqlx::query(MANY)
                .bind($ids(kills))
                .bind(kills.iter().min())
                .bind(kills.iter().max())
                .fetch_all(connection)
                .await
                .map(drop)
        }

        /// The events of a kill after that number.
        pub(in crate::audit) async fn events(
            connection: &mut $Connection,
            kill: KillId,
            after: i32,
        ) -> sqlx::Result<Vec<KillEvent>> {
            Ok(folded(connection, kill).await?.map(|folded| folded.events(after)).unwrap_or_default())
        }

        /// How far kills have come.
        pub(in crate::audit) async fn progress(
            connection: &mut $Connection,
            kills: &[KillId],
        ) -> sqlx::Result<Vec<Progress>> {
            let rows: Vec<ProgressRow> = sqlx::query_as(PROGRESS)
                .bind($ids(kills))
                .bind(kills.iter().min())
                .bind(kills.iter().max())
                .fetch_all(connection)
                .await?;
            // In the order of their entries, of which the last counts.
            let last: BTreeMap<KillId, Progress> =
                rows.into_iter().map(ProgressRow::read).map(|progress| (progress.kill, progress)).collect();
            Ok(last.into_values().collect())
        }

        const PROGRESS: &str = concat!(
            "SELECT e.kill_id, e.seq, e.status, e.ends FROM kill_log e WHERE e.kill_id ", $among,
            " AND e.kill_id BETWEEN $2 AND $3 ORDER BY e.kill_id, e.seq"
        );

        /// A page of kills.
        pub(in crate::audit) async fn page(
            connection: &mut $Connection,
            filter: &Filter,
            limit: u32,
        ) -> sqlx::Result<Page> {
            read_page(connection, filter, limit, Folded::kill).await
        }

        /// A page of kills with everything that is on record about them.
        pub(in crate::audit) async fn lines(
            connection: &mut $Connection,
            filter: &Filter,
            limit: u32,
        ) -> sqlx::Result<Page<Line>> {
            read_page(connection, filter, limit, |folded| Ok(folded.line())).await
        }

        async fn read_page<T>(
            connection: &mut $Connection,
            filter: &Filter,
            limit: u32,
            as_item: fn(Folded) -> sqlx::Result<T>,
        ) -> sqlx::Result<Page<T>> {
            let mut tx = connection.begin_with(SNAPSHOT).await?;
            let seen = match &filter.place {
                Some(place) => place.seen.clone(),
                None => seen(&mut tx).await?,
            };
            // One more than the page may have tells whether there are more.
            let many = limit.saturating_add(1);
            let indexed: Vec<(KillId, i32)> =
                filter.query::<$DB>(&$dialect, many).build_query_as().fetch_all(&mut *tx).await?;
            let last = indexed.last().filter(|_| indexed.len() >= many as usize).map(|(id, _)| *id);
            let mut candidates: Vec<Candidate> = indexed.into_iter().map(Candidate::indexed).collect();
            let (mut wanted, mut held, mut is_cut) = (many as usize, 0, false);
            // Behind what the index has for a page, none is wanted.
            let range = filter.id_range();
            let mut more = Some(last.map_or(range, |last| filter.upto(range, last)));
            while let Some(range) = more {
                let (found, rest) = leased(&mut tx, filter, range).await?;
                more = rest;
                for folded in of_filter(found, filter)? {
                    if let Some(candidate) = Candidate::unindexed(folded, filter) {
                        held += candidate.size();
                        candidates.push(candidate);
                        wanted = wanted.saturating_sub(1);
                    }
                }
                // The page ends among those that were found so far, whatever else there is.
                if wanted == 0 || held >= LARGE {
                    is_cut = more.is_some();
                    break;
                }
            }
            let chosen = Chosen::of(candidates, filter, limit, is_cut);
            let read = among(&mut tx, &chosen.unread()).await?;
            tx.rollback().await?;
            chosen.page(read, seen, as_item)
        }

        async fn seen(connection: &mut $Connection) -> sqlx::Result<Snapshot> {
            let seen: String = sqlx::query_scalar($dialect.seen).fetch_one(connection).await?;
            Snapshot::read(&seen)
        }

        /// The place before all kills that are committed by now, newest first.
        pub(in crate::audit) async fn newest_place(connection: &mut $Connection) -> sqlx::Result<Cursor> {
            Ok(Cursor { after: KillId::max(), seen: seen(connection).await?, oldest_first: false })
        }

        /// The first kills of a range that are not in the index and may pass the filter, and the rest of the range where there
        /// may be more.
        async fn leased(
            connection: &mut $Connection,
            filter: &Filter,
            range: (KillId, KillId),
        ) -> sqlx::Result<(Vec<Found>, Option<(KillId, KillId)>)> {
            let mut query = filter.leased_query::<$DB>(&$dialect, range, SOME);
            let ids: Vec<KillId> = query.build_query_scalar().fetch_all(&mut *connection).await?;
            let rest = ids.last().filter(|_| ids.len() >= SOME as usize).map(|last| filter.rest(range, *last));
            Ok((among(connection, &ids).await?, rest))
        }

        /// How many kills pass the filter: those of the index, and those that are not in it yet; `None` where they cannot be
        /// counted by then.
        async fn count(
            connection: &mut $Connection,
            filter: &Filter,
            grouping: &Grouping,
            limit: u32,
            deadline: Instant,
        ) -> sqlx::Result<Option<Vec<Count>>> {
            let mut tx = connection.begin_with(SNAPSHOT).await?;
            let rows = filter.count_query::<$DB>(grouping, &$dialect, limit).build().fetch_all(&mut *tx).await?;
            let indexed = rows.iter().map(|row| grouping.read(row)).collect::<sqlx::Result<_>>()?;
            let mut others = Vec::new();
            let mut more = Some(filter.id_range());
            while let Some(range) = more {
                if Instant::now() > deadline {
                    tx.rollback().await?;
                    return Ok(None);
                }
                let (found, rest) = leased(&mut tx, filter, range).await?;
                more = rest;
                for folded in of_filter(found, filter)? {
                    let row = filter.row_of(&folded);
                    if filter.meets(&row) {
                        others.extend(grouping.counts(&row));
                    }
                }
                // What is behind so many counts is not answered, however many there are.
                others = together(others, [], limit);
            }
            tx.rollback().await?;
            Ok(Some(together(indexed, others, limit)))
        }

        /// How these kills stand; those that are not there are left out.
        pub(in crate::audit) async fn standing(
            connection: &mut $Connection,
            kills: &[KillId],
        ) -> sqlx::Result<Vec<Standing>> {
            let mut tx = connection.begin_with(SNAPSHOT).await?;
            let found = among(&mut tx, kills).await?;
            let rows: Vec<StandingRow> = sqlx::query_as(STANDING)
                .bind($ids(kills))
                .bind(kills.iter().min())
                .bind(kills.iter().max())
                .fetch_all(&mut *tx)
                .await?;
            tx.rollback().await?;
            let mut rows: HashMap<KillId, StandingRow> = rows.into_iter().map(|row| (row.kill_id, row)).collect();
            let standing = |(id, folded): Found| match folded {
                Ok(folded) => {
                    let row = rows.remove(&id);
                    let ended_at = folded.last_at();
                    Standing::Kill {
                        line: Box::new(folded.line()),
                        waits: row.as_ref().is_some_and(|row| row.waits || row.is_leased && !row.is_open),
                        unindexed_since: row.as_ref().filter(|row| row.is_leased && !row.is_open).map(|_| ended_at),
                        is_held: row.is_some_and(|row| row.is_open),
                    }
                }
                Err(_) => Standing::Unreadable(id),
            };
            Ok(found.into_iter().map(standing).collect())
        }

        /// Whether kills are to be sealed, as all are before there is a key, and whether they have leases.
        const STANDING: &str = concat!(
            "SELECT e.kill_id, EXISTS (SELECT 1 FROM unsealed u WHERE u.entry_id = e.kill_id) \
               OR NOT EXISTS (SELECT 1 FROM blocks) AND NOT EXISTS (SELECT 1 FROM sealing WHERE since IS NOT NULL) AS waits, \
             EXISTS (SELECT 1 FROM kill_leases l WHERE l.kill_id = e.kill_id) AS is_leased, \
             EXISTS (SELECT 1 FROM kill_leases l WHERE l.kill_id = e.kill_id AND NOT l.ended) AS is_open \
             FROM kill_log e WHERE e.seq = 1 AND e.kill_id ", $among, " AND e.kill_id BETWEEN $2 AND $3"
        );

        /// The ids of kills, from the lowest above `after` on.
        pub(in crate::audit) async fn ids(
            connection: &mut $Connection,
            after: Option<KillId>,
            limit: u32,
        ) -> sqlx::Result<Vec<KillId>> {
            let after = after.unwrap_or(KillId::nil());
            sqlx::query_scalar(IDS).bind(after).bind(i64::from(limit)).fetch_all(connection).await
        }

        const IDS: &str = "SELECT DISTINCT e.kill_id FROM kill_log e WHERE e.kill_id > $1 ORDER BY e.kill_id LIMIT $2";
    };
}
pub(super) use reading;
