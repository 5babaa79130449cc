//! What goes back for a call, in each cloud's own clothing.

use serde_json::Value;
use time::OffsetDateTime;

use super::{Action, Verdict, cloud::Cloud};
use crate::clock;

/// An answer, ready to be sent.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) verdict: Verdict,
    pub(super) code: Option<String>,
    pub(super) killed: Vec<u64>,
}

impl Answer {
    pub(super) fn bytes(status: u16, content_type: Option<&str>, body: Vec<u8>) -> Self {
        Self {
            status,
            content_type: content_type.map(Into::into),
            headers: vec![],
            body,
            verdict: Verdict::Served,
            code: None,
            killed: vec![],
        }
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, Some("application/json"), body.to_string().into_bytes())
    }

    pub(super) fn killed(mut self, ids: Vec<u64>) -> Self {
        self.killed = ids;
        self
    }

    pub(super) fn header(mut self, name: &str, value: String) -> Self {
        self.headers.push((name.into(), value));
        self
    }
}

/// Why a call is not served.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) verdict: Verdict,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), verdict: Verdict::Refused }
    }

    pub(super) fn denied(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Denied, ..Self::new(status, code, message) }
    }

    pub(super) fn throttled(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Throttled, ..Self::new(status, code, message) }
    }

    /// The refusal as that cloud writes it; `action` is `None` where none was recognised.
    pub(super) fn answer(self, cloud: &dyn Cloud, action: Option<Action>, at: OffsetDateTime) -> Answer {
        let answer = cloud.write(&self, action, clock::id_at(at));
        Answer { verdict: self.verdict, code: Some(self.code.into()), ..answer }
    }
}
