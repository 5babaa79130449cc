//! Looking again at sessions that were looked at before and have waited since.
//!
//! The invariant: what may still be sent meets all that it had to meet at first, and is the session that was seen then.

use std::collections::{BTreeMap, HashSet};

use crate::{
    domain::{Kill, Look, Order, Outcome, Problem, Selector, SessionId},
    kill::{
        intake::request::Asked,
        look::{
            preflight::{Cleared, Preflight, unlooked},
            victims::{Judge, Pin, Victims},
        },
        record,
        times::calls_take,
    },
};

impl Preflight<'_> {
    /// Looks again at the sessions of a call, records what was seen, and answers what of it may still be sent, and how many
    /// sessions that is about; `None` where nothing may. It can be more than goes in one call. `after_it` is how many calls
    /// are to come after it.
    ///
    /// Its list takes turns as the kill itself does: otherwise it would have to wait until no other kill waits.
    ///
    /// # Errors
    /// Why nothing may be sent.
    pub(in crate::kill) async fn again(
        &self,
        part: Order,
        after_it: usize,
        kill: &mut Kill,
    ) -> Result<Option<Cleared>, Problem> {
        let Self { looks, runner, asked, plan, literals, reader } = self;
        let Selector::Ids(ids) = &part.selector else {
            // In its own way the vendor is asked for what meets the criteria now.
            return self.first(kill).await;
        };
        let seen = looks.shared(runner, &part.target, &plan.filters, reader).await;
        let seen = seen.map_err(|problem| unlooked(problem, asked))?;
        let (list, at) = (seen.list(*literals), seen.at);
        let protection = |session: &_| looks.policy.targets.protection(&part.target, session);
        // Each was on such a list before, so that it is there no more unless it can have gone to another database.
        let (by_user, is_narrowed) = (plan.by_user(), plan.is_narrowed());
        let judge = Judge { list, by_user, is_narrowed, pins: &pins(asked, kill, ids), protection, at };
        let mut victims = judge.judge(&part.selector);
        if let (Selector::Match(criteria), None) = (&asked.order.selector, &asked.bound) {
            let meant = criteria.met_by(&list.sessions, list.complete);
            let meant: HashSet<&str> = meant.iter().map(|session| session.id.as_str()).collect();
            let others = list.sessions.iter().map(|session| session.id.as_str()).filter(|id| !meant.contains(id));
            victims = victims.without(&others.collect::<HashSet<_>>());
        }
        let Victims { send, sessions, .. } = victims;
        kill.note(&sessions);
        let complete = list.complete && kill.unlisted.is_empty();
        kill.look = Some(Look { at, complete, to_kill_ms: None });
        let now = looks.clock.now();
        let looked = looks.record.looked(kill, now, now + calls_take(runner.limit, after_it + 1, true));
        record::step(&reader.trace, "looked").around(looked).await?;
        // These were counted before.
        let in_company = seen.in_company;
        Ok((!send.is_empty()).then_some(Cleared {
            // What was marked at first is meant still, whatever they run by now.
            order: part.of_ids(send),
            many: 0,
            in_company,
        }))
    }
}

/// What must hold of these sessions: what was asked of each, and that it is the one that was seen.
fn pins(asked: &Asked, kill: &Kill, ids: &[SessionId]) -> BTreeMap<SessionId, Pin> {
    let seen = |id: &SessionId| {
        let known = kill.sessions.iter().find(|session| session.id == id.0 && session.outcome == Outcome::Unknown)?;
        known.identity.clone()
    };
    let pin = |id: &SessionId| {
        let asked = asked.pins.get(id).cloned().unwrap_or_default();
        // What it was bound to goes before what was seen since, which does not contradict that.
        let identity = asked.identity.clone().or_else(|| seen(id));
        (id.clone(), Pin { identity, ..asked })
    };
    ids.iter().map(pin).collect()
}
