//! Text that may be stored, logged and shown without surprise.

use thiserror::Error;

/// Why a text was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TextError {
    /// Fewer than one character, or only white space.
    #[error("must not be empty")]
    Empty,
    /// Longer than the field allows, counted in Unicode scalar values.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// Contains NUL, a line break or another control character.
    #[error("must not contain control characters")]
    Control,
}

/// Checks that `text` has 1 to `max` characters and none of them a control character.
///
/// # Errors
/// [`TextError`] names what is wrong; the caller knows the field.
pub fn plain_text(text: &str, max: usize) -> Result<&str, TextError> {
    if text.trim().is_empty() {
        return Err(TextError::Empty);
    }
    if text.chars().any(char::is_control) {
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
        assert_eq!(plain_text("  ", 10), Err(TextError::Empty));
        assert_eq!(plain_text("äöü", 2), Err(TextError::TooLong(2)));
        assert_eq!(plain_text("äöü", 3), Ok("äöü"));
    }
}
