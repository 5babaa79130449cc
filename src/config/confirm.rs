//! `[confirm]`: who has to show a preview before a kill.

use std::time::Duration;

use super::{Secret, section::Section};
use crate::domain::Glob;

/// Who has to show a preview before a kill, and what confirms are made with.
#[derive(Debug, Clone)]
pub struct Confirm {
    /// `secret`, one or several of at least 32 bytes each: confirms are made with the first, and one that was made with any of
    /// them is taken. Without it each process has one of its own.
    pub secrets: Vec<Secret>,
    /// `ttl_s`: how long a confirm is good: 30 to 3600 s, 300 by default.
    pub ttl: Duration,
    /// A `match` with more victims than this needs a confirm: 0 to 1000, 10 by default.
    pub above: usize,
    /// Whether `intelligent` needs a confirm; `false` by default.
    pub intelligent: bool,
    /// Patterns for callers that always need one.
    pub callers: Vec<Glob>,
    /// Patterns for the aliases of targets that always need one.
    pub targets: Vec<Glob>,
}

impl Confirm {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            secrets: section.secrets("secret", Secret::long_enough).unwrap_or_default(),
            ttl: Duration::from_secs(section.number("ttl_s", 30..=3600).unwrap_or(300)),
            above: section.number("above", 0..=1000).unwrap_or(10),
            intelligent: section.flag("intelligent").unwrap_or(false),
            callers: section.globs("callers"),
            targets: section.globs("targets"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, read, read_with};

    #[test]
    fn by_default_only_a_match_with_more_than_ten_needs_one() {
        let confirm = read("").confirm;
        assert!(confirm.secrets.is_empty() && confirm.callers.is_empty() && confirm.targets.is_empty());
        assert_eq!((confirm.ttl.as_secs(), confirm.above, confirm.intelligent), (300, 10, false));
    }

    #[test]
    fn all_of_it_can_be_set_and_the_secret_is_not_shown() {
        let toml = "[confirm]\nsecret = { env = 'SECRET' }\nttl_s = 30\nabove = 0\nintelligent = true\n\
                    callers = ['*-bot']\ntargets = ['orders-*', 'ledger']";
        let secret = "canary".repeat(6);
        let env = [("SECRET", secret.as_str()), ("KILLGATE__CONFIRM__TTL_S", "3600")];
        let config = read_with(toml, &env).unwrap();
        let confirm = &config.confirm;
        assert_eq!(confirm.secrets[0].expose(), secret);
        assert_eq!((confirm.ttl.as_secs(), confirm.above, confirm.intelligent), (3600, 0, true));
        assert!(confirm.callers[0].matches("chatops-bot") && confirm.targets[0].matches("orders-ro"));
        let shown = format!("{config:?} {:?}", config.summary());
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("confirm: good for 3600 s"), "{shown}");
    }

    #[test]
    fn each_bad_value_is_told_with_its_path() {
        let toml = "[confirm]\nsecret = 'canary'\nttl_s = 29\nabove = 1001\nintelligent = 'maybe'\ncallers = []\n\
                    targets = 7\ntarget = 'x'";
        assert_eq!(
            problems(toml),
            [
                "confirm.secret: must have at least 32 bytes",
                "confirm.ttl_s: must be a whole number from 30 to 3600, not 29",
                "confirm.above: must be a whole number from 0 to 1000, not 1001",
                "confirm.intelligent: must be true or false, not \"maybe\"",
                "confirm.callers: must be a list of one or more patterns",
                "confirm.targets: must be a list of one or more patterns",
                "confirm.target: unknown key, expected one of secret, ttl_s, above, intelligent, callers, targets",
            ]
        );
    }
}
