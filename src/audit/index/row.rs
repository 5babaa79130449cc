//! What one kill is found by: a row of the index.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::{FromRow, types::Json};
use time::OffsetDateTime;

use crate::{
    audit::{Filter, LineSession, Name, page::first_id_from, timestamp::Timestamp},
    domain::{KillId, Outcome, Status},
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
    /// The database users of its sessions, and the next two, each once and in order.
    pub(in crate::audit) users: Vec<String>,
    pub(in crate::audit) databases: Vec<String>,
    /// What became of them.
    pub(in crate::audit) outcomes: Vec<String>,
    /// Whether its status was `unknown` at any time.
    pub(in crate::audit) ever_unknown: bool,
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
    users: Json<Vec<String>>,
    databases: Json<Vec<String>>,
    outcomes: Json<Vec<String>>,
    ever_unknown: bool,
    requested_at: Timestamp,
    size: i32,
    words: String,
    recorded_in: i64,
}

/// The columns of a row from `kill_index k`; `$words` are its words as one text, and `$list` and `$end` make JSON of a list.
macro_rules! index_columns {
    ($words:literal, $list:literal, $end:literal) => {
        concat!(
            "k.id, k.status, k.caller, k.on_behalf_of, k.vendor, k.account, k.alias, k.instance_id, ",
            $list,
            "k.users",
            $end,
            " AS users, ",
            $list,
            "k.databases",
            $end,
            " AS databases, ",
            $list,
            "k.outcomes",
            $end,
            " AS outcomes, k.ever_unknown, k.requested_at, k.size, ",
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
            users: self.users.0,
            databases: self.databases.0,
            outcomes: self.outcomes.0,
            ever_unknown: self.ever_unknown,
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
        let (users, databases, outcomes, words, sessions) = <_>::default();
        Self {
            id,
            status,
            caller,
            on_behalf_of,
            vendor,
            account,
            alias,
            instance_id,
            users,
            databases,
            outcomes,
            ever_unknown: false,
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

/// Each of these once, in order, as a row has it.
pub(in crate::audit) fn each_once(texts: impl Iterator<Item = impl AsRef<str>>) -> Vec<String> {
    texts.map(|text| cut(text.as_ref())).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What is known of the sessions of a kill under that name, such as their `user`; of one that names none, whose sessions
/// it asked for, as far as that is no pattern.
pub(in crate::audit) fn of_sessions(sessions: &[LineSession], select: Option<&Value>, name: &str) -> Vec<String> {
    if !sessions.is_empty() {
        let identities = sessions.iter().filter_map(|session| session.identity.as_ref());
        return each_once(identities.filter_map(|identity| identity.get(name)?.as_str()));
    }
    let asked = select.and_then(|select| select.get("match")?.get(name));
    let texts = match asked {
        Some(Value::Array(texts)) => texts.as_slice(),
        Some(text) => std::slice::from_ref(text),
        None => &[],
    };
    each_once(texts.iter().filter_map(Value::as_str).filter(|text| !text.contains('*')))
}

impl Filter {
    /// Whether a kill passes that is found by this; as the engines tell it of their rows.
    pub(in crate::audit) fn meets(&self, row: &IndexRow) -> bool {
        let is = |wanted: &[String], given: &Option<String>| {
            wanted.is_empty() || given.as_ref().is_some_and(|given| wanted.contains(given))
        };
        let fits = |wanted: &[Name], given: Option<&str>| {
            wanted.is_empty() || given.is_some_and(|given| wanted.iter().any(|name| name.fits(given)))
        };
        let has =
            |wanted: &[String], given: &[String]| wanted.is_empty() || given.iter().any(|given| wanted.contains(given));
        let of_status = |status: &Status| status.as_str() == row.status;
        let of_outcome = |outcome: &Outcome| row.outcomes.iter().any(|given| given == outcome.as_str());
        is(&self.vendor, &row.vendor)
            && is(&self.account, &row.account)
            && fits(&self.target, row.alias.as_deref())
            && is(&self.instance_id, &row.instance_id)
            && fits(&self.caller, Some(&row.caller))
            && self.only_caller.as_ref().is_none_or(|caller| *caller == row.caller)
            && is(&self.on_behalf_of, &row.on_behalf_of)
            && has(&self.user, &row.users)
            && has(&self.database, &row.databases)
            && (self.outcome.is_empty() || self.outcome.iter().any(of_outcome))
            && (self.status.is_empty() || self.status.iter().any(of_status))
            && self.ever_unknown.is_none_or(|was| was == row.ever_unknown)
            && has(&self.session_id, &row.sessions)
            && self.reason.iter().all(|word| row.words.contains(word))
            && self.since.is_none_or(|since| row.id >= first_id_from(since))
            && self.until.is_none_or(|until| row.id < first_id_from(until))
            && self.place.as_ref().is_none_or(|place| self.is_behind(row.id, place.after) && place.seen.holds(row))
    }
}
