//! What one kill is found by: a row of the index.

use sqlx::FromRow;
use time::OffsetDateTime;

use crate::{
    audit::{Filter, page::first_id_from, timestamp::Timestamp},
    domain::KillId,
};

/// How much of a text a row has: a refused request may carry anything, and an index entry must stay small.
pub(in crate::audit) const LONGEST: usize = 200;

/// The beginning of a text, as a row has it: no engine refuses it.
pub(in crate::audit) fn cut(text: &str) -> String {
    plain(text).chars().take(LONGEST).collect()
}

/// The text without what Postgres has no room for.
pub(in crate::audit) fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// What one kill is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::audit) struct IndexRow {
    pub(in crate::audit) id: KillId,
    pub(in crate::audit) status: String,
    pub(in crate::audit) caller: String,
    pub(in crate::audit) on_behalf_of: Option<String>,
    pub(in crate::audit) vendor: Option<String>,
    pub(in crate::audit) account: Option<String>,
    pub(in crate::audit) alias: Option<String>,
    pub(in crate::audit) instance_id: Option<String>,
    pub(in crate::audit) requested_at: OffsetDateTime,
    /// How much a page holds with it.
    pub(in crate::audit) size: i32,
    pub(in crate::audit) words: Vec<String>,
    pub(in crate::audit) recorded_in: i64,
    /// The ids of its sessions, each once.
    pub(in crate::audit) sessions: Vec<String>,
}

/// A row as either engine reads it.
#[derive(FromRow)]
pub(in crate::audit) struct Indexed {
    id: KillId,
    status: String,
    caller: String,
    on_behalf_of: Option<String>,
    vendor: Option<String>,
    account: Option<String>,
    alias: Option<String>,
    instance_id: Option<String>,
    requested_at: Timestamp,
    size: i32,
    words: String,
    recorded_in: i64,
}

/// The columns of a row from `kill_index k`; `$words` are its words as one text.
macro_rules! index_columns {
    ($words:literal) => {
        concat!(
            "k.id, k.status, k.caller, k.on_behalf_of, k.vendor, k.account, k.alias, k.instance_id, k.requested_at, k.size, ",
            $words,
            " AS words, k.recorded_in"
        )
    };
}
pub(in crate::audit) use index_columns;

impl Indexed {
    pub(in crate::audit) fn with(self, sessions: Vec<String>) -> IndexRow {
        IndexRow {
            id: self.id,
            status: self.status,
            caller: self.caller,
            on_behalf_of: self.on_behalf_of,
            vendor: self.vendor,
            account: self.account,
            alias: self.alias,
            instance_id: self.instance_id,
            requested_at: self.requested_at.0,
            size: self.size,
            words: self.words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
            recorded_in: self.recorded_in,
            sessions,
        }
    }
}

impl IndexRow {
    /// One that does not read as a row, and says nothing that a kill could.
    pub(in crate::audit) fn damaged(id: KillId) -> Self {
        let (status, caller) = (String::new(), String::new());
        let (on_behalf_of, vendor, account, alias, instance_id) = <_>::default();
        let requested_at = OffsetDateTime::UNIX_EPOCH;
        let (words, sessions) = <_>::default();
        Self {
            id,
            status,
            caller,
            on_behalf_of,
            vendor,
            account,
            alias,
            instance_id,
            requested_at,
            size: -1,
            words,
            recorded_in: -1,
            sessions,
        }
    }

    /// The same but for what has no order.
    pub(in crate::audit) fn says_the_same_as(&self, other: &Self) -> bool {
        let sorted = |row: &Self| {
            let mut row = row.clone();
            row.sessions.sort_unstable();
            row
        };
        sorted(self) == sorted(other)
    }
}

impl Filter {
    /// Whether a kill passes that is found by this; as the engines tell it of their rows.
    pub(in crate::audit) fn meets(&self, row: &IndexRow) -> bool {
        let is = |wanted: &Option<String>, given: Option<&str>| wanted.as_deref().is_none_or(|it| Some(it) == given);
        is(&self.vendor, row.vendor.as_deref())
            && is(&self.account, row.account.as_deref())
            && is(&self.target, row.alias.as_deref())
            && is(&self.instance_id, row.instance_id.as_deref())
            && is(&self.caller, Some(&row.caller))
            && is(&self.only_caller, Some(&row.caller))
            && self.status.is_none_or(|status| status.as_str() == row.status)
            && self.session_id.as_ref().is_none_or(|wanted| row.sessions.contains(wanted))
            && self.reason.iter().all(|word| row.words.contains(word))
            && self.since.is_none_or(|since| row.id >= first_id_from(since))
            && self.until.is_none_or(|until| row.id < first_id_from(until))
            && self.before.as_ref().is_none_or(|cursor| row.id < cursor.after && cursor.seen.holds(row))
    }
}
