//! `[returned]`: for how long after a kill is looked whether its sessions come back.

use std::time::Duration;

use super::section::Section;

/// For how long after a kill is looked whether its sessions come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Returned {
    /// `watch_s`: 0 to 3600 s, 60 by default; 0 is not at all.
    pub watch: Duration,
}

impl Returned {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self { watch: Duration::from_secs(section.number("watch_s", 0..=3600).unwrap_or(60)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, read};

    #[test]
    fn a_kill_is_watched_for_a_minute_for_an_hour_at_most_or_not_at_all() {
        let seconds = |toml: &str| read(toml).returned.watch.as_secs();
        let set = ["", "[returned]\nwatch_s = 0", "[returned]\nwatch_s = 3600"];
        assert_eq!(set.map(seconds), [60, 0, 3600]);
        assert_eq!(
            problems("[returned]\nwatch_s = 3601\nwatch = 1"),
            [
                "returned.watch_s: must be a whole number from 0 to 3600, not 3601",
                "returned.watch: unknown key, expected one of watch_s",
            ]
        );
    }
}
