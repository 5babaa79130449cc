//! One exchange with a vendor, before it is signed and after it is answered: HTTP, or statements for a database server.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::Fault;
use crate::domain::{Order, Outcome, Session, SessionId, Status};

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

/// What to send, but for what the account adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub stage: Stage,
    pub effect: Effect,
    /// The vendor's own name of the operation; its budget where the vendor counts per action.
    pub action: &'static str,
    pub payload: Payload,
}

/// The two kinds of a call. An account carries one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    Http(HttpCall),
    Statements(Statements),
}

/// An HTTP request, without endpoint, project, region, credentials and signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    pub method: Method,
    /// The path, percent-encoded; `{project_id}` stands for the account's project.
    pub path: String,
    /// Query parameters, not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// Headers beside those that the account adds, names in lower case.
    pub headers: Vec<(&'static str, &'static str)>,
    /// What the cloud's signature calls the product, where it names one; else empty.
    pub service: &'static str,
    /// The exact bytes of the body; empty for none.
    pub body: Vec<u8>,
}

/// Statements for a database server, one after the other on one connection, without address, login and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statements {
    /// The account's name of the server; `None` for the only one it has.
    pub node: Option<String>,
    pub statements: Vec<Statement>,
}

/// One statement, or several of one message of which the last one's result counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Nothing that a caller wrote is in it but ids that were checked, and literals of no other letters than digits and those
    /// of hexadecimal numbers and times. `{kill}`, `{kill_query}` and `{kill_query_id}` stand for the account's way to end a
    /// session of MySQL's or MariaDB's, or what it runs.
    pub text: String,
    pub when: When,
    /// How it is asked again, as long as it gives rows; `None` for once.
    pub while_rows: Option<Again>,
    /// For how long its answer counts: within this time it is not asked again on the same connection.
    pub good_for: Option<Duration>,
}

/// How often a statement is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// The first pause; later ones grow to 20 ms, where it is less.
    pub pause: Duration,
    pub within: Duration,
}

/// Whether a statement is run, after those before it in its call; one that is not has no rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum When {
    #[default]
    Always,
    /// Only if the one before it gave rows.
    AfterRows,
    /// Only if any before it was refused.
    AfterRefusal,
}

impl Statement {
    /// A statement that is run once.
    #[must_use]
    pub const fn once(text: String) -> Self {
        Self { text, when: When::Always, while_rows: None, good_for: None }
    }

    #[must_use]
    pub const fn while_rows(mut self, pause: Duration, within: Duration) -> Self {
        self.while_rows = Some(Again { pause, within });
        self
    }

    #[must_use]
    pub const fn good_for(mut self, time: Duration) -> Self {
        self.good_for = Some(time);
        self
    }

    #[must_use]
    pub const fn only(mut self, when: When) -> Self {
        self.when = when;
        self
    }
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
        let http = HttpCall { method, path, query: vec![], headers: vec![], service: "", body };
        Self { stage, effect, action, payload: Payload::Http(http) }
    }

    /// A GET that changes nothing.
    #[must_use]
    pub fn get(stage: Stage, action: &'static str, path: String, query: Vec<(&'static str, String)>) -> Self {
        let http = HttpCall { method: Method::GET, path, query, headers: vec![], service: "", body: vec![] };
        Self { stage, effect: Effect::Read, action, payload: Payload::Http(http) }
    }

    /// The same call with these headers; statements have none.
    #[must_use]
    pub fn with_headers(mut self, headers: Vec<(&'static str, &'static str)>) -> Self {
        if let Payload::Http(http) = &mut self.payload {
            http.headers = headers;
        }
        self
    }

    /// The same call to the product that the cloud's signature calls so; statements are to none.
    #[must_use]
    pub const fn at_service(mut self, service: &'static str) -> Self {
        if let Payload::Http(http) = &mut self.payload {
            http.service = service;
        }
        self
    }

    /// The request, where it is one.
    #[must_use]
    pub const fn http(&self) -> Option<&HttpCall> {
        match &self.payload {
            Payload::Http(http) => Some(http),
            Payload::Statements(_) => None,
        }
    }

    /// The statements, where it is some.
    #[must_use]
    pub const fn statements(&self) -> Option<&Statements> {
        match &self.payload {
            Payload::Http(_) => None,
            Payload::Statements(statements) => Some(statements),
        }
    }

    /// The server that it is for, where an account's servers are told apart.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.statements()?.node.as_deref()
    }
}

/// What came back for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The stage of the call that this answers.
    pub stage: Stage,
    /// What that call may have done: what is not known of its answer is worse for a kill than for a read.
    pub effect: Effect,
    pub content: Content,
}

/// The two kinds of a reply, as of a [`Payload`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Http(HttpReply),
    /// One for each statement that was answered: at the first one that was not, the connection broke off or its time was up,
    /// and what came behind it was not sent. There is one at least.
    Results(Vec<StatementResult>),
}

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpReply {
    pub status: StatusCode,
    /// The vendor's request id, where it sent one as a header.
    pub request_id: Option<String>,
    /// How long the vendor asks to wait before the next call, where it does.
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
}

/// What a database server answered to one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementResult {
    /// Its rows, each an object with a member for each column, which is text or null; none where it has none.
    Rows(Vec<Value>),
    /// It was refused, with the server's code (an SQLSTATE, or a number of MySQL's) and text.
    Refused { code: String, message: String },
}

impl Reply {
    /// The response to an HTTP call.
    ///
    /// # Errors
    /// It is something else, and so nobody can tell what became of the call: [`Unreadable`](super::FaultKind::Unreadable).
    pub fn http(&self) -> Result<&HttpReply, Fault> {
        match &self.content {
            Content::Http(http) => Ok(http),
            Content::Results(_) => Err(Fault::unreadable(self)),
        }
    }

    /// The results of statements.
    ///
    /// # Errors
    /// It is something else, and so nobody can tell what became of the call: [`Unreadable`](super::FaultKind::Unreadable).
    pub fn results(&self) -> Result<&[StatementResult], Fault> {
        match &self.content {
            Content::Http(_) => Err(Fault::unreadable(self)),
            Content::Results(results) => Ok(results),
        }
    }

    /// The status of a response.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        match &self.content {
            Content::Http(http) => Some(http.status),
            Content::Results(_) => None,
        }
    }
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
    /// Send this, which acts on what the last call prepared: within that time after that one left, or not at all. Only in answer to
    /// a call that reads.
    Commit { call: Call, within: Duration },
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
            Outcome::Killed | Outcome::NotFound | Outcome::Gone => Status::Succeeded,
            Outcome::Accepted => Status::Accepted,
            Outcome::Unknown => Status::Unknown,
            Outcome::Protected => Status::Refused,
            Outcome::Failed | Outcome::Changed | Outcome::Alive => Status::Failed,
        };
        let sessions = ids.iter().map(|id| Session::new(id, outcome)).collect();
        Self { status, sessions, task_id: None, request_id: None, evidence_url: None }
    }

    /// The same of the sessions of that place, among those of others.
    #[must_use]
    pub fn at(mut self, place: Option<&str>) -> Self {
        for session in &mut self.sessions {
            session.id = SessionId::at(place, &session.id).0;
        }
        self
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
