//! Statements without their literals, for those who may see what runs but not on what.
//!
//! Neither the dialect nor the settings of a server are known here, and they decide what a quote, a backslash or a
//! hash means. The invariant: what one reading could take for a literal is not shown; from the place on where
//! readings differ, nothing is.

/// What stands for a literal.
const MASK: &str = "?";
/// What stands for all that follows a place which can be read in several ways.
const REST: &str = "?…";

/// One piece of a statement, by its length in bytes.
enum Piece {
    Shown(usize),
    Literal(usize),
    /// A comment: it may hold anything.
    Comment(usize),
    /// From here on, readings differ.
    Unsure,
}

/// The statement with `?` for every text and number in it, and without its comments.
#[must_use]
pub fn masked(statement: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(statement.len()), statement);
    while let Some(first) = rest.chars().next() {
        let length = match piece(rest, first) {
            Piece::Shown(length) => {
                shown.push_str(&rest[..length]);
                length
            }
            Piece::Literal(length) => {
                shown.push_str(MASK);
                length
            }
            Piece::Comment(length) => {
                shown.push(' ');
                length
            }
            Piece::Unsure => {
                shown.push_str(REST);
                return shown;
            }
        };
        rest = &rest[length..];
    }
    shown
}

/// The first `most` characters of a text, the last of them `…` where something is left out.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

fn piece(rest: &str, first: char) -> Piece {
    match first {
        // In MySQL both enclose texts, elsewhere `"` encloses names.
        '\'' | '"' => text(rest, first),
        '`' => name(rest),
        '0'..='9' => Piece::Literal(number(rest)),
        '-' if rest.starts_with("--") => line_comment(rest),
        '/' if rest.starts_with("/*") => block_comment(rest),
        // A comment here, an operator there.
        '#' => Piece::Unsure,
        '$' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => Piece::Unsure,
        '\\' if rest[1..].starts_with(['\'', '"', '`', '\\']) => Piece::Unsure,
        _ if is_of_word(first) => Piece::Shown(run(rest, is_of_word)),
        _ => Piece::Shown(first.len_utf8()),
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '@')
}

/// The length of the characters from the first on for which `is` holds.
fn run(text: &str, is: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is(c)).unwrap_or(text.len())
}

/// A text up to its closing quote; a quote in it is doubled. Whether a backslash escapes one is a setting.
fn text(rest: &str, quote: char) -> Piece {
    let (mut backslashes, mut at) = (0, 1);
    while let Some(c) = rest[at..].chars().next() {
        if c != quote {
            backslashes = if c == '\\' { backslashes + 1 } else { 0 };
            at += c.len_utf8();
        } else if backslashes % 2 == 1 {
            return Piece::Unsure;
        } else if rest[at + 1..].starts_with(quote) {
            at += 2;
            backslashes = 0;
        } else {
            return Piece::Literal(at + 1);
        }
    }
    // Lists cut statements, often within a text.
    Piece::Literal(rest.len())
}

/// A name in backticks, which only MySQL has.
fn name(rest: &str) -> Piece {
    match rest[1..].split_once('`') {
        Some((name, _)) if name.chars().all(|c| is_of_word(c) || matches!(c, ' ' | '-' | '.')) => {
            Piece::Shown(name.len() + 2)
        }
        _ => Piece::Unsure,
    }
}

/// A number in any notation, such as `1.5e-3` or `0x1f`.
fn number(rest: &str) -> usize {
    let mut length = run(rest, |c| is_of_word(c) || c == '.');
    let exponent = rest[..length].ends_with(['e', 'E']) && rest[length..].starts_with(['+', '-']);
    if exponent {
        length += 1 + run(&rest[length + 1..], |c| c.is_ascii_digit());
    }
    length
}

/// Two minus signs begin a comment; in MySQL only before white space, else they are two signs.
fn line_comment(rest: &str) -> Piece {
    let after = &rest[2..];
    if !after.is_empty() && !after.starts_with(char::is_whitespace) {
        return Piece::Unsure;
    }
    Piece::Comment(rest.find('\n').unwrap_or(rest.len()))
}

/// A comment in slashes; some dialects nest them, and MySQL executes those that begin with `!`.
fn block_comment(rest: &str) -> Piece {
    match rest[2..].split_once("*/") {
        Some((comment, _)) if !comment.contains("/*") && !comment.starts_with('!') && !comment.starts_with("M!") => {
            Piece::Comment(comment.len() + 4)
        }
        _ => Piece::Unsure,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_and_numbers_are_masked_and_names_are_not() {
        for (statement, shown) in [
            ("select * from t1 where id = 42", "select * from t1 where id = ?"),
            ("select 'it''s', \"x\", 1.5e-3, 0x1F, -7", "select ?, ?, ?, ?, -?"),
            ("insert into orders_2024 values (1,'a'),(2,'b')", "insert into orders_2024 values (?,?),(?,?)"),
            ("select `a b`.`c-1` from x where y=N'ä'", "select `a b`.`c-1` from x where y=N?"),
            ("select $1, @a1, :b from t limit 5-3", "select $1, @a1, :b from t limit ?-?"),
            ("select 'C:\\\\', 7", "select ?, ?"),
            ("select /* don't */ 1 -- isn't\nfrom t", "select   ?  \nfrom t"),
            ("update t set a = 'cut in the midd", "update t set a = ?"),
            ("", ""),
        ] {
            assert_eq!(masked(statement), shown, "{statement}");
        }
    }

    #[test]
    fn where_readings_differ_nothing_more_is_shown() {
        for (statement, shown) in [
            ("select 'it\\'s', secret", "select ?…"),
            ("select a # don't\n, 'secret'", "select a ?…"),
            ("select a #> '{secret}'", "select a ?…"),
            ("do $$ secret $$", "do ?…"),
            ("select `it's`, 'secret'", "select ?…"),
            ("select 5 ` 'secret'", "select ? ?…"),
            ("select 5--'secret'", "select ??…"),
            ("select /*!50000 'secret' */ 1", "select ?…"),
            ("select /* a /* b */ 'secret' */", "select ?…"),
            ("select \\'secret", "select ?…"),
        ] {
            assert_eq!(masked(statement), shown, "{statement}");
        }
    }

    #[test]
    fn a_long_text_is_cut_and_shows_it() {
        assert_eq!((cut("äöü", 3).as_str(), cut("äöüß", 3).as_str()), ("äöü", "äö…"));
    }

    proptest! {
        #[test]
        fn whatever_stands_before_it_a_literal_is_not_shown(
            before in prop::collection::vec(prop::sample::select(vec![
                "select a ", "'x' ", "'it''s' ", "'it\\'s' ", "'C:\\' ", "\"it's\" ", "`it's` ", "`a` ", "-- don't\n",
                "--don't\n", "# don't\n", "/* don't */ ", "/*! 'x' */ ", "/*+ hint */ ", "$$it's$$ ", "$a$it's$a$ ",
                "$1 ", "1e5 ", "5--3 ", "a #> ", "ä ", "E'\\\\' ", "\\ ", "@'x' ",
            ]), 0..6),
            quote in prop::sample::select(vec!["'", "\""]),
        ) {
            let statement = format!("{}{quote}secret 4711{quote}", before.concat());
            let shown = masked(&statement);
            prop_assert!(!shown.contains("secret") && !shown.contains("4711"), "{statement} as {shown}");
        }

        #[test]
        fn any_text_can_be_masked(text in any::<String>()) {
            let shown = masked(&text);
            let digits = |c: char| c.is_ascii_digit();
            let bare = shown.split(|c: char| !is_of_word(c)).any(|word| !word.is_empty() && word.chars().all(digits));
            prop_assert!(!bare, "{text} as {shown}");
        }
    }
}
