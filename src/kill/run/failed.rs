//! Which parts of a kill need not be tried any more, since one before them failed.

use std::collections::HashSet;

use crate::domain::{Problem, ProblemCode};

/// What has failed so far.
#[derive(Debug, Default)]
pub(super) struct Failed {
    /// Something that is wrong for every place.
    everywhere: bool,
    places: HashSet<Option<String>>,
}

impl Failed {
    /// Notes what is wrong with a part, where something is.
    pub(super) fn note(&mut self, place: Option<String>, problem: Option<&Problem>) {
        let Some(problem) = problem else { return };
        self.everywhere |= is_everywhere(problem.code);
        self.places.insert(place);
    }

    /// Whether nothing more is to be sent there.
    pub(super) fn at(&self, place: Option<&str>) -> bool {
        self.everywhere || self.places.iter().any(|failed| failed.as_deref() == place)
    }
}

/// Whether what is wrong at one place is at all: the budget, the record, the credentials, and what the gateway itself decided.
const fn is_everywhere(code: ProblemCode) -> bool {
    use ProblemCode as P;
    match code {
        P::TargetNotFound
        | P::TargetBusy
        | P::TargetChanged
        | P::UpstreamRejected
        | P::UpstreamFailed
        | P::OutcomeUnknown => false,
        P::Malformed
        | P::Unauthenticated
        | P::Forbidden
        | P::UnknownTarget
        | P::NotFound
        | P::MethodNotAllowed
        | P::TooSlow
        | P::InProgress
        | P::TooLarge
        | P::UnsupportedMediaType
        | P::Invalid
        | P::UnsupportedSelector
        | P::KeyReused
        | P::RateLimited
        | P::UpstreamThrottled
        | P::UpstreamDenied
        | P::AuditUnavailable
        | P::KeysUnavailable
        | P::Overloaded
        | P::Internal => true,
    }
}
