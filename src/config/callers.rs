//! `[callers]`: how many kills one caller may ask for.

use super::section::Section;

/// How many kills one caller may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callers {
    /// `kills_per_second`: 1 to 100000, 10 by default.
    pub kills_per_second: u32,
    /// `burst`: how many may come at once, 1 to 100000, 50 by default.
    pub burst: u32,
}

impl Callers {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            kills_per_second: section.number("kills_per_second", 1..=100_000).unwrap_or(10),
            burst: section.number("burst", 1..=100_000).unwrap_or(50),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, read};
    use super::*;

    #[test]
    fn a_caller_may_ask_for_ten_a_second_and_fifty_at_once() {
        assert_eq!(read("").callers, Callers { kills_per_second: 10, burst: 50 });
        assert_eq!(read("[callers]\nburst = 7").callers, Callers { kills_per_second: 10, burst: 7 });
        assert_eq!(
            problems("[callers]\nkills_per_second = 0"),
            ["callers.kills_per_second: must be a whole number from 1 to 100000, not 0"]
        );
    }
}
