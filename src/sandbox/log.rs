//! The record of every call that reached the simulated clouds.

use std::{fmt, time::Instant};

use serde::Serialize;
use time::OffsetDateTime;

use super::Action;

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Served,
    /// Parameters, path or state were wrong.
    Refused,
    /// Authentication or permission was wrong, or a denial was planned.
    Denied,
    /// Over the limit, or so it was planned.
    Throttled,
    /// Any other planned misbehaviour.
    Misbehaved,
}

/// One call as it arrived.
#[derive(Clone)]
pub struct Received {
    /// For measuring: when it arrived.
    pub arrived: Instant,
    /// For reading: the same by the clock on the wall.
    pub at: OffsetDateTime,
    pub cloud: &'static str,
    /// Empty where no operation was recognised.
    pub vendor: &'static str,
    pub action: Option<Action>,
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Headers,
    pub body: Vec<u8>,
    pub verdict: Verdict,
    /// The HTTP status of the answer, sent or not.
    pub status: u16,
    /// The vendor's code in a refusal.
    pub code: Option<String>,
    /// The sessions that died of it.
    pub killed: Vec<u64>,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("at", &self.at)
            .field("action", &self.action)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .field("verdict", &self.verdict)
            .field("status", &self.status)
            .field("code", &self.code)
            .field("killed", &self.killed)
            .finish_non_exhaustive()
    }
}

/// Names in lower case with their values, in the order of the wire.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

const SECRET: [&str; 6] =
    ["authorization", "x-auth-token", "x-security-token", "x-tc-token", "x-acs-security-token", "x-metadata-token"];

impl Headers {
    /// The first value of that name, given in lower case.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }
}

impl FromIterator<(String, String)> for Headers {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(headers: T) -> Self {
        Self(headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |name: &str, value: &str| if SECRET.contains(&name) { "***".to_owned() } else { value.to_owned() };
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, shown(name, value)))).finish()
    }
}

/// A call on its way in.
pub(super) struct Incoming {
    pub(super) arrived: Instant,
    pub(super) at: OffsetDateTime,
    pub(super) method: String,
    /// As sent, still percent-encoded.
    pub(super) path: String,
    /// As sent, without the question mark.
    pub(super) query: String,
    pub(super) headers: Headers,
    pub(super) body: Vec<u8>,
}
