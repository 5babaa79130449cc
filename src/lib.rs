//! killgate: one HTTP gateway through which an organisation ends database sessions.
//!
//! | room | what is in it |
//! |---|---|
//! | [`domain`] | the words: target, selector, order, outcome, kill; valid once made |
//! | [`upstream`] | pure scripts, one file a product and one a cloud; accounts, and the transport that carries calls |
//! | [`kill`] | the use-case: vet, look, record, dispatch, learn, tell: one task for each kill |
//! | [`dispatch`] | carrying calls to vendors: kills that wait, callers that take turns, permits, breakers, what came back |
//! | [`audit`] | the record, on Postgres or SQLite, and the permits that gateways share |
//! | [`history`] | reading the record from outside: filters, all of it in one file, and the index by which kills are found |
//! | [`auth`] | who calls: JWT by shared secret or by key set |
//! | [`client`] | commands that are clients of a gateway: for a person at a terminal, for scripts, for agents |
//! | [`http`] | handlers, problems, documentation |
//! | [`config`] | `killgate.toml` and the environment, checked at the start |
//! | [`chain`] | leaves, trees and signed blocks: evidence that nobody touched the record |
//! | [`evidence`] | the tasks that seal the record, and the checks of it |
//! | [`notify`] | telling others what becomes of kills: following one while it is open, webhooks |
//! | [`sandbox`] | the simulated clouds |
//! | [`spans`] | what OpenTelemetry tells of requests, of the steps of kills and of what comes later |
//! | [`app`], [`demo`], [`telemetry`], [`metrics`], [`clock`], [`seats`], [`systemd`], [`version`], `pem`, `lock`, `near`, `unfinished` | putting it together, and being seen |
//!
//! A kill is [`kill`]'s `run`, which reads from top to bottom; its rooms are what it goes through: `intake` (what was asked,
//! and how much one caller may), `policy` (who may end what, confirms, caps), `look` (lists, previews, the look before a kill
//! and the one after a wait), `after` (what is learned later). Its calls go through a dispatcher of [`dispatch`] and are made
//! by a runner, which runs the script of a vendor of [`upstream`].
//!
//! Arrows point inward: `domain` knows no framework, `upstream` knows only `domain`, and only
//! [`upstream::transport`] sends anything that a gateway sends. Commands that are clients have a client of their own.

pub mod app;
pub mod audit;
pub mod auth;
pub mod chain;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod demo;
pub mod dispatch;
pub mod domain;
pub mod evidence;
pub mod history;
pub mod http;
pub mod kill;
mod lock;
pub mod metrics;
mod near;
pub mod notify;
mod pem;
pub mod sandbox;
pub mod seats;
pub mod spans;
pub mod systemd;
pub mod telemetry;
mod unfinished;
pub mod upstream;
pub mod version;
