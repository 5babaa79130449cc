//! What a key that stands for a kill makes of an attempt that comes with it.
//!
//! The invariant: of a key that stands for a kill, no attempt makes another one.

use std::sync::Arc;

use crate::{
    domain::{Kill, Problem, ProblemCode, Status},
    kill::handle::Ticket,
};

/// An attempt whose key stands for a kill.
#[derive(Debug)]
pub(in crate::kill) enum Keyed {
    /// A repetition: it is answered as that kill is, or told that it is being worked on, and adds no record.
    Repeated(Result<Ticket, Problem>),
    /// Another request: an attempt of its own, which is not done.
    Reused(Problem),
}

impl Keyed {
    /// What the key makes of it that stands for this kill.
    pub(in crate::kill) fn of(kill: Kill, same_request: bool) -> Self {
        if !same_request {
            let sentence = format!("this Idempotency-Key stands for another request, the kill {}", kill.id);
            return Self::Reused(Problem::new(ProblemCode::KeyReused, sentence).at("Idempotency-Key"));
        }
        if kill.status == Status::Pending {
            let sentence = "the kill with this Idempotency-Key is being worked on";
            return Self::Repeated(Err(Problem::new(ProblemCode::InProgress, sentence).retry_after(1).kill(kill.id)));
        }
        Self::Repeated(Ok(Ticket::replayed(Arc::new(kill))))
    }
}
