//! Which sessions are meant.

use std::fmt;

use serde::Serialize;

use super::Match;

/// One session's id, as text; its vendor has said that it is well formed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SessionId(pub String);

impl SessionId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which sessions a kill is for. Never "everything": each form names something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// 1 to 1000 different ids.
    Ids(Vec<SessionId>),
    /// Whatever meets the criteria when the vendor looks.
    Match(Box<Match>),
    /// Whatever the database itself picks.
    Intelligent,
}

impl Selector {
    /// The ids as numbers, for vendors whose ids are such.
    #[must_use]
    pub fn numbers(&self) -> Vec<i64> {
        self.ids().iter().filter_map(|id| id.0.parse().ok()).collect()
    }

    /// The word for this form in requests, records and refusals.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Ids(_) => "ids",
            Self::Match(_) => "match",
            Self::Intelligent => "intelligent",
        }
    }

    /// The ids, or nothing for the forms that name none.
    #[must_use]
    pub fn ids(&self) -> &[SessionId] {
        match self {
            Self::Ids(ids) => ids,
            Self::Match(_) | Self::Intelligent => &[],
        }
    }
}

impl Serialize for Selector {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Ids(ids) => map.serialize_entry(self.kind(), ids)?,
            Self::Match(criteria) => map.serialize_entry(self.kind(), criteria)?,
            Self::Intelligent => map.serialize_entry(self.kind(), &true)?,
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_written_as_it_was_asked() {
        let written = |s: &Selector| serde_json::to_string(s).unwrap();
        assert_eq!(written(&Selector::Ids(vec![SessionId("7".into())])), r#"{"ids":["7"]}"#);
        let criteria = Match::of_user("bob");
        assert_eq!(written(&Selector::Match(Box::new(criteria))), r#"{"match":{"user":"bob"}}"#);
        assert_eq!(written(&Selector::Intelligent), r#"{"intelligent":true}"#);
    }
}
