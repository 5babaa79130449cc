//! Which parts of a kill need not be tried any more, since one before them failed.

use std::collections::HashSet;

use crate::domain::{Problem, ProblemCode};

/// What has failed so far.
#[derive(Debug, Default)]
pub(super) struct Failed {
    /// Something that is wrong for every shard.
    everywhere: bool,
    shards: HashSet<Option<String>>,
}

impl Failed {
    /// Notes what is wrong with a part, where something is.
    pub(super) fn note(&mut self, shard: Option<String>, problem: Option<&Problem>) {
        let Some(problem) = problem else { return };
        self.everywhere |= is_everywhere(problem.code);
        self.shards.insert(shard);
    }

    /// Whether nothing more is to be sent there.
    pub(super) fn at(&self, shard: Option<&str>) -> bool {
        self.everywhere || self.shards.iter().any(|failed| failed.as_deref() == shard)
    }
}

/// Whether what is wrong at one shard is at all: the budget, the record, the credentials, and what the gateway itself decided.
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
