//! Looking again at sessions that were looked at before and have waited since.
//!
//! The invariant: what may still be sent meets all that it had to meet at first, and is the session that was seen then.

use std::collections::BTreeMap;

use crate::domain::{Kill, Look, Match, Order, Outcome, Problem, Selector, SessionId};

use super::{
    Kills, calls_take,
    look::Plan,
    victims::{Judge, Pin, Victims},
    work::{Job, note},
};

impl Kills {
    /// Looks again at the sessions of a call, records what was seen, and answers what of it may still be sent; `None`
    /// where nothing may. `after_it` is how many calls are to come after it.
    ///
    /// Its list takes turns as the kill itself does: otherwise it would have to wait until no other kill waits.
    ///
    /// # Errors
    /// Why nothing may be sent.
    pub(super) async fn look_again(
        &self,
        job: &Job,
        plan: &Plan,
        part: Order,
        after_it: usize,
        kill: &mut Kill,
    ) -> Result<Option<Order>, Problem> {
        let Job { driver, asked, class, literals, .. } = job;
        let Selector::Ids(ids) = &part.selector else {
            // In its own way the vendor is asked for what meets the criteria now.
            let looked = self.look_before(driver, plan, asked, *literals, *class, kill).await?;
            return Ok(looked.map(|(order, _)| order));
        };
        let at = self.0.clock.now();
        let (mut list, _) = self.read_list(&part.target, &plan.wanted, *literals, *class).await?;
        if let (Selector::Match(criteria), None) = (&asked.order.selector, &asked.bound) {
            let criteria = Match { limit: None, order: None, ..criteria.clone() };
            list.sessions.retain(|session| !ids.contains(&session.id) || criteria.meets(session));
        }
        let protection = |session: &_| self.0.targets.protection(&part.target, session);
        let judge = Judge { list: &list, is_narrowed: plan.is_narrowed, pins: &pins(job, kill, ids), protection, at };
        let Victims { send, sessions } = judge.judge(&part.selector);
        note(kill, &sessions);
        kill.look = Some(Look { at, complete: list.complete, to_kill_ms: None });
        let now = self.0.clock.now();
        let due = now + calls_take(driver.limit, after_it + 1, true);
        let recorded = self.0.audit.conclude(kill, now, "looked", Some(due)).await;
        self.may_go_on(kill, recorded)?;
        Ok((!send.is_empty()).then_some(Order { selector: Selector::Ids(send), ..part }))
    }
}

/// What must hold of these sessions: what was asked of each, and that it is the one that was seen.
fn pins(job: &Job, kill: &Kill, ids: &[SessionId]) -> BTreeMap<SessionId, Pin> {
    let seen = |id: &SessionId| {
        let known = kill.sessions.iter().find(|session| session.id == id.0 && session.outcome == Outcome::Unknown)?;
        known.identity.clone()
    };
    let pin = |id: &SessionId| {
        let asked = job.asked.pins.get(id).cloned().unwrap_or_default();
        // What it was bound to goes before what was seen since, which does not contradict that.
        let identity = asked.identity.clone().or_else(|| seen(id));
        (id.clone(), Pin { identity, ..asked })
    };
    ids.iter().map(pin).collect()
}
