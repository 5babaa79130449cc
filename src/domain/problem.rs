//! Why a request was not done, with a stable code.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::KillId;

/// The stable code of a problem document. [`ProblemCode::as_str`] is what callers may match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    Malformed,
    Unauthenticated,
    Forbidden,
    UnknownTarget,
    TargetNotFound,
    NotFound,
    MethodNotAllowed,
    InProgress,
    TargetBusy,
    /// A node is not the server, or not in the role, that its account expects.
    TargetChanged,
    TooLarge,
    UnsupportedMediaType,
    Invalid,
    UnsupportedSelector,
    KeyReused,
    UpstreamRejected,
    RateLimited,
    UpstreamThrottled,
    UpstreamFailed,
    UpstreamDenied,
    AuditUnavailable,
    Overloaded,
    OutcomeUnknown,
    /// The issuer's keys cannot be had, so no token can be checked.
    KeysUnavailable,
    /// The body did not arrive in time.
    TooSlow,
    Internal,
}

impl ProblemCode {
    /// The code as it stands in answers, records and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::UnknownTarget => "unknown_target",
            Self::TargetNotFound => "target_not_found",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::InProgress => "in_progress",
            Self::TargetBusy => "target_busy",
            Self::TargetChanged => "target_changed",
            Self::TooLarge => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Invalid => "invalid",
            Self::UnsupportedSelector => "unsupported_selector",
            Self::KeyReused => "key_reused",
            Self::UpstreamRejected => "upstream_rejected",
            Self::RateLimited => "rate_limited",
            Self::UpstreamThrottled => "upstream_throttled",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamDenied => "upstream_denied",
            Self::AuditUnavailable => "audit_unavailable",
            Self::Overloaded => "overloaded",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::KeysUnavailable => "keys_unavailable",
            Self::TooSlow => "too_slow",
            Self::Internal => "internal",
        }
    }
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// A path into the request.
    #[schema(example = "select.ids[2]")]
    pub field: String,
    /// One sentence.
    #[schema(example = "select.ids[2] is given twice")]
    pub detail: String,
}

/// Why a kill was not done, as its record keeps it and a replayed answer repeats it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    pub code: ProblemCode,
    /// One sentence for the caller.
    pub detail: String,
    /// The field at fault, as a path into the request, such as `select.ids[2]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Every mistake of the request, where there are several: at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Seconds after which a repetition may succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// What would be accepted instead, such as the selectors this vendor has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supported: Option<Vec<String>>,
    /// The kill that this is about, where it is not the one that carries the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    pub kill_id: Option<KillId>,
    /// How many attempts of the caller the record stands for, where they are more than one: beyond a limit not each has a
    /// record of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Whether it was the list of sessions that failed, and a kill that needs none might not.
    #[serde(skip)]
    pub of_list: bool,
}

impl Problem {
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            field: None,
            errors: vec![],
            retry_after: None,
            supported: None,
            kill_id: None,
            attempts: None,
            of_list: false,
        }
    }

    /// An `invalid` problem with one field of the request, of which it says what must hold: "must be a number".
    #[must_use]
    pub fn invalid(field: impl Into<String>, predicate: impl AsRef<str>) -> Self {
        let field = field.into();
        Self::new(ProblemCode::Invalid, format!("{field} {}", predicate.as_ref())).at(field)
    }

    /// An `invalid` problem with one field of the request whose word is none of these.
    #[must_use]
    pub fn no_such_word(field: impl Into<String>, words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self::invalid(field, "has no such word").supported(words)
    }

    /// Whether it says that the caller may not use the target.
    #[must_use]
    pub fn forbids_target(&self) -> bool {
        self.code == ProblemCode::Forbidden && self.field.as_deref() == Some("target")
    }

    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Names the kill that this is about.
    #[must_use]
    pub fn kill(mut self, id: KillId) -> Self {
        self.kill_id = Some(id);
        self
    }

    #[must_use]
    pub fn supported(mut self, forms: Vec<String>) -> Self {
        self.supported = Some(forms);
        self
    }
}
