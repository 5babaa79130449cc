//! Names that are wanted, and how a column is asked for them.

use sqlx::{Database, Encode, QueryBuilder, Type};

/// A name that is wanted, or how it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    Is(String),
    Begins(String),
}

impl Name {
    /// The name, in which `*` at the end stands for any run of characters; `None` where it stands anywhere else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let name = match text.strip_suffix('*') {
            Some(beginning) => Self::Begins(beginning.to_owned()),
            None => Self::Is(text.to_owned()),
        };
        (!name.text().contains('*')).then_some(name)
    }

    /// Whether that is the name, or begins so.
    pub(super) fn fits(&self, given: &str) -> bool {
        match self {
            Self::Is(name) => name == given,
            Self::Begins(beginning) => given.starts_with(beginning),
        }
    }

    pub(super) fn text(&self) -> &str {
        let (Self::Is(text) | Self::Begins(text)) = self;
        text
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self::Is(name.to_owned())
    }
}

/// Values with commas between them.
pub(super) fn bind_texts<DB>(query: &mut QueryBuilder<DB>, texts: impl IntoIterator<Item = impl Into<String>>)
where
    DB: Database,
    for<'q> String: Encode<'q, DB> + Type<DB>,
{
    for (n, text) in texts.into_iter().enumerate() {
        query.push(if n == 0 { "" } else { ", " }).push_bind(text.into());
    }
}

/// The lowest text above all that begin so, in the order of code points; `None` where there is none.
fn beyond(beginning: &str) -> Option<String> {
    let mut characters: Vec<char> = beginning.chars().collect();
    while let Some(last) = characters.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

/// The condition that a column is one of these names.
pub(super) fn push_names<DB>(query: &mut QueryBuilder<DB>, column: &str, names: &[Name])
where
    DB: Database,
    for<'q> String: Encode<'q, DB> + Type<DB>,
{
    let whole: Vec<&str> = names.iter().filter(|name| matches!(name, Name::Is(_))).map(Name::text).collect();
    let mut or = " AND (";
    if !whole.is_empty() {
        query.push(or).push(column).push(" IN (");
        bind_texts(query, whole);
        query.push(")");
        or = " OR ";
    }
    // A range and no pattern: that is what a b-tree takes, in the order of code points that these columns are in.
    for beginning in names.iter().filter(|name| matches!(name, Name::Begins(_))).map(Name::text) {
        query.push(or).push(column).push(" >= ").push_bind(beginning.to_owned());
        if let Some(beyond) = beyond(beginning) {
            query.push(" AND ").push(column).push(" < ").push_bind(beyond);
        }
        or = " OR ";
    }
    query.push(")");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_end_and_nowhere_else() {
        assert_eq!(Name::read("dba-*"), Some(Name::Begins("dba-".into())));
        assert_eq!(Name::read("*"), Some(Name::Begins(String::new())));
        assert_eq!(Name::read("dba"), Some(Name::Is("dba".into())));
        for elsewhere in ["*dba", "d*a", "dba**", "**", "d*a*"] {
            assert_eq!(Name::read(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn what_begins_so_lies_below_what_is_beyond_and_nothing_else_does() {
        for (beginning, expected) in [
            ("dba-", Some("dba.")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(beyond(beginning).as_deref(), expected);
            let longer = format!("{beginning}\u{10ffff}x");
            assert!(expected.is_none_or(|beyond| longer.as_str() < beyond));
        }
    }
}
