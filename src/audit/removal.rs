//! The record of a month that was removed as a whole: what is exported, and what is sealed.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use super::timestamp::Timestamp;
use crate::{
    chain::{self, Leaf},
    clock::written_whole,
    domain::KillId,
};

/// A month that was removed as a whole by the owner of the tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Removal {
    /// What it is sealed under.
    pub id: KillId,
    /// The first day of the month, `YYYY-MM-DD`.
    pub month: String,
    /// How many kills it had.
    pub kills: i64,
    /// The first and the last of them; `null` if there were none.
    pub first_kill: Option<KillId>,
    pub last_kill: Option<KillId>,
    /// RFC 3339, UTC.
    pub removed_at: String,
    /// The database role that did it.
    pub removed_by: String,
    pub reason: String,
}

impl Removal {
    /// Its line, `{"removal":{…}}`: JSON without a line break. Whoever hashes or exports it takes this text and no other.
    ///
    /// # Panics
    /// Never: every key of a line is a text.
    #[must_use]
    pub fn text(&self) -> String {
        #[derive(Serialize)]
        struct Line<'r> {
            removal: &'r Removal,
        }
        serde_json::to_string(&Line { removal: self }).expect("every key of a line is a text")
    }

    /// The line as it is sealed, once and for all.
    #[must_use]
    pub fn leaf(&self) -> Leaf {
        Leaf { id: self.id, hash: chain::leaf(self.text().as_bytes()) }
    }
}

#[derive(FromRow)]
pub(super) struct RemovalRow {
    id: KillId,
    month: String,
    kills: i64,
    first_kill: Option<KillId>,
    last_kill: Option<KillId>,
    removed_at: Timestamp,
    removed_by: String,
    reason: String,
}

impl RemovalRow {
    pub(super) fn read(self) -> Removal {
        let Self { id, month, kills, first_kill, last_kill, removed_at, removed_by, reason } = self;
        Removal { id, month, kills, first_kill, last_kill, removed_at: written_whole(removed_at.0), removed_by, reason }
    }
}
