//! Who may not look, what cannot be asked, and vendors that do not answer well.

use killgate::sandbox::{Action, Behaviour, Canned, demo as world};
use serde_json::json;

use super::{look, look_as, on_one_engine};
use crate::{
    api::kit::{IMPATIENT, Operation, assert_problem, recorded},
    support::{
        gateway::{Engine, Gateway, Setup},
        patience::eventually,
    },
};

on_one_engine! {
    looking_takes_its_scope_and_a_target_of_ones_own,
    what_cannot_be_asked_is_named,
    das_needs_a_user_or_a_database,
    what_keeps_a_vendor_from_listing_is_told_and_nothing_is_recorded,
}

const SESSIONS: Operation = ("get", "/sessions");

async fn looking_takes_its_scope_and_a_target_of_ones_own(engine: Engine) {
    let more = format!(
        "[targets.private]\nvendor = \"taurusdb\"\ninstance_id = \"{}\"\nnode_id = \"{}\"\ncallers = [\"owner-*\"]",
        world::TAURUSDB_INSTANCE.replace("a41c", "b41c"),
        world::TAURUSDB_NODE,
    );
    let gateway = Gateway::start_with(engine, Setup { more, ..Setup::default() }).await;
    for scope in ["", "sessions:kill kills:read", "sessions:statements"] {
        assert_problem(&look_as(&gateway, scope, "target=orders-ro").await, SESSIONS, 403, "forbidden");
    }
    let none = gateway.client().send(actix_web::http::Method::GET, "/sessions?target=orders-ro", &[], String::new());
    assert_problem(&none.await, SESSIONS, 401, "unauthenticated");
    assert_problem(&look(&gateway, "target=private").await, SESSIONS, 403, "forbidden");
    let in_full = format!(
        "vendor=taurusdb&instance_id={}&node_id={}",
        world::TAURUSDB_INSTANCE.replace("a41c", "b41c"),
        world::TAURUSDB_NODE
    );
    assert_problem(&look(&gateway, &in_full).await, SESSIONS, 403, "forbidden");
    assert!(gateway.clouds.calls().is_empty(), "no vendor was asked");
    let owner = Gateway::token("owner-ann", "sessions:read");
    let own = gateway.client().get("/sessions?target=private", &owner).await;
    assert_problem(&own, SESSIONS, 404, "target_not_found");
    assert_eq!(recorded(&gateway).await, 0);
}

async fn what_cannot_be_asked_is_named(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (query, status, code, field) in [
        ("", 422, "invalid", "target"),
        ("target=nowhere", 404, "unknown_target", "target"),
        ("target=orders-ro&cursor=x", 400, "malformed", "cursor"),
        ("target=orders-ro&limit=5&limit=6", 400, "malformed", "limit"),
        ("target=orders-ro&limit=0", 422, "invalid", "limit"),
        ("target=orders-ro&order=oldest", 422, "invalid", "order"),
        ("target=orders-ro&min_seconds=soon", 422, "invalid", "min_seconds"),
        ("target=orders-ro&user=a%00b", 422, "invalid", "user"),
        ("target=orders-ro&blocking=true", 422, "unsupported_selector", "blocking"),
        ("target=orders-ro&vendor=das", 422, "invalid", "target"),
        ("vendor=oracle", 422, "invalid", "vendor"),
        ("account=huawei-test", 422, "invalid", "vendor"),
        ("vendor=das&account=nobody", 404, "unknown_target", "account"),
        ("vendor=das&instance_id=x&db_user_id=y", 422, "invalid", "instance_id"),
        ("vendor=das&component_id=cn_5001", 422, "invalid", "component_id"),
    ] {
        let answer = look(&gateway, query).await;
        assert_problem(&answer, SESSIONS, status, code);
        assert_eq!(answer.body["field"], field, "{query}: {}", answer.body);
    }
    assert!(gateway.clouds.calls().is_empty(), "no vendor was asked");
}

async fn das_needs_a_user_or_a_database(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let answer = look(&gateway, "target=shop&command=Query").await;
    assert_problem(&answer, SESSIONS, 422, "invalid");
    assert_eq!((&answer.body["field"], &answer.body["supported"]), (&json!("user"), &json!(["user", "database"])));
    assert!(gateway.clouds.calls().is_empty(), "no vendor was asked");
}

async fn what_keeps_a_vendor_from_listing_is_told_and_nothing_is_recorded(engine: Engine) {
    let gateway = Gateway::start_with(engine, Setup { more: IMPATIENT.to_owned(), ..Setup::default() }).await;
    let says = |status, code: &str| {
        Behaviour::Status(Canned::json(status, &json!({ "error_code": code, "error_msg": "no" }).to_string()))
    };
    let cases = [
        (Behaviour::Throttle, 429, "upstream_throttled"),
        (Behaviour::Deny, 502, "upstream_denied"),
        (Behaviour::Garble, 502, "upstream_failed"),
        (Behaviour::Drop, 502, "upstream_failed"),
        (Behaviour::Truncate, 502, "upstream_failed"),
        (says(500, "DBS.200005"), 502, "upstream_failed"),
        (says(404, "DBS.200002"), 404, "target_not_found"),
        (says(409, "DBS.200019"), 409, "target_busy"),
        (says(400, "DBS.280001"), 422, "upstream_rejected"),
    ];
    for (behaviour, status, code) in cases {
        gateway.clouds.misbehave(Action::TaurusdbProcesses, behaviour.clone());
        // Whoever has little patience may be told on a slow machine that its turn came too late.
        let asked = async || {
            let before = gateway.clouds.calls().len();
            Some(look(&gateway, "target=orders-ro").await).filter(|_| gateway.clouds.calls().len() > before)
        };
        let answer = eventually("the vendor is asked", asked).await;
        gateway.clouds.behave();
        assert_problem(&answer, SESSIONS, status, code);
        assert_eq!(answer.header("retry-after").is_some(), status == 429, "{behaviour:?}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(!detail.contains(world::HUAWEI_ACCESS_KEY), "{detail}");
        if let Behaviour::Status(canned) = &behaviour {
            let said = canned.body.split('"').nth(3).unwrap();
            assert!(detail.contains(said), "{detail}");
        }
        // The breaker counts failures in a row; a list that goes well ends the row.
        let goes_well = async || (look(&gateway, "target=orders-ro").await.status.as_u16() == 200).then_some(());
        eventually("a list goes well", goes_well).await;
    }
    assert_eq!(recorded(&gateway).await, 0);
}
