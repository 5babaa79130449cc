//! Who may end which sessions where: aliases and access, protection, caps, and the confirm that binds a kill to its preview.

pub mod caps;
pub mod confirm;
pub mod confirming;
pub mod targets;

#[cfg(test)]
mod guarding;
