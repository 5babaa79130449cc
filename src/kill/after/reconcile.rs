//! Leaving nothing open: kills whose gateway died or whose answer was lost, and kills that the vendor took but has not
//! finished.
//!
//! A kill that its vendor has taken is looked at for the first time by the gateway that sent it, which still knows all of it.
//! Else every gateway claims open kills from the record, a lease at a time, and settles them with looks that only
//! read. No kill is ever sent from here, and what was claimed here is not sent elsewhere any more: it is held under a
//! name that no kill is worked on under. Nobody waits for anybody: a vendor that does not answer a look keeps no
//! abandoned kill from being settled.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tracing::Instrument as _;

use crate::{
    audit::{Audit, Open},
    clock::Clock,
    dispatch::{
        runner::{Reader, Runner},
        upstreams::Upstreams,
    },
    domain::{Kill, Order, Sent, Session, SessionId, Status, Target},
    kill::{record, run::vendor_of},
    metrics::Metrics,
    seats::{Seat, Seats},
    spans::{Span, Trace, Tracer},
    upstream::{Known, List, ListFilter, Listing},
};

use super::{
    order_of,
    place::{found, stand_at},
    settle::{self, age},
};

/// How long a claimed kill is left to the gateway that claimed it: a look and its record. A gateway that dies while it
/// settles a kill delays it by so much.
const LEASE: Duration = Duration::from_secs(10);
/// How long one look may take, with all its pauses and the wait for its seat.
const LOOK: Duration = Duration::from_secs(5);
/// How much of that goes to the vendor's task where a list can tell as well.
const TASK: Duration = Duration::from_secs(2);
/// Most looks at once of each account: they share its vendors' limits with the kills of the moment.
const LOOKS: usize = 16;
/// Most kills claimed at once.
const CLAIMS: u32 = 16;
/// Most kills whose first look waits here, half of them of one account. What is beyond that is claimed.
const FIRST_LOOKS: usize = 2048;

/// Settles open kills, whoever's they were.
#[derive(Debug)]
pub(in crate::kill) struct Reconciler {
    audit: Audit,
    upstreams: Arc<Upstreams>,
    clock: Clock,
    /// The name under which kills are held that are being settled here. Not the gateway's own: its own kill, late for
    /// whatever reason, would still be its to send.
    holder: String,
    seats: Seats,
    first_looks: Seats,
    metrics: Arc<Metrics>,
    tracer: Tracer,
}

/// A first look that is promised: nobody else has to look meanwhile.
#[derive(Debug)]
pub(in crate::kill) struct FirstLook {
    /// From then on others look.
    pub(in crate::kill) over_at: OffsetDateTime,
    _seat: Seat,
}

impl Reconciler {
    pub(in crate::kill) fn new(
        audit: Audit,
        upstreams: Arc<Upstreams>,
        clock: Clock,
        gateway: &str,
        (metrics, tracer): (Arc<Metrics>, Tracer),
    ) -> Self {
        let holder = format!("{gateway}/settling");
        let first_looks = Seats::new(FIRST_LOOKS, FIRST_LOOKS / 2);
        Self { audit, upstreams, clock, holder, seats: Seats::for_each(LOOKS), first_looks, metrics, tracer }
    }

    /// Promises the first look at a kill of that account that can be looked at now, before its answer is on record; `None`
    /// where too many wait for theirs.
    pub(in crate::kill) fn promise(&self, account: &str) -> Option<FirstLook> {
        let seat = self.first_looks.take(account).ok()?;
        Some(FirstLook { over_at: self.clock.now() + LEASE, _seat: seat })
    }

    /// Looks at a kill whose answer is on record, as was promised. `calls` are all that left for it.
    pub(in crate::kill) async fn look_first(self: Arc<Self>, mut kill: Kill, calls: Vec<Sent>, _promise: FirstLook) {
        let (was, known) = (kill.status, kill.sessions.clone());
        let span = self.span(&kill);
        // Where there is no seat in time, whoever claims it looks.
        if let Some(now) = self.look(&mut kill, Some(calls), span.trace()).await {
            let next = settle::next_look(&kill, now);
            self.learned(&kill, &known, was, ("looked", next), span).await;
        }
    }

    /// Claims the open kills that are due and begins to settle them.
    pub(in crate::kill) async fn claim_due(self: &Arc<Self>, settling: &mut JoinSet<()>) {
        while settling.try_join_next().is_some() {}
        // A full hand may leave others that are due.
        while self.claim_some(settling).await == CLAIMS as usize {}
    }

    async fn claim_some(self: &Arc<Self>, settling: &mut JoinSet<()>) -> usize {
        let claimed = match self.audit.claim(&self.holder, self.clock.now(), LEASE, CLAIMS).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(%error, "open kills cannot be looked for");
                return 0;
            }
        };
        let count = claimed.len();
        for open in claimed {
            let reconciler = Arc::clone(self);
            let lines = self.tracer.of_kill(open.kill.id).lines();
            settling.spawn(async move { reconciler.settle(open).await }.instrument(lines));
        }
        count
    }

    async fn settle(&self, open: Open) {
        let Open { mut kill, sent_at, .. } = open;
        let (was, known) = (kill.status, kill.sessions.clone());
        let span = self.span(&kill);
        let (what, look) = if was == Status::Pending {
            let now = self.clock.now();
            settle::abandon(&mut kill, sent_at.is_some(), now);
            let runner = order_of(&kill).and_then(|order| self.upstreams.runner(&order.target).ok());
            let look = runner.zip(sent_at);
            let look = look.and_then(|(runner, sent_at)| settle::look_after_loss(&runner, &kill, sent_at, now));
            ("abandoned", look.or_else(|| settle::last_word(&kill, now)))
        } else {
            let looked = self.look(&mut kill, None, span.trace()).await;
            ("looked", settle::next_look(&kill, looked.unwrap_or_else(|| self.clock.now())))
        };
        self.learned(&kill, &known, was, (what, look), span).await;
    }

    /// Records what is known of a kill by now, and when it is looked at again.
    async fn learned(
        &self,
        kill: &Kill,
        known: &[Session],
        was: Status,
        (what, look): (&'static str, Option<OffsetDateTime>),
        mut span: Span,
    ) {
        span.text("killgate.status", kill.status);
        let recorded = record::step(span.trace(), what);
        match recorded.around(self.audit.learn(kill, known, self.clock.now(), what, look)).await {
            Ok(is_new) if kill.status != was => {
                if is_new && kill.status.is_final() {
                    self.metrics.kill_over(vendor_of(kill).unwrap_or("none"), age(kill, self.clock.now()));
                }
                tracing::info!(kill_id = %kill.id, %was, status = %kill.status, what, "kill settled");
            }
            Ok(_) => {}
            // The lease runs out and some gateway claims it again.
            Err(error) => tracing::warn!(kill_id = %kill.id, %error, "an open kill could not be settled yet"),
        }
    }

    /// Looks once: asks the vendor for the kill's task where it has one, and reads the list for what is open then. Which
    /// calls were made for it, and what place was found, is read from the record where it is not known here. Answers the time
    /// by which it was judged whether this look was the last; `None` where it was not looked at.
    async fn look(&self, kill: &mut Kill, calls: Option<Vec<Sent>>, trace: &Trace) -> Option<OffsetDateTime> {
        let mut order = order_of(kill)?;
        let runner = self.upstreams.runner(&order.target).ok()?;
        let (until, reader) = (Instant::now() + LOOK, Reader::SETTLE.within(trace));
        let _seat = self.seats.wait(&order.target.account, LOOK).await.ok()?;
        let calls = match calls {
            Some(calls) => calls,
            None => match self.audit.events(kill.id, 0).await {
                Ok(events) => {
                    kill.found = found(&events);
                    events.into_iter().flat_map(|event| event.calls).collect()
                }
                Err(error) => {
                    tracing::warn!(kill_id = %kill.id, %error, "the events of an open kill cannot be read");
                    return None;
                }
            },
        };
        stand_at(&mut order.target, &runner, &kill.found);
        let open = kill.sessions.iter().filter(|session| settle::is_open(session));
        let place = order.target.narrowed(open.map(|session| session.id.as_str()));
        let lists = settle::wanted(runner.able, kill).is_some();
        let task_until = if lists { Instant::now() + TASK } else { until };
        self.ask(&runner, &order, &calls, kill, (&reader, until.min(task_until))).await;
        let Some(filters) = settle::wanted(runner.able, kill) else { return Some(self.clock.now()) };
        let list = self.list(&runner, &place, filters, (&reader, until)).await;
        let now = self.clock.now();
        settle::learn_from_list(kill, &calls, &list, now);
        Some(now)
    }

    /// The sessions of these lists together: what was read in time counts for what it shows.
    async fn list(
        &self,
        runner: &Runner,
        target: &Target,
        filters: Vec<ListFilter>,
        (reader, until): (&Reader, Instant),
    ) -> List {
        let mut lists = vec![];
        for filter in filters {
            let mut listing = Listing::new(runner.vendor, target.clone(), filter);
            if let Ok(Err(stop)) = timeout_at(until, runner.list(&mut listing, reader, until)).await {
                tracing::debug!(target = ?target, ?stop, "a look got no whole list");
            }
            lists.push(listing.into_list());
        }
        List::of_all(lists)
    }

    /// Asks the vendor for the task of each call of which something is still open, and adds what it says.
    async fn ask(
        &self,
        runner: &Runner,
        order: &Order,
        calls: &[Sent],
        kill: &mut Kill,
        (reader, until): (&Reader, Instant),
    ) {
        if !runner.vendor.capabilities().can_follow_up || kill.upstream.task_id.is_none() {
            return;
        }
        for call in calls {
            let Some(order) = still_open(order, call, &kill.sessions) else { continue };
            let (order, place) = order.plain();
            let known = Known { task_id: call.task_id.clone(), sent_at: call.at, now: self.clock.now() };
            // A call's own time limit may be far longer than a look is worth.
            let answer = timeout_at(until, runner.follow_up(&order, known, reader, until)).await;
            if let Ok(Some(answer)) = answer {
                settle::learn(kill, answer.at(place.as_deref()), self.clock.now());
            }
        }
    }

    /// What is told of a look that settles a kill: a part of its trace where that is known here.
    fn span(&self, kill: &Kill) -> Span {
        self.tracer.of_kill(kill.id).step("settle").with("killgate.kill.id", kill.id)
    }

    /// What the record needs now and then.
    pub(in crate::kill) async fn tidy(&self) {
        let now = self.clock.now();
        if let Err(error) = self.audit.make_months(now).await {
            tracing::warn!(%error, "partitions for the coming months could not be made; the next kill of one tries again");
        }
        if let Err(error) = self.audit.forget_keys(now).await {
            tracing::warn!(%error, "idempotency keys that ran out could not be removed");
        }
    }
}

/// The order with the sessions of a call that are open: what became of them its task can tell. `None` where it made no
/// task, or all of them are known.
fn still_open(order: &Order, call: &Sent, sessions: &[Session]) -> Option<Order> {
    call.task_id.as_ref()?;
    if call.ids.is_empty() {
        return Some(order.clone());
    }
    let open = sessions.iter().filter(|session| settle::is_open(session) && call.ids.contains(&session.id));
    let ids: Vec<_> = open.map(|session| SessionId(session.id.clone())).collect();
    (!ids.is_empty()).then(|| order.of_ids(ids))
}

#[cfg(test)]
pub(in crate::kill) mod tests {
    use std::num::NonZeroU32;

    use time::{OffsetDateTime, macros::datetime};

    use super::*;
    use crate::{
        audit::{Attempt, Audit, Settings},
        clock::Clock,
        domain::{Outcome, ProblemCode, Selector},
        kill::{
            Kills, Parts,
            intake::allowance::{CallerLimit, CallerLimits},
            policy::{
                caps::SessionCaps,
                confirm::Key,
                confirming::{Confirming, Rules},
                targets::Targets,
            },
        },
        notify::webhook::Webhooks,
    };

    pub(in crate::kill) const NOON: OffsetDateTime = datetime!(2026-01-02 12:00 UTC);

    pub(in crate::kill) async fn gateway(name: &str, sqlite_path: std::path::PathBuf) -> Kills {
        let limit = CallerLimit { per_second: NonZeroU32::MIN, burst: NonZeroU32::MIN };
        Kills::new(Parts {
            audit: Audit::open(&Settings { sqlite_path, ..Settings::default() }).await.unwrap(),
            accounts: [].into(),
            limits: [].into(),
            caller_limits: CallerLimits { kills: limit, lists: limit },
            session_caps: SessionCaps::default(),
            confirming: Confirming { key: Key::random(), rules: Rules::default() },
            targets: Targets::default(),
            webhooks: Webhooks::default(),
            clock: Clock::manual(NOON),
            metrics: Arc::default(),
            tracer: Tracer::default(),
            gateway: name.to_owned(),
            key_ttl: Duration::from_hours(24),
            watch_for: Duration::ZERO,
        })
    }

    /// An attempt at that gateway that is past its deadline.
    pub(in crate::kill) fn attempt(gateway: &str) -> Attempt {
        Attempt {
            kill: Kill::sample(NOON),
            request: None,
            client_address: None,
            client_id: None,
            token_id: None,
            request_id: None,
            dry_run: false,
            key: None,
            gateway: gateway.to_owned(),
            deadline: NOON,
            webhooks: vec![],
            is_marked: false,
        }
    }

    /// The kill of such an attempt, not marked as sent.
    async fn overdue(kills: &Kills, gateway: &str) -> Kill {
        let attempt = attempt(gateway);
        kills.audit().begin(&attempt, Duration::from_hours(24)).await.unwrap();
        attempt.kill
    }

    #[test]
    fn a_task_tells_of_the_open_sessions_of_its_own_call_alone() {
        let id = |id: &str| SessionId(id.to_owned());
        let target = crate::domain::Target {
            alias: None,
            vendor: crate::domain::VendorName("dcdb"),
            account: "tencent".into(),
            coordinates: [].into(),
        };
        let order = Order::new(target, Selector::Ids(vec![id("7"), id("8"), id("9")]));
        let sessions = [("7", Outcome::Accepted), ("8", Outcome::Killed), ("9", Outcome::Accepted)];
        let sessions = sessions.map(|(name, outcome)| Session::new(&id(name), outcome)).to_vec();
        let told = |ids: &[&str], task: Option<&str>| {
            let ids = ids.iter().map(|id| (*id).to_owned()).collect();
            let call = Sent { at: NOON, ids, task_id: task.map(str::to_owned), refused: false, answered: true };
            still_open(&order, &call, &sessions).map(|order| order.selector)
        };
        assert_eq!(told(&["7", "8"], Some("1")), Some(Selector::Ids(vec![id("7")])));
        assert_eq!((told(&["8"], Some("1")), told(&["7"], None)), (None, None));
    }

    #[tokio::test]
    async fn what_a_gateway_is_settling_it_does_not_send_any_more() {
        let directory = tempfile::tempdir().unwrap();
        let kills = gateway("slow", directory.path().join("killgate.db")).await;
        let kill = overdue(&kills, "slow").await;
        let (record, mut settling) = (&kills.0.record, JoinSet::new());
        let upstreams = Arc::clone(&kills.0.upstreams);
        let clock = kills.clock().clone();
        let reconciler = Reconciler::new(record.audit.clone(), upstreams, clock, &record.gateway, <_>::default());
        // It has seen that nothing was sent, and is about to write that.
        assert_eq!(Arc::new(reconciler).claim_some(&mut settling).await, 1);
        let problem = record.mark_sent(&kill, NOON, NOON).await.expect_err("it is too late to send");
        assert_eq!(problem.code, ProblemCode::Overloaded);
        settling.join_all().await;
        assert_eq!(kills.audit().find(kill.id).await.unwrap().unwrap().status, Status::Failed);
    }
}
