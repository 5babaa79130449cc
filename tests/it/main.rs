//! Tests of killgate as a whole, in one binary.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod api;
mod audit;
mod browsers;
mod client;
mod console;
mod contract;
mod deploy;
mod engines;
mod evidence;
mod history;
mod limits;
mod networks;
mod notify;
mod roles;
mod safety;
mod sessions;
mod shards;
mod sources;
mod support;
mod traces;
mod vendors;
mod victims;
