//! A block as a line of an export.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{Block, Head, Leaf, hex, unhex, unhex_all};
use crate::clock::written_whole;

/// A block as one JSON object: `{"block":{…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockLine {
    pub block: BlockMembers,
}

/// What a [`BlockLine`] says; hashes, keys and signatures in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockMembers {
    pub number: i64,
    /// RFC 3339, UTC.
    pub sealed_at: String,
    pub entries: Vec<Uuid>,
    /// The leaves of all entries, one after the other, 64 digits each.
    pub leaves: String,
    pub total: i64,
    pub root: String,
    pub previous: String,
    pub public_key: String,
    pub signature: String,
}

impl BlockLine {
    /// The line itself: JSON without a line break.
    ///
    /// # Panics
    /// Never: every key of a line is a text.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("every key of a line is a text")
    }

    /// The block that the line describes.
    ///
    /// # Errors
    /// The member that does not read as what it should be.
    pub fn read(&self) -> Result<Block, &'static str> {
        let it = &self.block;
        let hashes = unhex_all(&it.leaves).ok_or("leaves")?;
        let (hashes, []) = hashes.as_chunks::<32>() else { return Err("leaves") };
        if hashes.len() != it.entries.len() {
            return Err("entries and leaves");
        }
        let leaves: Vec<Leaf> = it.entries.iter().zip(hashes).map(|(id, hash)| Leaf { id: *id, hash: *hash }).collect();
        let head = Head {
            number: it.number,
            sealed_at: OffsetDateTime::parse(&it.sealed_at, &Rfc3339).map_err(|_| "sealed_at")?,
            entries: i64::try_from(leaves.len()).unwrap_or(i64::MAX),
            total: it.total,
            listing: Block::listing(&leaves),
            root: unhex(&it.root).ok_or("root")?,
            previous: unhex(&it.previous).ok_or("previous")?,
            public_key: unhex(&it.public_key).ok_or("public_key")?,
        };
        Ok(Block { head, signature: unhex(&it.signature).ok_or("signature")?, leaves })
    }
}

impl From<&Block> for BlockLine {
    fn from(block: &Block) -> Self {
        let Block { head, signature, leaves } = block;
        Self {
            block: BlockMembers {
                number: head.number,
                sealed_at: written_whole(head.sealed_at),
                entries: leaves.iter().map(|leaf| leaf.id).collect(),
                leaves: leaves.iter().map(|leaf| hex(&leaf.hash)).collect(),
                total: head.total,
                root: hex(&head.root),
                previous: hex(&head.previous),
                public_key: hex(&head.public_key),
                signature: hex(signature),
            },
        }
    }
}
