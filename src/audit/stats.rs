//! Counting kills, for plots.

use sqlx::{Database, Encode, FromRow, QueryBuilder, Type};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Filter,
    index::IndexRow,
    page::{Dialect, bind_number},
};
use crate::clock::{from_unix_millis, unix_millis};

/// What kills are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    Status,
    Vendor,
    Caller,
}

impl By {
    pub const ALL: [Self; 3] = [Self::Status, Self::Vendor, Self::Caller];

    /// The word in requests and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Vendor => "vendor",
            Self::Caller => "caller",
        }
    }

    const fn column(self) -> &'static str {
        match self {
            Self::Status => "k.status",
            Self::Vendor => "k.vendor",
            Self::Caller => "k.caller",
        }
    }
}

/// The time that is counted together; it begins at a full hour or day, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub by: Vec<By>,
    /// `None` counts the whole window together.
    pub per: Option<Per>,
}

/// How many kills have these in common; what was not counted by is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The beginning of the hour or day.
    pub from: Option<OffsetDateTime>,
    pub status: Option<String>,
    /// `None` also where no vendor was understood.
    pub vendor: Option<String>,
    pub caller: Option<String>,
    pub kills: u64,
}

#[derive(FromRow)]
pub(super) struct CountRow {
    slot: Option<i64>,
    status: Option<String>,
    vendor: Option<String>,
    caller: Option<String>,
    kills: i64,
}

impl CountRow {
    pub(super) fn read(self) -> Count {
        Count {
            from: self.slot.map(from_unix_millis),
            status: self.status,
            vendor: self.vendor,
            caller: self.caller,
            kills: u64::try_from(self.kills).unwrap_or(0),
        }
    }
}

impl Grouping {
    /// What a kill that is not indexed counts as.
    pub(super) fn count(&self, row: &IndexRow) -> Count {
        let given = |by: By, value: Option<&str>| value.filter(|_| self.by.contains(&by)).map(str::to_owned);
        let slot = |per: Per| {
            let span = i64::try_from(per.span().whole_milliseconds()).unwrap_or(i64::MAX);
            from_unix_millis(unix_millis(row.requested_at).div_euclid(span) * span)
        };
        Count {
            from: self.per.map(slot),
            status: given(By::Status, Some(&row.status)),
            vendor: given(By::Vendor, row.vendor.as_deref()),
            caller: given(By::Caller, Some(&row.caller)),
            kills: 1,
        }
    }
}

/// Counts of two sources, in the order of time and then of words, up to `limit`.
pub(super) fn together(mut counts: Vec<Count>, others: impl IntoIterator<Item = Count>, limit: u32) -> Vec<Count> {
    counts.extend(others);
    let key = |count: &Count| {
        let text = |text: &Option<String>| (text.is_none(), text.clone());
        (count.from, text(&count.status), text(&count.vendor), text(&count.caller))
    };
    counts.sort_by_key(key);
    let mut merged: Vec<Count> = Vec::with_capacity(counts.len());
    for count in counts {
        match merged.last_mut() {
            Some(last) if key(last) == key(&count) => last.kills += count.kills,
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
        let mut query = QueryBuilder::new("");
        if self.session_id.is_some() {
            query.push("WITH ");
            self.push_hits(&mut query, None);
            query.push(" ");
        }
        let slot = match grouping.per {
            None => "CAST(NULL AS bigint)",
            Some(Per::Hour) => dialect.hour,
            Some(Per::Day) => dialect.day,
        };
        query.push("SELECT ").push(slot).push(" AS slot");
        for by in By::ALL {
            let column = if grouping.by.contains(&by) { by.column() } else { "CAST(NULL AS text)" };
            query.push(", ").push(column).push(" AS ").push(by.as_str());
        }
        query.push(", count(*) AS kills");
        self.push_source(&mut query);
        self.push_conditions(&mut query, dialect);
        query.push(" GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 LIMIT ");
        bind_number(&mut query, limit);
        query
    }
}
