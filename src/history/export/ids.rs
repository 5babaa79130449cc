//! Which kills are in a file, in little memory however many they are: a Bloom filter.
//!
//! It may take a kill for one of the file that is not, and a block is carried that need not be. It never forgets one.

use crate::domain::KillId;

/// Bits; 8 MiB. A million kills fill a sixteenth, and one in a hundred thousand others is then taken for one of them.
const BITS: usize = 1 << 26;
/// Bits for each kill.
const PROBES: u64 = 4;

pub(super) struct Ids(Vec<u64>);

impl Ids {
    pub(super) fn new() -> Self {
        Self(vec![0; BITS / 64])
    }

    pub(super) fn insert(&mut self, id: KillId) {
        for (word, bit) in places(id) {
            self.0[word] |= bit;
        }
    }

    /// Whether it was put in, or looks like one that was.
    pub(super) fn may_have(&self, id: KillId) -> bool {
        places(id).all(|(word, bit)| self.0[word] & bit != 0)
    }
}

/// The words and bits that stand for an id, by two mixed halves of it.
fn places(id: KillId) -> impl Iterator<Item = (usize, u64)> {
    let (high, low) = id.as_u64_pair();
    let (start, step) = (mix(high ^ low.rotate_left(32)), mix(low) | 1);
    (0..PROBES).map(move |n| {
        let at = start.wrapping_add(step.wrapping_mul(n)) >> (64 - BITS.trailing_zeros());
        (usize::try_from(at / 64).unwrap_or(0), 1 << (at % 64))
    })
}

/// The finalizer of SplitMix64: every bit of the result depends on every bit of the number.
const fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn none_is_forgotten_and_few_are_mistaken() {
        let mut ids = Ids::new();
        // Ids of one millisecond, which differ in few bits.
        let id = |n: u64| Uuid::from_u64_pair(0x019a_0145_0be1_7823, 0xa957_0000_0000_0000 | n);
        (0..200_000).for_each(|n| ids.insert(id(2 * n)));
        assert!((0..200_000).all(|n| ids.may_have(id(2 * n))));
        let mistaken = (0..200_000).filter(|n| ids.may_have(id(2 * n + 1))).count();
        assert!(mistaken < 20, "{mistaken}");
    }
}
