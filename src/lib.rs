//! killgate: one HTTP gateway through which an organisation ends database sessions.
//!
//! | room | what is in it |
//! |---|---|
//! | [`domain`] | the words: target, selector, order, outcome, kill; valid once made |
//! | [`upstream`] | pure scripts, one file a product and one a cloud; accounts, and the transport that carries calls |
//! | [`kill`] | the use-case: record, wait for a turn, drive the vendor, record, answer |
//! | [`dispatch`] | carrying calls to vendors: waiting kills, the turns they take, breakers, and what came back |
//! | [`audit`] | the record, on Postgres or SQLite, and the turns that gateways share |
//! | [`history`] | reading the record from outside: filters, and all of it in one file |
//! | [`auth`] | who calls: JWT by shared secret or by key set |
//! | [`http`] | handlers, problems, documentation |
//! | [`config`] | `killgate.toml` and the environment, checked at the start |
//! | [`chain`] | leaves, trees and signed blocks: evidence that nobody touched the record |
//! | [`evidence`] | the tasks that seal the record, and the checks of it |
//! | [`notify`] | telling others what becomes of kills: following one while it is open, webhooks |
//! | [`sandbox`] | the simulated clouds |
//! | [`app`], [`demo`], [`telemetry`], [`metrics`], [`clock`], [`seats`] | putting it together, and being seen |
//!
//! Arrows point inward: `domain` knows no framework, `upstream` knows only `domain`, and only
//! [`upstream::transport`] sends anything.

pub mod app;
pub mod audit;
pub mod auth;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod dispatch;
pub mod domain;
pub mod evidence;
pub mod history;
pub mod http;
pub mod kill;
pub mod metrics;
pub mod notify;
pub mod sandbox;
pub mod seats;
pub mod telemetry;
pub mod upstream;
