//! `[callers]`: how many kills and lists one caller may ask for, and how many sessions the kills may end.

use super::section::Section;

/// How many kills and lists one caller may ask for, and how many sessions the kills may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callers {
    /// `kills_per_second`: 1 to 100000, 10 by default.
    pub kills_per_second: u32,
    /// `burst`: how many may come at once, 1 to 100000, 50 by default.
    pub burst: u32,
    /// `lists_per_second`: lists of sessions and previews, 1 to 100000, 5 by default.
    pub lists_per_second: u32,
    /// `lists_burst`: how many of these may come at once, 1 to 100000, 20 by default.
    pub lists_burst: u32,
    /// `sessions_per_kill`: the most sessions of one kill, 1 to 1000, 1000 by default.
    pub sessions_per_kill: usize,
    /// `sessions_per_target_minute`: the most sessions of one target that may end within a minute, 0 to 1000000; 0, the
    /// default, is no cap.
    pub sessions_per_target_minute: usize,
}

impl Callers {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            kills_per_second: section.number("kills_per_second", 1..=100_000).unwrap_or(10),
            burst: section.number("burst", 1..=100_000).unwrap_or(50),
            lists_per_second: section.number("lists_per_second", 1..=100_000).unwrap_or(5),
            lists_burst: section.number("lists_burst", 1..=100_000).unwrap_or(20),
            sessions_per_kill: section.number("sessions_per_kill", 1..=1000).unwrap_or(1000),
            sessions_per_target_minute: section.number("sessions_per_target_minute", 0..=1_000_000).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, read};
    use super::*;

    const DEFAULT: Callers = Callers {
        kills_per_second: 10,
        burst: 50,
        lists_per_second: 5,
        lists_burst: 20,
        sessions_per_kill: 1000,
        sessions_per_target_minute: 0,
    };

    #[test]
    fn a_caller_may_ask_for_ten_a_second_and_fifty_at_once() {
        assert_eq!(read("").callers, DEFAULT);
        assert_eq!(read("[callers]\nburst = 7").callers, Callers { burst: 7, ..DEFAULT });
        assert_eq!(
            problems("[callers]\nkills_per_second = 0"),
            ["callers.kills_per_second: must be a whole number from 1 to 100000, not 0"]
        );
    }

    #[test]
    fn lists_have_a_limit_of_their_own() {
        let limited = Callers { lists_per_second: 1, lists_burst: 3, ..DEFAULT };
        assert_eq!(read("[callers]\nlists_per_second = 1\nlists_burst = 3").callers, limited);
        assert_eq!(
            problems("[callers]\nlists_burst = 0"),
            ["callers.lists_burst: must be a whole number from 1 to 100000, not 0"]
        );
    }

    #[test]
    fn sessions_can_be_capped_for_a_kill_and_for_a_target() {
        let caps = "[callers]\nsessions_per_kill = 5\nsessions_per_target_minute = 20";
        let capped = Callers { sessions_per_kill: 5, sessions_per_target_minute: 20, ..DEFAULT };
        assert_eq!(read(caps).callers, capped);
        assert_eq!(
            problems("[callers]\nsessions_per_kill = 1001\nsessions_per_target_minute = -1"),
            [
                "callers.sessions_per_kill: must be a whole number from 1 to 1000, not 1001",
                "callers.sessions_per_target_minute: must be a whole number from 0 to 1000000, not -1",
            ]
        );
    }
}
