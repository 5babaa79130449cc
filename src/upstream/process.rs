//! Rows of process lists: every product shows the same and names it in its own way.

use serde_json::Value;

use crate::domain::{LiveSession, SessionId};

use super::{IdRule, json};

/// What a product calls the members of a row.
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) user: &'static str,
    pub(super) host: &'static str,
    pub(super) database: &'static str,
    /// No member where the product does not tell it.
    pub(super) command: Option<&'static str>,
    pub(super) seconds: &'static str,
    pub(super) state: &'static str,
    pub(super) statement: &'static str,
}

impl Row {
    /// The session that a row shows; `None` without an id, or where whose it is is no text. A row without that member is
    /// of nobody's session: the servers' own threads have none.
    pub(super) fn read(&self, row: &Value) -> Option<LiveSession> {
        // An id that the product's own kill would refuse is shown nevertheless.
        let id = SessionId(IdRule::Token.parse(&json::id(row.get(self.id)?)?)?);
        let user = Some(&row[self.user]).filter(|user| user.is_string() || user.is_null())?;
        let text = |name: &str| json::text(&row[name]);
        Some(LiveSession {
            user: json::text(user),
            database: text(self.database),
            host: text(self.host),
            command: self.command.and_then(text),
            state: text(self.state),
            seconds: seconds(&row[self.seconds]),
            statement: text(self.statement),
            ..LiveSession::new(id)
        })
    }

    /// Every row; `None` where one of them cannot be read.
    pub(super) fn read_each(&self, rows: &[Value]) -> Option<Vec<LiveSession>> {
        rows.iter().map(|row| self.read(row)).collect()
    }

    /// Every row of a list, none of one that is null or left out; `None` where it is no list or one of them cannot be
    /// read.
    pub(super) fn read_all(&self, rows: &Value) -> Option<Vec<LiveSession>> {
        self.read_each(json::rows(rows)?)
    }
}

/// Whole seconds of a number or of its text; servers show a clock that was set back as less than none.
pub(super) fn seconds(value: &Value) -> Option<u64> {
    let text = json::id(value).or_else(|| Some(value.as_f64()?.trunc().to_string()))?;
    let whole = text.trim().split('.').next().unwrap_or_default();
    whole.parse::<i64>().ok().map(|seconds| u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn seconds_come_as_numbers_and_as_texts() {
        for (value, expected) in [
            (json!(7), Some(7)),
            (json!("7"), Some(7)),
            (json!("7.9"), Some(7)),
            (json!(7.9), Some(7)),
            (json!(-1), Some(0)),
            (json!(""), None),
            (json!("soon"), None),
            (json!(null), None),
            (json!("99999999999999999999"), None),
        ] {
            assert_eq!(seconds(&value), expected, "{value}");
        }
    }
}
