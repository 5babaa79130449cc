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
        Found, Kill, Look, Match, Order, Outcome, Problem, ProblemCode, Selector, Session, SessionId, Status, Target,
    },
    kill::{
        intake::request::{Asked, MAX_IDS},
        look::{
            Looks,
            victims::{Judge, Pin, Victims},
        },
        policy::Policy,
        times::longest,
    },
    upstream::{self, List, ListingKind},
};

/// How the sessions of a kill are to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kill) struct Plan {
    /// What the list is asked for.
    pub(in crate::kill) wanted: Match,
    pub(in crate::kill) is_narrowed: bool,
    /// Whether the vendor itself can be asked for all of them, once they are counted and none is to be spared.
    own_way: bool,
}

/// How the sessions that an order is about can be listed; `None` where they cannot.
fn plan(runner: &Runner, asked: &Asked) -> Option<Plan> {
    let Asked { order, pins, bound, .. } = asked;
    let listing = runner.able.listing?;
    let (wanted, is_narrowed) = match (&order.selector, bound) {
        (Selector::Ids(ids), Some(bound)) => confirmed(listing, ids, pins, &bound.listed_by)?,
        (Selector::Ids(ids), None) => {
            let wanted = listing.of_users(ids.iter().map(|id| pins.get(id)?.user.as_ref()))?;
            (wanted.clone(), wanted != Match::default())
        }
        (Selector::Match(criteria), _) if listing.shows(&criteria.given()) => (criteria.clone(), true),
        (Selector::Match(_) | Selector::Intelligent, _) => return None,
    };
    Some(Plan { wanted, is_narrowed, own_way: false })
}

/// How sessions that were seen in a preview can be listed again, and whether one of them that is not listed may live.
fn confirmed(
    listing: ListingKind,
    ids: &[SessionId],
    pins: &BTreeMap<SessionId, Pin>,
    listed_by: &Match,
) -> Option<(Match, bool)> {
    let mut users = ids.iter().map(|id| pins.get(id)?.identity.as_ref()?.user.as_ref());
    let first = users.next().flatten();
    if let Some(user) = first.filter(|_| users.all(|user| user == first)) {
        // Whoever is not its user's session any more is not the one that was seen.
        return Some((Match { user: Some(user.clone()), ..Match::default() }, false));
    }
    if listing.needs_one_of.is_empty() {
        return Some((Match::default(), false));
    }
    // A session can go to another database and be the same.
    let Match { user, database, .. } = listed_by.clone();
    let wanted = Match { user, database, ..Match::default() };
    listing.shows(&wanted.given()).then_some((wanted, true))
}

/// The look that has to come before a kill; `None` where it needs none.
///
/// # Errors
/// `invalid` where it needs one and the vendor cannot list those sessions.
pub(in crate::kill) fn needed(policy: &Policy, runner: &Runner, asked: &Asked) -> Result<Option<Plan>, Problem> {
    let Asked { order, pins, look, .. } = asked;
    let has_own_way = runner.able.selectors.iter().any(|kind| kind.covers(&order.selector));
    if !look {
        return may_be_blind(policy, asked, has_own_way).map(|()| None);
    }
    let as_it_is = has_own_way && pins.is_empty() && !policy.targets.has_rules(&order.target);
    // What a match is about must be counted.
    if as_it_is && !matches!(order.selector, Selector::Match(_)) {
        return Ok(None);
    }
    plan(runner, asked).map(|plan| Some(Plan { own_way: as_it_is, ..plan })).ok_or_else(|| {
        let sentence = if runner.able.listing.is_none() {
            "these sessions cannot be looked at before the kill, and a protection rule covers this target: the vendor \
             has no list of them at the site of this account"
        } else {
            "these sessions cannot be looked at before the kill: the vendor lists them by user only, so each must be \
             given with its user, the same for all"
        };
        // Without the rules it could be sent as it is.
        let code = if pins.is_empty() { ProblemCode::Forbidden } else { ProblemCode::Invalid };
        Problem::new(code, sentence).at("select")
    })
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
        if asked.order.selector == Selector::Intelligent {
            self.show_picks(runner, &asked.order.target, &reader, kill).await;
        } else if let Some(plan) = plan(runner, asked) {
            let preflight = Preflight { looks: self, runner, asked, plan: &plan, literals, reader };
            match preflight.victims().await {
                Ok((victims, look, ..)) => {
                    kill.look = Some(look);
                    kill.sessions = victims.sessions;
                    for session in kill.sessions.iter_mut().filter(|session| session.outcome == Outcome::Unknown) {
                        session.outcome = Outcome::Alive;
                    }
                }
                Err(problem) => {
                    tracing::info!(kill_id = %kill.id, code = problem.code.as_str(), "a preview saw nothing");
                }
            }
        }
        let mut sessions = std::mem::take(&mut kill.sessions);
        let problem = self.too_many(&asked.order.selector, &sessions).err();
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
    /// Looks, records what was seen, and answers the order that may be sent and how many sessions it is about; `None`
    /// where none may.
    ///
    /// # Errors
    /// Why nothing may be sent.
    pub(in crate::kill) async fn first(&self, kill: &mut Kill) -> Result<Option<(Order, usize)>, Problem> {
        let Self { looks, runner, asked, plan, .. } = self;
        let looked = self.victims().await;
        let (victims, look, list, place) = looked.map_err(|problem| unlooked(problem, plan))?;
        check_found(victims.sessions.len())?;
        let many = victims.send.len();
        if matches!(asked.order.selector, Selector::Match(_)) {
            looks.policy.confirming.rules.check_match(many)?;
            looks.policy.caps.check_kill(many)?;
        }
        // In its own way the vendor spares nobody, and ends also what nobody saw and counted.
        let own_way = plan.own_way && look.complete && many == victims.sessions.len();
        kill.sessions = if own_way && many > 0 { vec![] } else { victims.sessions };
        kill.look = Some(look);
        kill.found = found(&asked.order.target, &place);
        if many == 0 {
            return Ok(None);
        }
        let selector = if own_way { asked.order.selector.clone() } else { Selector::Ids(victims.send) };
        // It goes to the node that was looked at, whichever is the primary by then.
        let order = Order { target: place, selector };
        let now = looks.clock.now();
        let due = now + longest(runner.limit, order.selector.ids().len(), true);
        let watch = looks.recurrence.watch(runner, kill, &list, &plan.wanted);
        let (recorded, ()) = tokio::join!(looks.record.looked(kill, now, due), watch);
        recorded?;
        Ok(Some((order, many)))
    }

    /// Which sessions may be sent, what was seen of them, and where that was.
    async fn victims(&self) -> Result<(Victims, Look, List, Target), Problem> {
        let Self { looks, asked, plan, literals, reader, .. } = self;
        let target = &asked.order.target;
        let at = looks.clock.now();
        let (list, place) = looks.read_list(target, &plan.wanted, *literals, reader).await?;
        let protection = |session: &_| looks.policy.targets.protection(target, session);
        let judge = Judge { list: &list, is_narrowed: plan.is_narrowed, pins: &asked.pins, protection, at };
        let look = Look { at, complete: list.complete, to_kill_ms: None };
        let mut victims = judge.judge(&asked.order.selector);
        if let Some(vendor) = upstream::find(target.vendor.as_str()) {
            victims = victims.taken_by(vendor.capabilities().session_id);
        }
        Ok((victims, look, list, place))
    }
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
pub(in crate::kill) fn unlooked(mut problem: Problem, plan: &Plan) -> Problem {
    let without = if plan.own_way {
        "; with the scope sessions:kill:blind and \"look\": false it goes all the same where no confirm and no cap needs the count"
    } else {
        ""
    };
    problem.detail =
        format!("its sessions could not be looked at before, so nothing was sent: {}{without}", problem.detail);
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
