//! A kill from its request to its webhook, step by step.

use killgate::sandbox::{Action, Behaviour};
use serde_json::json;

use super::parents::{PARENT_SPAN, TRACE, parent};
use crate::support::{
    collector::{Collector, Mood, Told},
    gateway::{Engine, Gateway, Setup, kill_of, on_both_engines, on_one_engine},
    receiver::Receiver,
};

on_both_engines! {
    each_step_of_a_kill_is_a_span_below_its_request,
}

on_one_engine! {
    a_call_that_fails_is_told_with_its_fault,
    a_kill_that_is_settled_later_is_settled_in_its_own_trace,
    a_list_is_a_span_with_its_calls,
    nothing_of_a_session_or_a_token_is_told,
}

const SERVER: i32 = 2;
const CLIENT: i32 = 3;

async fn collected(engine: Engine, more: &str) -> (Gateway, Collector) {
    let collector = Collector::start(Mood::Takes).await;
    let more = format!("{}{more}", collector.section());
    (Gateway::start_with(engine, Setup { more, ..Setup::default() }).await, collector)
}

/// The spans right below one, by name, in the order in which they ended.
fn below<'s>(spans: &'s [Told], above: &Told) -> Vec<&'s Told> {
    spans.iter().filter(|span| span.parent == above.id).collect()
}

fn the<'s>(spans: &[&'s Told], name: &str) -> &'s Told {
    let mut named = spans.iter().filter(|span| span.name == name);
    let (Some(one), None) = (named.next(), named.next()) else { panic!("not one {name} in {spans:#?}") };
    one
}

fn entry<'s>(spans: &[&'s Told], entry: &str) -> &'s Told {
    let mut named = spans.iter().filter(|span| span.name == "record" && span.has("killgate.entry", entry));
    let (Some(one), None) = (named.next(), named.next()) else { panic!("not one {entry} in {spans:#?}") };
    one
}

async fn each_step_of_a_kill_is_a_span_below_its_request(engine: Engine) {
    let portal = Receiver::replying([]).await;
    let (gateway, collector) = collected(engine, &portal.section("portal")).await;
    let answer = gateway.kill_with(&[parent(true)], &kill_of("orders-ro", &[2_075_425])).await;
    assert!(answer.status.is_success(), "{}", answer.body);
    let delivery = collector.span("for a webhook", |span| span.attributes.contains_key("killgate.webhook")).await;
    let request = collector.span("of the request", |span| span.kind == SERVER).await;
    let spans = collector.spans();
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");

    assert_eq!((request.name.as_str(), request.parent.as_str()), ("POST /sessions/kill", PARENT_SPAN));
    for (name, value) in
        [("http.request.method", "POST"), ("http.route", "/sessions/kill"), ("http.response.status_code", "#200")]
    {
        assert!(request.has(name, value), "{name} {request:#?}");
    }
    let kill = the(&below(&spans, &request), "kill");
    for (name, value) in [
        ("killgate.kill.id", answer.kill_id()),
        ("killgate.vendor", "taurusdb"),
        ("killgate.account", "huawei-test"),
        ("killgate.status", "succeeded"),
        ("killgate.sessions", "#1"),
        ("enduser.id", "chatops-bot"),
    ] {
        assert!(kill.has(name, value), "{name} {kill:#?}");
    }
    let steps = below(&spans, kill);
    let (vet, look, dispatch) = (the(&steps, "vet"), the(&steps, "look"), the(&steps, "dispatch"));
    for word in ["recorded", "sent", "answered"] {
        entry(&steps, word);
    }
    assert!(below(&spans, vet).is_empty());
    let (listed, ended) = (below(&spans, look), below(&spans, dispatch));
    entry(&listed, "looked");
    let calls: Vec<_> = listed.iter().chain(&ended).filter(|span| span.kind == CLIENT).collect();
    assert_eq!(calls.len(), 2, "{calls:#?}");
    for call in calls {
        for (name, value) in [
            ("killgate.vendor", "taurusdb"),
            ("killgate.account", "huawei-test"),
            ("http.response.status_code", "#200"),
        ] {
            assert!(call.has(name, value) && !call.failed, "{name} {call:#?}");
        }
        assert_eq!(call.name, format!("taurusdb {}", call.attributes["killgate.action"]));
    }
    assert_eq!((delivery.parent.as_str(), delivery.kind), (kill.id.as_str(), CLIENT));
    assert!(delivery.has("killgate.webhook", "portal") && delivery.has("http.response.status_code", "#204"));
    let post = &portal.got(1).await[0];
    assert_eq!(post.headers["traceparent"], format!("00-{TRACE}-{}-01", delivery.id));
    let resource = &collector.resources()[0];
    assert_eq!((resource["service.name"].as_str(), resource["service.version"].as_str()), ("killgate", "0.1.0"));
}

async fn a_call_that_fails_is_told_with_its_fault(engine: Engine) {
    let (gateway, collector) = collected(engine, "").await;
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Deny);
    let answer = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    assert_eq!(answer.code(), "upstream_denied");
    let call = collector.span("of a call that failed", |span| span.kind == CLIENT && span.failed).await;
    assert!(call.has("error.type", "denied") && call.has("http.response.status_code", "#403"), "{call:#?}");
    let kill = collector.span("of the kill", |span| span.name == "kill").await;
    assert!(kill.failed && kill.has("error.type", "upstream_denied") && kill.parent != call.id, "{kill:#?}");
}

async fn a_kill_that_is_settled_later_is_settled_in_its_own_trace(engine: Engine) {
    let (gateway, collector) = collected(engine, "").await;
    let answer = gateway.kill(&kill_of("orders-shard-1", &[1111])).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
    let kill = collector.span("of the kill", |span| span.name == "kill").await;
    assert!(kill.has("killgate.status", "accepted"), "{kill:#?}");
    let is_settled = |span: &Told| span.name == "settle" && span.has("killgate.status", "succeeded");
    let settled = collector.span("of what settled it", is_settled).await;
    assert_eq!((&settled.trace, &settled.parent), (&kill.trace, &kill.id));
    assert!(settled.has("killgate.kill.id", answer.kill_id()));
    let spans = collector.spans();
    assert!(below(&spans, &settled).iter().any(|span| span.name.starts_with("dcdb ")), "{spans:#?}");
}

async fn a_list_is_a_span_with_its_calls(engine: Engine) {
    let (gateway, collector) = collected(engine, "").await;
    let token = Gateway::token("dba", "sessions:read");
    let answer = gateway.client().get("/sessions?target=orders-ro&user=canary", &token).await;
    assert!(answer.status.is_success(), "{}", answer.body);
    let request = collector.span("of the request", |span| span.name == "GET /sessions").await;
    let spans = collector.spans();
    assert!(below(&spans, &request).iter().any(|call| call.kind == CLIENT), "{spans:#?}");
    assert!(!format!("{spans:?}").contains("canary"), "{spans:#?}");
}

async fn nothing_of_a_session_or_a_token_is_told(engine: Engine) {
    let (gateway, collector) = collected(engine, "").await;
    let token = Gateway::token("chatops-bot", "sessions:kill sessions:read sessions:statements");
    let sessions = gateway.client().get("/sessions?target=orders-ro", &token).await.body;
    let user = &sessions["items"][0]["user"];
    let body = json!({
        "target": "orders-ro", "reason": "canary-reason", "select": { "match": { "user": user, "limit": 2 } }
    });
    gateway.client().post("/sessions/kill?canary-query=1", &token, &[], body.to_string()).await;
    gateway.client().post("/sessions/kill", &token, &[], body.to_string()).await;
    gateway.client().get("/kills/canary-id", &token).await;
    gateway.client().get("/canary-path", &token).await;
    collector
        .span("of what there is not", |span| span.name == "GET" && span.has("http.response.status_code", "#404"))
        .await;
    collector.span("of one kill", |span| span.name == "GET /kills/{id}").await;
    collector.span("of a look", |span| span.name == "look").await;
    let told: Vec<u8> = collector.posts().into_iter().flat_map(|(_, body)| body).collect();
    let told = String::from_utf8_lossy(&told);
    let mut secrets: Vec<String> = token.split('.').map(ToOwned::to_owned).collect();
    secrets.push("canary".to_owned());
    for session in sessions["items"].as_array().unwrap() {
        let texts = ["user", "statement", "host", "database"].map(|key| session[key].as_str().unwrap_or_default());
        secrets.extend(texts.into_iter().filter(|text| text.len() > 4).map(ToOwned::to_owned));
    }
    assert!(secrets.len() > 8, "{secrets:?}");
    for secret in secrets {
        assert!(!told.contains(&secret), "{secret} is told");
    }
}
