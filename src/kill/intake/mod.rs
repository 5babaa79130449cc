//! From what a caller sent to what is recorded of it: valid for its vendor, and within the caller's allowance.

pub mod allowance;
mod ids;
mod members;
pub mod request;
pub mod submission;
pub(super) mod tally;
