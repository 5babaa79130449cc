//! A checkpoint: a signed head on its own, kept where the record's owner cannot reach it.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Head, Signature, hex, key::is_signed, unhex};
use crate::clock::written_whole;

/// The head of a block with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub head: Head,
    pub signature: Signature,
}

/// The version of the line's format.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    killgate_checkpoint: u32,
    number: i64,
    sealed_at: String,
    entries: i64,
    total: i64,
    listing: String,
    root: String,
    previous: String,
    public_key: String,
    head: String,
    signature: String,
}

impl Checkpoint {
    /// Whether its signature is that of the key it names. Whose key that is, is for the reader to say.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        is_signed(self.head.text().as_bytes(), &self.signature, &self.head.public_key)
    }

    /// One JSON object without a line break.
    ///
    /// # Panics
    /// Never: every key of a line is a text.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { head, signature } = self;
        let members = Members {
            killgate_checkpoint: FORMAT,
            number: head.number,
            sealed_at: written_whole(head.sealed_at),
            entries: head.entries,
            total: head.total,
            listing: hex(&head.listing),
            root: hex(&head.root),
            previous: hex(&head.previous),
            public_key: hex(&head.public_key),
            head: hex(&head.hash()),
            signature: hex(signature),
        };
        serde_json::to_string(&members).expect("every key of a line is a text")
    }

    /// Reads such a line; `None` if it is none, or if its head is not the hash of what it says.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let it: Members = serde_json::from_str(line).ok()?;
        let head = Head {
            number: it.number,
            sealed_at: OffsetDateTime::parse(&it.sealed_at, &Rfc3339).ok()?,
            entries: it.entries,
            total: it.total,
            listing: unhex(&it.listing)?,
            root: unhex(&it.root)?,
            previous: unhex(&it.previous)?,
            public_key: unhex(&it.public_key)?,
        };
        let is_whole = it.killgate_checkpoint == FORMAT && unhex(&it.head) == Some(head.hash());
        Some(Self { head, signature: unhex(&it.signature)? }).filter(|_| is_whole)
    }
}
