//! Lists of live sessions: what a script says of one, and the reading of its pages.
//!
//! Pages are read one after another while sessions come and go, so rows can move from a page that is still to come
//! into one that was read. Each page after the first therefore begins some rows before the end of those that were read.
//! As long as its first row is one of them, fewer have left than it goes back, and none has slipped by; new sessions join
//! at the end. A page behind the first that shows nobody new although there should be more is the answer of a vendor that
//! repeats itself: the reading ends there. The invariant: a list is called complete only where the vendor said so, every
//! page began like that, and there are as many sessions as the vendor told.

use std::collections::HashSet;

use crate::domain::{LiveSession, Match, SessionId, Target};

use super::{Call, Fault, Reply, Vendor};

/// Most rows that a page goes back.
const OVERLAP: usize = 10;

/// Most rows that are read: no server has so many connections, and a list has an end.
const MOST_ROWS: usize = 200_000;

/// What one answer to a list call says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// These sessions, how the list goes on, and how many sessions it has, where the vendor tells that.
    Sessions { sessions: Vec<LiveSession>, next: Next, total: Option<usize> },
    /// The list has to be asked for at this place, which is the same one, known more exactly.
    At(Target),
}

/// How a list goes on behind a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// With the row of that number, counted from 0.
    Row(usize),
    /// With the row of that number if there is one: a page that ends where the one before did is the last.
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
        self.vendor.list(&self.target, &self.wanted, self.begin()).filter(|_| self.ended.is_none())
    }

    /// How far the next page goes back; at most half a page, so that the list goes on.
    fn overlap(&self) -> usize {
        OVERLAP.min(self.widest / 2).min(self.row)
    }

    /// The row that the next page begins with.
    fn begin(&self) -> usize {
        self.row - self.overlap()
    }

    /// Takes the answer to the last call.
    ///
    /// # Errors
    /// What the vendor's script says of it; the same call may be made again.
    pub fn read(&mut self, reply: &Reply) -> Result<(), Fault> {
        match self.vendor.page(&self.target, self.begin(), reply)? {
            Page::At(target) => (self.target, self.row) = (target, 0),
            Page::Sessions { sessions, next, total } => self.take(sessions, next, total),
        }
        Ok(())
    }

    fn take(&mut self, page: Vec<LiveSession>, next: Next, total: Option<usize>) {
        self.steady &= match page.first() {
            Some(first) if self.overlap() > 0 => self.ids.contains(&first.id),
            Some(_) => self.sessions.is_empty(),
            None => self.overlap() == 0,
        };
        self.widest = self.widest.max(page.len());
        let known = self.sessions.len();
        for session in page {
            if self.ids.insert(session.id.clone()) {
                self.sessions.push(session);
            }
        }
        let is_new = self.sessions.len() > known;
        let is_short = total.is_some_and(|total| self.sessions.len() < total);
        match next {
            Next::Row(row) | Next::Perhaps(row) if row > self.row && is_new && row <= MOST_ROWS => self.row = row,
            Next::Perhaps(row) if row == self.row => self.ended = Some(Next::End),
            Next::End if !is_short => self.ended = Some(Next::End),
            Next::Row(_) | Next::Perhaps(_) | Next::End | Next::Cut => self.ended = Some(Next::Cut),
        }
    }

    /// Whether anything is known yet.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        !self.sessions.is_empty() || self.ended.is_some()
    }

    /// Where the sessions live, as exactly as it is known by now.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// What is known now: complete only at the end of a list that was not cut off and did not move.
    #[must_use]
    pub fn into_list(self) -> List {
        List { sessions: self.sessions, complete: self.steady && self.ended == Some(Next::End) }
    }
}
