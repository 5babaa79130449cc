//! The preview of a kill where the database picks: the sessions that it names now.
//!
//! The invariant: it only reads. What it shows binds nobody: the database picks anew when the kill comes, and spares
//! nobody on behalf of the gateway.

use std::{borrow::Cow, collections::BTreeMap};

use tokio::time::{Instant, timeout_at};

use crate::{
    dispatch::{
        runner::{Reader, Runner},
        unread::unread,
    },
    domain::{Kill, Look, Outcome, Problem, ProblemCode, Selector, Session, Target},
    kill::look::{
        Looks,
        victims::{Judge, Victims},
    },
    upstream::{List, ListFilter},
};

const ANEW: &str = "named now; the database picks anew when the kill comes";
const ALL_THE_SAME: &str = "the database picks anew when the kill comes, and may end it all the same";

impl Looks {
    /// Shows on `kill` what the database would pick; leaves it as it is where that cannot be learned.
    pub(in crate::kill) async fn show_picks(&self, runner: &Runner, target: &Target, reader: &Reader, kill: &mut Kill) {
        match self.picked(runner, target, reader).await {
            Ok(None) => {}
            Ok(Some((sessions, look))) => (kill.sessions, kill.look) = (sessions, look),
            Err(problem) => tracing::info!(kill_id = %kill.id, code = problem.code.as_str(), "a preview saw nothing"),
        }
    }

    async fn picked(
        &self,
        runner: &Runner,
        target: &Target,
        reader: &Reader,
    ) -> Result<Option<(Vec<Session>, Option<Look>)>, Problem> {
        let at = self.clock.now();
        let until = Instant::now() + runner.limit.max_wait + runner.limit.timeout;
        let ids = match timeout_at(until, runner.pick(target, reader, until)).await {
            Ok(Ok(Some(ids))) => ids,
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(stop)) => return Err(unread(&stop)),
            Err(_) => return Err(Problem::new(ProblemCode::UpstreamFailed, "the vendor did not name them in time")),
        };
        // Without the list it is still known what was named, only not whose sessions these are.
        let has_list = self.policy.targets.able(runner.vendor, &target.account).listing.is_some();
        let filters = [ListFilter::default()];
        let seen = if has_list { self.read(runner, target, &filters, reader).await.ok() } else { None };
        let nothing = List::of_place(vec![], false);
        let list = seen.as_ref().map_or(&nothing, |seen| seen.list(false));
        let protection = |session: &_| self.policy.targets.protection(target, session);
        let judge = Judge { list, by_user: false, is_narrowed: false, pins: &BTreeMap::new(), protection, at };
        let Victims { sessions, .. } = judge.judge(&Selector::Ids(ids));
        let sessions = sessions.into_iter().map(shown).collect();
        // A list that there is not was not cut off either.
        let look = has_list.then_some(Look { at, complete: list.complete, to_kill_ms: None });
        Ok(Some((sessions, look)))
    }
}

/// A session that the database named, as the preview tells of it.
fn shown(session: Session) -> Session {
    match session.outcome {
        // Seen on the list, or named by the database a moment before a list that was cut off.
        Outcome::Unknown | Outcome::Failed => Session { outcome: Outcome::Alive, ..session }.because(ANEW),
        Outcome::Protected => {
            let why = session.detail.clone().unwrap_or(Cow::Borrowed("protected"));
            session.because(format!("{why}; {ALL_THE_SAME}"))
        }
        Outcome::NotFound | Outcome::Gone | Outcome::Changed | Outcome::Accepted | Outcome::Killed | Outcome::Alive => {
            session
        }
    }
}
