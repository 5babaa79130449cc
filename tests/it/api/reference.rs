//! What can be asked for, whether the gateway lives, what it has done, and the id of each request.

use actix_web::http::{Method, StatusCode};
use killgate::{sandbox::demo as world, upstream::TABLE};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{kit::IMPATIENT, on_one_engine};
use crate::support::gateway::{Answer, Engine, Gateway, JWT_SECRET, Setup, kill_of, targets};

on_one_engine! {
    vendors_tells_what_each_vendor_can_do_and_its_limits,
    targets_tells_the_aliases_with_their_coordinates,
    probes_need_no_token,
    metrics_count_kills_and_tell_no_secrets,
    what_a_caller_makes_up_is_no_label,
    a_request_keeps_its_id_and_gets_one_where_it_has_none,
}

async fn open(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Answer {
    gateway.client().send(Method::GET, path, headers, String::new()).await
}

async fn vendors_tells_what_each_vendor_can_do_and_its_limits(engine: Engine) {
    let gateway = Gateway::start_blind_with(engine, Setup { more: IMPATIENT.to_owned(), ..Setup::default() }).await;
    let answer = gateway.client().get("/vendors", &Gateway::token("anybody", "")).await;
    assert_eq!(answer.status, StatusCode::OK);
    let items = answer.body["items"].as_array().unwrap();
    let listed: Vec<_> = items.iter().map(|vendor| vendor["name"].as_str().unwrap()).collect();
    let of_table: Vec<_> = TABLE.iter().map(|vendor| vendor.name().as_str()).collect();
    assert_eq!(listed, of_table);
    for (vendor, item) in TABLE.iter().zip(items) {
        let listing = vendor.capabilities().listing;
        let expected = listing.map(|it| json!({ "needs_one_of": it.needs_one_of, "most": it.most }));
        assert_eq!(item["listing"], json!(expected), "{item}");
    }
    let named = |name: &str| items.iter().find(|vendor| vendor["name"] == name).unwrap();
    let (gaussdb, das, dcdb) = (named("gaussdb"), named("das"), named("dcdb"));
    assert_eq!(gaussdb["listing"], json!({ "needs_one_of": [], "most": 200 }));
    assert_eq!(das["listing"], json!({ "needs_one_of": ["user", "database"], "most": null }));
    // What a kill can be asked for, whoever does it: the handler takes no other.
    assert_eq!(das["selectors"], json!(["ids", "match with user or database"]));
    assert_eq!(named("taurusdb")["selectors"], json!(["ids", "intelligent", "match"]));
    assert_eq!(dcdb["selectors"], dcdb["accounts"][0]["selectors"]);
    assert_eq!((&dcdb["cloud"], &dcdb["counted_per_action"]), (&json!("tencent"), &json!(true)));
    let coordinates = dcdb["coordinates"].as_array().unwrap();
    let shape = |c: &Value| json!([c["name"], c["required"], c.get("one_of")]);
    let expected = [
        json!(["instance_id", true, null]),
        json!(["shard_id", false, "shard"]),
        json!(["shard_serial_id", false, "shard"]),
        json!(["shards", false, "shard"]),
        json!(["node_id", false, null]),
    ];
    assert_eq!(coordinates.iter().map(shape).collect::<Vec<_>>(), expected);
    let limits = json!([{
        "account": "tencent-test", "site": "mainland", "selectors": ["ids", "match"],
        "coordinates": ["instance_id", "shard_id", "shard_serial_id", "shards", "node_id"],
        "listing": { "needs_one_of": [], "most": null },
        "requests_per_minute": null, "requests_per_second": 1000, "max_ids_per_call": 100, "max_wait_ms": 240,
        "timeout_ms": 60000, "current_requests_per_second": 1000, "reserved_percent": 20, "is_down": false,
        "by_coordinates": true,
    }]);
    assert_eq!(dcdb["accounts"], limits);
    assert_eq!(gaussdb["accounts"][0]["account"], "huawei-test");
}

async fn targets_tells_the_aliases_with_their_coordinates(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let answer = gateway.client().get("/targets", &Gateway::token("anybody", "")).await;
    let items = answer.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 4);
    for (alias, mut target) in targets() {
        target["alias"] = alias.into();
        target["account"] = if alias == "orders-shard-1" { "tencent-test" } else { "huawei-test" }.into();
        assert!(items.contains(&target), "{target} in {}", answer.body);
    }
}

async fn probes_need_no_token(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    for (path, body) in
        [("/healthz", json!({ "status": "ok" })), ("/readyz", json!({ "status": "ok", "keys": "none" }))]
    {
        let answer = open(&gateway, path, &[]).await;
        assert_eq!((answer.status, answer.body), (StatusCode::OK, body), "{path}");
    }
}

async fn metrics_count_kills_and_tell_no_secrets(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    gateway.kill(&kill_of("orders-ro", &[2_075_426])).await;
    gateway.kill(&kill_of("nowhere", &[1])).await;
    gateway.app.kills().idle().await;
    let plain = open(&gateway, "/metrics", &[]).await;
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(!plain.body.to_string().contains("# EOF"), "{}", plain.body);
    let answer = open(&gateway, "/metrics", &[("accept", "application/openmetrics-text;version=1.0.0")]).await;
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let Value::String(text) = answer.body else { panic!("{}", answer.body) };
    assert!(text.contains("killgate_kills_total{vendor=\"taurusdb\",status=\"succeeded\"} 2\n"), "{text}");
    assert!(text.contains("killgate_kills_total{vendor=\"none\",status=\"failed\"} 1\n"), "{text}");
    assert!(
        text.contains("account=\"huawei-test\",vendor=\"taurusdb\",action=\"delete-processes\",result=\"ok\"} 2\n")
    );
    assert!(text.contains("killgate_kills_in_flight 0\n"), "{text}");
    assert!(text.ends_with("# EOF\n"));
    let keys = [world::HUAWEI_ACCESS_KEY, world::HUAWEI_SECRET_KEY, world::TENCENT_SECRET_ID, JWT_SECRET];
    for secret in keys.into_iter().chain([world::TENCENT_SECRET_KEY, "2075425", "chatops-bot", "INC-4711"]) {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

async fn what_a_caller_makes_up_is_no_label(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    for n in 0..5 {
        let target = json!({ "vendor": format!("made-up-{n}"), "account": "made-up" });
        gateway.kill(&kill_of(target, &[1])).await;
    }
    let answer = open(&gateway, "/metrics", &[]).await;
    let text = answer.body.as_str().unwrap();
    assert!(!text.contains("made-up"), "{text}");
    assert!(text.contains("killgate_kills_total{vendor=\"none\",status=\"failed\"} 5\n"), "{text}");
}

async fn a_request_keeps_its_id_and_gets_one_where_it_has_none(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let longest = "x".repeat(128);
    for id in ["req-4711", "0af7651916cd43dd8448eb211c80319c", longest.as_str()] {
        for path in ["/healthz", "/kills", "/nowhere"] {
            let answer = open(&gateway, path, &[("X-Request-Id", id)]).await;
            assert_eq!(answer.header("x-request-id"), Some(id), "{path}");
        }
    }
    for garbage in ["", "a b", "ä", &"x".repeat(129)] {
        let answer = open(&gateway, "/healthz", &[("X-Request-Id", garbage)]).await;
        let made = answer.header("x-request-id").expect("an id");
        assert_eq!(Uuid::try_parse(made).expect("a UUID").get_version_num(), 7, "{garbage}");
    }
    let [one, other] = [open(&gateway, "/healthz", &[]).await, open(&gateway, "/healthz", &[]).await];
    assert_ne!(one.header("x-request-id").unwrap(), other.header("x-request-id").unwrap());
    let kill = gateway.kill_with(&[("X-Request-Id", "req-7")], &kill_of("nowhere", &[1])).await;
    assert_eq!(kill.header("x-request-id"), Some("req-7"));
}
