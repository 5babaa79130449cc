//! CSV: a row for each kill, harmless in a spreadsheet, closed by a manifest.

use std::time::Duration;

use serde_json::{Value, json};

use super::{aged, exported, listed, on_both_engines, on_one_engine, sha256};
use crate::{
    audit::book::{NOON, attempt},
    support::gateway::{Engine, Gateway},
};

on_both_engines! {
    a_row_is_a_kill_and_the_last_one_the_manifest,
}

on_one_engine! {
    what_a_spreadsheet_would_run_is_made_text,
    a_mark_of_utf_8_comes_first_where_it_is_asked_for,
}

/// The rows of a file by their columns, and the manifest of the last one, which must be true.
fn opened(file: &str) -> (Vec<Value>, Value) {
    let mut reader = csv::Reader::from_reader(file.as_bytes());
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    // A reader that is not told to be lenient insists on rows of one width.
    let mut rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let last = rows.pop().unwrap();
    assert_eq!(&last[0], "#manifest");
    let manifest: Value = serde_json::from_str(&last[1]).unwrap();
    let (before, _) = file.split_at(file.rfind("\r\n#manifest").unwrap() + 2);
    assert_eq!(manifest["sha256"], sha256(before).as_str());
    assert_eq!(manifest["kills"], rows.len());
    let rows = rows.iter().map(|row| {
        let cells = header.iter().cloned().zip(row.iter().map(Value::from));
        Value::Object(cells.collect())
    });
    (rows.collect(), manifest)
}

async fn a_row_is_a_kill_and_the_last_one_the_manifest(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    aged::fill(gateway.app.kills().audit(), 30).await;
    for query in ["", "status=succeeded", "vendor=dcdb&caller=carol", "caller=nobody"] {
        let (rows, manifest) = opened(&exported(&gateway, &format!("format=csv&{query}")).await);
        let ids: Vec<_> = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids, listed(&gateway, query).await, "{query}");
        assert_eq!(manifest["last"]["id"].as_str(), ids.last().map(String::as_str));
    }
    let (rows, _) = opened(&exported(&gateway, "format=csv&status=succeeded&until=2024-01-01T00:00:00Z").await);
    let row = rows.last().unwrap();
    for (column, cell) in [
        ("caller", "bot"),
        ("on_behalf_of", "alice@example.com"),
        ("reason", "INC-4711 runaway report"),
        ("vendor", "taurusdb"),
        ("account", "huawei-prod"),
        ("target", "orders"),
        ("instance_id", "in07"),
        ("node_id", "no07"),
        ("shard_id", ""),
        ("select", r#"{"ids":["1111","2222"]}"#),
        ("sessions", "1111 killed; 2222 not_found"),
        ("upstream_http_status", "200"),
        ("upstream_task_id", "task-1"),
        ("upstream_evidence_url", "https://obs.example.com/runs/1"),
        ("request", r#"{"target":"orders","select":{"ids":["1111","2222"]}}"#),
        ("client_address", "192.0.2.7"),
        ("dry_run", "false"),
        ("events", "2"),
    ] {
        assert_eq!(row[column], cell, "{column}");
    }
    let (rows, _) = opened(&exported(&gateway, "format=csv&status=refused").await);
    assert_eq!(rows[0]["problem_code"], "forbidden");
    assert_eq!((&rows[0]["vendor"], &rows[0]["sessions"]), (&json!(""), &json!("")));
}

async fn what_a_spreadsheet_would_run_is_made_text(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    let formulas = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1,2)", "\t=1", "\r=1"];
    for (n, formula) in (0..).zip(formulas) {
        let mut odd = attempt(NOON + n * Duration::from_secs(1));
        odd.kill.caller = formula.into();
        odd.kill.reason = Some(format!("{formula},\"quoted\"\nand broken"));
        odd.client_id = Some(formula.into());
        aged::recorded(audit, &odd).await;
    }
    let (rows, _) = opened(&exported(&gateway, "format=csv").await);
    for (row, formula) in rows.iter().rev().zip(formulas) {
        for column in ["caller", "client_id"] {
            assert_eq!(row[column], format!("'{formula}"));
        }
        assert_eq!(row["reason"], format!("'{formula},\"quoted\"\nand broken"));
    }
    let cells = rows.iter().flat_map(|row| row.as_object().unwrap().values());
    let runs = |cell: &str| cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    assert!(cells.map(|cell| cell.as_str().unwrap()).all(|cell| !runs(cell)));
}

async fn a_mark_of_utf_8_comes_first_where_it_is_asked_for(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    gateway.kill(&json!({ "target": "orders-ro", "select": { "ids": ["1"] }, "reason": "报表" })).await;
    let plain = exported(&gateway, "format=csv").await;
    let marked = exported(&gateway, "format=csv&excel=true").await;
    assert!(plain.starts_with("id,") && marked.starts_with("\u{feff}id,"), "{marked}");
    assert_eq!(exported(&gateway, "format=csv&excel=false").await, plain);
    let (rows, manifest) = opened(&marked);
    assert_eq!((rows.len(), &manifest["filters"]), (1, &json!({})));
    let token = Gateway::token("auditor", "kills:export");
    for query in ["excel=true", "format=ndjson&excel=true", "format=csv&excel=yes", "format=csv&excel="] {
        let answer = gateway.client().get(&format!("/kills/export?{query}"), &token).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid"), "{query}: {}", answer.body);
        assert_eq!(answer.body["field"], "excel", "{query}");
    }
}
