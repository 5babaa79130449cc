//! Reading a target's sessions before anything is sent: lists, previews, the look before a kill and the look again.

pub mod list;
mod picks;
pub(super) mod plan;
pub(super) mod preflight;
mod recheck;
pub(super) mod rounds;
pub(super) mod shared;
pub(super) mod victims;

use std::sync::Arc;

use crate::{clock::Clock, dispatch::upstreams::Upstreams};

use super::{after::recurrence::Recurrence, policy::Policy, record::Record};

/// What sessions are looked at with.
#[derive(Debug)]
pub(super) struct Looks {
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) policy: Arc<Policy>,
    pub(super) record: Arc<Record>,
    pub(super) recurrence: Arc<Recurrence>,
    pub(super) clock: Clock,
    pub(super) rounds: rounds::Rounds,
}
