//! All seals of all entries.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Found, Hash, LOOKED_AFTER, Leaf, PATIENCE, asked_at};

/// What hashes the part of an entry that never changes again.
pub trait Opening {
    /// [`super::super::leaf`] of what was asked and of the first `version` events; `None` where there are fewer.
    fn opening(&self, version: i32) -> Option<Hash>;

    /// The times of its events, in their order.
    fn events_at(&self) -> impl Iterator<Item = OffsetDateTime>;
}

/// One leaf of one block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seal {
    pub(super) id: Uuid,
    pub(super) hash: Hash,
    pub(super) version: i32,
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
    pub(super) fn broken<O: Opening>(&self, found: &Found<'_, O>) -> Option<String> {
        let Self { id, hash, version, block, .. } = *self;
        match version {
            // It was good for that many events only.
            ..0 if found.events != -version => None,
            ..=0 => (found.hash != hash).then(|| format!("{id} is not as it was sealed in block {block}")),
            1.. => match found.opening.opening(version) {
                Some(opening) if opening == hash => None,
                Some(_) => Some(format!(
                    "{id} is not as it was sealed in block {block}: what was asked, or one of its first {version} events"
                )),
                None => Some(format!(
                    "{id} is not as it was sealed in block {block}: it had {version} events then and has {} now",
                    found.events
                )),
            },
        }
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
            let Leaf { id, version, hash } = *leaf;
            Seal { id, hash, version, block, state: State::Unseen }
        };
        self.entries.extend(leaves.iter().map(seal));
        self.is_unsorted = true;
    }

    /// Brings the seals into the order of their entries and blocks; answers what is contradictory that was not before.
    pub(super) fn sort(&mut self) -> Vec<String> {
        if !std::mem::take(&mut self.is_unsorted) {
            return Vec::new();
        }
        self.entries.sort_unstable_by_key(|seal| (seal.id, seal.block, seal.version));
        let (mut disputes, mut late) = (Vec::new(), Vec::new());
        for of_one in self.entries.chunk_by(|one, next| one.id == next.id) {
            let id = of_one[0].id;
            if let Some(block) = self.too_late(of_one) {
                late.push((id, block));
            }
            let Some(at) = of_one.iter().position(|seal| seal.version == 0) else { continue };
            let (settled, later) = (of_one[at], &of_one[at + 1..]);
            let other = later.iter().find(|seal| seal.hash != settled.hash || seal.version != 0);
            if let Some(other) = other.filter(|other| self.disputed.insert(other.id)) {
                let Seal { id, block, .. } = settled;
                disputes.push(format!("{id} was settled in block {block} and is another in block {}", other.block));
            }
        }
        for (id, block) in late {
            if self.disputed.insert(id) {
                disputes.push(format!("{id} was sealed anew in block {block}, long after anybody looked after it"));
            }
        }
        disputes
    }

    pub(super) fn sealed_at(&self, block: u32) -> Option<OffsetDateTime> {
        self.times.get(&block).copied()
    }

    /// The block in which an entry was sealed anew though nobody looked after it any more.
    fn too_late(&self, of_one: &[Seal]) -> Option<u32> {
        let first = of_one.first()?;
        let end = asked_at(first.id)?.saturating_add(LOOKED_AFTER + PATIENCE);
        let mut again = of_one.iter().filter(|seal| seal.block != first.block && seal.version != 0);
        again.find(|seal| self.sealed_at(seal.block).is_some_and(|at| at > end)).map(|seal| seal.block)
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
