//! What is learned of a kill after its calls: outcomes that settle, kills whose gateway died, sessions that come back.

pub(super) mod reconcile;
mod recurrence;
pub(super) mod settle;
