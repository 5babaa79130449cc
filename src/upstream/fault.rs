//! Why a call did not do its work: one flat type that every decision is taken from.

use std::time::Duration;

use crate::domain::{Outcome, ProblemCode, Status};

use super::{Content, Reply, Stage};

/// The kinds of fault, by what may be done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Stopped by a rate limit before anything ran.
    Throttled,
    /// The moment that the rate limit left for it passed before it was begun: nothing has left.
    TooLate,
    /// No such instance, node, component or shard.
    TargetNotFound,
    /// The target's state forbids it, or another operation is running.
    TargetBusy,
    /// The node is another server than the account expects, or not in that role: nothing was sent.
    TargetChanged,
    /// The vendor refuses the parameters.
    Rejected,
    /// Permission, signature or credentials.
    Denied,
    /// The token is not taken (any more); a new one may be.
    TokenExpired,
    /// Refused otherwise: wrong endpoint, retired operation, quota.
    Refused,
    /// No connection was made: nothing has left.
    NotConnected,
    /// The account has no credentials at this time, since their source gave none: nothing has left.
    Credentials,
    /// The vendor says that it failed inside; whether anything ran, nobody knows.
    ServerError,
    /// Bytes may have left and no answer came back.
    Lost,
    /// An answer came and cannot be read.
    Unreadable,
}

/// Whether, and when, the same call may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// It surely did not run: again after a pause.
    AfterPause,
    /// It surely did not run: again, once, with new credentials.
    AfterRenewal,
    /// Not again: it would be refused again, or it may have run.
    Never,
}

impl FaultKind {
    pub const ALL: [Self; 14] = [
        Self::Throttled,
        Self::TooLate,
        Self::TargetNotFound,
        Self::TargetBusy,
        Self::TargetChanged,
        Self::Rejected,
        Self::Denied,
        Self::TokenExpired,
        Self::Refused,
        Self::NotConnected,
        Self::Credentials,
        Self::ServerError,
        Self::Lost,
        Self::Unreadable,
    ];

    /// Whether a kill that met this fault may be sent again.
    #[must_use]
    pub const fn replay(self) -> Replay {
        match self {
            Self::Throttled | Self::TooLate | Self::NotConnected | Self::Credentials => Replay::AfterPause,
            Self::TokenExpired => Replay::AfterRenewal,
            Self::TargetNotFound
            | Self::TargetBusy
            | Self::TargetChanged
            | Self::Rejected
            | Self::Denied
            | Self::Refused
            | Self::ServerError
            | Self::Lost
            | Self::Unreadable => Replay::Never,
        }
    }

    /// The status of a kill that ends with this fault.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Throttled | Self::TooLate => Status::RateLimited,
            Self::TargetNotFound
            | Self::TargetBusy
            | Self::TargetChanged
            | Self::Rejected
            | Self::Denied
            | Self::TokenExpired
            | Self::Refused
            | Self::NotConnected
            | Self::Credentials => Status::Failed,
            Self::ServerError | Self::Lost | Self::Unreadable => Status::Unknown,
        }
    }

    /// The outcome of each session of a kill that ends with this fault.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Throttled
            | Self::TooLate
            | Self::TargetNotFound
            | Self::TargetBusy
            | Self::TargetChanged
            | Self::Rejected
            | Self::Denied
            | Self::TokenExpired
            | Self::Refused
            | Self::NotConnected
            | Self::Credentials => Outcome::Failed,
            Self::ServerError | Self::Lost | Self::Unreadable => Outcome::Unknown,
        }
    }

    /// The code that the caller is answered with.
    #[must_use]
    pub const fn problem(self) -> ProblemCode {
        match self {
            Self::Throttled => ProblemCode::UpstreamThrottled,
            Self::TooLate => ProblemCode::RateLimited,
            Self::TargetNotFound => ProblemCode::TargetNotFound,
            Self::TargetBusy => ProblemCode::TargetBusy,
            Self::TargetChanged => ProblemCode::TargetChanged,
            Self::Rejected => ProblemCode::UpstreamRejected,
            Self::Denied | Self::TokenExpired => ProblemCode::UpstreamDenied,
            Self::Refused | Self::NotConnected | Self::Credentials => ProblemCode::UpstreamFailed,
            Self::ServerError | Self::Lost | Self::Unreadable => ProblemCode::OutcomeUnknown,
        }
    }

    /// The code that the caller of a list is answered with: it changes nothing, so no outcome can be unknown.
    #[must_use]
    pub const fn problem_of_list(self) -> ProblemCode {
        match self {
            Self::Throttled
            | Self::TooLate
            | Self::TargetNotFound
            | Self::TargetBusy
            | Self::TargetChanged
            | Self::Rejected
            | Self::Denied
            | Self::TokenExpired
            | Self::Refused
            | Self::NotConnected
            | Self::Credentials => self.problem(),
            Self::ServerError | Self::Lost | Self::Unreadable => ProblemCode::UpstreamFailed,
        }
    }

    /// One sentence for the caller of a list.
    #[must_use]
    pub const fn sentence_of_list(self) -> &'static str {
        match self {
            Self::Throttled => "the vendor is throttling this account",
            Self::TooLate => "the gateway is too busy to keep to the vendor's limit",
            Self::TargetNotFound => "the vendor does not know this instance, node, component or shard",
            Self::TargetBusy => "the target's state forbids it now, or another operation is running",
            Self::TargetChanged => "the node is not the server, or not in the role, that its account expects",
            Self::Rejected => "the vendor refused the parameters",
            Self::Denied | Self::TokenExpired => "the vendor refused the gateway's permission or credentials",
            Self::Refused => "the vendor refused the call",
            Self::NotConnected => "no connection to the vendor could be made",
            Self::Credentials => "the account has no credentials at this time",
            Self::ServerError => "the vendor failed inside",
            Self::Lost => "the vendor's answer was lost",
            Self::Unreadable => "the vendor's answer cannot be read",
        }
    }

    /// True where the vendor's own text may echo keys, tokens or signed headers and is withheld.
    #[must_use]
    pub const fn withholds_message(self) -> bool {
        matches!(self, Self::Denied | Self::TokenExpired | Self::Unreadable)
    }

    /// One sentence for the caller.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Throttled => "the vendor is throttling this account; nothing was killed",
            Self::TooLate => "the gateway is too busy to keep to the vendor's limit; nothing was killed",
            Self::TargetNotFound => {
                "the vendor does not know this instance, node, component or shard; nothing was killed"
            }
            Self::TargetBusy => {
                "the target's state forbids it now, or another operation is running; nothing was killed"
            }
            Self::TargetChanged => {
                "the node is not the server, or not in the role, that its account expects; nothing was killed"
            }
            Self::Rejected => "the vendor refused the parameters; nothing was killed",
            Self::Denied | Self::TokenExpired => {
                "the vendor refused the gateway's permission or credentials; nothing was killed"
            }
            Self::Refused => "the vendor refused the call; nothing was killed",
            Self::NotConnected => "no connection to the vendor could be made; nothing was killed",
            Self::Credentials => "the account has no credentials at this time; nothing was killed",
            Self::ServerError => {
                "the vendor failed inside; whether sessions were killed is not known, and it is not repeated"
            }
            Self::Lost => {
                "the vendor's answer was lost; whether sessions were killed is not known, and it is not repeated"
            }
            Self::Unreadable => {
                "the vendor's answer cannot be read; whether sessions were killed is not known, and it is not repeated"
            }
        }
    }

    /// The word in logs, vectors and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::TooLate => "too_late",
            Self::TargetNotFound => "target_not_found",
            Self::TargetBusy => "target_busy",
            Self::TargetChanged => "target_changed",
            Self::Rejected => "rejected",
            Self::Denied => "denied",
            Self::TokenExpired => "token_expired",
            Self::Refused => "refused",
            Self::NotConnected => "not_connected",
            Self::Credentials => "credentials",
            Self::ServerError => "server_error",
            Self::Lost => "lost",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Why a call did not do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub stage: Stage,
    pub http_status: Option<u16>,
    /// The vendor's error code.
    pub code: Option<String>,
    /// The vendor's error text; not yet checked for secrets.
    pub message: Option<String>,
    pub request_id: Option<String>,
    pub retry_after: Option<Duration>,
    /// It arose in the account itself, such as at its login: the vendor's endpoint has seen nothing of the call.
    pub before_endpoint: bool,
    /// It arose on the way in: whatever was to be sent, it could not have been, and the message is this gateway's own words.
    pub on_the_way: bool,
}

impl Fault {
    /// A fault with no reply behind it.
    #[must_use]
    pub const fn new(kind: FaultKind, stage: Stage) -> Self {
        Self {
            kind,
            stage,
            http_status: None,
            code: None,
            message: None,
            request_id: None,
            retry_after: None,
            before_endpoint: false,
            on_the_way: false,
        }
    }

    /// A fault read from a reply.
    #[must_use]
    pub fn of(kind: FaultKind, reply: &Reply) -> Self {
        let fault = Self::new(kind, reply.stage);
        match &reply.content {
            Content::Http(http) => Self {
                http_status: Some(http.status.as_u16()),
                request_id: http.request_id.clone(),
                retry_after: http.retry_after,
                ..fault
            },
            Content::Results(_) => fault,
        }
    }

    /// An answer that cannot be read.
    #[must_use]
    pub fn unreadable(reply: &Reply) -> Self {
        Self::of(FaultKind::Unreadable, reply)
    }

    /// A sentence with what was in the way, in this gateway's words, and the code that it goes by.
    #[must_use]
    pub fn told(&self, sentence: &str) -> String {
        let why = self.message.as_ref().filter(|_| self.on_the_way);
        match (why, &self.code) {
            (Some(why), Some(code)) => format!("{sentence}: {why} ({code})"),
            (Some(why), None) => format!("{sentence}: {why}"),
            (None, Some(code)) => format!("{sentence}: {code}"),
            (None, None) => sentence.to_owned(),
        }
    }

    /// Whether a call of another kind might do what this one did not: not where nothing could be sent.
    #[must_use]
    pub const fn is_of_call(&self) -> bool {
        let is_of_place = matches!(
            self.kind,
            FaultKind::NotConnected | FaultKind::TargetChanged | FaultKind::TargetNotFound | FaultKind::TooLate
        );
        !self.on_the_way && !self.before_endpoint && !is_of_place
    }

    /// Adds the vendor's own code.
    #[must_use]
    pub fn coded(mut self, code: Option<String>) -> Self {
        self.code = code;
        self
    }

    /// Adds the vendor's own code and text.
    #[must_use]
    pub fn saying(mut self, code: Option<String>, message: Option<String>) -> Self {
        self.code = code;
        self.message = message;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_replayed_surely_killed_nothing() {
        for kind in FaultKind::ALL {
            if kind.replay() != Replay::Never {
                assert_eq!(kind.outcome(), Outcome::Failed, "{kind:?}");
            }
            assert_eq!(kind.status() == Status::Unknown, kind.outcome() == Outcome::Unknown, "{kind:?}");
        }
    }
}
