//! What of a kill its reader may see.
//!
//! The record keeps whose the sessions were that a kill or its preview looked at. The invariant: whoever may list no
//! sessions and read no kills learns from a kill of its own no more of them than their ids and outcomes, and whoever may
//! not see the literals of statements does not see those that others asked for. Nor does it learn more by asking: what it
//! may not see it may not search for; and whoever may not use a target learns nothing of it from having tried.

use crate::{
    auth::Scope,
    domain::{Kill, Outcome, Problem, ProblemCode, Session},
};

use super::caller::Authenticated;

/// What is shown of a criterion that may hold literals.
const MASK: &str = "?";

/// The kill as that caller may see it.
pub(super) fn seen_by(caller: &Authenticated, kill: Kill) -> Kill {
    let mut kill = kill.explained();
    if !sees_identities(caller) {
        kill.sessions.iter_mut().for_each(hide);
    }
    if kill.problem.as_ref().is_some_and(Problem::forbids_target) && !caller.0.has(Scope::KillsRead) {
        kill.target = None;
    }
    let is_own = kill.caller == caller.0.subject;
    if let Some(select) = kill.select.as_mut().filter(|_| !is_own && !caller.0.has(Scope::SessionsStatements)) {
        for place in ["/match/statement", "/match/except/statement"] {
            if let Some(statement) = select.pointer_mut(place) {
                // A piece of a statement may begin or end within a literal, so that none of it can be shown.
                *statement = MASK.into();
            }
        }
    }
    kill
}

/// Whether that caller may ask for kills by whose their sessions were; `field` is the parameter by which it does.
pub(super) fn may_ask(caller: &Authenticated, field: Option<&str>) -> Result<(), Problem> {
    match field {
        Some(field) if !sees_identities(caller) => {
            let sentence = format!("needs the scope {} or {}", Scope::SessionsRead, Scope::KillsRead);
            Err(Problem::new(ProblemCode::Forbidden, sentence).at(field))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether that caller may see whose sessions are.
pub(super) fn sees_identities(caller: &Authenticated) -> bool {
    caller.0.has(Scope::SessionsRead) || caller.0.has(Scope::KillsRead)
}

/// Leaves the id and the outcome, and why, unless that tells whose it is.
pub(super) fn hide(session: &mut Session) {
    session.identity = None;
    if session.outcome == Outcome::Protected {
        session.detail = None;
    }
}
