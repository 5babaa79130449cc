//! Where sessions live: coordinates in full for every vendor, and more ids than fit into one call.

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Place, Received, demo as world};
use serde_json::{Value, json};

use super::on_one_engine;
use crate::support::gateway::{Engine, Gateway, Setup, kill_of, targets};

on_one_engine! {
    coordinates_in_full_do_as_an_alias_does,
    each_way_to_name_a_dcdb_shard_reaches_the_vendor,
    the_account_may_be_left_out_only_where_one_fits,
    ids_may_be_numbers_and_are_answered_as_texts,
    a_kill_of_1000_ids_is_split_and_its_outcomes_are_merged,
    das_takes_one_criterion,
}

fn body(call: &Received) -> Value {
    serde_json::from_slice(&call.body).unwrap()
}

async fn coordinates_in_full_do_as_an_alias_does(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    for (alias, coordinates) in targets() {
        let by_alias = gateway.kill(&kill_of(alias, &[1])).await;
        let account = if alias == "orders-shard-1" { "tencent-test" } else { "huawei-test" };
        let mut with_account = coordinates.clone();
        with_account["account"] = account.into();
        for target in [coordinates, with_account.clone()] {
            let in_full = gateway.kill(&kill_of(target, &[1])).await;
            assert_eq!(in_full.status, by_alias.status, "{}", in_full.body);
            assert_eq!(in_full.body["target"], with_account, "no alias was used");
            assert_eq!(in_full.body["sessions"], by_alias.body["sessions"]);
        }
        with_account["alias"] = alias.into();
        assert_eq!(by_alias.body["target"], with_account);
    }
    let calls = gateway.clouds.calls();
    let kills: Vec<_> = calls.iter().filter(|call| call.action != Some(Action::DcdbFlow)).collect();
    assert_eq!(kills.len(), 12);
    for three in kills.chunks(3) {
        let seen = |call: &Received| (call.action, call.path.clone(), body(call));
        assert!(seen(three[0]) == seen(three[1]) && seen(three[1]) == seen(three[2]), "the vendor sees no difference");
    }
}

async fn each_way_to_name_a_dcdb_shard_reaches_the_vendor(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let instance = world::DCDB_INSTANCE;
    for (shard, serial, node, id, home) in [
        (Some(world::DCDB_SHARD), None, None, 1111, (world::DCDB_SHARD, world::DCDB_NODE)),
        (None, Some(world::DCDB_SHARD_SERIAL), None, 1112, (world::DCDB_SHARD, world::DCDB_NODE)),
        (
            Some(world::DCDB_SHARD),
            None,
            Some(world::DCDB_STANDBY_NODE),
            1311,
            (world::DCDB_SHARD, world::DCDB_STANDBY_NODE),
        ),
        (
            None,
            Some(world::DCDB_SECOND_SHARD_SERIAL),
            Some(world::DCDB_SECOND_NODE),
            2111,
            (world::DCDB_SECOND_SHARD, world::DCDB_SECOND_NODE),
        ),
    ] {
        let target = json!({
            "vendor": "dcdb", "instance_id": instance, "shard_id": shard, "shard_serial_id": serial, "node_id": node,
        });
        let answer = gateway.kill_with(&[("Prefer", "wait=60")], &kill_of(target, &[id])).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(answer.body["sessions"], json!([{ "id": id.to_string(), "outcome": "killed" }]));
        let given = [("shard_id", shard), ("shard_serial_id", serial), ("node_id", node)];
        for (name, value) in given {
            assert_eq!(answer.body["target"].get(name).and_then(Value::as_str), value, "{name}");
        }
        assert!(!gateway.clouds.alive(&Place::dcdb(instance, home.0, home.1)).contains(&id));
    }
}

async fn the_account_may_be_left_out_only_where_one_fits(engine: Engine) {
    let more = "[accounts.tencent-second]\ncloud = 'tencent'\nregion = 'r'\nsecret_id = 'i'\nsecret_key = 'k'\n\
                endpoints.dcdb = '{clouds}'\n";
    let alias = "[targets.other]\nvendor = 'taurusdb'\ninstance_id = 'a41cbc5c9bd344b1a60d3b7a1d0b8b4ein07'\n\
                 node_id = 'f6b1c6d8a27e4c0d9d8bcb2a7d9a3e51no07'\n";
    let setup = Setup { more: format!("{more}{alias}"), ..Setup::default() };
    let gateway = Gateway::start_blind_with(engine, setup).await;
    let target = json!({ "vendor": "dcdb", "instance_id": world::DCDB_INSTANCE, "shard_id": world::DCDB_SHARD });
    let answer = gateway.kill(&kill_of(target.clone(), &[1111])).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid"), "{}", answer.body);
    assert_eq!(answer.body["field"], "target.account");
    assert_eq!(answer.body["supported"], json!(["tencent-second", "tencent-test"]));
    let mut named = target;
    named["account"] = "tencent-test".into();
    assert_eq!(gateway.kill(&kill_of(named, &[1111])).await.status, StatusCode::ACCEPTED);
    assert_eq!(gateway.kill(&kill_of("other", &[2_075_425])).await.status, StatusCode::OK);
}

async fn ids_may_be_numbers_and_are_answered_as_texts(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    for (alias, ids, as_sent) in [
        ("ledger", json!([10_180, "10181"]), json!({ "session_ids": ["10180", "10181"] })),
        ("shop", json!([11_212, "0011213"]), json!({ "process_ids": ["11212", "11213"] })),
        ("orders-ro", json!(["2075425", 2_075_426]), json!({ "processes": [2_075_425, 2_075_426] })),
        ("orders-shard-1", json!([i64::MAX, "1112"]), json!({ "SessionId": [i64::MAX, 1112] })),
    ] {
        let answer = gateway.kill(&json!({ "target": alias, "select": { "ids": ids }, "reason": "load" })).await;
        assert!(answer.status.is_success(), "{}", answer.body);
        let calls = gateway.clouds.calls();
        let kill = calls.iter().rfind(|call| call.action != Some(Action::DcdbFlow)).unwrap();
        for (name, value) in as_sent.as_object().unwrap() {
            assert_eq!(body(kill)[name], *value, "{alias}");
        }
        let answered = answer.body["select"]["ids"].as_array().unwrap();
        let sessions = answer.body["sessions"].as_array().unwrap();
        assert!(answered.iter().all(Value::is_string), "{}", answer.body);
        assert_eq!(
            sessions.iter().map(|session| &session["id"]).collect::<Vec<_>>(),
            answered.iter().collect::<Vec<_>>()
        );
    }
}

async fn a_kill_of_1000_ids_is_split_and_its_outcomes_are_merged(engine: Engine) {
    let more = "[vendors.gaussdb]\nmax_ids_per_call = 300\n[vendors.dcdb]\nrequests_per_second = 1000\n";
    let gateway = Gateway::start_blind_with(engine, Setup { more: more.to_owned(), ..Setup::default() }).await;
    let ids: Vec<u64> = (9_700..10_700).collect();
    let answer = gateway.kill(&kill_of("ledger", &ids)).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("partial")), "{}", answer.body);
    let sizes: Vec<_> = gateway
        .clouds
        .calls_for(Action::GaussdbKill)
        .iter()
        .map(|call| body(call)["session_ids"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [300, 300, 300, 100]);
    let sessions = answer.body["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 1000);
    for (session, id) in sessions.iter().zip(&ids) {
        let outcome = if (10_180..10_190).contains(id) { "killed" } else { "failed" };
        assert_eq!((&session["id"], &session["outcome"]), (&json!(id.to_string()), &json!(outcome)));
    }
    assert_eq!(gateway.record(answer.kill_id()).await, answer.body);

    gateway.clouds.limit_dcdb(1000);
    let answer = gateway.kill(&kill_of("orders-shard-1", &ids)).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::ACCEPTED, &json!("accepted")));
    let calls = gateway.clouds.calls_for(Action::DcdbKill);
    assert_eq!(calls.len(), 10, "100 ids in a call unless configured otherwise");
    let sent: Vec<Value> = calls.iter().flat_map(|call| body(call)["SessionId"].as_array().unwrap().clone()).collect();
    assert_eq!(json!(sent), json!(ids));
    assert_eq!(answer.body["upstream"]["task_id"].as_str().unwrap().split(',').count(), 10);
}

async fn das_takes_one_criterion(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let place = Place::das(world::DAS_INSTANCE);
    let body = json!({ "target": "shop", "select": { "match": { "database": "warehouse" } }, "reason": "load" });
    let answer = gateway.kill(&body).await;
    assert_eq!((answer.status, &answer.body["sessions"]), (StatusCode::ACCEPTED, &json!([])), "{}", answer.body);
    assert_eq!(answer.body["select"], body["select"]);
    assert!(gateway.clouds.sessions(&place).iter().all(|session| session.database != "warehouse"));
    let ids = gateway.kill(&kill_of("shop", &[11_213])).await;
    assert_eq!((ids.status, &ids.body["sessions"][0]["outcome"]), (StatusCode::ACCEPTED, &json!("accepted")));
}
