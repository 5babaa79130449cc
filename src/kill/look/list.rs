//! Looking at live sessions: list them, choose, and tell which are protected.
//!
//! The invariant: who may not see the literals of statements cannot ask for them either. Nothing is changed at a
//! vendor, and nothing is recorded.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use crate::{
    dispatch::{
        report::Stop,
        runner::{Purpose, Reader, Runner},
        unread::unread,
    },
    domain::{LiveSession, Match, Problem, ProblemCode, Target, Unlisted, cut},
    kill::look::{Looks, shared::Seen},
    spans::Trace,
    upstream::{ListFilter, Listing, ListingKind},
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
    /// Where the asking stands in a trace.
    pub trace: Trace,
}

/// Sessions, each with what protects it, where something does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    pub sessions: Vec<(LiveSession, Option<String>)>,
    /// False where there may be more that meet what was wanted.
    pub complete: bool,
    /// Places of which there may be more, and why.
    pub unlisted: Vec<Unlisted>,
}

impl Looks {
    /// The live sessions that meet what is wanted. Takes at most as long as a kill of one call.
    ///
    /// # Errors
    /// `invalid` where the vendor needs a criterion that was not given; `unsupported_selector` where it does not tell what
    /// one asks for; what kept the vendor from listing.
    pub(in crate::kill) async fn sessions(&self, question: Question) -> Result<Looked, Problem> {
        let started = Instant::now();
        let Question { caller, target, wanted, literals, trace } = question;
        let reader = Reader::new(Purpose::List, &caller).within(&trace);
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
        let runner = self.upstreams.runner(target)?;
        let filters = filters(target, runner.able.listing, wanted)?;
        let seen = self.read(&runner, target, &filters, reader).await?;
        let list = seen.list(literals);
        let told = |session: &LiveSession| {
            let protection = self.policy.targets.protection(target, session);
            let mut session = session.clone();
            session.statement = session.statement.as_deref().map(|statement| cut(statement, MAX_STATEMENT));
            (session, protection)
        };
        let picked = wanted.pick(&list.sessions, list.complete);
        Ok(Looked {
            sessions: picked.into_iter().map(told).collect(),
            complete: list.complete,
            unlisted: list.unlisted(),
        })
    }

    /// Every session that the vendor lists of these, for whoever wants to see it now.
    ///
    /// # Errors
    /// What kept the vendor from listing.
    pub(in crate::kill) async fn read(
        &self,
        runner: &Runner,
        target: &Target,
        filters: &[ListFilter],
        reader: &Reader,
    ) -> Result<Arc<Seen>, Problem> {
        let mut lists = Vec::with_capacity(filters.len());
        for filter in filters {
            let at = self.clock.now();
            let mut listing = Listing::new(runner.vendor, target.clone(), filter.clone());
            let until = Instant::now() + runner.limit.max_wait + runner.limit.timeout;
            match timeout_at(until, runner.list(&mut listing, reader, until)).await {
                Ok(Ok(())) => {}
                // What was read in time is told, and that it is not all.
                Ok(Err(Stop::NoPermit(_))) | Err(_) if listing.has_begun() => {}
                Ok(Err(stop)) => return Err(unread(&stop)),
                Err(_) => return Err(unread(&Stop::StillRunning)),
            }
            let place = listing.target().clone();
            lists.push(Arc::new(Seen::new(listing.into_list(), place, at)));
        }
        Seen::of_all(lists)
    }
}

/// What the vendor has to be asked for that shows every session that is wanted.
///
/// # Errors
/// It cannot list them.
fn filters(target: &Target, listing: Option<ListingKind>, wanted: &Match) -> Result<Vec<ListFilter>, Problem> {
    let vendor = target.vendor;
    let Some(listing) = listing else {
        return Err(Problem::invalid("target", format!("has no list of sessions: {vendor} has none for this account")));
    };
    if let Some(name) = listing.does_not_tell(wanted) {
        let sentence = format!("{vendor} does not tell of a session what {name} asks for");
        return Err(Problem::new(ProblemCode::UnsupportedSelector, sentence).at(name).supported(listing.told()));
    }
    listing.for_match(wanted).ok_or_else(|| {
        let names: Vec<_> = listing.needs_one_of.iter().map(|name| (*name).to_owned()).collect();
        let first = listing.needs_one_of.first().copied().unwrap_or("target");
        let predicate = format!("is required, written out: {vendor} lists sessions only by {}", names.join(" or "));
        Problem::invalid(first, predicate).supported(names)
    })
}
