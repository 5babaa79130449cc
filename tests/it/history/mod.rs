//! Reading the record from outside: exports, counts, searches, and pages while others write.

mod aged;
mod asking;
mod columns;
mod command;
mod counting;
mod cut_off;
mod exporting;
mod heavy;
mod paging;
mod sealed;
mod searching;
mod times;

use actix_web::http::StatusCode;
use aws_lc_rs::digest;
use serde_json::Value;

use crate::support::gateway::{Answer, Gateway, on_both_engines, on_one_engine};

/// Exports as `auditor`, who may export every kill, and answers the text of the file.
async fn exported(gateway: &Gateway, query: &str) -> String {
    let path = format!("/kills/export?{query}");
    let answer = gateway.client().get(&path, &Gateway::token("auditor", "kills:export")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.body);
    text(&answer)
}

/// A file of one line reads as JSON.
fn text(answer: &Answer) -> String {
    answer.body.as_str().map_or_else(|| format!("{}\n", answer.body), str::to_owned)
}

/// The ids that the list has over all its pages, newest first.
async fn listed(gateway: &Gateway, query: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut next = Some(format!("/kills?limit=17&{query}"));
    while let Some(path) = next {
        let page = gateway.read(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.body);
        ids.extend(page.body["items"].as_array().unwrap().iter().map(|kill| kill["id"].as_str().unwrap().to_owned()));
        let cursor = page.body["next_cursor"].as_str();
        next = cursor.map(|cursor| format!("/kills?limit=17&{query}&cursor={cursor}"));
    }
    ids
}

/// The SHA-256 of a text, as a manifest writes it.
fn sha256(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// The kills of an NDJSON file and its manifest, which must be true.
fn opened(file: &str) -> (Vec<Value>, Value) {
    let (before, last) = file
        .strip_suffix('\n')
        .unwrap()
        .rsplit_once('\n')
        .map_or_else(|| ("", file.trim_end()), |(before, last)| (&file[..=before.len()], last));
    let mut manifest: Value = serde_json::from_str(last).unwrap();
    let manifest = manifest["manifest"].take();
    assert_eq!(manifest["format"], 1, "{last}");
    assert_eq!(manifest["sha256"], sha256(before).as_str());
    let kills: Vec<Value> = before.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kills: Vec<Value> = kills.into_iter().filter(|line: &Value| line.get("id").is_some()).collect();
    assert_eq!(manifest["kills"], kills.len());
    for (place, kill) in [("first", kills.first()), ("last", kills.last())] {
        for member in ["id", "requested_at"] {
            assert_eq!(manifest[place][member], kill.map_or(Value::Null, |kill| kill[member].clone()), "{place}");
        }
    }
    (kills, manifest)
}

fn ids(kills: &[Value]) -> Vec<String> {
    kills.iter().map(|kill| kill["id"].as_str().unwrap().to_owned()).collect()
}
