//! Statements hold other people's data.

use killgate::sandbox::{Place, Session, demo as world};

use super::{ids, listed, look, look_as, on_one_engine};
use crate::support::gateway::{Engine, Gateway};

on_one_engine! {
    literals_are_for_those_who_may_see_them,
    what_may_not_be_seen_cannot_be_asked_for,
    a_long_statement_is_cut,
}

async fn gateway_with(engine: Engine, statement: &str) -> Gateway {
    let gateway = Gateway::start(engine).await;
    let places = [
        Place::gaussdb(world::GAUSSDB_INSTANCE, world::GAUSSDB_NODE, world::GAUSSDB_COMPONENT),
        Place::das(world::DAS_INSTANCE),
        Place::taurusdb(world::TAURUSDB_INSTANCE, world::TAURUSDB_NODE),
        Place::dcdb(world::DCDB_INSTANCE, world::DCDB_SHARD, world::DCDB_NODE),
    ];
    for place in &places {
        gateway.clouds.put(place, &Session::new(77, "teller").running(statement, 5));
    }
    gateway
}

const ALIASES: [&str; 4] = ["ledger", "shop", "orders-ro", "orders-shard-1"];
const STATEMENT: &str = "select balance from t1 where owner = 'O''Hara' and pin = 4711";

async fn literals_are_for_those_who_may_see_them(engine: Engine) {
    let gateway = gateway_with(engine, STATEMENT).await;
    for alias in ALIASES {
        let query = format!("target={alias}&user=teller");
        let masked = look_as(&gateway, "sessions:read", &query).await;
        assert_eq!(listed(&masked).0[0]["statement"], "select balance from t1 where owner = ? and pin = ?", "{alias}");
        let text = masked.body.to_string();
        assert!(!text.contains("Hara") && !text.contains("4711"), "{text}");
        assert_eq!(listed(&look(&gateway, &query).await).0[0]["statement"], STATEMENT, "{alias}");
    }
}

async fn what_may_not_be_seen_cannot_be_asked_for(engine: Engine) {
    let gateway = gateway_with(engine, STATEMENT).await;
    for alias in ALIASES {
        let query = |piece: &str| format!("target={alias}&user=teller&statement={piece}");
        assert_eq!(ids(&look(&gateway, &query("pin%20%3D%204711")).await), [77], "{alias}");
        let guess = look_as(&gateway, "sessions:read", &query("pin%20%3D%204711")).await;
        assert_eq!(ids(&guess), [0; 0], "{alias}: a guess must not be confirmed");
        let shown = look_as(&gateway, "sessions:read", &query("pin%20%3D%20%3F")).await;
        assert_eq!(ids(&shown), [77], "{alias}");
    }
}

async fn a_long_statement_is_cut(engine: Engine) {
    let gateway = gateway_with(engine, &format!("select '{}'", "ä".repeat(2000))).await;
    for alias in ALIASES {
        let answer = look(&gateway, &format!("target={alias}&user=teller")).await;
        let statement = listed(&answer).0[0]["statement"].as_str().unwrap();
        assert_eq!(statement.chars().count(), 1000, "{alias}");
        assert!(statement.starts_with("select 'ää") && statement.ends_with("ä…"), "{alias}: {statement}");
    }
}
