//! A block: a run of entries, closed, chained and signed.

use std::fmt::Write as _;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Hash, PublicKey, SealKey, Signature, hex, merkle::sha256, root};
use crate::clock::written_whole;

/// What the first block names as the one before it.
pub const NO_BLOCK: Hash = [0; 32];

/// One entry as it is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// The kill, or the removal.
    pub id: Uuid,
    /// [`super::leaf`] of its line.
    pub hash: Hash,
}

/// What is signed of a block, and what the next one names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// 1, 2, 3 … without gaps.
    pub number: i64,
    /// Whole milliseconds, UTC.
    pub sealed_at: OffsetDateTime,
    /// How many entries it has.
    pub entries: i64,
    /// How many entries it and all blocks before it have.
    pub total: i64,
    /// [`Block::listing`]: which entries.
    pub listing: Hash,
    /// The Merkle root over the leaves.
    pub root: Hash,
    /// The hash of the head before; [`NO_BLOCK`] for the first.
    pub previous: Hash,
    /// The key it is signed with.
    pub public_key: PublicKey,
}

impl Head {
    /// The text that is signed: nine lines, each with its line break. Its first line names the format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(400);
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "killgate block 1\nnumber {}\nsealed {}\nentries {}\ntotal {}\nlisting {}\nroot {}\nprevious {}\nkey {}\n",
            self.number,
            written_whole(self.sealed_at),
            self.entries,
            self.total,
            hex(&self.listing),
            hex(&self.root),
            hex(&self.previous),
            hex(&self.public_key),
        );
        text
    }

    /// SHA-256 of the text: what the next block and every checkpoint name this one by.
    #[must_use]
    pub fn hash(&self) -> Hash {
        sha256(&[self.text().as_bytes()])
    }
}

/// A sealed run of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub head: Head,
    /// Over the text of the head.
    pub signature: Signature,
    /// In the order of the tree.
    pub leaves: Vec<Leaf>,
}

impl Block {
    /// Closes these entries into the block that follows `previous`, which is the last one there is.
    ///
    /// # Errors
    /// None that was ever seen: a key that does not sign.
    pub fn seal(
        leaves: Vec<Leaf>,
        previous: Option<&Head>,
        sealed_at: OffsetDateTime,
        key: &SealKey,
    ) -> Result<Self, super::KeyError> {
        let entries = i64::try_from(leaves.len()).unwrap_or(i64::MAX);
        let head = Head {
            number: previous.map_or(0, |head| head.number) + 1,
            sealed_at,
            entries,
            total: previous.map_or(0, |head| head.total) + entries,
            listing: Self::listing(&leaves),
            root: Self::root(&leaves),
            previous: previous.map_or(NO_BLOCK, Head::hash),
            public_key: key.public(),
        };
        let signature = key.sign(head.text().as_bytes())?;
        Ok(Self { head, signature, leaves })
    }

    /// Hash of which entries there are: SHA-256 over the 16 bytes of the id of each in their order. Without it an entry's
    /// id could be exchanged for one that nobody looks for.
    #[must_use]
    pub fn listing(leaves: &[Leaf]) -> Hash {
        let ids: Vec<u8> = leaves.iter().flat_map(|leaf| *leaf.id.as_bytes()).collect();
        sha256(&[&ids])
    }

    /// The Merkle root over the entries.
    #[must_use]
    pub fn root(leaves: &[Leaf]) -> Hash {
        root(&leaves.iter().map(|leaf| leaf.hash).collect::<Vec<_>>())
    }
}
