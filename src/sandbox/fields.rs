//! Reads JSON bodies and query strings the way a suspicious vendor does: exact types, nothing missing, nothing extra.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::verify::decode;

/// What is wrong with the parameters of a call.
#[derive(Debug)]
pub(super) enum Bad {
    Empty,
    NotAnObject,
    Missing(&'static str),
    Wrong { name: &'static str, expected: &'static str },
    Unknown(String),
}

impl Bad {
    pub(super) fn into_message(self) -> String {
        match self {
            Self::Empty => "The request is empty.".into(),
            Self::NotAnObject => "The request body is not a JSON object.".into(),
            Self::Missing(name) => format!("The parameter {name} is missing."),
            Self::Wrong { name, expected } => format!("The parameter {name} must be {expected}."),
            Self::Unknown(name) => format!("The parameter {name} is not recognized."),
        }
    }
}

/// The members of a JSON object, taken out one by one; what is left at the end should not have been there.
#[derive(Default)]
pub(super) struct Members(Map<String, Value>);

impl Members {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Bad> {
        if body.is_empty() {
            return Err(Bad::Empty);
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            _ => Err(Bad::NotAnObject),
        }
    }

    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, Bad> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(Bad::Wrong { name, expected: "a string that is not empty" }),
        }
    }

    pub(super) fn required_text(&mut self, name: &'static str) -> Result<String, Bad> {
        self.text(name)?.ok_or(Bad::Missing(name))
    }

    /// An integer that fits 64 bits with sign and is not below zero.
    pub(super) fn integer(&mut self, name: &'static str) -> Result<Option<u64>, Bad> {
        let expected = "a 64-bit integer";
        self.0.remove(name).map(|value| int64(&value).ok_or(Bad::Wrong { name, expected })).transpose()
    }

    pub(super) fn integer_in(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Result<usize, Bad> {
        let number = self.integer(name)?.unwrap_or(default);
        let number = Some(number).filter(|number| range.contains(number));
        number.and_then(|number| usize::try_from(number).ok()).ok_or(Bad::Wrong { name, expected: "within its range" })
    }

    pub(super) fn list(&mut self, name: &'static str) -> Result<Option<Vec<Value>>, Bad> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Array(items)) if !items.is_empty() => Ok(Some(items)),
            Some(_) => Err(Bad::Wrong { name, expected: "an array that is not empty" }),
        }
    }

    pub(super) fn texts(&mut self, name: &'static str) -> Result<Option<Vec<String>>, Bad> {
        let expected = "an array of strings";
        let text = |item: Value| match item {
            Value::String(text) if !text.is_empty() => Ok(text),
            _ => Err(Bad::Wrong { name, expected }),
        };
        self.list(name)?.map(|items| items.into_iter().map(text).collect()).transpose()
    }

    pub(super) fn integers(&mut self, name: &'static str) -> Result<Vec<u64>, Bad> {
        let items = self.list(name)?.ok_or(Bad::Missing(name))?;
        let expected = "an array of 64-bit integers";
        items.iter().map(|item| int64(item).ok_or(Bad::Wrong { name, expected })).collect()
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Bad> {
        let flag = |value: Value| value.as_bool().ok_or(Bad::Wrong { name, expected: "true or false" });
        self.0.remove(name).map(flag).transpose()
    }

    pub(super) fn object(&mut self, name: &'static str) -> Result<Option<Self>, Bad> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self(members))),
            Some(_) => Err(Bad::Wrong { name, expected: "an object" }),
        }
    }

    pub(super) fn finish(self) -> Result<(), Bad> {
        self.0.into_iter().next().map_or(Ok(()), |(name, _)| Err(Bad::Unknown(name)))
    }
}

impl From<Map<String, Value>> for Members {
    fn from(members: Map<String, Value>) -> Self {
        Self(members)
    }
}

fn int64(value: &Value) -> Option<u64> {
    value.as_i64().and_then(|number| u64::try_from(number).ok())
}

/// The parameters of a query string, taken out one by one.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let pair = |piece: &str| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            (decode(name), decode(value))
        };
        Self(query.split('&').filter(|piece| !piece.is_empty()).map(pair).collect())
    }

    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, Bad> {
        let Some(found) = self.0.iter().position(|(held, _)| held == name) else { return Ok(None) };
        let (_, value) = self.0.swap_remove(found);
        if value.is_empty() {
            return Err(Bad::Wrong { name, expected: "a text that is not empty" });
        }
        Ok(Some(value))
    }

    pub(super) fn required_text(&mut self, name: &'static str) -> Result<String, Bad> {
        self.text(name)?.ok_or(Bad::Missing(name))
    }

    pub(super) fn number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        default: Option<u64>,
    ) -> Result<u64, Bad> {
        let number = match self.text(name)? {
            Some(text) => text.parse().ok(),
            None => Some(default.ok_or(Bad::Missing(name))?),
        };
        number.filter(|number| range.contains(number)).ok_or(Bad::Wrong { name, expected: "a number within its range" })
    }

    /// `offset` and `limit`, for lists of at most a hundred rows.
    pub(super) fn page(&mut self) -> Result<(usize, usize), Bad> {
        let offset = self.number("offset", 0..=1_000_000, Some(0))?;
        let limit = self.number("limit", 1..=100, Some(100))?;
        Ok((usize::try_from(offset).unwrap_or(usize::MAX), usize::try_from(limit).unwrap_or(100)))
    }

    pub(super) fn finish(self) -> Result<(), Bad> {
        self.0.into_iter().next().map_or(Ok(()), |(name, _)| Err(Bad::Unknown(name)))
    }
}
