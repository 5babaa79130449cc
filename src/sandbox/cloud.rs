//! What each simulated cloud has of its own: how it recognises a call, lets it in, counts it, works it off and refuses it.

use std::fmt::Debug;

use uuid::Uuid;

use super::{
    Action, Lie,
    alibaba::Alibaba,
    answer::{Answer, Refusal},
    handler::Route,
    huawei::Huawei,
    limits::Count,
    log::Incoming,
    state::State,
    tencent::Tencent,
};

/// One simulated cloud.
pub(super) trait Cloud: Debug + Sync {
    /// The word in configuration.
    fn name(&self) -> &'static str;

    /// Whether a call is for this cloud, as far as its path and its headers tell.
    fn is_for(&self, incoming: &Incoming) -> bool;

    /// Recognises an operation.
    fn route<'i>(&self, incoming: &'i Incoming) -> Result<Route<'i>, Refusal>;

    /// Lets a call in, or says why not.
    fn admit(&self, state: &mut State, incoming: &Incoming, route: &Route) -> Result<(), Refusal>;

    /// What an operation counts with, and how many calls a second that may be.
    fn counts(&self, state: &State, action: Action) -> Count;

    /// Does what is asked.
    fn work(&self, state: &mut State, incoming: &Incoming, route: &Route, lie: Option<&Lie>)
    -> Result<Answer, Refusal>;

    /// Refuses a call that came as the `seen`th of its second.
    fn over_the_limit(&self, seen: usize, limit: usize) -> Refusal;

    /// Refuses a call as if it were one too many.
    fn throttled(&self, action: Action) -> Refusal;

    /// Refuses a call as if the caller were not permitted.
    fn denied(&self, action: Action, text: &str) -> Refusal;

    /// A refusal as the cloud writes it; `action` is `None` where none was recognised.
    fn write(&self, refusal: &Refusal, action: Option<Action>, request_id: Uuid) -> Answer;
}

/// Every simulated cloud; the last one takes what is for no other.
static TABLE: &[&dyn Cloud] = &[&Alibaba, &Tencent, &Huawei];

/// The cloud that a call is for.
pub(super) fn of(incoming: &Incoming) -> &'static dyn Cloud {
    TABLE.iter().copied().find(|cloud| cloud.is_for(incoming)).unwrap_or(&Huawei)
}
