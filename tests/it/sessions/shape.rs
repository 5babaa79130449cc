//! One shape for every vendor.

use std::collections::BTreeSet;

use killgate::sandbox::{Action, demo as world};
use serde_json::{Value, json};

use super::{ids, listed, look, on_one_engine};
use crate::support::gateway::{Engine, Gateway, Setup, targets};

on_one_engine! {
    every_vendor_lists_its_sessions_in_one_shape,
    coordinates_in_full_list_the_same,
    a_shard_without_a_node_lists_its_primary,
    protected_sessions_say_why,
}

const MEMBERS: [&str; 14] = [
    "application",
    "blocked_by",
    "command",
    "database",
    "host",
    "id",
    "protected",
    "protected_by",
    "seconds",
    "started_at",
    "state",
    "statement",
    "transaction_seconds",
    "user",
];

async fn every_vendor_lists_its_sessions_in_one_shape(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (query, first, count) in [
        ("target=ledger", 10180, 10),
        ("target=shop&user=report", 11212, 3),
        ("target=orders-ro", 2_075_425, 16),
        ("target=orders-shard-1", 1111, 12),
    ] {
        let answer = look(&gateway, query).await;
        let (items, complete) = listed(&answer);
        assert_eq!((items.len(), complete), (count, true), "{query}: {}", answer.body);
        for item in items {
            let members: BTreeSet<_> = item.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, BTreeSet::from(MEMBERS), "{query}");
        }
        let session = &items[0];
        let expected = json!({
            "id": first.to_string(), "user": "report", "database": "orders", "state": "executing",
            "command": if query == "target=ledger" { "worker" } else { "Query" },
            "host": format!("10.0.{}.{}:{}", first / 250 % 250, first % 250, 40_000 + first % 20_000),
            "blocked_by": null, "protected": false, "protected_by": null,
        });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&session[name], value, "{query} {name}");
        }
        assert!(session["seconds"].as_u64().unwrap() >= 1847, "{session}");
        assert!(session["statement"].as_str().unwrap().contains("from order_lines"), "{session}");
        // GaussDB alone says beyond doubt when a session began.
        assert_eq!(session["started_at"].is_string(), query == "target=ledger", "{session}");
    }
}

async fn coordinates_in_full_list_the_same(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (alias, coordinates) in targets() {
        let pairs = coordinates.as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap()));
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let (by_alias, in_full) = (format!("target={alias}&user=app"), format!("{query}&user=app"));
        let ids = [ids(&look(&gateway, &by_alias).await), ids(&look(&gateway, &in_full).await)];
        assert!(!ids[0].is_empty() && ids[0] == ids[1], "{alias}: {ids:?}");
    }
}

async fn a_shard_without_a_node_lists_its_primary(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let shard = format!("vendor=dcdb&instance_id={}", world::DCDB_INSTANCE);
    let by_serial = format!("{shard}&shard_serial_id={}", world::DCDB_SECOND_SHARD_SERIAL);
    assert_eq!(ids(&look(&gateway, &by_serial).await), (2111..2121).collect::<Vec<_>>());
    assert_eq!(gateway.clouds.calls_for(Action::DcdbDetail).len(), 1, "under whichever name");
    let standby = format!("{shard}&shard_id={}&node_id={}", world::DCDB_SHARD, world::DCDB_STANDBY_NODE);
    assert_eq!(ids(&look(&gateway, &standby).await), (1311..1319).collect::<Vec<_>>());
    assert_eq!(gateway.clouds.calls_for(Action::DcdbDetail).len(), 1, "the node was given");
}

async fn protected_sessions_say_why(engine: Engine) {
    let more = "
        [[protect]]
        target = \"orders-ro\"
        users = [\"et*\"]
        [[protect]]
        vendor = \"das\"
        users = [\"report\"]
    ";
    let gateway = Gateway::start_with(engine, Setup { more: more.to_owned(), ..Setup::default() }).await;
    let answer = look(&gateway, "target=orders-ro").await;
    for session in listed(&answer).0 {
        let why = match session["user"].as_str().unwrap() {
            "repl" => json!("built in, commands: Binlog Dump*"),
            "etl" => json!("users: et*"),
            _ => Value::Null,
        };
        assert_eq!((&session["protected_by"], &session["protected"]), (&why, &json!(!why.is_null())), "{session}");
    }
    let answer = look(&gateway, "target=shop&user=report").await;
    assert!(listed(&answer).0.iter().all(|session| session["protected_by"] == "users: report"), "{}", answer.body);
}
