//! Tokens in what callers send beside their header: some put theirs into the body as well, or quote a request. None is
//! recorded or logged, in whatever spelling JSON has for it.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// What stands where a token was.
pub(super) const MASK: &str = "[token]";
/// How the base64url of a JSON object begins, whatever white space it has.
const BEGINNINGS: [&str; 5] = ["eyJ", "eyA", "ewo", "ew0", "ewk"];

/// The text without the token that came with the request and without anything that is a JWT.
pub(super) fn without(own: &str, text: &str) -> String {
    let text = if own.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(text.replace(own, MASK)) };
    let (mut kept, mut rest) = (String::with_capacity(text.len()), text.as_ref());
    while let Some(start) = rest.find(is_of_token) {
        let run = &rest[start..];
        let run = &run[..run.find(|c| !is_of_token(c)).unwrap_or(run.len())];
        kept.push_str(&rest[..start]);
        match jwt_in(run) {
            Some(at) => kept.extend([&run[..at], MASK]),
            None => kept.push_str(run),
        }
        rest = &rest[start + run.len()..];
    }
    kept + rest
}

/// Whether a JWT is in the text.
pub(super) fn is_in(text: &str) -> bool {
    text.split(|c| !is_of_token(c)).any(|run| jwt_in(run).is_some())
}

/// The text with every character that a token may have as itself where JSON's escaped form stood for it, at however many
/// levels: the same JSON, and what it says can be searched.
pub(super) fn spelled_out(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u00") {
        return Cow::Borrowed(text);
    }
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find('\\') {
        let escape = rest[start..].trim_start_matches('\\');
        let code = escape.strip_prefix("u00").and_then(|digits| digits.get(..2));
        let letter =
            code.and_then(|code| u8::from_str_radix(code, 16).ok()).map(char::from).filter(|c| is_of_token(*c));
        let escape_at = rest.len() - escape.len();
        plain.push_str(&rest[..start]);
        match letter {
            Some(letter) => plain.push(letter),
            None => plain.push_str(&rest[start..escape_at]),
        }
        rest = if letter.is_some() { &escape[5..] } else { escape };
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Where a JWT begins in a run of the characters that it may have.
fn jwt_in(run: &str) -> Option<usize> {
    let parts: Vec<&str> = run.split('.').collect();
    let mut at = 0;
    for three in parts.windows(3) {
        let found = BEGINNINGS.iter().filter_map(|beginning| three[0].find(beginning));
        let head = found.filter(|head| is_head(&three[0][*head..])).min();
        if let Some(head) = head {
            return Some(at + head);
        }
        at += three[0].len() + 1;
    }
    None
}

/// Whether this is the header of a JWT, signed or encrypted (RFC 7515, RFC 7516).
fn is_head(part: &str) -> bool {
    let head = URL_SAFE_NO_PAD.decode(part).ok();
    let head = head.and_then(|head| serde_json::from_slice::<Map<String, Value>>(&head).ok());
    head.is_some_and(|head| head.contains_key("alg"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(head: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode("{\"sub\":\"eve\"}"))
    }

    #[test]
    fn a_jwt_is_known_wherever_it_stands() {
        for head in [
            r#"{"alg":"HS256"}"#,
            "{ \"typ\":\"JWT\", \"alg\":\"none\" }",
            "{\n\"alg\":\"RS256\"}",
            "{\t\"alg\":\"x\"}",
        ] {
            let token = jwt(head);
            for (before, after) in [("", ""), ("token=", "&x=1"), ("see v1.", "\""), ("Bearer ", "."), ("ä", "ä")] {
                let masked = without("", &format!("{before}{token}{after}"));
                assert!(masked.starts_with(before) && masked.contains(MASK) && !masked.contains("c2ln"), "{masked}");
                assert!(is_in(&format!("{before}{token}{after}")));
            }
        }
    }

    #[test]
    fn what_is_no_token_stays() {
        for text in
            ["", "...", "eyJ.eyJ.eyJ", "newkey-prod.db.example.com", "10.0.1.7:40007", "see report.v2.final", "ä.ö.ü"]
        {
            assert_eq!(without("", text), text);
            assert!(!is_in(text), "{text}");
        }
        assert_eq!(without("opaque", "an opaque one"), "an [token] one");
    }

    #[test]
    fn escapes_of_what_a_token_may_have_are_spelled_out_and_others_stay() {
        for (text, plain) in [
            (r"\u0065yJ\u002e", "eyJ."),
            (r"\\u0065\\\u0041", "eA"),
            (r"\u0022 \u0000 \n \\ \u4e2d \u00e9", r"\u0022 \u0000 \n \\ \u4e2d \u00e9"),
            (r"\u00", r"\u00"),
            (r"\u006", r"\u006"),
            ("\\u00ä", "\\u00ä"),
        ] {
            assert_eq!(spelled_out(text), plain, "{text}");
        }
    }
}
