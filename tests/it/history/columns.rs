//! CSV: a row for each kill or each session, harmless in a spreadsheet, and its manifest beside it.

use std::time::Duration;

use killgate::domain::Outcome;
use serde_json::{Value, json};

use super::{aged, exported, listed, on_both_engines, on_one_engine, sha256, text};
use crate::{
    audit::book::{NOON, answered, attempt, refused},
    support::gateway::{Engine, Gateway, kill_of},
};

on_both_engines! {
    a_row_is_a_kill_and_the_manifest_stands_beside,
    a_row_is_a_session_where_that_is_asked_for,
    a_manifest_is_of_the_file_that_it_came_with,
}

on_one_engine! {
    what_a_spreadsheet_would_run_is_made_text,
    what_a_spreadsheet_would_take_for_another_number_is_kept,
    a_mark_of_utf_8_comes_first_where_it_is_asked_for,
    a_wish_that_cannot_be_is_named,
}

/// The rows of a file by their columns.
fn rows(file: &str) -> Vec<Value> {
    let mut reader = csv::Reader::from_reader(file.trim_start_matches('\u{feff}').as_bytes());
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    // A reader that is not told to be lenient insists on rows of one width.
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        Value::Object(header.iter().cloned().zip(row.iter().map(Value::from)).collect())
    });
    rows.collect()
}

/// The rows of an export and its manifest, which must be true of every byte.
async fn opened(gateway: &Gateway, query: &str) -> (Vec<Value>, Value) {
    let token = Gateway::token("auditor", "kills:export");
    let answer = gateway.client().get(&format!("/kills/export?format=csv&{query}"), &token).await;
    let file = text(&answer);
    let link = answer.header("link").expect("a link");
    let end = ">; rel=\"describedby\"; type=\"application/json\"";
    let manifest = link.strip_prefix('<').and_then(|link| link.strip_suffix(end)).expect("a manifest");
    let manifest = gateway.client().get(manifest, &token).await;
    assert_eq!((manifest.status.as_u16(), manifest.header("cache-control")), (200, Some("no-store")));
    assert_eq!(manifest.body["sha256"], sha256(&file).as_str(), "{query}");
    let rows = rows(&file);
    let first = rows.first().map_or(Value::Null, |row| row["id"].clone());
    assert_eq!(manifest.body["first"]["id"], first);
    (rows, manifest.body)
}

async fn a_row_is_a_kill_and_the_manifest_stands_beside(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    aged::fill(gateway.app.kills().audit(), 30).await;
    for query in ["", "status=succeeded", "vendor=dcdb&caller=carol", "caller=nobody"] {
        let (rows, manifest) = opened(&gateway, query).await;
        let ids: Vec<_> = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids, listed(&gateway, query).await, "{query}");
        assert_eq!((manifest["kills"].as_u64(), &manifest["last"]["id"]), (Some(ids.len() as u64), &json!(ids.last())));
    }
    let (rows, manifest) = opened(&gateway, "status=succeeded&until=2024-01-01T00:00:00Z").await;
    assert_eq!(manifest["filters"], json!({ "status": "succeeded", "until": "2024-01-01T00:00:00Z" }));
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
    let (rows, _) = opened(&gateway, "status=refused").await;
    assert_eq!(rows[0]["problem_code"], "forbidden");
    assert_eq!((&rows[0]["vendor"], &rows[0]["sessions"]), (&json!(""), &json!("")));
}

async fn a_row_is_a_session_where_that_is_asked_for(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    let kill = aged::recorded(audit, &attempt(NOON)).await;
    let mut done = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::Failed)]);
    let mut known = aged::whose("report", "orders");
    (known.host, known.started_at) = (Some("10.0.0.7:4".into()), Some(NOON.replace_nanosecond(0).unwrap()));
    known.command = Some("Query".into());
    known.state = Some("executing".into());
    known.seconds = Some(1850);
    known.statement_digest = Some("82a20b4bc8c34a4e50f5c52b8d6c6d4e".into());
    known.statement = Some("=select ?".into());
    done.sessions[0].identity = Some(known);
    done.sessions[1].detail = Some("not reported as killed".into());
    audit.conclude(&done, NOON, "answered", None).await.unwrap();
    aged::recorded(audit, &refused(NOON + Duration::from_secs(1))).await;
    let (rows, manifest) = opened(&gateway, "rows=sessions").await;
    assert_eq!((rows.len(), &manifest["kills"]), (3, &json!(2)), "a kill without sessions has a row");
    assert_eq!(rows[0]["problem_code"], "forbidden");
    assert_eq!(rows.iter().filter(|row| row["id"] == kill.id.to_string()).count(), 2);
    let cells = |row: &Value| {
        ["id", "outcome", "detail", "user", "database", "host", "started_at"]
            .map(|name| row[format!("session_{name}")].as_str().unwrap().to_owned())
    };
    assert_eq!(cells(&rows[0]), [""; 7]);
    assert_eq!(cells(&rows[1]), ["1111", "killed", "", "report", "orders", "10.0.0.7:4", "2026-03-04T12:00:00.000Z"]);
    assert_eq!(cells(&rows[2]), ["2222", "failed", "not reported as killed", "", "", "", ""]);
    let doing = |row: &Value| {
        ["command", "state", "seconds", "statement_digest", "statement"]
            .map(|name| row[format!("session_{name}")].as_str().unwrap().to_owned())
    };
    let statement = "'=select ?";
    assert_eq!(doing(&rows[1]), ["Query", "executing", "1850", "82a20b4bc8c34a4e50f5c52b8d6c6d4e", statement]);
    assert_eq!([doing(&rows[0]), doing(&rows[2])], [[""; 5]; 2]);
    assert!(rows.iter().all(|row| row.get("sessions").is_none() && row["caller"] == "bot"));
}

/// Kills that come later are in neither, and a kill that learns more makes them differ.
async fn a_manifest_is_of_the_file_that_it_came_with(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    let open = aged::recorded(audit, &attempt(NOON)).await;
    let token = Gateway::token("auditor", "kills:export");
    let answer = gateway.client().get("/kills/export?format=csv", &token).await;
    let manifest = answer.header("link").unwrap().split(['<', '>']).nth(1).unwrap().to_owned();
    let sum = json!(sha256(&text(&answer)));
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    let told = gateway.client().get(&manifest, &token).await.body;
    assert_eq!((&told["kills"], &told["sha256"]), (&json!(1), &sum));
    let done = answered(&open, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
    audit.conclude(&done, NOON, "answered", None).await.unwrap();
    let told = gateway.client().get(&manifest, &token).await.body;
    assert_eq!(told["kills"], 1);
    assert_ne!(told["sha256"], sum);
    let now = gateway.client().get("/kills/export/manifest?format=csv", &token).await.body;
    assert_eq!(now["kills"], 2);
    let of_lines = gateway.client().get("/kills/export/manifest", &token).await.body;
    let file = exported(&gateway, "").await;
    assert_eq!(of_lines, serde_json::from_str::<Value>(file.lines().last().unwrap()).unwrap()["manifest"]);
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
        odd.kill.sessions[0].identity = Some(aged::whose(formula, "orders"));
        aged::recorded(audit, &odd).await;
    }
    for form in ["", "rows=sessions", "excel=true"] {
        let (rows, _) = opened(&gateway, form).await;
        let firsts = rows.iter().rev().filter(|row| row.get("session_id").is_none_or(|id| id == "1111"));
        for (row, formula) in firsts.zip(formulas) {
            for column in ["caller", "client_id", "session_user"] {
                assert!(row.get(column).is_none_or(|cell| *cell == format!("'{formula}")), "{form}: {row}");
            }
            assert_eq!(row["reason"], format!("'{formula},\"quoted\"\nand broken"));
        }
        let cells = rows.iter().flat_map(|row| row.as_object().unwrap().values());
        let runs = |cell: &str| cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
        assert!(cells.map(|cell| cell.as_str().unwrap()).all(|cell| !runs(cell)));
    }
}

async fn what_a_spreadsheet_would_take_for_another_number_is_kept(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    let mut numbers = attempt(NOON);
    numbers.kill.on_behalf_of = Some("007".into());
    numbers.kill.sessions[0].id = "9223372036854775807".into();
    numbers.kill.sessions[1].id = "42".into();
    aged::recorded(audit, &numbers).await;
    for (form, long, zeros) in
        [("rows=sessions", "9223372036854775807", "007"), ("rows=sessions&excel=true", "'9223372036854775807", "'007")]
    {
        let (rows, _) = opened(&gateway, form).await;
        assert_eq!((&rows[0]["session_id"], &rows[0]["on_behalf_of"]), (&json!(long), &json!(zeros)), "{form}");
        assert_eq!((&rows[1]["session_id"], &rows[1]["events"]), (&json!("42"), &json!("1")));
    }
}

async fn a_mark_of_utf_8_comes_first_where_it_is_asked_for(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    gateway.kill(&json!({ "target": "orders-ro", "select": { "ids": ["1"] }, "reason": "报表" })).await;
    let plain = exported(&gateway, "format=csv").await;
    let marked = exported(&gateway, "format=csv&excel=true").await;
    assert!(plain.starts_with("id,") && marked.starts_with("\u{feff}id,"), "{marked}");
    assert_eq!(exported(&gateway, "format=csv&excel=false&rows=kills").await, plain);
    let (rows, manifest) = opened(&gateway, "excel=true").await;
    assert_eq!((rows.len(), &manifest["filters"]), (1, &json!({})));
}

async fn a_wish_that_cannot_be_is_named(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let token = Gateway::token("auditor", "kills:export");
    for (query, field) in [
        ("excel=true", "excel"),
        ("format=ndjson&excel=true", "excel"),
        ("format=csv&excel=yes", "excel"),
        ("format=csv&excel=", "excel"),
        ("rows=sessions", "rows"),
        ("format=csv&rows=both", "rows"),
        ("format=xml", "format"),
        ("target=*s", "target"),
    ] {
        for path in ["/kills/export", "/kills/export/manifest"] {
            let answer = gateway.client().get(&format!("{path}?{query}"), &token).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid"), "{query}: {}", answer.body);
            assert_eq!(answer.body["field"], field, "{query}");
        }
    }
    let manifest =
        async |query: &str, token: &str| gateway.client().get(&format!("/kills/export/manifest?{query}"), token).await;
    assert_eq!(manifest("place=there", &token).await.body["field"], "place");
    assert_eq!(manifest("cursor=x", &token).await.code(), "malformed");
    assert_eq!(manifest("rows=kills&rows=kills", &token).await.code(), "malformed");
    assert_eq!(manifest("", &Gateway::token("auditor", "kills:read")).await.code(), "forbidden");
}
