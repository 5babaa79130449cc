//! Reading a target's sessions before anything is sent: lists, previews, the look before a kill and the look again.

pub mod list;
mod picks;
pub(super) mod preflight;
mod recheck;
pub(super) mod victims;
