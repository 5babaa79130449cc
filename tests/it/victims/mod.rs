//! Looking before a kill: what is matched, what is pinned and what is protected, over real sockets.

mod confirming;
mod looked;
mod matching;
mod needing;
mod never;
mod picks;
mod pins;
mod places;
mod previews;
mod protection;
mod returned;

use killgate::sandbox::{Place, demo as world};
use serde_json::{Value, json};

use crate::support::gateway::{Answer, Gateway, on_both_engines, on_one_engine};

/// A kill by selector.
fn kill_by(target: &str, select: impl Into<Value>) -> Value {
    json!({ "target": target, "select": select.into(), "reason": "INC-4711 runaway report" })
}

/// The sessions that an answer names, with their outcomes.
fn outcomes(answer: &Answer) -> Vec<(u64, &str)> {
    let sessions = answer.body["sessions"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    let of = |session: &Value| -> u64 { session["id"].as_str().unwrap().parse().unwrap() };
    sessions.iter().map(|session| (of(session), session["outcome"].as_str().unwrap())).collect()
}

/// The places of the usual aliases.
pub(crate) fn place(alias: &str) -> Place {
    match alias {
        "ledger" => Place::gaussdb(world::GAUSSDB_INSTANCE, world::GAUSSDB_NODE, world::GAUSSDB_COMPONENT),
        "shop" => Place::das(world::DAS_INSTANCE),
        "orders-ro" => Place::taurusdb(world::TAURUSDB_INSTANCE, world::TAURUSDB_NODE),
        "orders-shard-1" => Place::dcdb(world::DCDB_INSTANCE, world::DCDB_SHARD, world::DCDB_NODE),
        other => panic!("no such alias: {other}"),
    }
}

/// The ids of a user's sessions at a place.
fn ids_of(gateway: &Gateway, alias: &str, user: &str) -> Vec<u64> {
    let sessions = gateway.clouds.sessions(&place(alias));
    sessions.iter().filter(|session| session.user == user && !session.internal).map(|session| session.id).collect()
}
