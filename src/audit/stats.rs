//! Counting kills, for plots.

use std::collections::BTreeSet;

use serde::Serialize;
use sqlx::{ColumnIndex, Database, Decode, Encode, QueryBuilder, Row, Type};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Filter,
    filter::{Dialect, bind_number},
    index::IndexRow,
};
use crate::clock::{from_unix_millis, unix_millis};

/// What kills are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CountedBy)]
pub enum By {
    Status,
    Vendor,
    Account,
    Target,
    Caller,
    OnBehalfOf,
    User,
    Database,
    Outcome,
}

/// Where the index has what kills are counted by.
enum Source {
    Column(&'static str),
    /// A list: a kill counts once for each of its values.
    List(&'static str),
}

impl By {
    pub const ALL: [Self; 9] = [
        Self::Status,
        Self::Vendor,
        Self::Account,
        Self::Target,
        Self::Caller,
        Self::OnBehalfOf,
        Self::User,
        Self::Database,
        Self::Outcome,
    ];

    /// The word in requests and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Vendor => "vendor",
            Self::Account => "account",
            Self::Target => "target",
            Self::Caller => "caller",
            Self::OnBehalfOf => "on_behalf_of",
            Self::User => "user",
            Self::Database => "database",
            Self::Outcome => "outcome",
        }
    }

    const fn source(self) -> Source {
        match self {
            Self::Status => Source::Column("k.status"),
            Self::Vendor => Source::Column("k.vendor"),
            Self::Account => Source::Column("k.account"),
            Self::Target => Source::Column("k.alias"),
            Self::Caller => Source::Column("k.caller"),
            Self::OnBehalfOf => Source::Column("k.on_behalf_of"),
            Self::User => Source::List("k.users"),
            Self::Database => Source::List("k.databases"),
            Self::Outcome => Source::List("k.outcomes"),
        }
    }

    /// Whether a kill has it from its target.
    const fn is_of_a_target(self) -> bool {
        matches!(self, Self::Vendor | Self::Account | Self::Target)
    }

    /// What a row counts as: one value or several, and none where it has none.
    fn values(self, row: &IndexRow) -> Vec<Option<String>> {
        let each = |list: &Vec<String>| list.iter().cloned().map(Some).collect::<Vec<_>>();
        let values = match self {
            Self::Status => vec![Some(row.status.clone())],
            Self::Vendor => vec![row.vendor.clone()],
            Self::Account => vec![row.account.clone()],
            Self::Target => vec![row.alias.clone()],
            Self::Caller => vec![Some(row.caller.clone())],
            Self::OnBehalfOf => vec![row.on_behalf_of.clone()],
            Self::User => each(&row.users),
            Self::Database => each(&row.databases),
            Self::Outcome => each(&row.outcomes),
        };
        if values.is_empty() { vec![None] } else { values }
    }
}

/// The time that is counted together; it begins at a full hour or day, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CountedPer)]
pub enum Per {
    Hour,
    Day,
}

impl Per {
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// The word in requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// How long it is.
    #[must_use]
    pub const fn span(self) -> time::Duration {
        match self {
            Self::Hour => time::Duration::HOUR,
            Self::Day => time::Duration::DAY,
        }
    }
}

/// How kills are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grouping {
    pub by: BTreeSet<By>,
    /// `None` counts the whole window together.
    pub per: Option<Per>,
}

/// How many kills have these in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The beginning of the hour or day.
    pub from: Option<OffsetDateTime>,
    /// What they were counted by, in the order of the grouping; `None` where a kill has nothing of that kind.
    pub by: Vec<Option<String>>,
    pub kills: u64,
}

impl Grouping {
    /// What a row of the count query says.
    pub(super) fn read<'r, R>(&self, row: &'r R) -> sqlx::Result<Count>
    where
        R: Row,
        usize: ColumnIndex<R>,
        i64: Decode<'r, R::Database> + Type<R::Database>,
        String: Decode<'r, R::Database> + Type<R::Database>,
    {
        let slot: Option<i64> = row.try_get(0)?;
        let by = (1..=self.by.len()).map(|n| row.try_get(n)).collect::<sqlx::Result<_>>()?;
        let kills: i64 = row.try_get(self.by.len() + 1)?;
        Ok(Count { from: slot.map(from_unix_millis), by, kills: u64::try_from(kills).unwrap_or(0) })
    }

    /// What a kill that is not indexed counts as.
    pub(super) fn counts(&self, row: &IndexRow) -> Vec<Count> {
        let slot = |per: Per| {
            let span = i64::try_from(per.span().whole_milliseconds()).unwrap_or(i64::MAX);
            from_unix_millis(unix_millis(row.requested_at).div_euclid(span) * span)
        };
        let mut counts = vec![Count { from: self.per.map(slot), by: Vec::new(), kills: 1 }];
        for by in &self.by {
            let values = by.values(row);
            let with = |count: &Count, value: &Option<String>| {
                let by = count.by.iter().chain([value]).cloned().collect();
                Count { by, ..count.clone() }
            };
            counts = counts.iter().flat_map(|count| values.iter().map(move |value| with(count, value))).collect();
        }
        counts
    }
}

/// Counts of two sources, in the order of time and then of words, up to `limit`.
pub(super) fn together(mut counts: Vec<Count>, others: impl IntoIterator<Item = Count>, limit: u32) -> Vec<Count> {
    counts.extend(others);
    let key = |count: &Count| {
        let text = |text: &Option<String>| (text.is_none(), text.clone());
        (count.from, count.by.iter().map(text).collect::<Vec<_>>())
    };
    counts.sort_by_cached_key(key);
    let mut merged: Vec<Count> = Vec::with_capacity(counts.len());
    for count in counts {
        match merged.last_mut() {
            Some(last) if last.from == count.from && last.by == count.by => last.kills += count.kills,
            _ => merged.push(count),
        }
    }
    merged.truncate(limit as usize);
    merged
}

impl Filter {
    /// The query for up to `limit` counts, in the order of time and then of words.
    pub(super) fn count_query<DB>(&self, grouping: &Grouping, dialect: &Dialect, limit: u32) -> QueryBuilder<DB>
    where
        DB: Database<Arguments: Default>,
        for<'q> Uuid: Encode<'q, DB> + Type<DB>,
        for<'q> String: Encode<'q, DB> + Type<DB>,
        for<'q> i64: Encode<'q, DB> + Type<DB>,
    {
        let mut query = self.hits(None);
        let slot = match grouping.per {
            None => "CAST(NULL AS bigint)",
            Some(Per::Hour) => dialect.hour,
            Some(Per::Day) => dialect.day,
        };
        query.push("SELECT ").push(slot);
        for by in &grouping.by {
            match by.source() {
                Source::Column(column) if self.only_caller.is_some() && by.is_of_a_target() => query
                    .push(", CASE WHEN ")
                    .push(dialect.forbidden)
                    .push(" THEN NULL ELSE ")
                    .push(column)
                    .push(" END"),
                Source::Column(column) => query.push(", ").push(column),
                Source::List(_) => query.push(", by_").push(by.as_str()).push(".value"),
            };
        }
        query.push(", count(*)");
        self.push_source(&mut query);
        for by in &grouping.by {
            if let Source::List(column) = by.source() {
                let [before, between, after] = dialect.each;
                query.push(before).push(column).push(between).push("by_").push(by.as_str()).push(after);
            }
        }
        self.push_conditions(&mut query, dialect);
        let groups: Vec<String> = (1..=grouping.by.len() + 1).map(|n| n.to_string()).collect();
        let groups = groups.join(", ");
        query.push(" GROUP BY ").push(&groups).push(" ORDER BY ").push(&groups).push(" LIMIT ");
        bind_number(&mut query, limit);
        query
    }
}
