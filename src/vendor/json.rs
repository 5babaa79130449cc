//! Reading what vendors send back: whole numbers and texts are the same thing to them, never a float.

use serde_json::Value;

/// An id or a task, which vendors send as text or as a whole number; `None` for anything else.
pub(super) fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
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
