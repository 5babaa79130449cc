//! The look before the kill: when one is needed, and what it decides.
//!
//! The invariant: where a look is needed and cannot be had, nothing is sent. What a `match` is about is always counted, but
//! where whoever may do so asks for no look and nothing depends on the count.

use std::collections::BTreeMap;

use crate::{
    dispatch::{
        report::Report,
        runner::{Purpose, Reader, Runner},
    },
    domain::{
        Blind, Found, Kill, Look, Match, Order, Outcome, Problem, ProblemCode, Selector, Session, SessionId, Status,
        Target,
    },
    kill::{
        intake::request::{Asked, MAX_IDS},
        look::{
            Looks,
            shared::Seen,
            victims::{Judge, Pin, Victims},
        },
        policy::Policy,
        times::longest,
    },
    upstream::{self, ListFilter, ListingKind},
};

/// How the sessions of a kill are to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kill) struct Plan {
    /// What the lists are asked for, of which there is one at least.
    pub(in crate::kill) filters: Vec<ListFilter>,
    /// Whether the vendor itself can be asked for all of them, once they are counted and none is to be spared.
    own_way: bool,
}

impl Plan {
    /// Whether only sessions of the users that were named are listed.
    pub(in crate::kill) fn by_user(&self) -> bool {
        self.filters.iter().any(|filter| filter.user.is_some())
    }

    /// Whether only sessions are listed that are in a certain database.
    pub(in crate::kill) fn is_narrowed(&self) -> bool {
        self.filters.iter().any(|filter| filter.database.is_some())
    }
}

/// What comes before a kill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kill) enum Before {
    Look(Plan),
    /// Nothing, and why.
    Nothing(Blind),
}

/// What the lists have to be asked for that show the sessions that an order is about; `None` where no list does.
fn lists(listing: ListingKind, asked: &Asked) -> Option<Vec<ListFilter>> {
    let Asked { order, pins, bound, .. } = asked;
    match (&order.selector, bound) {
        (Selector::Ids(ids), Some(bound)) => confirmed(listing, ids, pins, &bound.listed_by),
        (Selector::Ids(ids), None) => listing.of_users(ids.iter().map(|id| pins.get(id)?.user.as_ref())),
        (Selector::Match(wanted), _) => listing.for_match(wanted),
        (Selector::Intelligent, _) => None,
    }
}

/// How sessions that were seen in a preview can be listed again. Whoever is not its user's session any more is not the one
/// that was seen; but a session can go to another database and be the same.
fn confirmed(
    listing: ListingKind,
    ids: &[SessionId],
    pins: &BTreeMap<SessionId, Pin>,
    listed_by: &Match,
) -> Option<Vec<ListFilter>> {
    let users = || ids.iter().map(|id| pins.get(id)?.identity.as_ref()?.user.as_ref());
    let first = users().next().flatten();
    match first.filter(|_| users().all(|user| user == first)) {
        // Also where the vendor can list all of them, it is the shorter list.
        Some(user) => Some(vec![ListFilter::of_user(user)]),
        None => listing.of_users(users()).or_else(|| listing.for_match(listed_by)),
    }
}

/// What comes before a kill: every kill by ids is looked at, wherever the vendor can list, unless somebody who may do so said
/// otherwise; and every match is counted.
///
/// # Errors
/// Where it needs a look and the vendor cannot list those sessions, or where it must not go blind.
pub(in crate::kill) fn before(policy: &Policy, runner: &Runner, asked: &Asked) -> Result<Before, Problem> {
    let Asked { order, pins, bound, look, .. } = asked;
    let has_rules = policy.targets.has_rules(&order.target);
    let has_own_way = runner.able.selectors.iter().any(|kind| kind.covers(&order.selector));
    let is_plain = pins.is_empty() && bound.is_none();
    if order.selector == Selector::Intelligent {
        return Ok(Before::Nothing(Blind::Picked));
    }
    if !look {
        return may_be_blind(policy, asked, has_own_way).map(|()| Before::Nothing(Blind::Asked));
    }
    let is_ids = matches!(order.selector, Selector::Ids(_));
    if is_ids && is_plain && !has_rules && !policy.targets.looks(&order.target, runner.limit.look) {
        return Ok(Before::Nothing(Blind::Configured));
    }
    let filters = runner.able.listing.map(|listing| lists(listing, asked));
    match filters {
        Some(Some(filters)) => {
            let own_way = !is_ids && has_own_way && is_plain && !has_rules;
            Ok(Before::Look(Plan { filters, own_way }))
        }
        // What is on none of its lists can be seen by nobody.
        None if is_ids && is_plain && !has_rules => Ok(Before::Nothing(Blind::NoList)),
        None => {
            let sentence = "these sessions cannot be looked at before the kill, and a protection rule covers this target: \
                            the vendor has no list of them at the site of this account";
            Err(Problem::new(ProblemCode::Forbidden, sentence).at("select"))
        }
        Some(None) => Err(cannot_be_listed(runner, asked, has_rules)),
    }
}

fn cannot_be_listed(runner: &Runner, asked: &Asked, has_rules: bool) -> Problem {
    let vendor = runner.vendor.name();
    if matches!(asked.order.selector, Selector::Match(_)) {
        let names = runner.able.listing.map_or(&[][..], |listing| listing.needs_one_of).join(" or ");
        let sentence = format!("these sessions cannot be counted: {vendor} lists them by {names} only, written out");
        return Problem::new(ProblemCode::Invalid, sentence).at("select.match");
    }
    let mut sentence = format!(
        "these sessions cannot be looked at before the kill: {vendor} lists sessions by user only, so give each id with its \
         user, as {{\"id\": …, \"user\": …}}, of at most 20 users"
    );
    if !has_rules && asked.pins.is_empty() {
        sentence.push_str("; or, with the scope sessions:kill:blind, say \"look\": false");
    }
    // Without the rules it could be sent as it is.
    let code = if has_rules && asked.pins.is_empty() { ProblemCode::Forbidden } else { ProblemCode::Invalid };
    Problem::new(code, sentence).at("select.ids")
}

/// Whether a kill may go without a look, as it asks to.
///
/// # Errors
/// `forbidden` where a rule, a confirm or a cap needs the look; `invalid` where the kill itself does.
fn may_be_blind(policy: &Policy, asked: &Asked, has_own_way: bool) -> Result<(), Problem> {
    let forbidden = |sentence: &str| Err(Problem::new(ProblemCode::Forbidden, sentence).at("look"));
    let invalid = |sentence: &str| Err(Problem::invalid("look", sentence));
    if policy.targets.has_rules(&asked.order.target) {
        return forbidden("a protection rule covers this target, so its sessions are looked at before every kill");
    }
    if !asked.pins.is_empty() || asked.bound.is_some() {
        return invalid("must not be false: only a look tells whether pinned or confirmed sessions are the same still");
    }
    if !matches!(asked.order.selector, Selector::Match(_)) {
        return Ok(());
    }
    if !has_own_way {
        return invalid("must not be false: these sessions are chosen from the list");
    }
    if policy.confirming.rules.above < MAX_IDS {
        return forbidden("how many sessions a match is about decides whether it needs a confirm: see confirm.above");
    }
    if policy.caps.depend_on_count() {
        return forbidden("how many sessions may be ended is capped, and without the look nobody can count them");
    }
    Ok(())
}

impl Looks {
    /// What a preview shows of the sessions that would be ended: `alive` for each that would be sent.
    pub(in crate::kill) async fn preview(
        &self,
        runner: &Runner,
        asked: &Asked,
        literals: bool,
        kill: &mut Kill,
    ) -> Report {
        let reader = Reader::new(Purpose::List, &kill.caller);
        let filters = runner.able.listing.and_then(|listing| lists(listing, asked));
        let mut unseen = None;
        if asked.order.selector == Selector::Intelligent {
            self.show_picks(runner, &asked.order.target, &reader, kill).await;
        } else if let Some(filters) = filters {
            let plan = Plan { filters, own_way: false };
            let preflight = Preflight { looks: self, runner, asked, plan: &plan, literals, reader };
            let seen = self.read(runner, &asked.order.target, &plan.filters, &preflight.reader).await;
            match seen {
                Ok(seen) => {
                    let victims = preflight.victims(&seen);
                    kill.look = Some(look(&seen));
                    kill.matched = preflight.matched(&seen);
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
        if matches!(selector, Selector::Match(_)) {
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
        let seen = looks.shared(runner, &asked.order.target, &plan.filters, reader).await;
        let seen = seen.map_err(|problem| unlooked(problem, asked))?;
        let victims = self.victims(&seen);
        kill.matched = self.matched(&seen);
        check_found(victims.sessions.len())?;
        let many = victims.send.len();
        if matches!(asked.order.selector, Selector::Match(_)) {
            looks.policy.confirming.rules.check_match(many)?;
            looks.policy.caps.check_kill(many)?;
        }
        // In its own way the vendor spares nobody, and ends also what nobody saw and counted.
        let is_complete = seen.list(*literals).complete;
        let own_way = plan.own_way && is_complete && many == victims.sessions.len();
        kill.sessions = if own_way && many > 0 { vec![] } else { victims.sessions };
        kill.look = Some(look(&seen));
        kill.found = found(&asked.order.target, &seen.place);
        if many == 0 {
            return Ok(None);
        }
        let selector = if own_way { asked.order.selector.clone() } else { Selector::Ids(victims.send) };
        // It goes to the node that was looked at, whichever is the primary by then.
        let order = Order { target: seen.place.clone(), selector };
        let now = looks.clock.now();
        let due = now + longest(runner.limit, order.selector.ids().len(), true);
        let watch = looks.recurrence.watch(runner, kill, seen.list(*literals), &plan.filters);
        let (recorded, ()) = tokio::join!(looks.record.looked(kill, now, due), watch);
        recorded?;
        Ok(Some(Cleared { order, many, in_company: seen.in_company }))
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
        match upstream::find(target.vendor.as_str()) {
            Some(vendor) => victims.taken_by(vendor.capabilities().session_id),
            None => victims,
        }
    }

    /// How many sessions met a `match`; of one that is bound to its preview, how many were shown in it to be ended.
    fn matched(&self, seen: &Seen) -> Option<u32> {
        let Asked { order, select, .. } = self.asked;
        let many = match &order.selector {
            Selector::Match(wanted) => {
                let list = seen.list(self.literals);
                wanted.met_by(&list.sessions, list.complete).len()
            }
            selector => {
                select.as_ref()?.get("match")?;
                selector.ids().len()
            }
        };
        u32::try_from(many).ok()
    }
}

/// The look, as the kill tells it.
fn look(seen: &Seen) -> Look {
    Look { at: seen.at, complete: seen.list(true).complete, to_kill_ms: None }
}

/// What is known of the place now and was not asked for.
fn found(asked: &Target, place: &Target) -> Found {
    let found = place.coordinates.iter().filter(|(name, _)| !asked.coordinates.contains_key(*name));
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
    let may_be_blind = asked.pins.is_empty() && asked.bound.is_none();
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
pub(in crate::kill) fn with_unsent(looked: &[Session], sent: Report) -> Report {
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
        _ => Status::of(&sessions),
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
    let order = Order { selector: Selector::Ids(undecided), ..order.clone() };
    with_unsent(&kill.sessions, rest(&order))
}

/// What is answered where the look left nothing to send.
pub(in crate::kill) fn nothing_to_send(kill: &Kill) -> Report {
    let looked = &kill.sessions;
    let status = match kill.look {
        // Of what the vendor did not show, nobody can say that there is none.
        Some(Look { complete: false, .. }) if looked.is_empty() => Status::Failed,
        _ => Status::of(looked),
    };
    let problem = (status == Status::Refused).then(|| {
        Problem::new(ProblemCode::Forbidden, "every one of these sessions is protected; nothing was sent").at("select")
    });
    Report { status, sessions: looked.clone(), problem, ..Report::nothing() }
}
