//! Running a vendor's script: calls, pauses, and the few repetitions that are safe.
//!
//! The invariant: a call that may kill is sent once from here, and what comes back is the end of it. Where the vendor
//! surely refused it before acting (throttled, never connected, expired token) it is the [lane](super::lane) that lets it
//! wait for another turn. Reads may be repeated, and take only turns that no kill waits for, but those that a kill waits
//! for itself.

use std::{collections::HashSet, sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    clock::Clock,
    dispatch::{
        Calls,
        breaker::Breaker,
        rate::limiter::{Class, Limit, Limiter, Permit, SPAN},
        report::{Report, Stop},
    },
    domain::{Order, SessionId, Status, Target},
    metrics::Metrics,
    upstream::{
        Answer, Call, Capabilities, Effect, Fault, FaultKind, Known, Listing, Replay, Reply, Step, Vendor,
        account::Account,
    },
};

/// Pauses before a read is repeated: the first, and the longest; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The longest that a vendor is left alone because it asked for it: by then it is asked again, whatever it said.
pub(crate) const LONGEST_HOLD: Duration = Duration::from_mins(10);

/// Everything that is needed to run scripts of one vendor on one account.
#[derive(Debug, Clone)]
pub(crate) struct Runner {
    pub(crate) vendor: &'static dyn Vendor,
    /// What the vendor can do for this account.
    pub(crate) able: &'static Capabilities,
    pub(crate) account: Arc<Account>,
    pub(crate) turns: Arc<Limiter>,
    pub(crate) limit: Limit,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
}

/// How a script is run, and what was seen on the way.
struct Run {
    class: Class,
    /// The turn for the next call, where it was taken already.
    turn: Option<Permit>,
    until: Instant,
    /// True once a call that may kill has gone out.
    acted: bool,
    http_status: Option<u16>,
    again: Again,
}

impl Run {
    fn new(class: Class, until: Instant) -> Self {
        Self { class, turn: None, until, acted: false, http_status: None, again: Again::default() }
    }
}

impl Calls for Runner {
    fn limit(&self) -> &Limit {
        &self.limit
    }

    fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    fn rest(&self) -> Option<Duration> {
        self.breaker.rest(Instant::now())
    }

    fn waits(&self, budget: &str, any: bool) {
        self.turns.waits(budget, any);
    }

    async fn warm(&self, many: u32) {
        self.account.warm(self.vendor.name(), usize::try_from(many).unwrap_or(usize::MAX)).await;
    }

    async fn turn(&self, budget: &str, class: Class, many: u32, patience: Duration) -> Result<Permit, Stop> {
        let held = self.turns.held(budget);
        if held > patience {
            return Err(Stop::NoTurn(held));
        }
        sleep(held).await;
        let patience = patience.saturating_sub(held);
        match self.turns.take(budget, &self.limit, class, many, patience).await {
            Ok(turn) => turn.map_err(|too_long| Stop::NoTurn(too_long.0)),
            Err(error) => {
                tracing::error!(%error, budget, "no turn can be taken, so nothing is sent");
                Err(Stop::NoRecord)
            }
        }
    }

    async fn kill(&self, order: &Order, class: Class, turn: Permit) -> Result<Report, Stop> {
        let sent_at = self.clock.now();
        let known = Known { task_id: None, sent_at, now: sent_at };
        let until = Instant::now() + self.limit.max_wait;
        let mut run = Run { turn: Some(turn), ..Run::new(class, until) };
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
    pub(crate) async fn follow_up(&self, order: &Order, known: Known, until: Instant) -> Option<Answer> {
        let call = self.vendor.follow_up(order, &known)?;
        let mut run = Run::new(Class::Read, until);
        match self.run(order, known, call, &mut run).await {
            Ok(answer) => Some(self.clean(answer)),
            Err(stop) => {
                tracing::debug!(vendor = %self.vendor.name(), ?stop, "a follow-up found nothing new");
                None
            }
        }
    }

    /// Reads one page after another until the list has ended, with turns of that class. Each may wait for its turn as
    /// long as any call may, but none beyond `until`.
    pub(crate) async fn list(&self, listing: &mut Listing, class: Class, until: Instant) -> Result<(), Stop> {
        while let Some(call) = listing.call() {
            let patience = until.min(Instant::now() + self.limit.max_wait);
            let mut run = Run::new(class, patience);
            self.exchange(&call, &mut run, |reply| listing.read(reply)).await?;
        }
        Ok(())
    }

    /// The sessions that the database would pick now if it were left to it, each once; `None` where the vendor cannot be
    /// asked.
    pub(crate) async fn pick(&self, target: &Target, until: Instant) -> Result<Option<Vec<SessionId>>, Stop> {
        let Some(call) = self.vendor.pick(target) else { return Ok(None) };
        let mut run = Run::new(Class::Read, until);
        let ids = self.exchange(&call, &mut run, |reply| self.vendor.picked(reply)).await?;
        Ok(Some(each_once(ids)))
    }

    async fn run(&self, order: &Order, known: Known, mut call: Call, run: &mut Run) -> Result<Answer, Stop> {
        loop {
            let next = |reply: &Reply| {
                let known = Known { now: self.clock.now(), ..known.clone() };
                self.vendor.next(order, &known, reply)
            };
            let step = self.exchange(&call, run, next).await?;
            run.acted |= call.effect == Effect::Kill;
            call = match step {
                Step::Done(answer) => return Ok(answer),
                Step::Send(next) => next,
                Step::Wait { pause, .. } if pause > run.until.saturating_duration_since(Instant::now()) => {
                    return Err(Stop::StillRunning);
                }
                Step::Wait { pause, then } => {
                    sleep(pause).await;
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
        loop {
            let turn = match run.turn.take() {
                Some(turn) => turn,
                None => self.wait_for_turn(call, run).await?,
            };
            self.breaker.admit(Instant::now()).map_err(Stop::Down)?;
            let (started, timeout) = (Instant::now(), self.limit.timeout);
            let (stamp, reply) = self.account.send(self.vendor.name(), call, timeout, Some(turn.begin_by)).await;
            if let Ok(reply) = &reply {
                run.http_status = Some(reply.status.as_u16());
            }
            let answer = reply.and_then(|reply| read(&reply));
            self.count(call, answer.as_ref().err(), started.elapsed());
            let fault = match answer {
                Ok(answer) => return Ok(answer),
                Err(fault) => self.shown(fault),
            };
            match run.again.when(fault, call.effect, run.until) {
                Next::At(moment) => sleep_until(moment).await,
                Next::Renewed(fault) => match self.account.renew(stamp).await {
                    // That may have taken its time: who may still be sent is for the lane to say.
                    Ok(true) if call.effect == Effect::Kill => return Err(Stop::Renewed(fault)),
                    Ok(true) => {}
                    Ok(false) => return Err(Stop::Fault(fault)),
                    Err(renewal) => return Err(Stop::Fault(self.shown(renewal))),
                },
                Next::Stop(fault) => return Err(Stop::Fault(fault)),
            }
        }
    }

    /// Waits for a turn to send `call`, but not beyond the time of the run.
    async fn wait_for_turn(&self, call: &Call, run: &Run) -> Result<Permit, Stop> {
        let budget = Limiter::budget(&self.account, self.vendor, call);
        loop {
            self.warm(1).await;
            let patience = run.until.saturating_duration_since(Instant::now());
            let turn = match call.effect {
                Effect::Kill => self.turn(&budget, run.class, 1, patience).await?,
                // Where actions are counted apart, no kill needs what a read leaves, but the list before one does.
                Effect::Read if self.vendor.capabilities().counted_per_action => {
                    let class = if run.class == Class::Read { Class::Kill } else { Class::Urgent };
                    self.turn(&budget, class, 1, patience).await?
                }
                // A kill waits for it, so it goes with the kill's class and not behind other kills.
                Effect::Read if run.class != Class::Read => self.turn(&budget, run.class, 1, patience).await?,
                Effect::Read => self.spare_turn(&budget, run.until).await?,
            };
            sleep_until(turn.at).await;
            if !turn.is_past() {
                return Ok(turn);
            }
        }
    }

    /// A turn for a read that no kill waits for: while kills wait it takes none, and never one that is still to come,
    /// since a kill that comes before it would have to wait for that.
    async fn spare_turn(&self, budget: &str, until: Instant) -> Result<Permit, Stop> {
        loop {
            if !self.turns.quiet(budget, until).await {
                return Err(Stop::NoTurn(SPAN));
            }
            match self.turn(budget, Class::Read, 1, Duration::ZERO).await {
                Err(Stop::NoTurn(wait)) if wait <= until.saturating_duration_since(Instant::now()) => sleep(wait).await,
                taken => return taken,
            }
        }
    }

    /// The fault as it may be recorded and shown: no secret in what the vendor said, and no text at all where it
    /// may echo what was signed.
    fn shown(&self, mut fault: Fault) -> Fault {
        let redactor = self.account.redactor();
        let clean = |text: Option<String>| text.map(|text| redactor.clean(&text));
        fault.message = clean(fault.message.take()).filter(|_| !fault.kind.withholds_message());
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

    /// Counts one exchange, and tells the breaker how the endpoint is and the turns how fast they may come.
    fn count(&self, call: &Call, fault: Option<&Fault>, took: Duration) {
        let kind = fault.map(|fault| fault.kind);
        match kind {
            Some(FaultKind::NotConnected | FaultKind::Lost | FaultKind::ServerError) => {
                self.breaker.ended(call.effect, false, Instant::now());
            }
            Some(FaultKind::TooLate) => {}
            _ => self.breaker.ended(call.effect, true, Instant::now()),
        }
        if kind == Some(FaultKind::Throttled) {
            let budget = Limiter::budget(&self.account, self.vendor, call);
            self.turns.throttled(&budget, &self.limit);
            if let Some(wait) = fault.and_then(|fault| fault.retry_after) {
                self.turns.hold_until(&budget, Instant::now() + wait.min(LONGEST_HOLD));
            }
        }
        let (account, vendor) = (self.account.name(), self.vendor.name().as_str());
        self.metrics.call(account, vendor, call.action, kind.map_or("ok", FaultKind::as_str), took);
    }
}

/// How often a script was repeated, and why.
#[derive(Debug, Default)]
struct Again {
    pauses: u32,
    renewed: bool,
}

enum Next {
    At(Instant),
    Renewed(Fault),
    Stop(Fault),
}

impl Again {
    /// When the call that met `fault` may be sent again from here: a kill after a renewal only, a read after a
    /// pause too, and also where nobody knows whether it ran.
    fn when(&mut self, fault: Fault, effect: Effect, until: Instant) -> Next {
        match fault.kind.replay() {
            Replay::AfterRenewal if !self.renewed => {
                self.renewed = true;
                Next::Renewed(fault)
            }
            _ if effect == Effect::Kill => Next::Stop(fault),
            Replay::Never if fault.kind.status() != Status::Unknown => Next::Stop(fault),
            Replay::AfterPause | Replay::AfterRenewal | Replay::Never => {
                let doubled = FIRST_PAUSE.saturating_mul(1 << self.pauses.min(8)).min(LONGEST_PAUSE);
                self.pauses += 1;
                // A vendor may name a time that no clock has.
                match Instant::now().checked_add(fault.retry_after.unwrap_or(doubled)) {
                    Some(moment) if moment <= until => Next::At(moment),
                    _ => Next::Stop(fault),
                }
            }
        }
    }
}

/// Each id once, in the order in which they were named.
fn each_once(ids: Vec<SessionId>) -> Vec<SessionId> {
    let mut seen = HashSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}
