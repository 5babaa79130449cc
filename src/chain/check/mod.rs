//! Holds what is there against what was sealed.
//!
//! First the blocks, in their order, then what is there, in any order, each once; then the report. Every seal of an
//! entry is held against it: what was sealed never changes, whatever later blocks say. It keeps 56 bytes for each leaf and
//! nothing of any line.

mod ending;
mod report;
mod seals;

use std::collections::{BTreeMap, BTreeSet};

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

pub use ending::Removed;
pub use report::{NOTHING_SEALED, Report, VERIFIED, Wrong};
use seals::{Seals, State};

use crate::{clock::from_unix_millis, domain::LOOKED_AFTER};

use super::{Block, Checkpoint, Hash, Head, Leaf, NO_BLOCK, PublicKey, hex};

/// How long a settled kill may wait to be sealed, as far as one can tell who has only a file: far longer than it does.
pub const PATIENCE: Duration = Duration::hours(1);

/// How far the clocks of gateways may be apart.
const CLOCKS: Duration = Duration::minutes(1);

/// A key that blocks may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trusted {
    pub key: PublicKey,
    /// The last block that it is good for; `None` where it still is.
    pub until: Option<i64>,
}

impl Trusted {
    /// A key that is good for every block.
    #[must_use]
    pub const fn always(key: PublicKey) -> Self {
        Self { key, until: None }
    }

    fn is_good_for(&self, block: i64) -> bool {
        self.until.is_none_or(|until| block <= until)
    }
}

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The record itself, as it is now.
    Record,
    /// All of it, as it was once.
    Copy,
    /// Some kills of it, as they were once: it means nothing that others are not there.
    Part,
}

/// The last block so far.
#[derive(Debug, Clone, Copy)]
struct Last {
    number: i64,
    /// `None` where only its number is known.
    hash: Option<Hash>,
    total: i64,
    sealed_at: OffsetDateTime,
}

/// Whether an entry is on its way to be sealed, or still worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    Yes,
    /// Somebody still works on it, as far as anybody does for so long.
    Held,
    No,
    /// A file does not say; then it does as far as the last block is older than this.
    Until(OffsetDateTime),
}

/// An entry as it was found.
#[derive(Debug)]
pub struct Found {
    pub id: Uuid,
    /// [`super::leaf`] of its whole line.
    pub hash: Hash,
    /// The times of its events, in their order; a removal has none.
    pub events_at: Vec<OffsetDateTime>,
    pub waits: Waits,
}

/// A check under way.
#[derive(Debug)]
pub struct Check {
    scope: Scope,
    keys: Vec<Trusted>,
    checkpoints: BTreeMap<i64, Vec<Checkpoint>>,
    last: Option<Last>,
    seals: Seals,
    suspects: BTreeSet<Uuid>,
    /// Those of them that somebody has worked on for too long.
    held: BTreeSet<Uuid>,
    waiting: BTreeSet<Uuid>,
    /// How many kills are not in the index as the log has them, and the first of them.
    misindexed: Option<(u64, Uuid)>,
    report: Report,
}

impl Check {
    /// A check with these keys, of which every block must have one, and with these outside checkpoints.
    #[must_use]
    pub fn new(scope: Scope, keys: Vec<Trusted>, checkpoints: Vec<Checkpoint>) -> Self {
        let mut report = Report::with(checkpoints.len());
        let mut by_number = BTreeMap::<i64, Vec<Checkpoint>>::new();
        for checkpoint in checkpoints {
            let number = checkpoint.head.number;
            if !checkpoint.is_signed() {
                report.found(Wrong::Checkpoint, format_args!("the checkpoint of block {number} has a wrong signature"));
            } else if let Some(fault) = foreign(&keys, &checkpoint.head) {
                report.found(Wrong::Checkpoint, format_args!("the checkpoint of block {number} is {fault}"));
            } else {
                by_number.entry(number).or_default().push(checkpoint);
            }
        }
        Self {
            scope,
            keys,
            checkpoints: by_number,
            last: None,
            seals: Seals::default(),
            suspects: BTreeSet::new(),
            held: BTreeSet::new(),
            waiting: BTreeSet::new(),
            misindexed: None,
            report,
        }
    }

    /// The number of the last block so far.
    #[must_use]
    pub fn last_block(&self) -> i64 {
        self.last.map_or(0, |last| last.number)
    }

    /// The number and the head's hash of the last block so far.
    #[must_use]
    pub fn last_head(&self) -> (i64, Option<Hash>) {
        (self.last_block(), self.last.and_then(|last| last.hash))
    }

    /// The next block.
    pub fn block(&mut self, block: &Block) {
        let Block { head, leaves, .. } = block;
        let number = head.number;
        self.report.blocks += 1;
        self.follows(head);
        for what in faults(block) {
            self.report.found(Wrong::Chain, format_args!("block {number}: {what}"));
        }
        if let Some(fault) = foreign(&self.keys, head) {
            self.report.found(Wrong::Chain, format_args!("block {number}: it is {fault}"));
        }
        for checkpoint in self.checkpoints.remove(&number).unwrap_or_default() {
            if checkpoint.head != *head {
                let (here, there) = (hex(&head.hash()), hex(&checkpoint.head.hash()));
                let what = format_args!(
                    "block {number} is not the one that a checkpoint tells of: its head is {here}, the checkpoint's {there}"
                );
                self.report.found(Wrong::Checkpoint, what);
            }
        }
        let block = u32::try_from(number).unwrap_or(u32::MAX);
        self.seals.add(leaves, block, head.sealed_at);
        let Head { total, sealed_at, .. } = *head;
        self.last = Some(Last { number, hash: Some(head.hash()), total, sealed_at });
    }

    /// Whether the head follows the last one.
    fn follows(&mut self, head: &Head) {
        let Head { number, entries, total, sealed_at, .. } = *head;
        if self.scope == Scope::Part && number > self.last_block() + 1 {
            // A part has the blocks that hold its kills, and others between them need not be there.
            if self.last.is_none() {
                self.report.note(format_args!("it begins with block {number}"));
            }
            self.last = Some(Last { number: number - 1, hash: None, total: total - entries, sealed_at });
            self.checkpoints.retain(|checkpoint, _| *checkpoint >= number);
        }
        let first = Last { number: 0, hash: Some(NO_BLOCK), total: 0, sealed_at };
        let last = self.last.unwrap_or(first);
        let mut found = |what: String| self.report.found(Wrong::Chain, what);
        match number - last.number {
            1 => {
                if last.hash.is_some_and(|hash| hash != head.previous) {
                    found(format!("block {number}: it does not follow the block before it"));
                }
                if total != last.total + entries {
                    found(format!("block {number}: its total is wrong"));
                }
            }
            2 => found(format!("block {} is missing", number - 1)),
            3.. => found(format!("blocks {} to {} are missing", last.number + 1, number - 1)),
            _ => found(format!("block {number} is where block {} should be", last.number + 1)),
        }
    }

    /// Tells of entries that are one thing in one block and another in a later one.
    fn sort(&mut self) {
        for dispute in self.seals.sort() {
            self.report.found(Wrong::Changed, dispute);
        }
    }

    /// Something that is there. What is in no block, and may have been sealed meanwhile, is a suspect.
    pub fn entry(&mut self, found: &Found) {
        self.sort();
        let id = found.id;
        let is_disputed = self.seals.is_disputed(id);
        let seals = self.seals.of(id);
        let Some(last) = seals.last().copied() else { return self.unsealed(found) };
        if last.state != State::Unseen {
            return self.report.found(Wrong::Added, format_args!("{id} is there more than once"));
        }
        let broken = seals.iter().find_map(|seal| seal.broken(found.hash));
        let state = if broken.is_none() && !is_disputed { State::Verified } else { State::Seen };
        for seal in seals {
            seal.state = state;
        }
        match broken {
            // That much was told already.
            Some(_) if is_disputed => {}
            Some(broken) => self.report.found(Wrong::Changed, broken),
            None => self.out_of_time(found, last.block),
        }
    }

    /// Tells of events that cannot have been when they say: each is at the request or later, at the one before it or later,
    /// and before it was sealed, as far as clocks agree.
    fn out_of_time(&mut self, found: &Found, block: u32) {
        let (id, Some(sealed_at)) = (found.id, self.seals.sealed_at(block)) else { return };
        let mut before = asked_at(id);
        for (number, at) in (1..).zip(found.events_at.iter().copied()) {
            let what = if before.is_some_and(|before| at.saturating_add(CLOCKS) < before) {
                "is before what it follows"
            } else if at > sealed_at.saturating_add(CLOCKS) {
                "is later than its block"
            } else {
                before = before.max(Some(at));
                continue;
            };
            self.seals.mark(id, State::Seen);
            return self.report.found(Wrong::Changed, format_args!("{id}: event {number} {what}, block {block}"));
        }
    }

    /// An entry that is in no block.
    fn unsealed(&mut self, found: &Found) {
        let id = found.id;
        match found.waits {
            Waits::Held if self.is_held_too_long(id) => {
                self.held.insert(id);
                self.suspects.insert(id);
            }
            Waits::Yes | Waits::Held => drop(self.waiting.insert(id)),
            Waits::No => drop(self.suspects.insert(id)),
            Waits::Until(sealed_by) => {
                // Whoever forges the events of a kill forges its id too, or it belongs where no block can tell of it.
                let sealed_by =
                    asked_at(id).map_or(sealed_by, |at| sealed_by.min(at.saturating_add(LOOKED_AFTER + PATIENCE)));
                if self.last.is_some_and(|last| sealed_by < last.sealed_at) {
                    self.accuse(id);
                } else {
                    self.waiting.insert(id);
                }
            }
        }
    }

    /// Whether blocks were sealed long after the kill must have been out of everybody's hands.
    fn is_held_too_long(&self, id: Uuid) -> bool {
        let end = asked_at(id).map(|at| at.saturating_add(LOOKED_AFTER + PATIENCE));
        end.zip(self.last).is_some_and(|(end, last)| end < last.sealed_at)
    }

    /// The file says that it is of a part of the record; `is_wanted` where that was asked for.
    pub fn is_part(&mut self, what: impl std::fmt::Display, is_wanted: bool) {
        self.report.part = Some(report::shown(what));
        if !is_wanted {
            self.report.found(Wrong::Part, "nobody said that a part was asked for (--partial)");
        }
    }

    /// Something that is there and cannot be read any more.
    pub fn unreadable(&mut self, id: Uuid) {
        self.sort();
        self.seals.mark(id, State::Seen);
        self.report.found(Wrong::Changed, format_args!("{id} does not read as a kill any more"));
    }

    /// Which entries must be looked at once more, once the blocks after `block` are known, which came meanwhile: what is
    /// suspect, and the entries of those blocks. What is then there is told as [`Check::entry`] again.
    pub fn look_again(&mut self, block: i64) -> Vec<Uuid> {
        self.sort();
        let mut again = std::mem::take(&mut self.suspects);
        again.extend(self.seals.all().filter(|seal| i64::from(seal.block) > block).map(|seal| seal.id));
        for id in &again {
            self.waiting.remove(id);
            self.held.remove(id);
            self.seals.mark(*id, State::Unseen);
        }
        again.into_iter().collect()
    }

    /// Whether anything is suspect still.
    #[must_use]
    pub fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    fn accuse(&mut self, id: Uuid) {
        let why = if self.held.contains(&id) {
            ": it is held open, long after anybody looked after it"
        } else {
            " and does not wait for one"
        };
        self.report.found(Wrong::Added, format_args!("{id} is in no block{why}"));
    }

    /// A kill that is found by something else than what the log says of it, or is not found, or is none.
    pub fn misindexed(&mut self, id: Uuid) {
        let (many, first) = self.misindexed.unwrap_or((0, id));
        self.misindexed = Some((many + 1, first));
    }

    /// Notes something that is no finding.
    pub fn note(&mut self, what: impl std::fmt::Display) {
        self.report.note(what);
    }

    /// Notes something that is wrong beside blocks and entries.
    pub fn found(&mut self, wrong: Wrong, what: impl std::fmt::Display) {
        self.report.found(wrong, what);
    }
}

/// Why a head is of no key that is good for it, in words.
fn foreign(keys: &[Trusted], head: &Head) -> Option<String> {
    let key = hex(&head.public_key);
    let of_key = keys.iter().filter(|trusted| trusted.key == head.public_key);
    match of_key.map(|trusted| (trusted.is_good_for(head.number), trusted.until)).max() {
        Some((true, _)) => None,
        Some((false, until)) => {
            Some(format!("signed with a key that is good up to block {} only, {key}", until.unwrap_or(0)))
        }
        None => Some(format!("signed with another key, {key}")),
    }
}

/// When a kill was asked, as its id says; `None` for the id of a removal.
fn asked_at(id: Uuid) -> Option<OffsetDateTime> {
    let millis = i64::try_from(id.as_u128() >> 80).ok().filter(|_| id.get_version_num() == 7)?;
    Some(from_unix_millis(millis))
}

/// What does not hold together in a block by itself.
fn faults(Block { head, signature, leaves }: &Block) -> Vec<&'static str> {
    let counted = head.entries == i64::try_from(leaves.len()).unwrap_or(i64::MAX);
    let signed = Checkpoint { head: head.clone(), signature: *signature }.is_signed();
    [
        (counted && head.listing == Block::listing(leaves), "its entries are not those that were signed"),
        (head.root == Block::root(leaves), "its root is not that of its leaves"),
        (signed, "its signature is wrong"),
    ]
    .into_iter()
    .filter_map(|(holds, fault)| (!holds).then_some(fault))
    .collect()
}
