//! Which answers an account has had: one that comes again is not the answer to the call it came for.

use std::{
    collections::{HashSet, VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    sync::Mutex,
};

use crate::lock::lock;

/// How many are remembered: those of some minutes at twenty calls a second.
const MOST: usize = 8192;

/// The request ids of the last answers.
#[derive(Debug, Default)]
pub(super) struct Seen {
    hasher: RandomState,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    hashes: HashSet<u64>,
    in_order: VecDeque<u64>,
}

impl Seen {
    /// Whether this is the first answer with that id; it is remembered.
    pub(super) fn is_new(&self, request_id: &str) -> bool {
        let hash = self.hasher.hash_one(request_id);
        let mut last = lock(&self.last);
        let is_new = last.hashes.insert(hash);
        if is_new {
            last.in_order.push_back(hash);
            if last.in_order.len() > MOST
                && let Some(oldest) = last.in_order.pop_front()
            {
                last.hashes.remove(&oldest);
            }
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_again_until_many_others_came() {
        let seen = Seen::default();
        assert!(seen.is_new("first") && !seen.is_new("first"));
        assert!((0..MOST).all(|number| seen.is_new(&number.to_string())));
        assert!(seen.is_new("first") && !seen.is_new("2"));
        assert_eq!(seen.last.lock().unwrap().hashes.len(), MOST);
    }
}
