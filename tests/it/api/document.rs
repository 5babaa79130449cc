//! The OpenAPI document: the committed one, the one that is served, the routes, and the page that shows it.

use std::collections::BTreeSet;

use actix_web::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{kit::document, on_one_engine};
use crate::support::gateway::{Answer, Engine, Gateway, kill_of};

on_one_engine! {
    the_document_is_served,
    every_documented_operation_is_routed,
    the_page_is_served_from_inside,
}

#[test]
fn the_committed_document_is_the_one_the_handlers_make() {
    let committed: Value = serde_json::from_str(include_str!("../../../openapi/killgate.json")).expect("JSON");
    assert!(committed == *document(), "openapi/killgate.json is not what the handlers make: run `make openapi`");
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    references(document(), &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let at = reference.strip_prefix('#').expect("a reference within the document");
        assert!(document().pointer(at).is_some(), "{reference}");
    }
}

async fn open(gateway: &Gateway, path: &str) -> Answer {
    gateway.client().send(Method::GET, path, &[], String::new()).await
}

async fn the_document_is_served(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let answer = open(&gateway, "/openapi.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.body == *document());
}

async fn every_documented_operation_is_routed(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let id = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await.kill_id().to_owned();
    let token = format!("Bearer {}", Gateway::token("anna", "sessions:read sessions:kill kills:read kills:export"));
    let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    let mut operations = BTreeSet::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let body = if method == "post" { kill_of("orders-ro", &[2_075_425]).to_string() } else { String::new() };
            let upper = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let query = if path == "/sessions" { "?target=orders-ro" } else { "" };
            let asked = format!("{}{query}", path.replace("{id}", &id));
            let answer = gateway.client().send(upper, &asked, &headers, body).await;
            assert_eq!(answer.status, StatusCode::OK, "{method} {path}: {}", answer.body);
            let media_type = answer.header("content-type").unwrap().split(';').next().unwrap();
            let documented = &operation["responses"]["200"]["content"][media_type];
            assert!(documented.is_object(), "{method} {path} answers {media_type}");
            let is_open = operation["security"] == json!([{}]);
            assert_eq!(is_open, open(&gateway, path).await.status == StatusCode::OK, "{method} {path}");
            operations.insert(format!("{method} {path}"));
        }
    }
    let expected = [
        "get /healthz",
        "get /kills",
        "get /kills/export",
        "get /kills/stats",
        "get /kills/{id}",
        "get /kills/{id}/events",
        "get /metrics",
        "get /readyz",
        "get /sessions",
        "get /targets",
        "get /vendors",
        "post /sessions/kill",
    ];
    assert!(expected.iter().all(|operation| operations.contains(*operation)), "{operations:?}");
}

/// What the page names with `src`, `href` or `url`.
fn named(text: &str) -> Vec<String> {
    let attributes = ["src=\"", "href=\"", "\"url\": \"", "url: \"", "\"validatorUrl\": \""];
    let of = |attribute: &&str| {
        text.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect::<Vec<_>>()
    };
    attributes.iter().flat_map(of).collect()
}

async fn the_page_is_served_from_inside(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let redirect = open(&gateway, "/docs").await;
    assert_eq!((redirect.status, redirect.header("location")), (StatusCode::FOUND, Some("/docs/")));
    let mut seen = BTreeSet::new();
    for page in ["/docs/", "/docs/swagger-initializer.js"] {
        let answer = open(&gateway, page).await;
        assert_eq!(answer.status, StatusCode::OK, "{page}");
        let text = answer.body.as_str().unwrap();
        for name in named(text) {
            assert!(!name.contains("//"), "{page} leads outside: {name}");
            if name == "none" {
                continue;
            }
            let path = if name.starts_with('/') { name } else { format!("/docs/{}", name.trim_start_matches("./")) };
            assert_eq!(open(&gateway, &path).await.status, StatusCode::OK, "{path}");
            seen.insert(path);
        }
        assert!(!text.contains("http://") && !text.contains("https://"), "{page}: {text}");
    }
    let settings = open(&gateway, "/docs/swagger-initializer.js").await;
    let settings = settings.body.as_str().unwrap();
    assert!(settings.contains("/openapi.json"), "{settings}");
    let validator = settings.split("validatorUrl").nth(1).expect("without one, a validator elsewhere is asked");
    assert!(validator.trim_start_matches(['"', ':', ' ']).starts_with("none"), "{settings}");
    assert!(seen.contains("/docs/swagger-ui-bundle.js") && seen.contains("/docs/swagger-ui.css"), "{seen:?}");
}
