//! The end of a check: what is gone, and whether it may be.

use std::collections::{BTreeMap, BTreeSet};

use time::Date;
use uuid::Uuid;

use super::{Check, Report, Scope, State, Wrong, asked_at};
use crate::clock::written_whole;

/// A month that was removed as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    pub id: Uuid,
    /// Its first day.
    pub month: Date,
    pub kills: i64,
    /// What is told about it.
    pub told: String,
}

impl Check {
    /// Ends the check; these months were removed.
    #[must_use]
    pub fn finish(mut self, removed: &[Removed]) -> Report {
        for id in std::mem::take(&mut self.suspects) {
            self.accuse(id);
        }
        self.sort();
        if let Some((many, first)) = self.misindexed {
            let what = format_args!(
                "{many} kills are not in the index as the log has them, the first is {first}: killgate audit reindex"
            );
            self.report.found(Wrong::Changed, what);
        }
        let excused = self.excused(removed);
        let gone = self.seals.last_of_each().filter(|seal| seal.state == State::Unseen);
        if self.scope == Scope::Part {
            let elsewhere = gone.count();
            self.report.note(format_args!("partial: {elsewhere} sealed entries are not in it"));
        } else {
            for seal in gone.filter(|seal| !month_of(seal.id).is_some_and(|month| excused.contains(&month))) {
                self.report.found(Wrong::Missing, format_args!("{} of block {} is gone", seal.id, seal.block));
            }
        }
        self.beyond();
        if !self.waiting.is_empty() {
            let waiting = self.waiting.len();
            self.report.note(format_args!("{waiting} kills are not sealed yet, or not as they are now"));
        }
        self.report.verified = self.seals.last_of_each().filter(|seal| seal.state == State::Verified).count() as u64;
        // A file of what waits to be sealed has nothing to show for itself.
        self.report.is_unsealed = self.scope != Scope::Record && self.report.verified == 0 && !self.waiting.is_empty();
        self.report
    }

    /// The months that are gone rightly. One of which anything is left was not removed as a whole.
    fn excused(&mut self, removed: &[Removed]) -> BTreeSet<Date> {
        let mut sealed = BTreeMap::<Date, (i64, i64)>::new();
        for seal in self.seals.last_of_each() {
            if let Some(month) = month_of(seal.id) {
                let (all, there) = sealed.entry(month).or_default();
                *all += 1;
                *there += i64::from(seal.state != State::Unseen);
            }
        }
        let mut excused = BTreeSet::new();
        for Removed { id, month, kills, told } in removed {
            self.report.note(told);
            let (all, there) = sealed.get(month).copied().unwrap_or_default();
            if there > 0 {
                let what =
                    format_args!("{there} kills of the month {month} are there, which removal {id} says is gone");
                self.report.found(Wrong::Added, what);
                continue;
            }
            if *kills < all && self.scope != Scope::Part {
                let what =
                    format_args!("the month {month} had {kills} kills when it was removed, but {all} were sealed");
                self.report.found(Wrong::Missing, what);
            }
            excused.insert(*month);
        }
        excused
    }

    /// Tells of checkpoints for which there is no block. A part may have none of the newer ones.
    fn beyond(&mut self) {
        let ends = self.last_block();
        let beyond = self.checkpoints.split_off(&(ends + 1));
        for number in self.checkpoints.keys() {
            self.report
                .found(Wrong::Checkpoint, format_args!("block {number} is missing, of which there is a checkpoint"));
        }
        let Some(last) = beyond.values().flatten().next_back() else { return };
        let at = written_whole(last.head.sealed_at);
        let what = match last.head.number {
            number if number == ends + 1 => format!("block {number} is missing, sealed at {at}"),
            number => format!("blocks {} to {number} are missing, the last of them sealed at {at}", ends + 1),
        };
        match self.scope {
            Scope::Record => self.report.found(Wrong::Checkpoint, what),
            Scope::Copy => self.report.found(
                Wrong::Checkpoint,
                format_args!("{what}: the file's end was cut off, or it is older than the checkpoints"),
            ),
            Scope::Part => self.report.note(format_args!(
                "{what}: they hold nothing that the filters let pass, or were cut off, or are newer"
            )),
        }
    }
}

/// The first day of the month that a kill was asked in; `None` for the id of a removal.
fn month_of(id: Uuid) -> Option<Date> {
    asked_at(id)?.date().replace_day(1).ok()
}
