//! Text that may be stored, logged and shown without surprise.

use std::borrow::Cow;

use thiserror::Error;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// Why a text was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TextError {
    /// Fewer than one character, or only white space.
    #[error("must not be empty")]
    Empty,
    /// Longer than the field allows, counted in Unicode scalar values.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// Contains NUL, a line break, or another character that controls or formats text and is not seen itself.
    #[error("must not contain control or format characters")]
    Control,
}

/// Whether a character is not seen itself and changes how others are read: a control character, a line or paragraph
/// separator, or of Unicode's category of format characters, such as marks of direction and spaces without width.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    use GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator};
    if c.is_ascii() {
        return c.is_ascii_control(); // Most are, and no table has to be asked.
    }
    matches!(c.general_category(), Control | Format | LineSeparator | ParagraphSeparator)
}

/// Whether any of the text's characters is not seen itself.
#[must_use]
pub fn has_unseen(text: &str) -> bool {
    text.chars().any(is_unseen)
}

/// The text with what is not seen itself, such as an escape or a mark of direction, written out; white space of any kind is a
/// space. So it is one line, and means nothing to a terminal.
#[must_use]
pub fn legible(text: &str) -> Cow<'_, str> {
    if !has_unseen(text) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => shown.push(' '),
            c if is_unseen(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Checks that `text` has 1 to `max` characters and none of them an unseen one, see [`is_unseen`].
///
/// # Errors
/// [`TextError`] names what is wrong; the caller knows the field.
pub fn plain_text(text: &str, max: usize) -> Result<&str, TextError> {
    if text.trim().is_empty() {
        return Err(TextError::Empty);
    }
    if has_unseen(text) {
        return Err(TextError::Control);
    }
    if text.chars().count() > max {
        return Err(TextError::TooLong(max));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_empty_and_overlong_texts_are_refused() {
        assert_eq!(plain_text("a\0b", 10), Err(TextError::Control));
        assert_eq!(plain_text("a\nb", 10), Err(TextError::Control));
        assert_eq!(plain_text("a\u{85}b", 10), Err(TextError::Control));
        for unseen in
            ['\u{ad}', '\u{200b}', '\u{200d}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}', '\u{feff}']
        {
            assert_eq!(plain_text(&format!("a{unseen}b"), 10), Err(TextError::Control), "{unseen:?}");
        }
        assert_eq!(plain_text("报表失控，e\u{301}té · 🦀", 20), Ok("报表失控，e\u{301}té · 🦀"));
        assert_eq!(plain_text("  ", 10), Err(TextError::Empty));
        assert_eq!(plain_text("äöü", 2), Err(TextError::TooLong(2)));
        assert_eq!(plain_text("äöü", 3), Ok("äöü"));
    }
}
