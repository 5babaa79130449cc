//! Reading what vendors send back: whole numbers and texts are the same thing to them, never a float.
//!
//! What a client of the database typed comes along in their answers, in whatever encoding it had. So what is no text
//! there is read as U+FFFD, and the rest of the answer stands.

use std::fmt::Write;

use serde_json::Value;

/// A body as JSON; `None` where it is not. A mark before it is passed over; bytes that are not UTF-8 and halves of
/// surrogate pairs are read as U+FFFD, and control characters in texts as themselves.
pub(super) fn read(body: &[u8]) -> Option<Value> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let mended = |with| serde_json::from_str(&escaped(&lossy(body, with))).ok();
    serde_json::from_slice(body).ok().or_else(|| mended(Backslash::Escapes)).or_else(|| mended(Backslash::IsHalf))
}

/// What a backslash is that follows a byte which is not UTF-8.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backslash {
    Escapes,
    /// The second half of a character, as in GBK, Big5 and Shift JIS.
    IsHalf,
}

fn lossy(body: &[u8], backslash: Backslash) -> String {
    let (mut text, mut after_strange) = (String::with_capacity(body.len()), false);
    for chunk in body.utf8_chunks() {
        let valid = chunk.valid();
        let is_half = after_strange && backslash == Backslash::IsHalf;
        text.push_str(valid.strip_prefix('\\').filter(|_| is_half).unwrap_or(valid));
        after_strange = !chunk.invalid().is_empty();
        if after_strange {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

/// The same JSON without what parsers refuse inside texts.
fn escaped(text: &str) -> String {
    let (mut out, mut rest, mut in_text) = (String::with_capacity(text.len()), text, false);
    while let Some(next) = rest.chars().next() {
        let mut length = next.len_utf8();
        match next {
            '"' => {
                in_text = !in_text;
                out.push(next);
            }
            '\\' if in_text => match half(rest) {
                Some(first) if first < 0xDC00 && rest.get(6..).and_then(half).is_some_and(|low| low >= 0xDC00) => {
                    length = 12;
                    out.push_str(&rest[..length]);
                }
                Some(_) => {
                    length = 6;
                    out.push(char::REPLACEMENT_CHARACTER);
                }
                None => {
                    length += rest[1..].chars().next().map_or(0, char::len_utf8);
                    out.push_str(&rest[..length]);
                }
            },
            '\0'..='\x1F' if in_text => drop(write!(out, "\\u{:04x}", u32::from(next))),
            _ => out.push(next),
        }
        rest = &rest[length..];
    }
    out
}

/// The half of a surrogate pair that an escape at the beginning of a text stands for.
fn half(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok().filter(|unit| (0xD800..0xE000).contains(unit))
}

/// An id or a task, which vendors send as text or as a whole number; `None` for anything else, an empty text too.
pub(super) fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// A list of ids; `None` where it is no list or something in it is no id.
pub(super) fn ids(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(id).collect()
}

/// A text that is there and not empty.
pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The rows of a list, none where it is null or left out: what writes the vendors' answers drops lists that are empty;
/// `None` where it is something else.
pub(super) fn rows(value: &Value) -> Option<&[Value]> {
    if value.is_null() { Some(&[]) } else { value.as_array().map(Vec::as_slice) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_text_is_read_as_such_and_the_rest_stands() {
        let cases: [(&[u8], Value); 12] = [
            (b"\xEF\xBB\xBF{\"a\":1}", json!({ "a": 1 })),
            (b"{\"a\":\"M\xFCller\",\"id\":7}", json!({ "a": "M\u{FFFD}ller", "id": 7 })),
            // Two characters in GBK, of which a part is UTF-8 by chance, and one of which the second half is a backslash.
            (b"{\"a\":\"\xD6\xD0\xB9\xFA\"}", json!({ "a": "\u{FFFD}\u{0439}\u{FFFD}" })),
            (b"{\"a\":\"\xD5\x5C\",\"id\":7}", json!({ "a": "\u{FFFD}", "id": 7 })),
            (b"{\"a\":\"\xFC\\\"\",\"id\":7}", json!({ "a": "\u{FFFD}\"", "id": 7 })),
            (br#"{"a":"\ud83d","id":7}"#, json!({ "a": "\u{FFFD}", "id": 7 })),
            (br#"{"a":"x\ude00y\uD83D\n"}"#, json!({ "a": "x\u{FFFD}y\u{FFFD}\n" })),
            (br#"{"a":"\ud83d\ud83d\ude00"}"#, json!({ "a": "\u{FFFD}\u{1F600}" })),
            (br#"{"a":"\\ud83d\ud83d\\"}"#, json!({ "a": "\\ud83d\u{FFFD}\\" })),
            (b"{\"a\":\"x\ny\tz\x01\",\n\"id\":\t7}", json!({ "a": "x\ny\tz\u{1}", "id": 7 })),
            (b"{\"a\":\"\xFF\n\\ud83d \\\" \\\\\"}", json!({ "a": "\u{FFFD}\n\u{FFFD} \" \\" })),
            (b"\"\"", json!("")),
        ];
        for (body, expected) in cases {
            assert_eq!(read(body), Some(expected), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn what_is_cut_off_or_no_json_stays_unreadable() {
        let body = b"{\"a\":\"M\xFCller \\ud83d\n\xD5\x5C\",\"id\":[7]}";
        assert!(read(body).is_some());
        for length in 0..body.len() {
            assert_eq!(read(&body[..length]), None, "{length}");
        }
        for body in [
            &b"\xFF"[..],
            b"\xEF\xBB\xBF",
            b"<html>\xFC</html>",
            b"{\"a\":\x01 1}",
            b"{\"a\":\"\\x\"}",
            b"{\"a\":\"\\ud8\"}",
        ] {
            assert_eq!(read(body), None, "{}", String::from_utf8_lossy(body));
        }
    }

    proptest! {
        #[test]
        fn what_a_parser_takes_is_read_as_it_takes_it(value in any::<(String, i64, Option<bool>)>()) {
            let body = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(read(&body), serde_json::from_slice(&body).ok());
            prop_assert_eq!(serde_json::from_str::<Value>(&escaped(&lossy(&body, Backslash::IsHalf))).ok(), read(&body));
        }

        #[test]
        fn any_bytes_can_be_read(body in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&body);
        }
    }
}
