//! Lists of live sessions: what a script says of one, and the reading of its pages.
//!
//! Pages are read one after another while sessions come and go, so rows can move from a page that is still to come
//! into one that was read. Each page after the first therefore begins some rows before the end of those that were read.
//! As long as its first row is one of them, fewer have left than it goes back, and none has slipped by; new sessions join
//! at the end. Where it is not, the next page goes back by a whole one, a few times. A page behind the first that shows
//! nobody new although there should be more is the answer of a vendor that repeats itself: the reading ends there. The
//! invariant: a list is called complete only where the vendor said so, every page began like that, and there are as many
//! sessions as the vendor told.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use crate::domain::{LiveSession, SessionId, Target, Unlisted, split_id};

use super::{
    Call, Fault, Reply, Vendor,
    together::{self, OfPlace},
};

/// Most rows that a page goes back.
const OVERLAP: usize = 10;

/// How often a page goes back further since too many rows had left.
const RETREATS: u32 = 30;

/// How often it does so where there is no row any more.
const EMPTY: u32 = 3;

/// Most rows that are read: no server has so many connections, and a list has an end.
const MOST_ROWS: usize = 200_000;

/// What one answer to a list call says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// These sessions, how the list goes on, and how many sessions it has, where the vendor tells that.
    Sessions { sessions: Vec<LiveSession>, next: Next, total: Option<usize> },
    /// The list has to be asked for at this place, which is the same one, known more exactly.
    At(Target),
    /// The vendor still gathers it: it is to be asked so, after a pause.
    Later { call: Call, pause: Duration },
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
    /// Of several places, why there may be more in each; `None` where there are not. Empty where it is of one place.
    pub places: BTreeMap<String, Option<String>>,
}

impl List {
    /// What one place has.
    #[must_use]
    pub const fn of_place(sessions: Vec<LiveSession>, complete: bool) -> Self {
        Self { sessions, complete, places: BTreeMap::new() }
    }

    /// What several lists of one place show together, each id once; complete where all of them are.
    #[must_use]
    pub fn of_all(lists: Vec<Self>) -> Self {
        let complete = !lists.is_empty() && lists.iter().all(|list| list.complete);
        let (mut ids, mut places) = (HashSet::new(), BTreeMap::<String, Option<String>>::new());
        for (place, why) in lists.iter().flat_map(|list| &list.places) {
            let known = places.entry(place.clone()).or_default();
            *known = known.take().or_else(|| why.clone());
        }
        let all = lists.into_iter().flat_map(|list| list.sessions);
        Self { sessions: all.filter(|session| ids.insert(session.id.clone())).collect(), complete, places }
    }

    /// Whether that session would be on it if there were such a one: all of its place are, whatever is missing elsewhere.
    #[must_use]
    pub fn would_show(&self, id: &str) -> bool {
        match split_id(id).0.filter(|_| !self.places.is_empty()) {
            Some(place) => self.places.get(place).is_some_and(Option::is_none),
            None => self.complete,
        }
    }

    /// Why it may not be, where that is known of its place.
    #[must_use]
    pub fn gap_of(&self, id: &str) -> Option<&str> {
        self.places.get(split_id(id).0?)?.as_deref()
    }

    /// The places of which there may be more.
    #[must_use]
    pub fn unlisted(&self) -> Vec<Unlisted> {
        let of =
            |(place, why): (&String, &Option<String>)| Some(Unlisted { place: place.clone(), detail: why.clone()? });
        self.places.iter().filter_map(of).collect()
    }
}

/// What a list is asked for: the vendor may leave out the sessions of other users or in other databases, and never leaves out
/// one that fits. Nothing given is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ListFilter {
    /// The database user, as written.
    pub user: Option<String>,
    /// The database, as written.
    pub database: Option<String>,
}

impl ListFilter {
    /// The sessions of that user.
    #[must_use]
    pub fn of_user(user: &str) -> Self {
        Self { user: Some(user.to_owned()), database: None }
    }
}

/// A list on its way: hands out one call after another and reads their answers.
#[derive(Debug, Clone)]
pub struct Listing {
    vendor: &'static dyn Vendor,
    target: Target,
    filter: ListFilter,
    sessions: Vec<LiveSession>,
    ids: HashSet<SessionId>,
    /// The row behind the last page.
    row: usize,
    /// Most rows that a page has had.
    widest: usize,
    retreats: u32,
    /// How often there was no row where there had been some.
    empty: u32,
    /// Whether the next page goes over rows that were read.
    goes_back: bool,
    /// Whether every page began as it should.
    steady: bool,
    ended: Option<Next>,
    /// What the vendor wants to be asked instead of the next page, and after which pause.
    later: Option<(Call, Duration)>,
    /// Of several places, each one's own.
    places: Option<Vec<OfPlace>>,
}

impl Listing {
    /// A list of the target's sessions. The vendor may show others than those that were asked for; whoever asks has to
    /// look for himself.
    #[must_use]
    pub fn new(vendor: &'static dyn Vendor, target: Target, filter: ListFilter) -> Self {
        let places = if target.has_node() { together::of_each(vendor, &target, &filter) } else { None };
        Self {
            vendor,
            target,
            filter,
            sessions: vec![],
            ids: HashSet::new(),
            row: 0,
            widest: 0,
            retreats: 0,
            empty: 0,
            goes_back: false,
            steady: true,
            ended: None,
            later: None,
            places,
        }
    }

    /// How long to wait before the next call, where the vendor still gathers the list.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        self.later.as_ref().map(|(_, pause)| *pause)
    }

    /// The next call, of several places that of the first; `None` at the end, and where the vendor cannot list.
    #[must_use]
    pub fn call(&self) -> Option<Call> {
        if let Some(places) = &self.places {
            return places.iter().find(|place| place.why.is_none()).and_then(|place| place.listing.call());
        }
        if let Some((call, _)) = &self.later {
            return Some(call.clone());
        }
        self.vendor.list(&self.target, &self.filter, self.begin()).filter(|_| self.ended.is_none())
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
        if let Some(first) = self.of_places().iter_mut().find(|place| place.why.is_none()) {
            return first.listing.read(reply);
        }
        match self.vendor.page(&self.target, self.begin(), reply)? {
            Page::At(target) => {
                self.places = together::of_each(self.vendor, &target, &self.filter);
                (self.target, self.row) = (target, 0);
            }
            Page::Later { call, pause } => {
                self.later = Some((call, pause));
                return Ok(());
            }
            Page::Sessions { sessions, next, total } => self.take(sessions, next, total),
        }
        self.later = None;
        Ok(())
    }

    fn take(&mut self, page: Vec<LiveSession>, next: Next, total: Option<usize>) {
        let begin = self.begin();
        let can_go_back = self.overlap() > 0;
        let has_gap = match page.first() {
            // Sessions were there a moment ago.
            None if begin == 0 => !self.sessions.is_empty(),
            Some(_) if begin == 0 => false,
            Some(first) if can_go_back => !self.ids.contains(&first.id),
            Some(_) => true,
            None => can_go_back,
        };
        self.widest = self.widest.max(page.len());
        let known = self.sessions.len();
        // No row where there were some is a list that most have left, or one that was cut off there, which stays so.
        let have_left = self.empty < EMPTY && total.is_none_or(|total| total <= begin);
        let is_worth_it = if page.is_empty() { have_left } else { self.retreats < RETREATS };
        if has_gap && can_go_back && is_worth_it {
            // Its rows come again, on a page that joins what was read.
            self.retreats += 1;
            self.empty += u32::from(page.is_empty());
            self.goes_back = true;
            // Where a page before it has none either, nobody knows how many are left.
            let begin = if self.empty > 1 { 0 } else { begin.saturating_sub(self.widest) };
            self.row = begin + OVERLAP.min(self.widest / 2).min(begin);
            return;
        }
        for session in page {
            if self.ids.insert(session.id.clone()) {
                self.sessions.push(session);
            }
        }
        self.steady &= !has_gap;
        // Who goes back meets nobody new on the way.
        let is_new = self.sessions.len() > known || std::mem::take(&mut self.goes_back);
        let is_short = total.is_some_and(|total| self.sessions.len() < total);
        match next {
            Next::Row(row) | Next::Perhaps(row) if row > self.row && is_new && row <= MOST_ROWS => self.row = row,
            Next::Perhaps(row) if row == self.row => self.ended = Some(Next::End),
            // It ends sooner than it did: so it does if it does so once more.
            Next::Perhaps(row) if row < self.row && self.retreats < RETREATS => {
                self.retreats += 1;
                self.row = row;
            }
            Next::End if !is_short => self.ended = Some(Next::End),
            Next::Row(_) | Next::Perhaps(_) | Next::End | Next::Cut => self.ended = Some(Next::Cut),
        }
    }

    /// Whether it is that of several places, of which it is known which there are.
    #[must_use]
    pub const fn is_of_places(&self) -> bool {
        self.places.is_some()
    }

    /// Of several places, once it is known which there are, each one's own.
    pub fn of_places(&mut self) -> &mut [OfPlace] {
        self.places.as_deref_mut().unwrap_or_default()
    }

    /// Leaves out the place that the next call is of, of several, and goes on with the others; false where it is one.
    pub fn leave_out(&mut self, why: impl FnOnce() -> String) -> bool {
        let next = self.of_places().iter_mut().find(|place| place.why.is_none());
        next.map(|place| place.why = Some(why())).is_some()
    }

    /// What the next call is of: of several places the first that can be read.
    #[must_use]
    pub fn asked(&self) -> &Target {
        let next = self.places.iter().flatten().find(|place| place.why.is_none());
        next.map_or(&self.target, |place| &place.listing.target)
    }

    /// Whether anything is known yet.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        let of_place = || self.places.iter().flatten().any(|place| place.listing.has_begun());
        !self.sessions.is_empty() || self.ended.is_some() || of_place()
    }

    /// Whether anything is known of it, of several places of each.
    #[must_use]
    pub fn has_begun_everywhere(&self) -> bool {
        self.places.as_ref().map_or_else(|| self.has_begun(), |places| places.iter().all(|it| it.listing.has_begun()))
    }

    /// Where the sessions live, as exactly as it is known by now.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// What is known now: complete only at the end of a list that was not cut off and did not move.
    #[must_use]
    pub fn into_list(self) -> List {
        if let Some(places) = self.places {
            return together::together(places);
        }
        let complete = self.steady && self.ended == Some(Next::End);
        List { sessions: self.sessions, complete, places: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::VendorName, upstream::find};

    /// Reads a server's rows in pages of 100, before each of which some rows have left.
    fn read(mut rows: Vec<u64>, mut leave: impl FnMut(usize, &mut Vec<u64>)) -> (List, usize) {
        let target =
            Target { alias: None, vendor: VendorName("dcdb"), account: "t".to_owned(), coordinates: [].into() };
        let mut listing = Listing::new(find("dcdb").unwrap(), target, ListFilter::default());
        let mut pages = 0;
        while listing.ended.is_none() {
            leave(pages, &mut rows);
            let begin = listing.begin();
            let page: Vec<_> = rows.iter().skip(begin).take(100).collect();
            let next = begin + page.len();
            let sessions = page.into_iter().map(|id| LiveSession::new(SessionId(id.to_string()))).collect();
            listing.take(sessions, Next::Perhaps(next), None);
            pages += 1;
        }
        (listing.into_list(), pages)
    }

    #[test]
    fn a_list_from_which_many_leave_while_it_is_read_is_read_whole_all_the_same() {
        let (list, pages) = read((0..1000).collect(), |_, _| {});
        assert_eq!((list.sessions.len(), list.complete, pages), (1000, true, 12));
        let (list, _) = read((0..1000).collect(), |page, rows| drop(rows.drain(..if page < 8 { 60 } else { 0 })));
        let shown = |id: u64| list.sessions.iter().any(|session| session.id.0 == id.to_string());
        assert!(list.complete && (480..1000).all(shown), "{} of them", list.sessions.len());
    }

    #[test]
    fn a_list_that_nearly_all_have_left_is_read_whole() {
        let (list, _) = read((0..1000).collect(), |page, rows| {
            if page == 9 {
                drop(rows.drain(..995));
            }
        });
        assert!(list.complete && (995..1000).all(|id: u64| list.sessions.iter().any(|one| one.id.0 == id.to_string())));
        let (list, _) = read((0..1000).collect(), |page, rows| {
            if page == 9 {
                rows.clear();
            }
        });
        assert!(!list.complete, "all of them at once: it may be cut off");
        let (list, _) = read((0..1000).collect(), |page, rows| {
            if page == 9 {
                rows.truncate(813);
            }
        });
        assert!(list.complete, "it ends sooner than it did");
    }

    #[test]
    fn a_list_that_never_holds_still_is_not_called_whole() {
        let (list, pages) = read((0..100_000).collect(), |_, rows| drop(rows.drain(..rows.len().min(500))));
        assert!(!list.complete && pages < 1000, "{pages}");
    }
}
