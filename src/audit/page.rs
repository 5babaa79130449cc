//! Reading the record page by page, newest or oldest first.
//!
//! A page ends where it has as many kills as were asked for, or where what they hold is much, and always has one.
//!
//! Ids sort by time, so a page is "the next ones from this id on" and a time window is a range of ids. A kill may be
//! committed after one that was asked later, so an id alone does not say whether a reader has passed it. The cursor
//! carries what the first page could see, and every later page shows that and nothing else: the pages together are the
//! record as it stood then, whatever is written meanwhile.

use std::collections::HashMap;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Filter,
    cursor::{Cursor, Snapshot},
    log::{Folded, Found},
};
use crate::{
    clock::unix_millis,
    domain::{Kill, KillId},
};

/// Some kills in the order that was asked for, and where to go on if there are more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T = Kill> {
    pub items: Vec<T>,
    pub next: Option<Cursor>,
}

/// How much a page holds: it ends with the kill that brings it there. A kill is as large as it has sessions and, since its
/// selector may name a thousand without recording one, hundreds of characters to say which.
pub(super) const LARGE: i64 = 2000;

/// A kill that may be on a page.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) id: KillId,
    size: i32,
    /// Where it was read already.
    folded: Option<Folded>,
}

impl Candidate {
    /// One that was found in the index.
    pub(super) const fn indexed((id, size): (KillId, i32)) -> Self {
        Self { id, size, folded: None }
    }

    /// How much a page holds with it.
    pub(super) fn size(&self) -> i64 {
        i64::from(self.size)
    }

    /// One that is not indexed yet, where it passes the filter.
    pub(super) fn unindexed(folded: Folded, filter: &Filter) -> Option<Self> {
        let row = filter.row_of(&folded);
        filter.meets(&row).then_some(Self { id: row.id, size: row.size, folded: Some(folded) })
    }
}

/// The kills of a page in their order, and whether there are more behind it.
pub(super) struct Chosen {
    of_page: Vec<Candidate>,
    more: bool,
    oldest_first: bool,
}

impl Chosen {
    /// Up to `limit` of these, each once; `is_cut` where there are more of them.
    pub(super) fn of(mut candidates: Vec<Candidate>, filter: &Filter, limit: u32, is_cut: bool) -> Self {
        candidates.sort_unstable_by_key(|candidate| candidate.id);
        if !filter.oldest_first {
            candidates.reverse();
        }
        let all = candidates.len();
        let (mut held, mut of_page) = (0, Vec::new());
        for candidate in candidates.into_iter().take(limit as usize) {
            if held >= LARGE {
                break;
            }
            held += i64::from(candidate.size);
            of_page.push(candidate);
        }
        Self { more: is_cut || of_page.len() < all, of_page, oldest_first: filter.oldest_first }
    }

    /// Those that are still to be read.
    pub(super) fn unread(&self) -> Vec<KillId> {
        self.of_page.iter().filter(|kill| kill.folded.is_none()).map(|kill| kill.id).collect()
    }

    /// The page, with those that were read meanwhile.
    ///
    /// # Errors
    /// One of them does not read as a kill.
    pub(super) fn page<T>(
        self,
        read: Vec<Found>,
        seen: Snapshot,
        as_item: impl Fn(Folded) -> sqlx::Result<T>,
    ) -> sqlx::Result<Page<T>> {
        let mut read: HashMap<KillId, sqlx::Result<Folded>> = read.into_iter().collect();
        let oldest_first = self.oldest_first;
        let last = self.of_page.last().map(|kill| kill.id).filter(|_| self.more);
        let mut items = Vec::with_capacity(self.of_page.len());
        for Candidate { id, folded, .. } in self.of_page {
            // One of the index that is not in the log is no kill; verifying tells of it.
            let folded = folded.map(Ok).or_else(|| read.remove(&id));
            if let Some(folded) = folded {
                items.push(as_item(folded?)?);
            }
        }
        Ok(Page { items, next: last.map(|after| Cursor { after, seen, oldest_first }) })
    }
}

/// The lowest id a kill asked at `at` or later can have. Kills are asked at whole milliseconds.
pub(super) fn first_id_from(at: OffsetDateTime) -> Uuid {
    let millis = unix_millis(at) + i64::from(!at.nanosecond().is_multiple_of(1_000_000));
    let millis = u64::try_from(millis).unwrap_or(0).min(0xffff_ffff_ffff);
    Uuid::from_u128(u128::from(millis) << 80)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::clock::id_at;

    #[test]
    fn the_bounds_of_a_time_window_lie_between_the_ids() {
        let at = datetime!(2026-01-02 03:04:05.678 UTC);
        let id = id_at(at);
        let a_little_later = at + time::Duration::microseconds(1);
        assert!(first_id_from(at) <= id);
        assert!(first_id_from(a_little_later) > id);
        assert_eq!(first_id_from(datetime!(1900-01-01 0:00 UTC)), Uuid::nil());
    }
}
