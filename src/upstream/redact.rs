//! Makes vendor text safe to store and to show.
//!
//! Vendors echo what they were sent: a refused signature may come back with the access key, or with the whole
//! canonical request. The invariant: no configured secret of four or more characters is in what comes out.

use std::{fmt, ops::Range};

use super::sign::encode;
use crate::domain::is_unseen;

/// Longest text that is kept, in characters.
const MAX_CHARS: usize = 500;
/// Stands for what was taken out.
const MASK: &str = "[redacted]";
/// Shorter secrets would tear ordinary words apart.
const MIN_SECRET: usize = 4;
/// What follows one of these, after `=` or `:`, is a credential whoever's it is. Lower case.
const MARKERS: [&str; 9] = [
    "signature",
    "access",
    "credential",
    "x-auth-token",
    "x-subject-token",
    "x-security-token",
    "x-acs-security-token",
    "x-tc-token",
    "password",
];

/// Takes the secrets of one account out of text.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Vec<String>,
    /// The secrets as they may be written: plain, percent-encoded, in JSON.
    forms: Vec<String>,
}

impl Redactor {
    /// A redactor that knows these secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let long = |secret: &&str| secret.chars().count() >= MIN_SECRET;
        let secrets: Vec<String> = secrets.into_iter().filter(long).map(str::to_owned).collect();
        let mut forms: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        forms.retain(|form| !form.is_empty());
        forms.sort();
        forms.dedup();
        Self { secrets, forms }
    }

    /// The text without secrets and without characters that are not seen, at most 500 characters of it.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        let text = printable(text);
        let mut found: Vec<_> = self.forms.iter().flat_map(|form| occurrences(&text, form)).collect();
        found.extend(marked(&text));
        let masked = mask(&text, found);
        // A secret may hide in the mask itself, or where a mask and its neighbours meet.
        let safe = !self.secrets.iter().any(|secret| masked.contains(secret));
        if safe { masked.chars().take(MAX_CHARS).collect() } else { String::new() }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} secrets)", self.secrets.len())
    }
}

/// White space becomes a space; other characters that control or format text go.
fn printable(text: &str) -> String {
    let space = |c: char| if c.is_whitespace() { ' ' } else { c };
    text.chars().map(space).filter(|c| !is_unseen(*c)).collect()
}

/// How a secret may be written in a vendor's text.
fn forms(secret: &str) -> Vec<String> {
    let encoded = encode(secret);
    let json = serde_json::Value::from(secret).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let units = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>();
    let ascii = json.chars().map(|c| if c.is_ascii() { c.to_string() } else { units(c).concat() }).collect::<String>();
    let plain = printable(secret);
    vec![
        lower_hex(&encoded),
        encoded.replace("%20", "+"),
        encoded,
        json.replace('/', "\\/"),
        ascii.replace('/', "\\/"),
        json,
        ascii,
        plain,
    ]
}

/// The same percent-encoded text with lower-case hex digits.
fn lower_hex(encoded: &str) -> String {
    let mut pieces = encoded.split('%');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |out, piece| {
        let (digits, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        out + "%" + &digits.to_ascii_lowercase() + rest
    })
}

/// Every place where `form` is, overlapping ones too.
fn occurrences<'a>(text: &'a str, form: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text.get(from..)?.find(form)?;
        from = start + text[start..].chars().next().map_or(1, char::len_utf8);
        Some(start..start + form.len())
    })
}

/// The values that follow a marker: `Signature=abc`, `"X-Auth-Token": "abc"`, `x-security-token:abc`.
fn marked(text: &str) -> Vec<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let values = MARKERS.iter().flat_map(|marker| occurrences(&lower, marker)).filter_map(|marker| {
        let after = text[marker.end..].trim_start_matches(['"', '\'', '\\', ' ']).strip_prefix(['=', ':'])?;
        let value = after.trim_start_matches(['"', '\'', '\\', ' ']);
        let length = value.find([' ', ',', ';', '&', '"', '\'', '\\', '<', '>', '}', ')']).unwrap_or(value.len());
        let start = text.len() - value.len();
        (length > 0).then_some(start..start + length)
    });
    values.collect()
}

/// Puts one mask in the place of every group of overlapping or touching ranges.
fn mask(text: &str, mut ranges: Vec<Range<usize>>) -> String {
    ranges.sort_by_key(|range| range.start);
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for range in ranges {
        if range.start > done || out.is_empty() {
            out += &text[done..range.start];
            out += MASK;
        }
        done = done.max(range.end);
    }
    out + &text[done..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::has_unseen;

    #[test]
    fn secrets_go_however_they_are_written() {
        let redactor = Redactor::new(["s/e+c r\"ät", "AKID1234", "abc"]);
        for text in [
            "x s/e+c r\"ät y",
            "x s%2Fe%2Bc%20r%22%C3%A4t y",
            "x s%2fe%2bc%20r%22%c3%a4t y",
            "x s%2Fe%2Bc+r%22%C3%A4t y",
            "x s/e+c r\\\"ät y",
            "x s\\/e+c r\\\"\\u00e4t y",
            "x AKID1234 y",
            "x AK\u{0}ID1234 y",
            "x AKID1234AKID1234 y",
        ] {
            assert_eq!(redactor.clean(text), "x [redacted] y", "{text}");
        }
        assert_eq!(redactor.clean("abc is short"), "abc is short");
    }

    #[test]
    fn what_looks_like_a_credential_goes_though_nobody_knows_it() {
        let redactor = Redactor::default();
        let clean = |text: &str| redactor.clean(text);
        assert_eq!(
            clean("SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature=0f0f"),
            "SDK-HMAC-SHA256 Access=[redacted], SignedHeaders=host;x-sdk-date, Signature=[redacted]"
        );
        assert_eq!(clean("Credential=AKID/2026-01-01/dcdb/tc3_request, x"), "Credential=[redacted], x");
        assert_eq!(clean(r#"{"X-Auth-Token": "MIIE"}"#), r#"{"X-Auth-Token": "[redacted]"}"#);
        assert_eq!(clean("host:a\nx-security-token:gQpj\nx:y"), "host:a x-security-token:[redacted] x:y");
        assert_eq!(clean("the signature does not match, access denied"), "the signature does not match, access denied");
    }

    #[test]
    fn text_is_cut_to_whole_characters_and_loses_those_that_are_not_seen() {
        let redactor = Redactor::default();
        assert_eq!(redactor.clean(&"ä".repeat(900)).chars().count(), 500);
        assert_eq!(redactor.clean("a\u{1b}[31m\r\n\tb\u{85}c"), "a[31m   b c");
        assert_eq!(redactor.clean("a\u{2028}b\u{202e}c\u{200b}d\u{feff}e\u{ad}f"), "a bcdef");
        assert_eq!(Redactor::new(["AKID1234"]).clean("x AK\u{200b}ID1234 y"), "x [redacted] y");
    }

    #[test]
    fn a_secret_that_hides_in_the_mask_leaves_nothing() {
        assert_eq!(Redactor::new(["redact"]).clean("a redact b"), "");
        assert_eq!(Redactor::new(["acted] b", "hide"]).clean("a hide b"), "");
        assert_eq!(format!("{:?}", Redactor::new(["canary"])), "Redactor(1 secrets)");
    }

    proptest! {
        #[test]
        fn no_secret_survives(
            secrets in prop::collection::vec("[ab%/\"é=,]{4,8}|\\PC{4,12}", 1..4),
            noise in prop::collection::vec("[ab%/\"é=, \\n\\x00]{0,6}|\\PC{0,9}|Signature=|access:", 0..8),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut text = String::new();
            for (position, noise) in noise.iter().enumerate() {
                text += noise;
                if let Some(index) = order.get(position) {
                    let forms = forms(index.get::<String>(&secrets));
                    text += index.get::<String>(&forms);
                }
            }
            let clean = Redactor::new(secrets.iter().map(String::as_str)).clean(&text);
            for secret in &secrets {
                prop_assert!(!clean.contains(secret.as_str()), "{secret:?} in {clean:?} of {text:?}");
            }
            prop_assert!(clean.chars().count() <= 500 && !has_unseen(&clean));
        }
    }
}
