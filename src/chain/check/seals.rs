//! All seals of all entries.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Hash, Leaf};

/// One leaf of one block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seal {
    pub(super) id: Uuid,
    pub(super) hash: Hash,
    pub(super) block: u32,
    /// All seals of an entry have the same.
    pub(super) state: State,
}

/// What is known of a sealed entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It was not met yet.
    Unseen,
    /// It is there, and not, or not any more, as it was sealed.
    Seen,
    /// It is there as it was sealed.
    Verified,
}

impl Seal {
    /// What is not as it was sealed, in words.
    pub(super) fn broken(&self, hash: Hash) -> Option<String> {
        let Self { id, block, .. } = self;
        (hash != self.hash).then(|| format!("{id} is not as it was sealed in block {block}"))
    }
}

/// Seals, in the order of their entries once they are sorted.
#[derive(Debug, Default)]
pub(super) struct Seals {
    entries: Vec<Seal>,
    is_unsorted: bool,
    /// Entries of which one block contradicts another.
    disputed: BTreeSet<Uuid>,
    /// When each block was sealed.
    times: BTreeMap<u32, OffsetDateTime>,
}

impl Seals {
    pub(super) fn add(&mut self, leaves: &[Leaf], block: u32, sealed_at: OffsetDateTime) {
        self.times.insert(block, sealed_at);
        let seal = |leaf: &Leaf| {
            let Leaf { id, hash } = *leaf;
            Seal { id, hash, block, state: State::Unseen }
        };
        self.entries.extend(leaves.iter().map(seal));
        self.is_unsorted = true;
    }

    /// Brings the seals into the order of their entries and blocks; answers what is contradictory that was not before.
    pub(super) fn sort(&mut self) -> Vec<String> {
        if !std::mem::take(&mut self.is_unsorted) {
            return Vec::new();
        }
        self.entries.sort_unstable_by_key(|seal| (seal.id, seal.block));
        let mut disputes = Vec::new();
        for of_one in self.entries.chunk_by(|one, next| one.id == next.id) {
            let Seal { id, hash, block, .. } = of_one[0];
            let other = of_one.iter().find(|seal| seal.hash != hash);
            if let Some(other) = other.filter(|other| self.disputed.insert(other.id)) {
                disputes.push(format!("{id} was sealed in block {block} and is another in block {}", other.block));
            }
        }
        disputes
    }

    pub(super) fn sealed_at(&self, block: u32) -> Option<OffsetDateTime> {
        self.times.get(&block).copied()
    }

    pub(super) fn is_disputed(&self, id: Uuid) -> bool {
        self.disputed.contains(&id)
    }

    /// The seals of an entry, oldest first; they must be sorted.
    pub(super) fn of(&mut self, id: Uuid) -> &mut [Seal] {
        let from = self.entries.partition_point(|seal| seal.id < id);
        let many = self.entries[from..].iter().take_while(|seal| seal.id == id).count();
        &mut self.entries[from..from + many]
    }

    pub(super) fn mark(&mut self, id: Uuid, state: State) {
        for seal in self.of(id) {
            seal.state = state;
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Seal> {
        self.entries.iter()
    }

    /// The last seal of each entry; they must be sorted.
    pub(super) fn last_of_each(&self) -> impl Iterator<Item = &Seal> {
        self.entries.chunk_by(|one, next| one.id == next.id).filter_map(<[Seal]>::last)
    }
}
