//! The look before the kill, and what it decides.

use std::collections::BTreeMap;

use crate::{
    dispatch::{
        report::Report,
        runner::{Purpose, Reader, Runner},
    },
    domain::{
        End, Found, Kill, Look, Order, Outcome, Problem, ProblemCode, Selector, Session, SessionId, Status, Target,
        Unlisted,
    },
    kill::{
        intake::request::{Asked, MAX_IDS},
        look::{
            Looks,
            plan::{Plan, cannot_be_listed, lists},
            shared::Seen,
            victims::{Judge, Victims},
        },
        record,
        times::longest,
    },
    spans::Trace,
    upstream::{self, List},
};

impl Looks {
    /// What a preview shows of the sessions that would be ended: `alive` for each that would be sent.
    pub(in crate::kill) async fn preview(
        &self,
        runner: &Runner,
        asked: &Asked,
        (literals, trace): (bool, &Trace),
        kill: &mut Kill,
    ) -> Report {
        let span = trace.step("look");
        let reader = Reader::new(Purpose::List, &kill.caller).within(span.trace());
        let filters = runner.able.listing.and_then(|listing| lists(listing, asked));
        let mut unseen = None;
        if asked.order.selector == Selector::Intelligent && upstream::picks(&asked.order.target) {
            self.show_picks(runner, &asked.order.target, &reader, kill).await;
        } else if let Some(filters) = filters {
            let plan = Plan { filters, own_way: false };
            let preflight = Preflight { looks: self, runner, asked, plan: &plan, literals, reader };
            let seen = self.read(runner, &asked.order.place(), &plan.filters, &preflight.reader).await;
            match seen {
                Ok(seen) => {
                    let victims = preflight.victims(&seen);
                    kill.look = Some(look(&seen));
                    kill.unlisted = seen.list(literals).unlisted();
                    kill.matched = preflight.matched(&victims);
                    kill.sessions = victims.sessions;
                    for session in kill.sessions.iter_mut().filter(|session| session.outcome == Outcome::Unknown) {
                        session.outcome = Outcome::Alive;
                    }
                }
                Err(problem) => unseen = Some(unlooked(problem, asked)),
            }
        } else {
            unseen = Some(cannot_be_listed(runner, asked, self.policy.targets.has_rules(&asked.order.target)));
        }
        let mut sessions = std::mem::take(&mut kill.sessions);
        let problem = unseen.or_else(|| self.too_many(&asked.order.selector, &sessions).err());
        sessions.truncate(MAX_IDS);
        Report { status: Status::Preview, sessions, problem, ..Report::nothing() }
    }

    /// Whether the sessions of a preview are few enough for a kill.
    fn too_many(&self, selector: &Selector, sessions: &[Session]) -> Result<(), Problem> {
        if !matches!(selector, Selector::Ids(_)) {
            check_found(sessions.len())?;
        }
        self.policy.caps.check_kill(sessions.iter().filter(|session| session.outcome == Outcome::Alive).count())
    }
}

/// What may be sent after a look.
#[derive(Debug)]
pub(in crate::kill) struct Cleared {
    pub(in crate::kill) order: Order,
    /// How many sessions it is about that were not counted yet.
    pub(in crate::kill) many: usize,
    /// Whether other kills of the place rest on the same list.
    pub(in crate::kill) in_company: bool,
}

/// The look of one kill: what it is about, and for whom.
#[derive(Debug)]
pub(in crate::kill) struct Preflight<'a> {
    pub(in crate::kill) looks: &'a Looks,
    pub(in crate::kill) runner: &'a Runner,
    pub(in crate::kill) asked: &'a Asked,
    pub(in crate::kill) plan: &'a Plan,
    /// Whether the caller may see the literals of statements.
    pub(in crate::kill) literals: bool,
    pub(in crate::kill) reader: Reader,
}

impl Preflight<'_> {
    /// Looks, records what was seen, and answers what may be sent; `None` where nothing may.
    ///
    /// # Errors
    /// Why nothing may be sent.
    pub(in crate::kill) async fn first(&self, kill: &mut Kill) -> Result<Option<Cleared>, Problem> {
        let Self { looks, runner, asked, plan, literals, reader } = self;
        let seen = looks.shared(runner, &asked.order.place(), &plan.filters, reader).await;
        let seen = seen.map_err(|problem| unlooked(problem, asked))?;
        let victims = self.victims(&seen);
        kill.matched = self.matched(&victims);
        check_found(victims.sessions.len())?;
        let many = victims.send.len();
        if !matches!(asked.order.selector, Selector::Ids(_)) {
            looks.policy.confirming.rules.check_match(many)?;
            looks.policy.caps.check_kill(many)?;
        }
        // In its own way the vendor spares nobody, and ends also what nobody saw and counted.
        let is_complete = seen.list(*literals).complete;
        let own_way = plan.own_way && is_complete && many == victims.sessions.len();
        kill.sessions = if own_way && many > 0 { vec![] } else { victims.sessions };
        kill.unlisted = self.unlisted(&seen);
        kill.look = Some(Look { complete: is_complete && kill.unlisted.is_empty(), ..look(&seen) });
        kill.found = found(&asked.order.target, &seen.place);
        if many == 0 {
            return Ok(None);
        }
        let selector = if own_way { asked.order.selector.clone() } else { Selector::Ids(victims.send) };
        // It goes to the node that was looked at, whichever is the primary by then.
        let order = Order { end: asked.order.end, ..Order::new(seen.place.clone(), selector) };
        let order = self.with_likeness(order, seen.list(*literals));
        let now = looks.clock.now();
        let due = now + longest(runner.limit, order.selector.ids().iter().map(SessionId::as_str), true);
        let watch = looks.recurrence.watch(runner, kill, seen.list(*literals), &plan.filters);
        let recorded = record::step(&reader.trace, "looked").around(looks.record.looked(kill, now, due));
        let (recorded, ()) = tokio::join!(recorded, watch);
        recorded?;
        Ok(Some(Cleared { order, many, in_company: seen.in_company }))
    }

    /// The same order with what tells its sessions apart, where the vendor's kill can ask for that.
    pub(super) fn with_likeness(&self, order: Order, list: &List) -> Order {
        if self.runner.able.takes.likeness() { order.with_likeness_from(&list.sessions) } else { order }
    }

    /// Which sessions may be sent, and what was seen of them.
    fn victims(&self, seen: &Seen) -> Victims {
        let Self { looks, asked, plan, literals, .. } = self;
        let target = &asked.order.target;
        let protection = |session: &_| looks.policy.targets.protection(target, session);
        let judge = Judge {
            list: seen.list(*literals),
            by_user: plan.by_user(),
            is_narrowed: plan.is_narrowed(),
            pins: &asked.pins,
            protection,
            at: seen.at,
        };
        let victims = judge.judge(&asked.order.selector);
        let victims = match asked.order.end {
            End::Session => victims,
            End::Statement => victims.with_statement(&seen.list(*literals).sessions),
        };
        match upstream::find(target.vendor.as_str()) {
            Some(vendor) => victims.taken_by(vendor.capabilities().session_id),
            None => victims,
        }
    }

    /// Where this look could not see all sessions, or the preview that the kill is bound to could not.
    fn unlisted(&self, seen: &Seen) -> Vec<Unlisted> {
        let mut unlisted = seen.list(self.literals).unlisted();
        let before = self.asked.bound.iter().flat_map(|bound| &bound.unlisted);
        let others = before.filter(|it| unlisted.iter().all(|known| known.place != it.place)).cloned();
        let others: Vec<_> = others.collect();
        unlisted.extend(others);
        unlisted
    }

    /// How many sessions met a `match`; of one that is bound to its preview, how many were shown in it to be ended.
    fn matched(&self, victims: &Victims) -> Option<u32> {
        let Asked { order, select, .. } = self.asked;
        let shown = || select.as_ref()?.get("match").map(|_| order.selector.ids().len());
        u32::try_from(victims.met.or_else(shown)?).ok()
    }
}

/// The look, as the kill tells it.
fn look(seen: &Seen) -> Look {
    Look { at: seen.at, complete: seen.list(true).complete, to_kill_ms: None }
}

/// What is known of the place now and was not asked for.
fn found(asked: &Target, place: &Target) -> Found {
    let found = place.coordinates.iter().filter(|(name, value)| asked.coordinates.get(*name) != Some(*value));
    found.map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// Whether a kill takes so many sessions as a list shows.
fn check_found(found: usize) -> Result<(), Problem> {
    if found <= MAX_IDS {
        return Ok(());
    }
    let sentence = format!("meets {found} sessions, and a kill takes at most {MAX_IDS}: give a limit");
    Err(Problem::invalid("select.match", sentence))
}

/// Why nothing is sent where there is no list.
pub(in crate::kill) fn unlooked(mut problem: Problem, asked: &Asked) -> Problem {
    let needs_look = upstream::needs_look(&asked.order.target);
    let may_be_blind = problem.of_list && asked.pins.is_empty() && asked.bound.is_none() && !needs_look;
    let without = if may_be_blind {
        "; with the scope sessions:kill:blind and \"look\": false it goes without a look, where no protection rule, confirm or \
         cap needs one"
    } else {
        ""
    };
    problem.detail = format!(
        "the sessions could not be looked at before the kill, so nothing was sent: {}{without}",
        problem.detail
    );
    problem.at("look")
}

/// What became of all sessions of a kill: those that were sent, as the vendor answered, and those that were not.
///
/// Where the vendor was asked in its own way, it named none and none was listed.
pub(in crate::kill) fn with_unsent(kill: &Kill, sent: Report) -> Report {
    let looked = &kill.sessions;
    if looked.is_empty() {
        return sent;
    }
    let mut answered: BTreeMap<String, Session> =
        sent.sessions.into_iter().map(|session| (session.id.clone(), session)).collect();
    let sessions: Vec<Session> = looked
        .iter()
        .map(|seen| match answered.remove(&seen.id) {
            Some(session) => Session { identity: seen.identity.clone(), ..session },
            None => seen.clone(),
        })
        .collect();
    let status = match sent.status {
        // Nothing was killed and it may be asked for again, whatever else is known.
        Status::RateLimited => Status::RateLimited,
        _ => kill.adds_up(&sessions),
    };
    Report { status, sessions, ..sent }
}

/// What is answered where something kept the gateway from sending: what the look decided stands, if there was one.
pub(in crate::kill) fn not_sent(kill: &Kill, order: &Order, problem: Problem) -> Report {
    with_decided(kill, order, |order| Report::not_sent(order, problem))
}

/// What the look decided, if there was one, and of all other sessions of the order what `rest` says.
fn with_decided(kill: &Kill, order: &Order, rest: impl FnOnce(&Order) -> Report) -> Report {
    if kill.look.is_none() {
        return rest(order);
    }
    let undecided = kill.sessions.iter().filter(|session| session.outcome == Outcome::Unknown);
    let undecided = undecided.map(|session| SessionId(session.id.clone())).collect();
    let order = order.of_ids(undecided);
    with_unsent(kill, rest(&order))
}

/// What is answered where the look left nothing to send.
pub(in crate::kill) fn nothing_to_send(kill: &Kill) -> Report {
    let looked = &kill.sessions;
    let status = match kill.look {
        // Of what the vendor did not show, nobody can say that there is none.
        Some(Look { complete: false, .. }) if looked.is_empty() => Status::Failed,
        _ => kill.adds_up(looked),
    };
    let problem = (status == Status::Refused).then(|| {
        Problem::new(ProblemCode::Forbidden, "every one of these sessions is protected; nothing was sent").at("select")
    });
    Report { status, sessions: looked.clone(), problem, ..Report::nothing() }
}
