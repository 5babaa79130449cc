//! What a check of the evidence found, in words and as an exit status.

use std::fmt;

use crate::domain::is_unseen;

/// What can be wrong. Each has a number of its own, and the exit status is the sum of those that were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// Rows that are not what was sealed.
    Changed,
    /// Sealed rows that are gone.
    Missing,
    /// Rows that were never sealed, though they would have been.
    Added,
    /// Blocks that are missing, do not hold together, or are signed with another key.
    Chain,
    /// An outside checkpoint that tells of something else than the record.
    Checkpoint,
    /// A file that says it has a part of the record only, where nobody said that a part was asked for.
    Part,
}

impl Wrong {
    pub const ALL: [Self; 6] = [Self::Changed, Self::Missing, Self::Added, Self::Chain, Self::Checkpoint, Self::Part];

    /// Its part of the exit status.
    #[must_use]
    pub const fn status(self) -> u8 {
        match self {
            Self::Changed => 4,
            Self::Missing => 8,
            Self::Added => 16,
            Self::Chain => 32,
            Self::Checkpoint => 64,
            Self::Part => 128,
        }
    }

    /// The word that it is told by.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Changed => "CHANGED",
            Self::Missing => "MISSING",
            Self::Added => "ADDED",
            Self::Chain => "CHAIN",
            Self::Checkpoint => "CHECKPOINT",
            Self::Part => "PART",
        }
    }
}

/// The exit status where nothing is wrong.
pub const VERIFIED: u8 = 0;
/// The exit status where nothing is wrong, but nothing was verified either: there is no block, or a file in which no entry
/// is sealed.
pub const NOTHING_SEALED: u8 = 3;

/// How many of a kind are told in full.
const TOLD: usize = 10;

/// Everything of one kind that is wrong: the first ones in words, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Findings {
    first: Vec<String>,
    count: u64,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    wrong: [Findings; 6],
    /// What a file says it has of the record, where it is not all.
    pub(super) part: Option<String>,
    /// Facts that are not wrong, one a line.
    pub notes: Vec<String>,
    /// How many blocks there are.
    pub blocks: u64,
    /// Kills and removals that are what was sealed last.
    pub verified: u64,
    /// How many checkpoints were held against the record.
    pub checkpoints: u64,
    /// Whether there were entries that a block should stand behind, and none of them was verified.
    pub(super) is_unsealed: bool,
}

impl Report {
    pub(super) fn with(checkpoints: usize) -> Self {
        Self { checkpoints: checkpoints as u64, ..Self::default() }
    }

    /// Notes something that is wrong.
    pub fn found(&mut self, wrong: Wrong, what: impl fmt::Display) {
        let findings = &mut self.wrong[wrong as usize];
        findings.count += 1;
        if findings.first.len() < TOLD {
            findings.first.push(shown(what));
        }
    }

    /// Notes something that is no finding.
    pub fn note(&mut self, what: impl fmt::Display) {
        self.notes.push(shown(what));
    }

    /// How much of this kind is wrong.
    #[must_use]
    pub const fn count(&self, wrong: Wrong) -> u64 {
        self.wrong[wrong as usize].count
    }

    /// The first of this kind that are wrong, in words.
    #[must_use]
    pub fn told(&self, wrong: Wrong) -> &[String] {
        &self.wrong[wrong as usize].first
    }

    /// The exit status: the sum of what is wrong, else [`VERIFIED`] or [`NOTHING_SEALED`].
    #[must_use]
    pub fn status(&self) -> u8 {
        let sum = Wrong::ALL.iter().filter(|wrong| self.count(**wrong) > 0).map(|wrong| wrong.status()).sum();
        let nothing = self.blocks == 0 || self.is_unsealed;
        if sum == VERIFIED && nothing { NOTHING_SEALED } else { sum }
    }
}

/// The text without what would move the cursor, colour the words or turn them round: much of it comes from the record.
pub(super) fn shown(what: impl fmt::Display) -> String {
    let mut shown = String::new();
    for c in what.to_string().chars() {
        if is_unseen(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(part) = &self.part {
            writeln!(f, "a part of the record: {part}")?;
        }
        for wrong in Wrong::ALL {
            let Findings { first, count } = &self.wrong[wrong as usize];
            for what in first {
                writeln!(f, "{}: {what}", wrong.word())?;
            }
            let more = count - first.len() as u64;
            if more > 0 {
                writeln!(f, "{}: and {more} more, {count} in all", wrong.word())?;
            }
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        let Self { blocks, verified, checkpoints, .. } = self;
        let outcome = match self.status() {
            VERIFIED => "verified",
            NOTHING_SEALED => "nothing of it is sealed, so nothing can be verified",
            _ => "NOT verified",
        };
        write!(f, "{outcome}: {verified} entries in {blocks} blocks, {checkpoints} checkpoints")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_the_record_cannot_write_lines_of_its_own() {
        let mut report = Report::default();
        report.note("reason: x\nverified: 9\u{1b}[2J\u{202e}\u{2028} ä");
        report.found(Wrong::Changed, "a\rb\u{9b}c");
        let told = report.to_string();
        assert!(told.starts_with("CHANGED: a\\u{d}b\\u{9b}c\nnote: reason: x\\u{a}verified: 9\\u{1b}[2J"), "{told}");
        assert!(told.contains("\\u{202e}\\u{2028} ä\nNOT verified"), "{told}");
    }
}
