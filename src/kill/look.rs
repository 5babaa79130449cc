//! The look before the kill: when one is needed, and what it decides.
//!
//! The invariant: where a look is needed and cannot be had, nothing is sent.

use std::collections::{BTreeMap, HashMap};

use crate::domain::{
    Identity, Kill, LiveSession, Look, Match, Order, Outcome, Problem, ProblemCode, Selector, Session, SessionId,
    Status,
};

use super::{
    Kills,
    drive::Driver,
    driven::Driven,
    longest,
    request::{Asked, MAX_IDS},
    victims::{Judge, Pin, Victims},
};

/// How the sessions of a kill are to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// What the list is asked for.
    wanted: Match,
    is_narrowed: bool,
}

/// How the sessions that an order is about can be listed; `None` where they cannot.
fn plan(driver: &Driver, order: &Order, pins: &BTreeMap<SessionId, Pin>) -> Option<Plan> {
    let listing = driver.vendor.capabilities().listing?;
    match &order.selector {
        Selector::Ids(ids) => {
            let wanted = listing.of_users(ids.iter().map(|id| pins.get(id)?.user.as_ref()))?;
            Some(Plan { is_narrowed: wanted != Match::default(), wanted })
        }
        Selector::Match(criteria) if listing.shows(&criteria.given()) => {
            Some(Plan { wanted: criteria.clone(), is_narrowed: true })
        }
        Selector::Match(_) | Selector::Intelligent => None,
    }
}

impl Kills {
    /// The look that has to come before a kill; `None` where it needs none.
    ///
    /// # Errors
    /// `invalid` where it needs one and the vendor cannot list those sessions.
    pub(super) fn look_needed(&self, driver: &Driver, asked: &Asked) -> Result<Option<Plan>, Problem> {
        let Asked { order, pins, .. } = asked;
        let has_own_way = driver.vendor.capabilities().selectors.iter().any(|kind| kind.covers(&order.selector));
        if has_own_way && pins.is_empty() && !self.0.targets.has_rules(&order.target) {
            return Ok(None);
        }
        plan(driver, order, pins).map(Some).ok_or_else(|| {
            let sentence = "these sessions cannot be looked at before the kill: the vendor lists them by user only, so \
                            each must be given with its user, the same for all";
            // Without the rules it could be sent as it is.
            let code = if pins.is_empty() { ProblemCode::Forbidden } else { ProblemCode::Invalid };
            Problem::new(code, sentence).at("select")
        })
    }

    /// What a preview shows of the sessions that would be ended: `alive` for each that would be sent.
    pub(super) async fn preview(&self, driver: &Driver, asked: &Asked, literals: bool, kill: &mut Kill) {
        if matches!(asked.order.selector, Selector::Intelligent) {
            return self.preview_picks(driver, &asked.order, literals, kill).await;
        }
        let Some(plan) = plan(driver, &asked.order, &asked.pins) else { return };
        match self.victims(&plan, asked, literals).await {
            Ok((victims, look)) => {
                kill.look = Some(look);
                kill.sessions = victims.sessions;
                for session in kill.sessions.iter_mut().filter(|session| session.outcome == Outcome::Unknown) {
                    session.outcome = Outcome::Alive;
                }
            }
            Err(problem) => tracing::info!(kill_id = %kill.id, code = problem.code.as_str(), "a preview saw nothing"),
        }
    }

    /// What a preview shows of the sessions that the database would pick now: `alive` for each, and whose it is where a
    /// list tells. Protection is told and changes nothing, since the database knows nothing of it.
    async fn preview_picks(&self, driver: &Driver, order: &Order, literals: bool, kill: &mut Kill) {
        let ids = match driver.picks(order).await {
            Some(Ok(ids)) => ids,
            Some(Err(stop)) => return tracing::info!(kill_id = %kill.id, ?stop, "a preview saw nothing"),
            None => return,
        };
        kill.sessions = ids.iter().map(|id| Session::new(id, Outcome::Alive)).collect();
        if ids.is_empty() {
            return;
        }
        let at = self.0.clock.now();
        let list = match self.read_list(&order.target, &Match::default(), literals).await {
            Ok(list) => list,
            Err(problem) => {
                return tracing::info!(kill_id = %kill.id, code = problem.code.as_str(), "a preview saw ids only");
            }
        };
        let seen: HashMap<&str, &LiveSession> = list.sessions.iter().map(|seen| (seen.id.as_str(), seen)).collect();
        for session in &mut kill.sessions {
            let seen = seen.get(session.id.as_str());
            session.identity = seen.map(|seen| Identity::of(seen));
            session.detail = match seen.map(|seen| self.0.targets.protection(&order.target, seen)) {
                Some(why) => {
                    why.map(|why| format!("protected ({why}), and the database may end it all the same").into())
                }
                None => list.complete.then(|| "not on the list that was read right after".into()),
            };
        }
        kill.look = Some(Look { at, complete: list.complete, to_kill_ms: None });
    }

    /// Looks, records what was seen, and answers the order that may be sent; `None` where none may.
    ///
    /// # Errors
    /// Why nothing may be sent.
    pub(super) async fn look_before(
        &self,
        driver: &Driver,
        plan: &Plan,
        asked: &Asked,
        literals: bool,
        kill: &mut Kill,
    ) -> Result<Option<Order>, Problem> {
        let (victims, look) = self.victims(plan, asked, literals).await?;
        if victims.sessions.len() > MAX_IDS {
            let found = victims.sessions.len();
            let sentence = format!("meets {found} sessions, and a kill takes at most {MAX_IDS}: give a limit");
            return Err(Problem::invalid("select.match", sentence));
        }
        kill.sessions = victims.sessions;
        kill.look = Some(look);
        if victims.send.is_empty() {
            return Ok(None);
        }
        let now = self.0.clock.now();
        let deadline = now + longest(driver.limit, victims.send.len());
        let recorded = self.0.audit.conclude(kill, now, "looked", Some(deadline)).await;
        self.may_go_on(kill, recorded)?;
        Ok(Some(Order { target: asked.order.target.clone(), selector: Selector::Ids(victims.send) }))
    }

    async fn victims(&self, plan: &Plan, asked: &Asked, literals: bool) -> Result<(Victims, Look), Problem> {
        let target = &asked.order.target;
        let at = self.0.clock.now();
        let list = self.read_list(target, &plan.wanted, literals).await?;
        let protection = |session: &_| self.0.targets.protection(target, session);
        let judge = Judge { list: &list, is_narrowed: plan.is_narrowed, pins: &asked.pins, protection, at };
        let look = Look { at, complete: list.complete, to_kill_ms: None };
        Ok((judge.judge(&asked.order.selector), look))
    }
}

/// What became of all sessions of a kill: those that were sent, as the vendor answered, and those that were not.
pub(super) fn with_unsent(looked: &[Session], sent: Driven) -> Driven {
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
    Driven { status, sessions, ..sent }
}

/// What is answered where something kept the gateway from sending: what the look decided stands, if there was one.
pub(super) fn not_sent(kill: &Kill, order: &Order, problem: Problem) -> Driven {
    if kill.look.is_none() {
        return Driven::not_sent(order, problem);
    }
    let unsent = kill.sessions.iter().filter(|session| session.outcome == Outcome::Unknown);
    let unsent = unsent.map(|session| SessionId(session.id.clone())).collect();
    let order = Order { selector: Selector::Ids(unsent), ..order.clone() };
    with_unsent(&kill.sessions, Driven::not_sent(&order, problem))
}

/// What is answered where the look left nothing to send.
pub(super) fn nothing_to_send(kill: &Kill) -> Driven {
    let looked = &kill.sessions;
    let status = match kill.look {
        // Of what the vendor did not show, nobody can say that there is none.
        Some(Look { complete: false, .. }) if looked.is_empty() => Status::Failed,
        _ => Status::of(looked),
    };
    let problem = (status == Status::Refused).then(|| {
        Problem::new(ProblemCode::Forbidden, "every one of these sessions is protected; nothing was sent").at("select")
    });
    Driven { status, sessions: looked.clone(), upstream: crate::domain::Upstream::default(), problem }
}
