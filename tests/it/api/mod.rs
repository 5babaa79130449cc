//! The gateway as its callers see it, over real sockets, on both engines.

mod access;
mod attempts;
mod auth;
mod credentials;
mod document;
mod history;
mod idempotency;
mod issuers;
mod jwks;
pub(crate) mod kit;
mod me;
mod methods;
mod operations;
mod preferences;
mod problems;
mod reference;
mod repeats;
mod slow;
mod suggestions;
mod targets;
mod understood;
mod upstream;
mod validation;
mod visibility;
mod waiting;
mod who;

use crate::support::gateway::{on_both_engines, on_one_engine};
