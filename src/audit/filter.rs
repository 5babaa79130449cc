//! Which kills are wanted, and how the index is asked for them.
//!
//! The invariant: what [`Filter::meets`] says of a row, the engines say of it too; and what a lease is passed over for, no
//! row of its kill would meet.

use serde_json::Value;
use sqlx::{Database, Encode, QueryBuilder, Type};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    cursor::{Cursor, Snapshot},
    index::{IndexRow, LONGEST},
    log::Folded,
    name::{Name, bind_texts, push_names},
    page::first_id_from,
};
use crate::domain::{Outcome, Status};

/// Which kills to read, and in which order. Of several values for one thing any will do; none does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub vendor: Vec<String>,
    pub account: Vec<String>,
    /// The alias that was used.
    pub target: Vec<Name>,
    pub instance_id: Vec<String>,
    pub session_id: Vec<String>,
    pub caller: Vec<Name>,
    pub on_behalf_of: Vec<String>,
    /// The database user of one of its sessions, or whose sessions were asked for where none is named.
    pub user: Vec<String>,
    /// The same for the database.
    pub database: Vec<String>,
    /// What became of one of its sessions.
    pub outcome: Vec<Outcome>,
    pub status: Vec<Status>,
    /// Whether it was `unknown` at any time.
    pub ever_unknown: Option<bool>,
    /// Words that the reason must have, all of them.
    pub reason: Vec<String>,
    /// Asked at this time or later.
    pub since: Option<OffsetDateTime>,
    /// Asked before this time.
    pub until: Option<OffsetDateTime>,
    pub oldest_first: bool,
    /// Only what follows this place.
    pub place: Option<Cursor>,
    /// The only caller whose kills may be seen, whatever `caller` asks for. It finds none of them by a target that it may not
    /// use, nor counts them by that.
    pub only_caller: Option<String>,
}

/// What a body may write in more than one way, as SQL has it.
const ESCAPES: [&str; 2] = [r"'\u'", r"'\/'"];

/// What the engines write differently. What a value goes into stands before, between or after it.
pub(super) struct Dialect {
    /// Selects what a page can see, as text for [`Snapshot::read`].
    pub(super) seen: &'static str,
    /// The condition that a reason has certain words.
    pub(super) words: [&'static str; 2],
    /// How words are written as one text.
    pub(super) one_text: fn(&[String]) -> String,
    /// The condition that a column, a list, has any of certain values: before and after the values.
    pub(super) has_any: fn(&str) -> [String; 2],
    /// Joins a row with each value of a list, or with none where it is empty: around the column, and around the name that
    /// the values are given.
    pub(super) each: [&'static str; 3],
    /// The condition that whoever asked for a kill `k` may not use its target.
    pub(super) forbidden: &'static str,
    /// Finds a text in the body of an entry `e`.
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
        let mut query = self.hits(Some(many));
        query.push("SELECT k.id, k.size");
        self.push_source(&mut query);
        self.push_conditions(&mut query, dialect);
        query.push(" ORDER BY k.id").push(self.direction()).push(" LIMIT ");
        bind_number(&mut query, many);
        query
    }

    /// The query for the first kills of a range that are not in the index, up to so many: those that may pass, which reading
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
        let named = self.named_texts();
        if !named.is_empty() {
            // For each lease by itself: no planner may take the whole log for it.
            query.push(" AND (SELECT TRUE");
            let [before, after] = dialect.finds;
            for texts in named {
                for (n, text) in texts.into_iter().enumerate() {
                    query.push(if n == 0 { " AND (" } else { " OR " }).push(before).push_bind(text).push(after);
                }
                query.push(")");
            }
            for escape in ESCAPES {
                query.push(" OR ").push(before).push(escape).push(after);
            }
            query.push(" FROM kill_log e WHERE e.kill_id = l.kill_id AND e.seq = 1)");
        }
        query.push(" ORDER BY l.kill_id").push(self.direction()).push(" LIMIT ");
        bind_number(&mut query, many);
        query
    }

    /// Texts of which the first entry of a kill has one of each group where it passes, unless it writes them with [`ESCAPES`].
    /// No body is taken apart for it: that costs more, and a damaged one would be an error.
    fn named_texts(&self) -> Vec<Vec<String>> {
        let text = |name: &Name| {
            let mut text = Value::from(name.text()).to_string();
            // The index has but the beginning of a long one.
            if matches!(name, Name::Begins(_)) || name.text().chars().count() >= LONGEST {
                text.pop();
            }
            text
        };
        // What is not named in a body counts as empty.
        let tells = |names: &Vec<Name>| !names.is_empty() && names.iter().all(|name| !name.text().is_empty());
        let named = self.named().into_iter().map(|(_, names)| names).filter(tells);
        named.map(|names| names.iter().map(text).collect()).collect()
    }

    /// Whether it asks for more than a time.
    pub(super) fn narrows(&self) -> bool {
        !self.session_id.is_empty() || self.narrows_rows()
    }

    /// The same but for sessions.
    fn narrows_rows(&self) -> bool {
        let lists = self.lists();
        !self.columns().is_empty() || !lists.is_empty() || !self.reason.is_empty() || self.ever_unknown.is_some()
    }

    /// Between which ids its kills are: from the first on and below the second.
    pub(super) fn id_range(&self) -> (Uuid, Uuid) {
        let from = self.since.map_or(Uuid::nil(), first_id_from);
        let below = self.until.map_or(Uuid::max(), first_id_from);
        match &self.place {
            Some(place) if self.oldest_first => (from.max(next_id(place.after)), below),
            Some(place) => (from, below.min(place.after)),
            None => (from, below),
        }
    }

    /// A range that begins where another one ends, in the order that is asked for.
    pub(super) fn rest(&self, (from, below): (Uuid, Uuid), last: Uuid) -> (Uuid, Uuid) {
        if self.oldest_first { (next_id(last), below) } else { (from, last) }
    }

    /// Of a range what comes before that kill, and itself.
    pub(super) fn upto(&self, (from, below): (Uuid, Uuid), last: Uuid) -> (Uuid, Uuid) {
        if self.oldest_first { (from, below.min(next_id(last))) } else { (from.max(last), below) }
    }

    /// Whether a kill follows another one.
    pub(super) fn is_behind(&self, id: Uuid, other: Uuid) -> bool {
        if self.oldest_first { id > other } else { id < other }
    }

    const fn direction(&self) -> &'static str {
        if self.oldest_first { "" } else { " DESC" }
    }

    /// A query that begins, where a session is wanted, with a step `hits`: the kills that have it, the first of them only
    /// where nothing else narrows.
    ///
    /// The narrow table first, as a step of its own: a planner that walked kills from the newest on and tried each for
    /// the session would read the whole history for a rare id.
    pub(super) fn hits<DB>(&self, limit: Option<u32>) -> QueryBuilder<DB>
    where
        DB: Database<Arguments: Default>,
        for<'q> Uuid: Encode<'q, DB> + Type<DB>,
        for<'q> String: Encode<'q, DB> + Type<DB>,
        for<'q> i64: Encode<'q, DB> + Type<DB>,
    {
        let mut query = QueryBuilder::new("");
        if self.session_id.is_empty() {
            return query;
        }
        // A kill may have several of them.
        let each = if self.session_id.len() > 1 { "DISTINCT " } else { "" };
        query.push("WITH hits AS MATERIALIZED (SELECT ").push(each);
        query.push("s.kill_id FROM kill_index_sessions s WHERE s.session_id IN (");
        bind_texts(&mut query, &self.session_id);
        query.push(")");
        self.push_range(&mut query, "s.kill_id", "s.recorded_in");
        if let Some(limit) = limit.filter(|_| !self.narrows_rows()) {
            query.push(" ORDER BY s.kill_id").push(self.direction()).push(" LIMIT ");
            bind_number(&mut query, limit);
        }
        query.push(") ");
        query
    }

    /// `FROM` and what it is joined with.
    pub(super) fn push_source<DB: Database>(&self, query: &mut QueryBuilder<DB>) {
        query.push(" FROM kill_index k");
        if !self.session_id.is_empty() {
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
        for (column, names) in self.columns() {
            push_names(query, column, &names);
        }
        if self.only_caller.is_some() && self.asks_for_a_target() {
            query.push(" AND NOT ").push(dialect.forbidden);
        }
        for (column, wanted) in self.lists() {
            let [before, after] = (dialect.has_any)(column);
            query.push(" AND ").push(before);
            bind_texts(query, wanted);
            query.push(after);
        }
        if let Some(was) = self.ever_unknown {
            query.push(if was { " AND k.ever_unknown" } else { " AND NOT k.ever_unknown" });
        }
        if !self.reason.is_empty() {
            let [before, after] = dialect.words;
            query.push(before).push_bind((dialect.one_text)(&self.reason)).push(after);
        }
        self.push_range(query, "k.id", "k.recorded_in");
    }

    /// The columns of the index that must have one of certain values.
    fn columns(&self) -> Vec<(&'static str, Vec<Name>)> {
        let status = self.status.iter().map(|status| Name::from(status.as_str())).collect();
        let columns = self.named().into_iter().chain([("k.status", status)]);
        columns.filter(|(_, names)| !names.is_empty()).collect()
    }

    /// Those of them that the first entry of a kill tells already.
    fn named(&self) -> [(&'static str, Vec<Name>); 7] {
        let exactly = |texts: &[String]| texts.iter().map(|text| Name::Is(text.clone())).collect();
        [
            ("k.caller", exactly(self.only_caller.as_slice())),
            ("k.caller", self.caller.clone()),
            ("k.on_behalf_of", exactly(&self.on_behalf_of)),
            ("k.instance_id", exactly(&self.instance_id)),
            ("k.alias", self.target.clone()),
            ("k.vendor", exactly(&self.vendor)),
            ("k.account", exactly(&self.account)),
        ]
    }

    /// Whether it asks for something that a kill has from its target.
    fn asks_for_a_target(&self) -> bool {
        let Self { vendor, account, target, instance_id, .. } = self;
        !(vendor.is_empty() && account.is_empty() && target.is_empty() && instance_id.is_empty())
    }

    /// What a kill is found by, for whoever asks.
    pub(super) fn row_of(&self, folded: &Folded) -> IndexRow {
        let row = folded.index();
        if self.only_caller.is_none() || !folded.is_of_a_forbidden_target() {
            return row;
        }
        IndexRow { vendor: None, account: None, alias: None, instance_id: None, ..row }
    }

    /// The lists of the index that must have one of certain values.
    fn lists(&self) -> Vec<(&'static str, Vec<String>)> {
        let outcomes = self.outcome.iter().map(|outcome| outcome.as_str().to_owned()).collect();
        let lists = [("k.users", self.user.clone()), ("k.databases", self.database.clone()), ("k.outcomes", outcomes)];
        lists.into_iter().filter(|(_, wanted)| !wanted.is_empty()).collect()
    }

    /// Kills of the time window, behind the cursor, and such as its first page could see.
    fn push_range<DB>(&self, query: &mut QueryBuilder<DB>, column: &str, mark: &str)
    where
        DB: Database,
        for<'q> Uuid: Encode<'q, DB> + Type<DB>,
        for<'q> i64: Encode<'q, DB> + Type<DB>,
    {
        for (comparison, bound) in [
            (" >= ", self.since.map(first_id_from)),
            (" < ", self.until.map(first_id_from)),
            (if self.oldest_first { " > " } else { " < " }, self.place.as_ref().map(|place| place.after)),
        ] {
            if let Some(bound) = bound {
                query.push(" AND ").push(column).push(comparison).push_bind(bound);
            }
        }
        let Some(Cursor { seen: Snapshot { at, end, open }, .. }) = &self.place else { return };
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

/// The lowest id above another one.
fn next_id(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128().saturating_add(1))
}
