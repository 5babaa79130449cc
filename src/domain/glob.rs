//! Patterns in which `*` stands for any run of characters, also none, `\*` for a star and `\\` for a backslash.

/// A pattern such as `dba_*`; every other character stands for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    /// As written.
    source: String,
    /// What stands between the wildcards: one where there is none.
    pieces: Vec<String>,
}

impl Glob {
    /// The pattern; `None` for the empty text and for control characters, which are never meant.
    #[must_use]
    pub fn parse(pattern: &str) -> Option<Self> {
        super::plain_text(pattern, 255).ok().map(Self::of)
    }

    /// A pattern that this text fits and no other.
    #[must_use]
    pub fn exactly(text: &str) -> Self {
        Self { source: text.replace('\\', r"\\").replace('*', r"\*"), pieces: vec![text.to_owned()] }
    }

    fn of(pattern: &str) -> Self {
        let mut pieces = vec![String::new()];
        let mut rest = pattern;
        while let Some(next) = rest.chars().next() {
            let (literal, length) = match next {
                '\\' if rest.starts_with(r"\*") => (Some('*'), 2),
                '\\' if rest.starts_with(r"\\") => (Some('\\'), 2),
                '*' => (None, 1),
                other => (Some(other), other.len_utf8()),
            };
            match (literal, pieces.last_mut()) {
                (Some(literal), Some(piece)) => piece.push(literal),
                (Some(_) | None, _) => pieces.push(String::new()),
            }
            rest = &rest[length..];
        }
        Self { source: pattern.to_owned(), pieces }
    }

    /// The only text that fits; `None` where several do.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        if let [only] = self.pieces.as_slice() { Some(only) } else { None }
    }

    /// Whether it has a letter or a digit: stars and what stands between parts of a name name nobody.
    #[must_use]
    pub fn names(&self) -> bool {
        self.pieces.iter().any(|piece| names(piece))
    }

    /// Whether the whole of `text` fits, upper and lower case being different.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        fits(&self.pieces, text)
    }

    /// Whether the whole of `text` fits, ASCII upper and lower case being the same.
    #[must_use]
    pub fn matches_any_case(&self, text: &str) -> bool {
        let pieces: Vec<_> = self.pieces.iter().map(|piece| piece.to_ascii_lowercase()).collect();
        fits(&pieces, &text.to_ascii_lowercase())
    }

    /// The same, where nothing is known of `text` from the first character on that could not be read, U+FFFD: whether it
    /// may fit.
    #[must_use]
    pub fn may_match_any_case(&self, text: &str) -> bool {
        let Some((known, _)) = text.split_once(char::REPLACEMENT_CHARACTER) else { return self.matches_any_case(text) };
        let (head, known) = (self.pieces.first().map(|head| head.to_ascii_lowercase()), known.to_ascii_lowercase());
        let head = head.unwrap_or_default();
        head.starts_with(&known) || self.pieces.len() > 1 && known.starts_with(&head)
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

/// Whether a text says more than what may stand in every text of its kind.
#[must_use]
pub(super) fn names(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// First and last piece are anchored, those between are sought from left to right: linear, whatever the text.
fn fits(pieces: &[String], text: &str) -> bool {
    let [head, middle @ .., last] = pieces else { return pieces.first().is_some_and(|only| only == text) };
    let Some(mut rest) = text.strip_prefix(head.as_str()) else { return false };
    for piece in middle {
        let Some((_, after)) = rest.split_once(piece.as_str()) else { return false };
        rest = after;
    }
    rest.ends_with(last.as_str())
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
    fn a_star_behind_a_backslash_is_a_star() {
        let fits = |pattern: &str, text: &str| Glob::parse(pattern).unwrap().matches(text);
        assert!(fits(r"a\*b", "a*b") && !fits(r"a\*b", "axb"));
        assert!(fits(r"\**", "*x") && !fits(r"\**", "x"));
        assert!(fits(r"corp\ann", r"corp\ann"), "any other backslash stands for itself");
        assert!(fits(r"corp\\*", r"corp\ann") && !fits(r"corp\*", r"corp\ann"));
        for text in ["a*b", "*", r"a\*", "plain"] {
            let exact = Glob::exactly(text);
            assert_eq!(exact.literal(), Some(text));
            assert!(Glob::parse(exact.as_str()).is_some_and(|glob| glob.literal() == Some(text)), "{text}");
        }
        let names = |pattern: &str| Glob::parse(pattern).unwrap().names();
        assert!(!names("*") && !names("**") && !names(r"\*") && !names("*.*") && names("a*") && names("*7*"));
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
