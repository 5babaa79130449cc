//! From what a caller sent to what is recorded of it: valid for its vendor, and within the caller's allowance.

pub mod allowance;
pub mod document;
pub mod ids;
pub(super) mod keyed;
pub(super) mod members;
pub mod request;
pub mod select;
pub mod submission;
pub(super) mod tally;
pub(super) mod tree;
