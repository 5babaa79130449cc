//! Leaving nothing open: kills whose gateway died, and kills that the vendor took but has not finished.
//!
//! Every gateway claims open kills from the record, a lease at a time, and settles them with looks that only
//! read. No kill is ever sent from here, and what was claimed here is not sent elsewhere any more: it is held under a
//! name that no kill is worked on under. Nobody waits for anybody: a vendor that does not answer a look keeps no
//! abandoned kill from being settled.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};

use crate::{
    audit::Open,
    domain::{Kill, Order, Outcome, Problem, ProblemCode, Selector, Session, SessionId, Status},
    vendor::{Answer, Known},
};

use super::{Inner, Kills, request::recorded_order};

/// How often open kills are looked for.
const EVERY: Duration = Duration::from_millis(500);
/// How often partitions are made ahead and idempotency keys that ran out are removed.
const TIDY: Duration = Duration::from_hours(1);
/// How long a claimed kill is left to the gateway that claimed it: a look and its record. A gateway that dies while it
/// settles a kill delays it by so much.
const LEASE: Duration = Duration::from_secs(10);
/// How long one look may take, with all its pauses and the wait for its place.
const LOOK: Duration = Duration::from_secs(5);
/// Most looks at once: they share the vendors' limits with the kills of the moment.
const LOOKS: usize = 16;
/// How long after its request a kill is looked after; what is not known by then stays as it is.
const LOOKED_AFTER: Duration = Duration::from_mins(15);
/// Most kills claimed at once.
const CLAIMS: u32 = 16;

impl Kills {
    /// Settles open kills until the runtime ends.
    pub async fn reconcile(self) {
        let (mut ticks, mut tidying) = (interval(EVERY), interval(TIDY));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tidying.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let places = Arc::new(Semaphore::new(LOOKS));
        let mut settling = JoinSet::new();
        loop {
            let inner = &*self.0;
            tokio::select! {
                _ = ticks.tick() => {}
                _ = tidying.tick() => {
                    inner.callers.forget_idle();
                    inner.tidy().await;
                    continue;
                }
            }
            while settling.try_join_next().is_some() {}
            // A full hand may leave others that are due.
            while self.claim(&mut settling, &places).await == CLAIMS as usize {}
        }
    }

    /// Claims some of the open kills that are due and begins to settle them; answers how many.
    async fn claim(&self, settling: &mut JoinSet<()>, places: &Arc<Semaphore>) -> usize {
        let inner = &*self.0;
        // Not under the gateway's own name: its own kill, late for whatever reason, would still be its to send.
        let holder = format!("{}/settling", inner.gateway);
        let claimed = match inner.audit.claim(&holder, inner.clock.now(), LEASE, CLAIMS).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(%error, "open kills cannot be looked for");
                return 0;
            }
        };
        let count = claimed.len();
        for open in claimed {
            let (kills, places) = (self.clone(), Arc::clone(places));
            settling.spawn(async move { kills.settle(open, &places).await });
        }
        count
    }

    async fn settle(&self, open: Open, places: &Semaphore) {
        let Open { mut kill, sent_at, .. } = open;
        let inner = &*self.0;
        let was = kill.status;
        let (what, look) = if was == Status::Pending {
            abandon(&mut kill, sent_at.is_some(), inner.clock.now());
            ("abandoned", None)
        } else {
            let answer = self.look(&kill, sent_at.unwrap_or(kill.requested_at), places).await;
            let now = inner.clock.now();
            if let Some(answer) = answer {
                learn(&mut kill, answer, now);
            }
            ("looked", next_look(&kill, now))
        };
        match inner.audit.conclude(&kill, inner.clock.now(), what, look).await {
            Ok(_) if kill.status != was => {
                tracing::info!(kill_id = %kill.id, %was, status = %kill.status, what, "kill settled");
            }
            Ok(_) => {}
            // The lease runs out and some gateway claims it again.
            Err(error) => tracing::warn!(kill_id = %kill.id, %error, "an open kill could not be settled yet"),
        }
    }

    /// Asks the vendor, one look for each task of the kill.
    async fn look(&self, kill: &Kill, sent_at: OffsetDateTime, places: &Semaphore) -> Option<Answer> {
        let order = order_of(kill)?;
        let driver = self.driver(&order.target).ok()?;
        let tasks: Vec<_> = kill.upstream.task_id.as_deref().unwrap_or_default().split(',').collect();
        let [task] = tasks.as_slice() else {
            return None; // Which ids went with which of several tasks is not on record.
        };
        let task_id = (!task.is_empty()).then(|| (*task).to_owned());
        let until = Instant::now() + LOOK;
        let look = async {
            let _place = places.acquire().await.ok()?;
            let known = Known { task_id, sent_at, now: self.0.clock.now() };
            driver.look(&still_open(order, kill), known, until).await
        };
        // A call's own time limit may be far longer than a look is worth.
        timeout_at(until, look).await.ok().flatten()
    }
}

impl Inner {
    /// What the record needs now and then.
    async fn tidy(&self) {
        let now = self.clock.now();
        if let Err(error) = self.audit.make_months(now).await {
            tracing::warn!(%error, "partitions for the coming months could not be made; the next kill of one tries again");
        }
        if let Err(error) = self.audit.forget_keys(now).await {
            tracing::warn!(%error, "idempotency keys that ran out could not be removed");
        }
    }
}

fn order_of(kill: &Kill) -> Option<Order> {
    let mut order = recorded_order(kill.target.as_ref()?, kill.select.as_ref()?)?;
    if matches!(order.selector, Selector::Match(_)) && !kill.sessions.is_empty() {
        // They were found by the gateway and sent by their ids.
        order.selector = Selector::Ids(kill.sessions.iter().map(|session| SessionId(session.id.clone())).collect());
    }
    Some(order)
}

/// The order without the sessions whose outcome is known.
fn still_open(mut order: Order, kill: &Kill) -> Order {
    if let Selector::Ids(ids) = &mut order.selector {
        let is_open = |session: &&Session| Status::of(std::slice::from_ref(*session)).is_open();
        let open: Vec<_> = kill.sessions.iter().filter(is_open).map(|session| session.id.as_str()).collect();
        ids.retain(|id| open.contains(&id.as_str()));
    }
    order
}

/// A kill whose gateway died: if bytes may have left, nobody can tell what came of them, and no vendor can be
/// asked without the answer that was lost; if surely none left, nothing was killed.
fn abandon(kill: &mut Kill, sent: bool, now: OffsetDateTime) {
    let (status, outcome, code, sentence) = if sent {
        let sentence = "the gateway that worked on this kill went away; whether sessions were killed is not known";
        (Status::Unknown, Outcome::Unknown, ProblemCode::OutcomeUnknown, sentence)
    } else {
        let sentence = "the gateway that had this kill went away before anything was sent";
        (Status::Failed, Outcome::Failed, ProblemCode::AuditUnavailable, sentence)
    };
    kill.status = status;
    kill.sessions.iter_mut().for_each(|session| session.outcome = outcome);
    kill.problem = Some(Problem::new(code, sentence));
    kill.completed_at = Some(now);
}

/// Adds what a look brought to what was known.
fn learn(kill: &mut Kill, answer: Answer, now: OffsetDateTime) {
    for session in answer.sessions {
        if let Some(known) = kill.sessions.iter_mut().find(|known| known.id == session.id) {
            *known = session;
        }
    }
    kill.status = if kill.sessions.is_empty() { answer.status } else { Status::of(&kill.sessions) };
    kill.problem = (kill.status == Status::Unknown).then(|| {
        let sentence = "the vendor cannot say what became of this kill";
        kill.problem.take().unwrap_or_else(|| Problem::new(ProblemCode::OutcomeUnknown, sentence))
    });
    kill.completed_at = kill.status.is_final().then_some(now);
}

/// When to look again: soon at first, then ever more rarely, and at last no more.
fn next_look(kill: &Kill, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let age = Duration::try_from(now - kill.requested_at).unwrap_or_default();
    (kill.status.is_open() && age < LOOKED_AFTER)
        .then(|| now + (age / 4).clamp(Duration::from_secs(1), Duration::from_mins(1)))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use time::macros::datetime;

    use super::*;
    use crate::{
        audit::{Attempt, Audit, Settings},
        clock::{Clock, id_at},
        domain::Upstream,
        kill::{CallerLimit, Parts, targets::Targets},
    };

    const NOON: OffsetDateTime = datetime!(2026-01-02 12:00 UTC);

    async fn gateway(name: &str, sqlite_path: std::path::PathBuf) -> Kills {
        Kills::new(Parts {
            audit: Audit::open(&Settings { sqlite_path, ..Settings::default() }).await.unwrap(),
            accounts: [].into(),
            limits: [].into(),
            caller_limit: CallerLimit { kills_per_second: NonZeroU32::MIN, burst: NonZeroU32::MIN },
            targets: Targets::default(),
            clock: Clock::manual(NOON),
            metrics: Arc::default(),
            gateway: name.to_owned(),
            key_ttl: Duration::from_hours(24),
        })
    }

    /// A kill of that gateway that is past its deadline and was not marked as sent.
    async fn overdue(kills: &Kills, gateway: &str) -> Kill {
        let kill = Kill {
            id: id_at(NOON),
            status: Status::Pending,
            target: None,
            select: None,
            sessions: vec![],
            caller: "chatops-bot".into(),
            on_behalf_of: None,
            reason: None,
            upstream: Upstream::default(),
            problem: None,
            look: None,
            requested_at: NOON,
            completed_at: None,
        };
        let attempt = Attempt {
            kill: kill.clone(),
            request: None,
            client_address: None,
            client_id: None,
            token_id: None,
            request_id: None,
            dry_run: false,
            key: None,
            gateway: gateway.to_owned(),
            deadline: NOON,
        };
        kills.audit().begin(&attempt, Duration::from_hours(24)).await.unwrap();
        kill
    }

    #[tokio::test]
    async fn what_a_gateway_is_settling_it_does_not_send_any_more() {
        let directory = tempfile::tempdir().unwrap();
        let kills = gateway("slow", directory.path().join("killgate.db")).await;
        let kill = overdue(&kills, "slow").await;
        let mut settling = JoinSet::new();
        // It has seen that nothing was sent, and is about to write that.
        assert_eq!(kills.claim(&mut settling, &Arc::new(Semaphore::new(1))).await, 1);
        let problem = kills.mark_sent(&kill, NOON).await.expect_err("it is too late to send");
        assert_eq!(problem.code, ProblemCode::Overloaded);
        settling.join_all().await;
        assert_eq!(kills.audit().find(kill.id).await.unwrap().unwrap().status, Status::Failed);
    }
}
