//! Looking at live sessions: list them, choose, and tell which are protected.
//!
//! The invariant: who may not see the literals of statements cannot ask for them either. Nothing is changed at a
//! vendor, and nothing is recorded.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::{
    dispatch::{
        report::{AFTER_THROTTLING, Stop, seconds},
        runner::{Purpose, Reader},
    },
    domain::{LiveSession, Match, Problem, ProblemCode, Target, cut, masked},
    kill::look::Looks,
    upstream::{Fault, List, Listing, ListingKind},
};

/// Most characters of a statement that are shown.
const MAX_STATEMENT: usize = 1000;

/// What a caller asks to see.
#[derive(Debug, Clone)]
pub struct Question {
    pub caller: String,
    pub target: Target,
    pub wanted: Match,
    /// Whether the caller may see the literals of statements.
    pub literals: bool,
}

/// Sessions, each with what protects it, where something does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    pub sessions: Vec<(LiveSession, Option<String>)>,
    /// False where there may be more that meet what was wanted.
    pub complete: bool,
}

impl Looks {
    /// The live sessions that meet what is wanted. Takes at most as long as a kill of one call.
    ///
    /// # Errors
    /// `invalid` where the vendor needs a criterion that was not given; what kept the vendor from listing.
    pub(in crate::kill) async fn sessions(&self, question: Question) -> Result<Looked, Problem> {
        let started = Instant::now();
        let Question { caller, target, wanted, literals } = question;
        let reader = Reader::new(Purpose::List, &caller);
        let looked = self.list(&target, &wanted, literals, &reader).await;
        let (seen, problem) = match &looked {
            Ok(looked) => (Some(looked), None),
            Err(problem) => (None, Some(problem.code.as_str())),
        };
        tracing::info!(
            caller,
            literals,
            alias = target.alias,
            vendor = %target.vendor,
            account = target.account,
            sessions = seen.map(|looked| looked.sessions.len()),
            complete = seen.map(|looked| looked.complete),
            problem,
            took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "sessions listed"
        );
        looked
    }

    async fn list(&self, target: &Target, wanted: &Match, literals: bool, reader: &Reader) -> Result<Looked, Problem> {
        check(target, self.upstreams.runner(target)?.able.listing, wanted)?;
        let (list, _) = self.read_list(target, wanted, literals, reader).await?;
        let told = |mut session: LiveSession| {
            let protection = self.policy.targets.protection(target, &session);
            session.statement = session.statement.as_deref().map(|statement| cut(statement, MAX_STATEMENT));
            (session, protection)
        };
        let picked = wanted.pick(list.sessions);
        Ok(Looked { sessions: picked.into_iter().map(told).collect(), complete: list.complete })
    }

    /// Every session that the vendor lists, with statements as the caller may see them: who may not see a literal cannot
    /// ask for one either. And where they live, which may be known more exactly than before: on which node.
    pub(in crate::kill) async fn read_list(
        &self,
        target: &Target,
        wanted: &Match,
        literals: bool,
        reader: &Reader,
    ) -> Result<(List, Target), Problem> {
        let runner = self.upstreams.runner(target)?;
        let mut listing = Listing::new(runner.vendor, target.clone(), wanted.clone());
        let until = Instant::now() + runner.limit.max_wait + runner.limit.timeout;
        match timeout_at(until, runner.list(&mut listing, reader, until)).await {
            Ok(Ok(())) => {}
            // What was read in time is told, and that it is not all.
            Ok(Err(Stop::NoPermit(_))) | Err(_) if listing.has_begun() => {}
            Ok(Err(stop)) => return Err(unread(&stop)),
            Err(_) => return Err(Problem::new(ProblemCode::UpstreamFailed, "the vendor did not list them in time")),
        }
        let target = listing.target().clone();
        let mut list = listing.into_list();
        if !literals {
            for session in &mut list.sessions {
                session.statement = session.statement.as_deref().map(masked);
            }
        }
        Ok((list, target))
    }
}

/// Whether the vendor can list what is wanted.
fn check(target: &Target, listing: Option<ListingKind>, wanted: &Match) -> Result<(), Problem> {
    let Some(listing) = listing else {
        let sentence = format!("{} has no list of sessions at the site of this account", target.vendor);
        return Err(Problem::invalid("target", sentence));
    };
    let given = wanted.given();
    match listing.needs_one_of {
        [first, ..] if !listing.shows(&given) => {
            let names = listing.needs_one_of.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            let detail = format!("{} lists sessions only by {}: one is required", target.vendor, names.join(" or "));
            Err(Problem::invalid(*first, detail).supported(names))
        }
        _ => Ok(()),
    }
}

/// Why there is no list.
pub(in crate::kill) fn unread(stop: &Stop) -> Problem {
    let wait = |code, sentence: &str, wait: Duration| Problem::new(code, sentence).retry_after(seconds(wait));
    match stop {
        Stop::Fault(fault) | Stop::Renewed(fault) => refused(fault),
        Stop::NoPermit(rest) => {
            let sentence = "other calls are waiting for this vendor account, and kills go first";
            wait(ProblemCode::RateLimited, sentence, *rest)
        }
        Stop::NoRecord => Problem::new(
            ProblemCode::AuditUnavailable,
            "the limit that all gateways share cannot be reached, so nothing was sent",
        ),
        Stop::Down(rest) => wait(ProblemCode::UpstreamFailed, rest.clause(), rest.time()),
        Stop::StillRunning => Problem::new(ProblemCode::UpstreamFailed, "the vendor did not list them in time"),
    }
}

/// There is no record that could keep what the vendor said, so the answer tells it.
fn refused(fault: &Fault) -> Problem {
    let mut detail = fault.kind.sentence_of_list().to_owned();
    if let Some(code) = &fault.code {
        detail = format!("{detail}: {code}");
    }
    if let Some(id) = &fault.request_id {
        detail = format!("{detail} (request {id})");
    }
    let problem = Problem::new(fault.kind.problem_of_list(), detail);
    match problem.code {
        ProblemCode::UpstreamThrottled | ProblemCode::RateLimited => {
            problem.retry_after(seconds(fault.retry_after.unwrap_or(AFTER_THROTTLING)))
        }
        _ => problem,
    }
}
