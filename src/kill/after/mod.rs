//! What is learned of a kill after its calls: outcomes that settle, kills whose gateway died, sessions that come back.

mod place;
pub(super) mod reconcile;
pub(super) mod recurrence;
pub(super) mod settle;

use crate::domain::{Kill, Order, Selector, SessionId};

use super::intake::request::recorded_order;

/// What a recorded kill was about; `None` where it was not understood.
fn order_of(kill: &Kill) -> Option<Order> {
    let mut order = recorded_order(kill.target.as_ref()?, kill.select.as_ref()?)?;
    if matches!(order.selector, Selector::Match(_)) && !kill.sessions.is_empty() {
        // They were found by the gateway and sent by their ids.
        order.selector = Selector::Ids(kill.sessions.iter().map(|session| SessionId(session.id.clone())).collect());
    }
    Some(order)
}
