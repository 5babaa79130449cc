//! Requests that are not understood: each is told why, is on record, and reaches no vendor.

use actix_web::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    kit::{KILL, READ, assert_problem, assert_recorded, document, exchange},
    on_both_engines, on_one_engine,
};
use crate::support::gateway::{Engine, Gateway, kill_of};

on_both_engines! {
    an_unknown_alias_or_account_is_told_and_on_record,
}

on_one_engine! {
    what_cannot_be_read_is_malformed_and_on_record,
    a_query_parameter_that_nobody_knows_is_malformed,
    a_body_may_have_64_kib_and_not_a_byte_more,
    an_oversized_body_is_refused_with_and_without_its_length,
    a_body_that_is_not_called_json_is_refused,
    a_body_that_is_encoded_is_refused_with_what_is_taken,
    what_is_not_there_is_not_found,
    every_path_names_the_method_that_it_takes,
}

async fn send(gateway: &Gateway, body: &str) -> crate::support::gateway::Answer {
    let token = Gateway::token("chatops-bot", "sessions:kill");
    gateway.client().post("/sessions/kill", &token, &[], body.to_owned()).await
}

async fn what_cannot_be_read_is_malformed_and_on_record(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let cases: [(&str, Option<&str>); 18] = [
        ("", None),
        ("{", None),
        ("null", None),
        ("[]", None),
        (r#"["orders-ro", { "ids": ["1"] }, "why", null, false]"#, None),
        (r#"{ "target": "orders-ro", "select": { "ids": ["1"] }, "reason": "why" } {}"#, None),
        (r#"{ "reson": "why" }"#, Some("reson")),
        (r#"{ "reason": 7 }"#, Some("reason")),
        (r#"{ "reason": "why", "reason": "twice" }"#, None),
        (r#"{ "target": 7 }"#, Some("target")),
        (r#"{ "target": ["orders-ro"] }"#, Some("target")),
        (r#"{ "target": { "vendor": "dcdb", "instance_id": 7 } }"#, Some("target.instance_id")),
        (r#"{ "dry_run": "yes" }"#, Some("dry_run")),
        (r#"{ "select": { "all": true } }"#, Some("select.all")),
        (r#"{ "select": { "ids": "1" } }"#, Some("select.ids")),
        (r#"{ "select": { "ids": ["1", 1.5] } }"#, Some("select.ids[1]")),
        (r#"{ "select": [["1"]] }"#, Some("select")),
        (r#"{ "select": { "match": { "pid": 7 } } }"#, Some("select.match.pid")),
    ];
    for (body, field) in cases {
        let answer = send(&gateway, body).await;
        assert_recorded(&gateway, &answer, 400, "malformed", "failed").await;
        if let Some(field) = field {
            assert_eq!(answer.body["field"], field, "{body}: {}", answer.body);
        }
    }
    let unknown = json!({ "vendor": "dcdb", "instance": "tdsqlshard-demo0001", "shard_id": "s" });
    let answer = gateway.kill(&kill_of(unknown, &[1])).await;
    assert_recorded(&gateway, &answer, 400, "malformed", "failed").await;
    assert_eq!(answer.body["field"], "target.instance");
    assert!(gateway.clouds.calls().is_empty());
}

async fn a_query_parameter_that_nobody_knows_is_malformed(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let token = Gateway::token("chatops-bot", "sessions:kill kills:read kills:export");
    let body = kill_of("orders-ro", &[2_075_425]).to_string();
    let answer = gateway.client().post("/sessions/kill?dry_run=true", &token, &[], body).await;
    assert_recorded(&gateway, &answer, 400, "malformed", "failed").await;
    assert_eq!(answer.body["field"], "dry_run");
    assert!(gateway.clouds.calls().is_empty());

    let id = answer.kill_id();
    for (path, operation) in [
        ("/kills?limt=1", ("get", "/kills")),
        ("/kills?limit=1&limit=2", ("get", "/kills")),
        ("/kills/export?limit=1", ("get", "/kills/export")),
        ("/kills/export?format=csv&format=csv", ("get", "/kills/export")),
        ("/kills/stats?cursor=x", ("get", "/kills/stats")),
        (&format!("/kills/{id}?verbose=1"), READ),
        ("/vendors?name=dcdb", ("get", "/vendors")),
        ("/targets?vendor=dcdb", ("get", "/targets")),
    ] {
        assert_problem(&gateway.client().get(path, &token).await, operation, 400, "malformed");
    }
}

async fn a_body_may_have_64_kib_and_not_a_byte_more(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let body = kill_of("orders-ro", &[2_075_425]).to_string();
    let padded = |bytes: usize| format!("{body}{}", " ".repeat(bytes - body.len()));
    let answer = send(&gateway, &padded(64 * 1024)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let answer = send(&gateway, &padded(64 * 1024 + 1)).await;
    assert_recorded(&gateway, &answer, 413, "too_large", "failed").await;
    assert_eq!(gateway.clouds.calls().len(), 1);
}

async fn an_oversized_body_is_refused_with_and_without_its_length(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let token = Gateway::token("chatops-bot", "sessions:kill");
    let head = format!(
        "POST /sessions/kill HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\n"
    );
    let large = "x".repeat(80_000);
    let chunks = format!("3e80\r\n{}\r\n", "x".repeat(16_000)).repeat(5);
    for request in [
        format!("{head}Content-Length: {}\r\n\r\n{large}", large.len()),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
    ] {
        let answer = exchange(&gateway, request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        let record = gateway.record(body["kill_id"].as_str().expect("a record")).await;
        assert_eq!((&record["status"], &record["problem"]["code"]), (&json!("failed"), &json!("too_large")));
    }
}

async fn a_body_that_is_not_called_json_is_refused(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let body = kill_of("orders-ro", &[2_075_425]);
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let answer = gateway.kill_with(&[("Content-Type", media_type)], &body).await;
        assert_recorded(&gateway, &answer, 415, "unsupported_media_type", "failed").await;
    }
    assert!(gateway.clouds.calls().is_empty());
    for media_type in ["application/json; charset=utf-8", "Application/JSON", "application/vnd.killgate+json"] {
        let answer = gateway.kill_with(&[("Content-Type", media_type)], &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{media_type}: {}", answer.body);
    }
}

async fn a_body_that_is_encoded_is_refused_with_what_is_taken(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let token = Gateway::token("chatops-bot", "sessions:kill");
    let body = kill_of("orders-ro", &[2_075_425]).to_string();
    for coding in ["gzip", "br", "identity, gzip", "GZIP", "x"] {
        let headers = [("Content-Encoding", coding)];
        let answer = gateway.client().post("/sessions/kill", &token, &headers, body.clone()).await;
        assert_recorded(&gateway, &answer, 415, "unsupported_media_type", "failed").await;
        assert_eq!(answer.header("accept-encoding"), Some("identity"), "{coding}");
    }
    let answer = gateway.client().post("/sessions/kill", &token, &[("Content-Type", "text/plain")], body.clone()).await;
    assert_eq!((answer.status.as_u16(), answer.header("accept-encoding")), (415, None), "it is not the coding");
    assert!(gateway.clouds.calls().is_empty());
    let answer = gateway.client().post("/sessions/kill", &token, &[("Content-Encoding", "Identity")], body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

async fn an_unknown_alias_or_account_is_told_and_on_record(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let elsewhere = json!({ "vendor": "dcdb", "account": "tencent-prod", "instance_id": "i", "shard_id": "s" });
    // As long and as odd as an alias can be: an index of the database must not choke on it.
    let odd: String = (0..1200).filter_map(|n| char::from_u32(0x1_0400 + n * 37 % 60_000)).collect();
    for (target, field) in [(json!("nowhere"), "target"), (odd.into(), "target"), (elsewhere, "target.account")] {
        let answer = gateway.kill(&kill_of(target, &[1])).await;
        assert_recorded(&gateway, &answer, 404, "unknown_target", "failed").await;
        assert_eq!(answer.body["field"], field);
    }
    let found = gateway.read("/kills?target=nowhere").await;
    assert_eq!(found.body["items"], json!([]), "what is not understood is no target");
    assert!(gateway.clouds.calls().is_empty());
}

async fn what_is_not_there_is_not_found(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    for id in ["0190a5f0-0000-7000-8000-000000000000", "not-a-uuid", "%FF", "%00", "1"] {
        assert_problem(&gateway.read(&format!("/kills/{id}")).await, READ, 404, "not_found");
    }
    for path in ["/", "/nowhere", "/kills/", "/sessions/kill/now", "/kills/a/b", "//kills"] {
        let answer = gateway.read(path).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "not_found"), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
    }
}

async fn every_path_names_the_method_that_it_takes(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let token = format!("Bearer {}", Gateway::token("chatops-bot", "sessions:kill kills:read"));
    let paths = document()["paths"].as_object().unwrap();
    for (path, item) in paths {
        let documented: Vec<_> = item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
            if documented.contains(&method.to_string()) {
                continue;
            }
            let filled = path.replace("{id}", "0190a5f0-0000-7000-8000-000000000000");
            let answer =
                gateway.client().send(method.clone(), &filled, &[("Authorization", &token)], String::new()).await;
            let seen = (answer.status.as_u16(), answer.code(), answer.header("allow"));
            let expected = (
                405,
                "method_not_allowed",
                Some(if documented == ["GET"] { "GET, HEAD".to_owned() } else { documented.join(", ") }),
            );
            assert_eq!((seen.0, seen.1, seen.2.map(str::to_owned)), expected, "{method} {path}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{method} {path}");
        }
        let method: &'static str = if path == KILL.1 { "post" } else { "get" };
        let known = &document()["paths"][path][method]["responses"]["405"]["description"];
        assert!(known.as_str().is_some_and(|says| says.contains("`method_not_allowed`")), "{path}");
    }
    for path in ["/openapi.json", "/docs", "/docs/"] {
        let answer = gateway.client().send(Method::DELETE, path, &[], String::new()).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some("GET, HEAD")), "{path}");
    }
}
