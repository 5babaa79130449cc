//! One exchange with a vendor, before it is signed and after it is answered.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use serde::Serialize;
use time::OffsetDateTime;

use crate::domain::{Order, Outcome, Session, Status};

/// Which step of a vendor's script a call is, such as `kill` or `describe_flow`.
pub type Stage = &'static str;

/// What a call may do at the vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It ends sessions: sent at most once after bytes may have left.
    Kill,
    /// It only reads: it may be repeated.
    Read,
}

/// What to send, but for what the account adds: endpoint, project, region, credentials, signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub stage: Stage,
    pub effect: Effect,
    /// The vendor's own name of the operation; its budget where the vendor counts per action.
    pub action: &'static str,
    pub method: Method,
    /// The path, percent-encoded; `{project_id}` stands for the account's project.
    pub path: String,
    /// Query parameters, not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// Headers beside those that the account adds, names in lower case.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The exact bytes of the body; empty for none.
    pub body: Vec<u8>,
}

impl Call {
    /// A call with a JSON body, serialised once so that the signed and the sent bytes are the same.
    #[must_use]
    pub fn json(
        stage: Stage,
        effect: Effect,
        action: &'static str,
        method: Method,
        path: String,
        body: &impl Serialize,
    ) -> Self {
        // Bodies are structs and maps with text keys, which serde_json always writes.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self { stage, effect, action, method, path, query: vec![], headers: vec![], body }
    }

    /// A GET that changes nothing.
    #[must_use]
    pub fn get(stage: Stage, action: &'static str, path: String, query: Vec<(&'static str, String)>) -> Self {
        Self { stage, effect: Effect::Read, action, method: Method::GET, path, query, headers: vec![], body: vec![] }
    }
}

/// What came back for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The stage of the call that this answers.
    pub stage: Stage,
    /// What that call may have done: what is not known of its answer is worse for a kill than for a read.
    pub effect: Effect,
    pub status: StatusCode,
    /// The vendor's request id, where it sent one as a header.
    pub request_id: Option<String>,
    /// How long the vendor asks to wait before the next call, where it does.
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
}

/// What is known of a kill at this step of its script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub task_id: Option<String>,
    /// When the kill's call was sent, or was about to be.
    pub sent_at: OffsetDateTime,
    /// The time of this step.
    pub now: OffsetDateTime,
}

/// What a vendor's script wants next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this.
    Send(Call),
    /// Send this, after a pause.
    Wait { pause: Duration, then: Call },
    /// Nothing more to send for now; this is what is known.
    Done(Answer),
}

/// What a vendor's answer says about the sessions of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: Status,
    /// One for each id of the order; empty where the order names none.
    pub sessions: Vec<Session>,
    pub task_id: Option<String>,
    pub request_id: Option<String>,
    /// Where the vendor keeps its own account of what it did.
    pub evidence_url: Option<String>,
}

impl Answer {
    /// What each session's own outcome adds up to.
    #[must_use]
    pub fn each(sessions: Vec<Session>) -> Self {
        Self { status: Status::of(&sessions), sessions, task_id: None, request_id: None, evidence_url: None }
    }

    /// The same outcome for every session of the order, and for the order as a whole where it names none.
    #[must_use]
    pub fn all(order: &Order, outcome: Outcome) -> Self {
        let ids = order.selector.ids();
        let status = match outcome {
            Outcome::Killed | Outcome::NotFound => Status::Succeeded,
            Outcome::Accepted => Status::Accepted,
            Outcome::Unknown => Status::Unknown,
            Outcome::Protected => Status::Refused,
            Outcome::Failed | Outcome::Changed | Outcome::Alive => Status::Failed,
        };
        let sessions = ids.iter().map(|id| Session::new(id, outcome)).collect();
        Self { status, sessions, task_id: None, request_id: None, evidence_url: None }
    }

    #[must_use]
    pub fn task(mut self, task_id: impl Into<String>) -> Self {
        self.task_id = Some(task_id.into());
        self
    }

    #[must_use]
    pub fn evidence(mut self, url: Option<String>) -> Self {
        self.evidence_url = url;
        self
    }

    #[must_use]
    pub fn request(mut self, request_id: Option<String>) -> Self {
        self.request_id = request_id;
        self
    }
}
