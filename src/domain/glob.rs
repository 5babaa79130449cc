//! Patterns in which `*` stands for any run of characters, also none.

/// A pattern such as `dba_*`; every other character stands for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// The pattern; `None` for the empty text and for control characters, which are never meant.
    #[must_use]
    pub fn parse(pattern: &str) -> Option<Self> {
        super::plain_text(pattern, 255).ok().map(|pattern| Self(pattern.to_owned()))
    }

    /// Whether the whole of `text` fits, upper and lower case being different.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        fits(&self.0, text)
    }

    /// Whether the whole of `text` fits, ASCII upper and lower case being the same.
    #[must_use]
    pub fn matches_any_case(&self, text: &str) -> bool {
        fits(&self.0.to_ascii_lowercase(), &text.to_ascii_lowercase())
    }

    /// The same, where nothing is known of `text` from the first character on that could not be read, U+FFFD: whether it
    /// may fit.
    #[must_use]
    pub fn may_match_any_case(&self, text: &str) -> bool {
        let Some((known, _)) = text.split_once(char::REPLACEMENT_CHARACTER) else { return self.matches_any_case(text) };
        let (pattern, known) = (self.0.to_ascii_lowercase(), known.to_ascii_lowercase());
        match pattern.split_once('*') {
            Some((head, _)) => head.starts_with(&known) || known.starts_with(head),
            None => pattern.starts_with(&known),
        }
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// First and last piece are anchored, those between are sought from left to right: linear, whatever the text.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let (middle, last) = tail.rsplit_once('*').unwrap_or(("", tail));
    for piece in middle.split('*') {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_and_all_else_for_itself() {
        let fits = |pattern: &str, text: &str| Glob::parse(pattern).unwrap().matches(text);
        for (pattern, text) in [
            ("repl", "repl"),
            ("dba_*", "dba_"),
            ("dba_*", "dba_anna"),
            ("*", ""),
            ("a*b*c", "abc"),
            ("a*b*c", "a-b-b-c"),
            ("**x", "x"),
            ("10.0.?.1", "10.0.?.1"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("repl", "repl2"), ("dba_*", "DBA_x"), ("a*a", "a"), ("a*b*c", "acb"), ("10.0.?.1", "10.0.7.1")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        assert!(Glob::parse("Binlog Dump*").unwrap().matches_any_case("BINLOG DUMP GTID"));
        assert_eq!(Glob::parse(""), None);
    }

    #[test]
    fn what_could_not_be_read_may_be_anything() {
        let may = |pattern: &str, text: &str| Glob::parse(pattern).unwrap().may_match_any_case(text);
        for (pattern, text) in [
            ("müller", "M\u{FFFD}ller"),
            ("报表", "\u{FFFD}\u{FFFD}"),
            ("dba_*", "db\u{FFFD}"),
            ("dba_*", "dba_m\u{FFFD}"),
            ("*_dba", "\u{FFFD}"),
            ("repl", "REPL"),
        ] {
            assert!(may(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("repl", "m\u{FFFD}"), ("dba_*", "app\u{FFFD}"), ("repl", "repl2"), ("re", "rep\u{FFFD}")]
        {
            assert!(!may(pattern, text), "{pattern} {text}");
        }
    }
}
