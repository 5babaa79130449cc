//! Whether a kill is looked at first, and what is listed for it.
//!
//! The invariant: where a look is needed and cannot be had, nothing is sent. What a `match` is about is always counted, but
//! where whoever may do so asks for no look and nothing depends on the count.

use std::collections::BTreeMap;

use crate::{
    dispatch::runner::Runner,
    domain::{Blind, Match, Problem, ProblemCode, Selector, SessionId},
    kill::{
        intake::request::{Asked, MAX_IDS},
        look::victims::Pin,
        policy::Policy,
    },
    upstream::{self, ListFilter, ListingKind},
};

/// How the sessions of a kill are to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kill) struct Plan {
    /// What the lists are asked for, of which there is one at least.
    pub(in crate::kill) filters: Vec<ListFilter>,
    /// Whether the vendor itself can be asked for all of them, once they are counted and none is to be spared.
    pub(super) own_way: bool,
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
pub(super) fn lists(listing: ListingKind, asked: &Asked) -> Option<Vec<ListFilter>> {
    let Asked { order, pins, bound, .. } = asked;
    match (&order.selector, bound) {
        (Selector::Ids(ids), Some(bound)) => confirmed(listing, ids, pins, &bound.listed_by),
        (Selector::Ids(ids), None) => listing.of_users(ids.iter().map(|id| pins.get(id)?.user.as_ref())),
        (Selector::Match(wanted), _) => listing.for_match(wanted),
        (Selector::Intelligent, _) => (!upstream::picks(&order.target)).then(|| vec![ListFilter::default()]),
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
    if order.selector == Selector::Intelligent && has_own_way {
        return Ok(Before::Nothing(Blind::Picked));
    }
    let needs_look = upstream::needs_look(&order.target);
    if !look {
        return may_be_blind(policy, asked, has_own_way).map(|()| Before::Nothing(Blind::Asked));
    }
    let is_ids = matches!(order.selector, Selector::Ids(_));
    if is_ids && is_plain && !has_rules && !needs_look && !policy.targets.looks(&order.target, runner.limit.look) {
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
                            the vendor has no list of them for this account";
            Err(Problem::new(ProblemCode::Forbidden, sentence).at("select"))
        }
        Some(None) => Err(cannot_be_listed(runner, asked, has_rules)),
    }
}

/// Why there is no list of the sessions that are asked for.
pub(super) fn cannot_be_listed(runner: &Runner, asked: &Asked, has_rules: bool) -> Problem {
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
    if upstream::needs_look(&asked.order.target) {
        return invalid("must not be false: the vendor's kill names the user of each session, which only a look tells");
    }
    if !asked.pins.is_empty() || asked.bound.is_some() {
        return invalid("must not be false: only a look tells whether pinned or confirmed sessions are the same still");
    }
    if matches!(asked.order.selector, Selector::Ids(_)) {
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
