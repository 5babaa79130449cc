//! Numbers for tests that try many ways.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// Numbers that come again with their seed (splitmix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From `KILLGATE_TEST_SEED`, or new ones; told, so that a failure can be tried again.
    pub(crate) fn thrown() -> Self {
        #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
        let given = std::env::var("KILLGATE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        eprintln!("KILLGATE_TEST_SEED={seed}");
        Self::new(seed)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap()]
    }

    /// One for each use, so that what one of them throws does not depend on the others.
    pub(crate) fn another(&mut self) -> Self {
        Self(self.roll(u64::MAX))
    }
}
