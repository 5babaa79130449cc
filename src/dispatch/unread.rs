//! Why a list could not be read, as whoever wanted it is told.

use std::time::Duration;

use super::{
    breaker::Rest,
    report::{AFTER_THROTTLING, Stop, seconds},
};
use crate::{
    domain::{Problem, ProblemCode},
    upstream::Fault,
};

/// Why there is no list.
pub(crate) fn unread(stop: &Stop) -> Problem {
    let wait = |code, sentence: &str, wait: Duration| Problem::new(code, sentence).retry_after(seconds(wait));
    match stop {
        Stop::Fault(fault) | Stop::Unprepared(fault) | Stop::Renewed(fault) => refused(fault),
        Stop::NoPermit(rest) => {
            let sentence = "no list may leave for this vendor account in time: it asked for a pause, or too many calls wait, and kills go before lists";
            Problem { of_list: true, ..wait(ProblemCode::RateLimited, sentence, *rest) }
        }
        Stop::NoRecord => Problem::new(
            ProblemCode::AuditUnavailable,
            "the limit that all gateways share cannot be reached, so nothing was sent",
        ),
        Stop::Down(rest) => {
            let problem = wait(ProblemCode::UpstreamFailed, rest.clause(), rest.time());
            // An endpoint may be left alone since nobody reached it.
            Problem { of_list: matches!(rest, Rest::Instance(_)), ..problem }
        }
        Stop::StillRunning => {
            let problem = Problem::new(ProblemCode::UpstreamFailed, "the vendor did not list them in time");
            Problem { of_list: true, ..problem }
        }
    }
}

/// There is no record that could keep what the vendor said, so the answer tells it.
fn refused(fault: &Fault) -> Problem {
    let mut detail = fault.told(fault.kind.sentence_of_list());
    if let Some(id) = &fault.request_id {
        detail = format!("{detail} (request {id})");
    }
    let problem = Problem { of_list: fault.is_of_call(), ..Problem::new(fault.kind.problem_of_list(), detail) };
    match problem.code {
        ProblemCode::UpstreamThrottled | ProblemCode::RateLimited => {
            problem.retry_after(seconds(fault.retry_after.unwrap_or(AFTER_THROTTLING)))
        }
        _ => problem,
    }
}
