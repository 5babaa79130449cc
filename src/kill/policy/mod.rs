//! Who may end which sessions where: aliases and access, protection, caps, and the confirm that binds a kill to its preview.

pub mod caps;
pub mod confirm;
pub mod confirming;
pub mod targets;

#[cfg(test)]
mod guarding;

use std::sync::Arc;

use caps::Caps;
use confirming::Confirming;
use targets::Targets;

/// What kills are held to.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) targets: Arc<Targets>,
    pub(super) caps: Caps,
    pub(super) confirming: Confirming,
}
