//! Lists of live sessions: what a script says of one, and the reading of its pages.
//!
//! Pages are read one after another while sessions come and go, so rows can move from a page that is still to come
//! into one that was read. Each page after the first therefore begins with the last row of the one before. The
//! invariant: a list is called complete only where the vendor said so and every page began as it should.

use std::collections::HashSet;

use crate::domain::{LiveSession, Match, SessionId, Target};

use super::{Call, Fault, Reply, Vendor};

/// What one answer to a list call says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// These sessions, and how the list goes on.
    Sessions { sessions: Vec<LiveSession>, next: Next },
    /// The list has to be asked for at this place, which is the same one, known more exactly.
    At(Target),
}

/// How a list goes on behind a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// With the row of that number, counted from 0.
    Row(usize),
    /// With the row of that number if there is one: a page with nothing new is the end.
    Perhaps(usize),
    /// This was all.
    End,
    /// There is more, and the vendor does not show it.
    Cut,
}

/// Live sessions as the vendor listed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Each id once.
    pub sessions: Vec<LiveSession>,
    /// False where there may be more.
    pub complete: bool,
}

/// A list on its way: hands out one call after another and reads their answers.
#[derive(Debug, Clone)]
pub struct Listing {
    vendor: &'static dyn Vendor,
    target: Target,
    wanted: Match,
    sessions: Vec<LiveSession>,
    ids: HashSet<SessionId>,
    /// The row behind the last page.
    row: usize,
    /// Most rows that a page has had.
    widest: usize,
    /// Whether every page began as it should.
    steady: bool,
    ended: Option<Next>,
}

impl Listing {
    /// A list of the target's sessions. The vendor may leave out those that do not meet what is wanted; whoever
    /// asks has to look for himself.
    #[must_use]
    pub fn new(vendor: &'static dyn Vendor, target: Target, wanted: Match) -> Self {
        Self {
            vendor,
            target,
            wanted,
            sessions: vec![],
            ids: HashSet::new(),
            row: 0,
            widest: 0,
            steady: true,
            ended: None,
        }
    }

    /// The next call; `None` at the end, and where the vendor cannot list.
    #[must_use]
    pub fn call(&self) -> Option<Call> {
        let row = self.row - usize::from(self.overlaps());
        self.vendor.list(&self.target, &self.wanted, row).filter(|_| self.ended.is_none())
    }

    /// Whether the next page has to begin with the last row of those before; pages of one row could not go on then.
    const fn overlaps(&self) -> bool {
        self.row > 0 && self.widest > 1
    }

    /// Takes the answer to the last call.
    ///
    /// # Errors
    /// What the vendor's script says of it; the same call may be made again.
    pub fn read(&mut self, reply: &Reply) -> Result<(), Fault> {
        let row = self.row - usize::from(self.overlaps());
        match self.vendor.page(&self.target, row, reply)? {
            Page::At(target) => (self.target, self.row) = (target, 0),
            Page::Sessions { sessions, next } => self.take(sessions, next),
        }
        Ok(())
    }

    fn take(&mut self, page: Vec<LiveSession>, next: Next) {
        let is_first = self.sessions.is_empty();
        if self.overlaps() {
            self.steady &= page.first().map(|row| &row.id) == self.sessions.last().map(|row| &row.id);
        } else {
            self.steady &= is_first || page.is_empty();
        }
        self.widest = self.widest.max(page.len());
        for session in page {
            if self.ids.insert(session.id.clone()) {
                self.sessions.push(session);
            }
        }
        match next {
            Next::Row(row) | Next::Perhaps(row) if row > self.row => self.row = row,
            Next::Row(_) => self.ended = Some(Next::Cut),
            Next::Perhaps(_) => self.ended = Some(Next::End),
            Next::End | Next::Cut => self.ended = Some(next),
        }
    }

    /// Whether anything is known yet.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        !self.sessions.is_empty() || self.ended.is_some()
    }

    /// What is known now: complete only at the end of a list that was not cut off and did not move.
    #[must_use]
    pub fn into_list(self) -> List {
        List { sessions: self.sessions, complete: self.steady && self.ended == Some(Next::End) }
    }
}
