//! Running a vendor's script: calls, pauses, and the few repetitions that are safe.
//!
//! The invariant: a call that may kill is sent once from here, and what comes back is the end of it. Where the vendor
//! surely refused it before acting (throttled, never connected, expired token) it is the [dispatcher](super) that lets it
//! wait for another permit. Reads may be repeated, and take only permits that no kill waits for, but those that a kill waits
//! for itself.

mod reads;
mod told;

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::{
    clock::Clock,
    dispatch::{
        Calls,
        breaker::{Breaker, Instance, Kind, Rest},
        rate::{
            budget::Budget,
            limiter::{Class, Limit, Limiter, Permit, SPAN},
        },
        report::{Report, Stop},
        retry::{Again, Next},
        rounds::Caller,
        wait::wait_until,
    },
    domain::{Order, Status, Target},
    metrics::Metrics,
    spans::Trace,
    upstream::{
        Answer, Call, Capabilities, Effect, Fault, FaultKind, Known, Replay, Reply, Step, Vendor, account::Account,
    },
};

/// Everything that is needed to run scripts of one vendor on one account.
#[derive(Debug, Clone)]
pub(crate) struct Runner {
    pub(crate) vendor: &'static dyn Vendor,
    /// What the vendor can do for this account.
    pub(crate) able: &'static Capabilities,
    pub(crate) account: Arc<Account>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) limit: Limit,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
}

/// What a vendor is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A kill of that class waits for it: it goes with that class.
    Kill(Class),
    /// Somebody wants to see it.
    List,
    /// What became of a kill.
    Settle,
}

impl Purpose {
    pub(crate) const fn class(self) -> Class {
        match self {
            Self::Kill(class) => class,
            Self::List | Self::Settle => Class::Read,
        }
    }

    /// As what the breaker counts such a read.
    const fn kind(self) -> Kind {
        match self {
            Self::Kill(_) => Kind::Look,
            Self::List => Kind::List,
            Self::Settle => Kind::Settle,
        }
    }
}

/// What is read, and for whom.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) purpose: Purpose,
    /// Whose reads it stands in a row with; the gateway's own stand in none.
    pub(crate) caller: Option<Caller>,
    /// Where what is read for stands in a trace.
    pub(crate) trace: Trace,
}

impl Reader {
    /// The gateway itself, to learn what became of kills.
    pub(crate) const SETTLE: Self = Self { purpose: Purpose::Settle, caller: None, trace: Trace::NONE };

    pub(crate) fn new(purpose: Purpose, caller: &str) -> Self {
        Self { purpose, caller: Some(caller.into()), trace: Trace::NONE }
    }

    /// The same as a part of that.
    pub(crate) fn within(self, trace: &Trace) -> Self {
        Self { trace: trace.clone(), ..self }
    }
}

/// How a script is run, and what was seen on the way.
struct Run {
    instance: Instance,
    reader: Reader,
    /// The permit for the next call, where it was taken already.
    permit: Option<Permit>,
    until: Instant,
    /// When the last call left.
    left: Instant,
    /// True once a call that may kill has gone out.
    acted: bool,
    http_status: Option<u16>,
    again: Again,
}

impl Run {
    fn new(instance: Instance, reader: Reader, until: Instant) -> Self {
        let (left, again) = (Instant::now(), Again::default());
        Self { instance, reader, permit: None, until, left, acted: false, http_status: None, again }
    }

    /// As what the breaker counts a call.
    fn kind(&self, call: &Call) -> Kind {
        match call.effect {
            Effect::Kill => Kind::Kill,
            Effect::Read => self.reader.purpose.kind(),
        }
    }
}

impl Calls for Runner {
    fn limit(&self) -> &Limit {
        &self.limit
    }

    fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    fn rest(&self, target: &Target) -> Option<Rest> {
        self.breaker.rest(&self.instance(target), Kind::Kill, Instant::now())
    }

    fn waits(&self, budget: &Budget, any: bool) {
        self.limiter.waits(budget, any);
    }

    async fn warm(&self, many: u32) {
        self.account.warm(self.vendor.name(), usize::try_from(many).unwrap_or(usize::MAX)).await;
    }

    async fn permit(&self, budget: &Budget, class: Class, many: u32, patience: Duration) -> Result<Permit, Stop> {
        let held = self.limiter.held(budget);
        if held > patience {
            return Err(Stop::NoPermit(held));
        }
        wait_until(Instant::now() + held).await;
        let patience = patience.saturating_sub(held);
        match self.limiter.take(budget, &self.limit, class, many, patience).await {
            Ok(permit) => permit.map_err(|too_long| Stop::NoPermit(too_long.0)),
            Err(error) => {
                tracing::error!(%error, %budget, "no permit can be taken, so nothing is sent");
                Err(Stop::NoRecord)
            }
        }
    }

    async fn kill(&self, order: &Order, class: Class, permit: Permit, trace: &Trace) -> Result<Report, Stop> {
        let sent_at = self.clock.now();
        let known = Known { task_id: None, sent_at, now: sent_at };
        let until = Instant::now() + self.limit.max_wait;
        let reader = Reader { purpose: Purpose::Kill(class), caller: None, trace: trace.clone() };
        let mut run = Run { permit: Some(permit), ..Run::new(self.instance(&order.target), reader, until) };
        let fault = match self.run(order, known, self.vendor.open(order), &mut run).await {
            Ok(answer) => return Ok(Report::answered(self.clean(answer), run.http_status).sent(order, sent_at)),
            // One call of the script was taken, so whatever kept a later one from its end, nobody can tell.
            Err(Stop::Fault(fault)) if run.acted => Fault { kind: FaultKind::Lost, ..fault },
            Err(_) if run.acted => Fault::new(FaultKind::Lost, "kill"),
            Err(Stop::Fault(fault)) if fault.kind.replay() == Replay::Never => fault,
            Err(stop) => return Err(stop),
        };
        Ok(Report::failed(order, &fault).sent(order, sent_at))
    }
}

impl Runner {
    /// Asks what became of an order; `None` where nothing new is known by `until`, or the vendor cannot be asked.
    pub(crate) async fn follow_up(
        &self,
        order: &Order,
        known: Known,
        reader: &Reader,
        until: Instant,
    ) -> Option<Answer> {
        let call = self.vendor.follow_up(order, &known)?;
        let mut run = Run::new(self.instance(&order.target), reader.clone(), until);
        match self.run(order, known, call, &mut run).await {
            Ok(answer) => Some(self.clean(answer)),
            Err(stop) => {
                tracing::debug!(vendor = %self.vendor.name(), ?stop, "a follow-up found nothing new");
                None
            }
        }
    }

    async fn run(&self, order: &Order, known: Known, mut call: Call, run: &mut Run) -> Result<Answer, Stop> {
        loop {
            let next = |reply: &Reply| {
                let known = Known { now: self.clock.now(), ..known.clone() };
                self.vendor.next(order, &known, reply)
            };
            let step = self.exchange(&call, run, next).await.map_err(|stop| of_reading(stop, &call, run))?;
            run.acted |= call.effect == Effect::Kill;
            call = match step {
                Step::Done(answer) => return Ok(answer),
                Step::Send(next) => next,
                // Whoever only asks what became of a kill commits nothing.
                Step::Commit { .. } if !matches!(run.reader.purpose, Purpose::Kill(_)) => {
                    return Err(Stop::StillRunning);
                }
                // What was begun goes before what was not: it would have to be begun anew.
                Step::Commit { call, within } => {
                    let end = run.left + within;
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Stop::NoPermit(SPAN));
                    }
                    run.until = Instant::now() + left.min(self.limit.max_wait);
                    run.reader.purpose = Purpose::Kill(Class::Urgent);
                    call
                }
                Step::Wait { pause, .. } if pause > run.until.saturating_duration_since(Instant::now()) => {
                    return Err(Stop::StillRunning);
                }
                Step::Wait { pause, then } => {
                    wait_until(Instant::now() + pause).await;
                    then
                }
            };
        }
    }

    /// Makes one call, and makes it again as far as that is safe, until its answer can be read.
    async fn exchange<T>(
        &self,
        call: &Call,
        run: &mut Run,
        mut read: impl FnMut(&Reply) -> Result<T, Fault>,
    ) -> Result<T, Stop> {
        let (mut throttled, mut unreached): (Option<Fault>, Option<Fault>) = (None, None);
        loop {
            let permit = match run.permit.take() {
                Some(permit) => Ok(permit),
                None => self.wait_for_permit(call, run).await,
            };
            // Where no permit comes after the vendor had refused it, what the vendor said counts.
            let permit = permit.map_err(|stop| match (stop, throttled.take()) {
                (Stop::NoPermit(_), Some(fault)) => Stop::Fault(fault),
                (stop, _) => stop,
            })?;
            // Whom nobody reached is left alone after some tries, and what was in the way counts.
            let admitted = self.breaker.admit(&run.instance, run.kind(call), Instant::now());
            admitted.map_err(|rest| unreached.take().map_or(Stop::Down(rest), Stop::Fault))?;
            let (started, timeout) = (Instant::now(), self.limit.timeout);
            run.left = started;
            let span = self.span(call, run);
            let (stamp, reply) = self.account.send(self.vendor.name(), call, timeout, Some(permit.begin_by)).await;
            let status = reply.as_ref().ok().and_then(|reply| Some(reply.status()?.as_u16()));
            if reply.is_ok() {
                run.http_status = status;
            }
            let answer = reply.and_then(|reply| read(&reply));
            told::called(span, status, answer.as_ref().err());
            self.count(call, run, answer.as_ref().err(), started.elapsed());
            let fault = match answer {
                Ok(answer) => return Ok(answer),
                Err(fault) => self.shown(fault),
            };
            if fault.on_the_way {
                let (account, why, code) = (self.account.name(), fault.message.as_deref(), fault.code.as_deref());
                tracing::warn!(account, vendor = %self.vendor.name(), why, code, "the vendor was not reached");
                unreached = Some(fault.clone());
            }
            throttled = Some(fault.clone()).filter(|fault| fault.kind == FaultKind::Throttled);
            match run.again.when(fault, call.effect, run.until) {
                Next::At(moment) => wait_until(moment).await,
                Next::Renewed(fault) => match self.account.renew(stamp).await {
                    // That may have taken its time: who may still be sent is for the dispatcher to say.
                    Ok(true) if call.effect == Effect::Kill => return Err(Stop::Renewed(fault)),
                    Ok(true) => {}
                    Ok(false) => return Err(Stop::Fault(fault)),
                    Err(renewal) => return Err(Stop::Fault(self.shown(renewal))),
                },
                Next::Stop(fault) => return Err(Stop::Fault(fault)),
            }
        }
    }

    /// Waits for a permit to send `call`, but not beyond the time of the run.
    async fn wait_for_permit(&self, call: &Call, run: &Run) -> Result<Permit, Stop> {
        let budget = Budget::of(&self.account, self.vendor, call);
        let caller = run.reader.caller.as_ref().filter(|_| call.effect == Effect::Read);
        let _first = match caller {
            Some(caller) => {
                let first = self.limiter.rows.first(&budget, caller, run.until).await;
                Some(first.ok_or(Stop::NoPermit(SPAN))?)
            }
            None => None,
        };
        self.permit_for(call, run).await
    }

    /// The same for whoever stands in no row.
    async fn permit_for(&self, call: &Call, run: &Run) -> Result<Permit, Stop> {
        let budget = Budget::of(&self.account, self.vendor, call);
        let class = run.reader.purpose.class();
        loop {
            self.warm(1).await;
            let patience = run.until.saturating_duration_since(Instant::now());
            let permit = match call.effect {
                Effect::Kill => self.permit(&budget, class, 1, patience).await?,
                // Where actions are counted apart, no kill needs what a read leaves, but the list before one does.
                Effect::Read if self.vendor.capabilities().counting.is_by_action() => {
                    let class = if class == Class::Read { Class::Kill } else { Class::Urgent };
                    self.permit(&budget, class, 1, patience).await?
                }
                // A kill waits for it, so it goes with the kill's class and not behind other kills.
                Effect::Read if class != Class::Read => self.permit(&budget, class, 1, patience).await?,
                Effect::Read => self.spare_permit(&budget, run.until).await?,
            };
            wait_until(permit.at).await;
            if !permit.is_past() {
                return Ok(permit);
            }
        }
    }

    /// A permit for a read that no kill waits for: while kills wait it takes none, and never one that is still to come,
    /// since a kill that comes before it would have to wait for that.
    async fn spare_permit(&self, budget: &Budget, until: Instant) -> Result<Permit, Stop> {
        loop {
            if !self.limiter.quiet(budget, until).await {
                return Err(Stop::NoPermit(SPAN));
            }
            match self.permit(budget, Class::Read, 1, Duration::ZERO).await {
                Err(Stop::NoPermit(wait)) if wait <= until.saturating_duration_since(Instant::now()) => {
                    wait_until(Instant::now() + wait).await;
                }
                taken => return taken,
            }
        }
    }

    /// The fault as it may be recorded and shown: no secret in what the vendor said, and no text at all where it
    /// may echo what was signed.
    fn shown(&self, mut fault: Fault) -> Fault {
        let redactor = self.account.redactor();
        let clean = |text: Option<String>| text.map(|text| redactor.clean(&text));
        fault.message = clean(fault.message.take()).filter(|_| fault.on_the_way || !fault.kind.withholds_message());
        fault.code = clean(fault.code.take());
        fault.request_id = clean(fault.request_id.take());
        fault
    }

    /// The answer as it may be recorded and shown: what stands in a header may be an echo as well.
    fn clean(&self, mut answer: Answer) -> Answer {
        let redactor = self.account.redactor();
        for text in [&mut answer.request_id, &mut answer.task_id, &mut answer.evidence_url].into_iter().flatten() {
            *text = redactor.clean(text);
        }
        answer
    }

    fn instance(&self, target: &Target) -> Instance {
        Instance::of(self.vendor, target)
    }
}

/// What it means for a script that a call of it was not answered: one that only reads, before any that acts, did nothing.
fn of_reading(stop: Stop, call: &Call, run: &Run) -> Stop {
    match stop {
        Stop::Fault(fault) if call.effect == Effect::Read && !run.acted && fault.kind.status() == Status::Unknown => {
            Stop::Unprepared(fault)
        }
        stop => stop,
    }
}

#[cfg(test)]
mod tests;
