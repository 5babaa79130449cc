//! Every time that is answered, exported or told has one form.

use serde_json::{Value, json};

use super::{aged, exported, on_one_engine};
use crate::support::gateway::{Engine, Gateway, kill_of};

on_one_engine! {
    every_time_has_three_digits_of_a_second,
}

/// All texts in a value that begin like a time.
fn times(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            found.extend(text.split(['"', ',', '\n']).filter(|text| is_time(text)).map(str::to_owned));
        }
        Value::Array(items) => items.iter().for_each(|item| times(item, found)),
        Value::Object(members) => members.values().for_each(|member| times(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_year = bytes.len() > 16 && bytes[..4].iter().all(u8::is_ascii_digit);
    is_year && bytes[4] == b'-' && bytes[10] == b'T' && bytes[13] == b':'
}

async fn every_time_has_three_digits_of_a_second(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    aged::fill(gateway.app.kills().audit(), 1).await;
    let killed = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    let mut preview = kill_of("ledger", &[1]);
    preview["select"] = json!({ "match": { "min_seconds": 1 } });
    preview["dry_run"] = true.into();
    let previewed = gateway.kill(&preview).await;
    let token = Gateway::token("auditor", "kills:read kills:export sessions:read");
    let get = async |path: &str| gateway.client().get(path, &token).await.body;
    let events = get(&format!("/kills/{}/events", killed.kill_id())).await;
    let window = "since=2026-02-20T00:00:00Z&until=2026-03-20T00:00:00Z";
    for (what, told, least) in [
        ("a kill", killed.body.clone(), 2),
        ("a preview", previewed.body, 4),
        ("a list", get("/kills").await, 10),
        ("counts", get(&format!("/kills/stats?per=hour&by=status&{window}")).await, 4),
        ("sessions", get("/sessions?target=ledger").await, 1),
        ("lines", Value::String(exported(&gateway, "").await), 20),
        ("rows", Value::String(exported(&gateway, "format=csv").await), 8),
        ("a manifest", get("/kills/export/manifest").await, 2),
        ("events", events, 3),
    ] {
        let mut found = Vec::new();
        times(&told, &mut found);
        assert!(found.len() >= least, "{what}: {found:?} of {told}");
        for time in found {
            let has_form =
                time.len() == "2026-03-04T12:00:00.000Z".len() && &time[19..20] == "." && time.ends_with('Z');
            assert!(has_form, "{what}: {time}");
        }
    }
}
