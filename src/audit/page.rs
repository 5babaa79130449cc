//! Reading the record page by page, newest first.
//!
//! A page ends where it has as many kills as were asked for, or where what they hold is much, and always has one.
//!
//! Ids sort by time, so a page is "the next ones below this id" and a time window is a range of ids. A kill may be
//! committed after one that was asked later, so an id alone does not say whether a reader has passed it. The cursor
//! carries what the first page could see, and every later page shows that and nothing else: the pages together are the
//! record as it stood then, whatever is written meanwhile.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::{Database, Encode, QueryBuilder, Type};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    cursor::{Cursor, Snapshot},
    index::LONGEST,
    log::{Folded, Found},
};
use crate::{
    clock::unix_millis,
    domain::{Kill, KillId, Status},
};

/// Which kills to read; what is `None` does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub vendor: Option<String>,
    pub account: Option<String>,
    /// The alias that was used.
    pub target: Option<String>,
    pub instance_id: Option<String>,
    pub session_id: Option<String>,
    pub caller: Option<String>,
    pub status: Option<Status>,
    /// Words that the reason must have, all of them.
    pub reason: Vec<String>,
    /// Asked at this time or later.
    pub since: Option<OffsetDateTime>,
    /// Asked before this time.
    pub until: Option<OffsetDateTime>,
    /// Only what follows this place.
    pub before: Option<Cursor>,
    /// The only caller whose kills may be seen, whatever `caller` asks for.
    pub only_caller: Option<String>,
}

/// Some kills, newest first, and where to go on if there are more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T = Kill> {
    pub items: Vec<T>,
    pub next: Option<Cursor>,
}

/// How much a page holds: it ends with the kill that brings it there. A kill is as large as it has sessions and, since its
/// selector may name a thousand without recording one, hundreds of characters to say which.
pub(super) const LARGE: i64 = 2000;

/// A kill that may be on a page.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) id: KillId,
    size: i32,
    /// Where it was read already.
    folded: Option<Folded>,
}

impl Candidate {
    /// One that was found in the index.
    pub(super) const fn indexed((id, size): (KillId, i32)) -> Self {
        Self { id, size, folded: None }
    }

    /// How much a page holds with it.
    pub(super) fn size(&self) -> i64 {
        i64::from(self.size)
    }

    /// One that is not indexed yet, where it passes the filter.
    pub(super) fn unindexed(folded: Folded, filter: &Filter) -> Option<Self> {
        let row = folded.index();
        filter.meets(&row).then_some(Self { id: row.id, size: row.size, folded: Some(folded) })
    }
}

/// The kills of a page, newest first, and whether there are more behind it.
pub(super) struct Chosen {
    of_page: Vec<Candidate>,
    more: bool,
}

impl Chosen {
    /// Up to `limit` of these, each once; `is_cut` where there are more of them.
    pub(super) fn of(mut candidates: Vec<Candidate>, limit: u32, is_cut: bool) -> Self {
        candidates.sort_unstable_by_key(|candidate| std::cmp::Reverse(candidate.id));
        let all = candidates.len();
        let (mut held, mut of_page) = (0, Vec::new());
        for candidate in candidates.into_iter().take(limit as usize) {
            if held >= LARGE {
                break;
            }
            held += i64::from(candidate.size);
            of_page.push(candidate);
        }
        Self { more: is_cut || of_page.len() < all, of_page }
    }

    /// Those that are still to be read.
    pub(super) fn unread(&self) -> Vec<KillId> {
        self.of_page.iter().filter(|kill| kill.folded.is_none()).map(|kill| kill.id).collect()
    }

    /// The page, with those that were read meanwhile.
    ///
    /// # Errors
    /// One of them does not read as a kill.
    pub(super) fn page<T>(
        self,
        read: Vec<Found>,
        seen: Snapshot,
        as_item: impl Fn(Folded) -> sqlx::Result<T>,
    ) -> sqlx::Result<Page<T>> {
        let mut read: HashMap<KillId, sqlx::Result<Folded>> = read.into_iter().collect();
        let last = self.of_page.last().map(|kill| kill.id).filter(|_| self.more);
        let mut items = Vec::with_capacity(self.of_page.len());
        for Candidate { id, folded, .. } in self.of_page {
            // One of the index that is not in the log is no kill; verifying tells of it.
            let folded = folded.map(Ok).or_else(|| read.remove(&id));
            if let Some(folded) = folded {
                items.push(as_item(folded?)?);
            }
        }
        Ok(Page { items, next: last.map(|after| Cursor { after, seen }) })
    }
}

/// What a body may write in more than one way, as SQL has it.
const ESCAPES: [&str; 2] = [r"'\u'", r"'\/'"];

/// What the engines write differently.
pub(super) struct Dialect {
    /// Selects what a page can see, as text for [`Snapshot::read`].
    pub(super) seen: &'static str,
    /// The condition that a reason has certain words; the words stand between the two.
    pub(super) words: [&'static str; 2],
    /// How words are written as one text.
    pub(super) one_text: fn(&[String]) -> String,
    /// Finds a text in the body of an entry `e`; the text stands between the two.
    pub(super) finds: [&'static str; 2],
    /// The beginning of the hour and of the day in which a kill was asked for, in milliseconds since 1970.
    pub(super) hour: &'static str,
    pub(super) day: &'static str,
}

pub(super) fn bind_number<DB>(query: &mut QueryBuilder<DB>, number: u32)
where
    DB: Database,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
{
    query.push_bind(i64::from(number));
}

impl Filter {
    /// The query for the ids of the first kills of the index, up to so many, and how much a page holds with each.
    pub(super) fn query<DB>(&self, dialect: &Dialect, many: u32) -> QueryBuilder<DB>
    where
        DB: Database<Arguments: Default>,
        for<'q> Uuid: Encode<'q, DB> + Type<DB>,
        for<'q> String: Encode<'q, DB> + Type<DB>,
        for<'q> i64: Encode<'q, DB> + Type<DB>,
    {
        let mut query = QueryBuilder::new("");
        if self.session_id.is_some() {
            query.push("WITH ");
            self.push_hits(&mut query, Some(many));
            query.push(" ");
        }
        query.push("SELECT k.id, k.size");
        self.push_source(&mut query);
        self.push_conditions(&mut query, dialect);
        query.push(" ORDER BY k.id DESC LIMIT ");
        bind_number(&mut query, many);
        query
    }

    /// The query for the newest kills of a range that are not in the index, up to so many: those that may pass, which reading
    /// them tells.
    pub(super) fn leased_query<DB>(&self, dialect: &Dialect, (from, below): (Uuid, Uuid), many: u32) -> QueryBuilder<DB>
    where
        DB: Database<Arguments: Default>,
        for<'q> Uuid: Encode<'q, DB> + Type<DB>,
        for<'q> String: Encode<'q, DB> + Type<DB>,
        for<'q> i64: Encode<'q, DB> + Type<DB>,
    {
        let mut query = QueryBuilder::new("SELECT l.kill_id FROM kill_leases l WHERE l.kill_id >= ");
        query.push_bind(from).push(" AND l.kill_id < ").push_bind(below);
        let named = self.named();
        if !named.is_empty() {
            // For each lease by itself: no planner may take the whole log for it.
            query.push(" AND (SELECT TRUE");
            let [before, after] = dialect.finds;
            for text in named {
                query.push(" AND ").push(before).push_bind(text).push(after);
            }
            for escape in ESCAPES {
                query.push(" OR ").push(before).push(escape).push(after);
            }
            query.push(" FROM kill_log e WHERE e.kill_id = l.kill_id AND e.seq = 1)");
        }
        query.push(" ORDER BY l.kill_id DESC LIMIT ");
        bind_number(&mut query, many);
        query
    }

    /// Texts that the first entry of a kill has where it passes, unless it writes them with [`ESCAPES`]. No body is taken apart
    /// for it: that costs more, and a damaged one would be an error.
    fn named(&self) -> Vec<String> {
        let named = [&self.only_caller, &self.caller, &self.instance_id, &self.target, &self.vendor, &self.account];
        // What is not named in a body counts as empty.
        let named = named.into_iter().flatten().filter(|name| !name.is_empty());
        let text = |name: &String| {
            let mut text = Value::from(name.as_str()).to_string();
            // The index has but the beginning of a long one.
            if name.chars().count() >= LONGEST {
                text.pop();
            }
            text
        };
        named.map(text).collect()
    }

    /// Whether it asks for more than a time.
    pub(super) fn narrows(&self) -> bool {
        self.session_id.is_some() || !self.reason.is_empty() || self.columns().next().is_some()
    }

    /// Between which ids its kills are: from the first on and below the second.
    pub(super) fn id_range(&self) -> (Uuid, Uuid) {
        let from = self.since.map_or(Uuid::nil(), first_id_from);
        let bounds = [self.until.map(first_id_from), self.before.as_ref().map(|cursor| cursor.after)];
        (from, bounds.into_iter().flatten().min().unwrap_or(Uuid::max()))
    }

    /// Where a session is wanted, a step `hits`: the kills that have it, the newest of them only where nothing else narrows.
    ///
    /// The narrow table first, as a step of its own: a planner that walked kills from the newest on and tried each for
    /// the session would read the whole history for a rare id.
    pub(super) fn push_hits<DB>(&self, query: &mut QueryBuilder<DB>, limit: Option<u32>)
    where
        DB: Database,
        for<'q> Uuid: Encode<'q, DB> + Type<DB>,
        for<'q> String: Encode<'q, DB> + Type<DB>,
        for<'q> i64: Encode<'q, DB> + Type<DB>,
    {
        let Some(session_id) = &self.session_id else { return };
        query.push("hits AS MATERIALIZED (SELECT s.kill_id FROM kill_index_sessions s WHERE s.session_id = ");
        query.push_bind(session_id.clone());
        self.push_range(query, "s.kill_id", "s.recorded_in");
        if let Some(limit) = limit.filter(|_| self.columns().next().is_none() && self.reason.is_empty()) {
            query.push(" ORDER BY s.kill_id DESC LIMIT ");
            bind_number(query, limit);
        }
        query.push(")");
    }

    /// `FROM` and what it is joined with.
    pub(super) fn push_source<DB: Database>(&self, query: &mut QueryBuilder<DB>) {
        query.push(" FROM kill_index k");
        if self.session_id.is_some() {
            query.push(" JOIN hits ON hits.kill_id = k.id");
        }
    }

    /// `WHERE` and everything after it that narrows, but for the session.
    pub(super) fn push_conditions<DB>(&self, query: &mut QueryBuilder<DB>, dialect: &Dialect)
    where
        DB: Database,
        for<'q> Uuid: Encode<'q, DB> + Type<DB>,
        for<'q> String: Encode<'q, DB> + Type<DB>,
        for<'q> i64: Encode<'q, DB> + Type<DB>,
    {
        query.push(" WHERE 1 = 1");
        for (column, wanted) in self.columns() {
            query.push(" AND ").push(column).push(" = ").push_bind(wanted.to_owned());
        }
        if !self.reason.is_empty() {
            let [before, after] = dialect.words;
            query.push(before).push_bind((dialect.one_text)(&self.reason)).push(after);
        }
        self.push_range(query, "k.id", "k.recorded_in");
    }

    /// The columns of the index that must have a certain value.
    fn columns(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("k.caller", self.only_caller.as_deref()),
            ("k.caller", self.caller.as_deref()),
            ("k.instance_id", self.instance_id.as_deref()),
            ("k.alias", self.target.as_deref()),
            ("k.vendor", self.vendor.as_deref()),
            ("k.account", self.account.as_deref()),
            ("k.status", self.status.map(Status::as_str)),
        ]
        .into_iter()
        .filter_map(|(column, wanted)| wanted.map(|wanted| (column, wanted)))
    }

    /// Kills of the time window, below the cursor, and such as its first page could see.
    fn push_range<DB>(&self, query: &mut QueryBuilder<DB>, column: &str, mark: &str)
    where
        DB: Database,
        for<'q> Uuid: Encode<'q, DB> + Type<DB>,
        for<'q> i64: Encode<'q, DB> + Type<DB>,
    {
        for (comparison, bound) in [
            (" >= ", self.since.map(first_id_from)),
            (" < ", self.until.map(first_id_from)),
            (" < ", self.before.as_ref().map(|cursor| cursor.after)),
        ] {
            if let Some(bound) = bound {
                query.push(" AND ").push(column).push(comparison).push_bind(bound);
            }
        }
        let Some(Cursor { seen: Snapshot { at, end, open }, .. }) = &self.before else { return };
        query.push(" AND NOT (").push(column).push(" >= ").push_bind(first_id_from(at.saturating_sub(Snapshot::REACH)));
        query.push(" AND (").push(mark).push(" >= ").push_bind(*end);
        // A list and no chain of comparisons, which SQLite takes up to a depth only.
        if let Some((first, others)) = open.split_first() {
            query.push(" OR ").push(mark).push(" IN (").push_bind(*first);
            for number in others {
                query.push(", ").push_bind(*number);
            }
            query.push(")");
        }
        query.push("))");
    }
}

/// The lowest id a kill asked at `at` or later can have. Kills are asked at whole milliseconds.
pub(super) fn first_id_from(at: OffsetDateTime) -> Uuid {
    let millis = unix_millis(at) + i64::from(!at.nanosecond().is_multiple_of(1_000_000));
    let millis = u64::try_from(millis).unwrap_or(0).min(0xffff_ffff_ffff);
    Uuid::from_u128(u128::from(millis) << 80)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::clock::id_at;

    #[test]
    fn the_bounds_of_a_time_window_lie_between_the_ids() {
        let at = datetime!(2026-01-02 03:04:05.678 UTC);
        let id = id_at(at);
        let a_little_later = at + time::Duration::microseconds(1);
        assert!(first_id_from(at) <= id);
        assert!(first_id_from(a_little_later) > id);
        assert_eq!(first_id_from(datetime!(1900-01-01 0:00 UTC)), Uuid::nil());
    }
}
