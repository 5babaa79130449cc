//! An export is what the list shows, whole and in order, with everything on record.

use std::time::Duration;

use killgate::{
    audit::Filter,
    history::{Export, Format, Wanted},
};
use serde_json::json;

use super::{aged, exported, ids, listed, on_both_engines, on_one_engine, opened};
use crate::{
    audit::book::{NOON, attempt},
    support::gateway::{Engine, Gateway},
};

on_both_engines! {
    an_export_is_what_the_list_shows_under_every_filter,
    a_line_is_everything_on_record,
    pages_are_small_however_large_kills_are,
}

on_one_engine! {
    an_export_is_for_those_who_may,
    a_format_that_nobody_knows_is_named,
}

const QUERIES: [&str; 25] = [
    "",
    "vendor=dcdb",
    "account=huawei-prod",
    "target=orders",
    "instance_id=tdsql-1",
    "session_id=2222",
    "session_id=7000001",
    "session_id=2222&caller=carol",
    "caller=bot&status=failed",
    "status=refused",
    "reason=inc-4711",
    "since=2025-12-01T00:00:00Z",
    "until=2025-12-01T00:00:00Z",
    "since=2025-10-01T00:00:00Z&until=2026-01-01T00:00:00%2B01:00&vendor=taurusdb",
    "status=pending&session_id=2222&reason=weekly%20report&account=tencent-prod&since=2025-01-01T00:00:00Z",
    "caller=carol,dave",
    "caller=d*,bot&status=failed,succeeded",
    "target=ord*",
    "on_behalf_of=alice@example.com&status=failed,succeeded",
    "user=app",
    "user=app,report&outcome=not_found",
    "database=orders&session_id=1111,2222",
    "ever_unknown=true",
    "ever_unknown=false&outcome=failed,unknown",
    "caller=nobody",
];

async fn an_export_is_what_the_list_shows_under_every_filter(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    // More than a first page.
    aged::fill(gateway.app.kills().audit(), 30).await;
    for query in QUERIES {
        let expected = listed(&gateway, query).await;
        assert_eq!(expected.is_empty(), query == "caller=nobody", "{query}");
        let (kills, manifest) = opened(&exported(&gateway, query).await);
        assert_eq!(ids(&kills), expected, "{query}");
        let filters: serde_json::Map<_, _> = url::form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
            .collect();
        assert_eq!(manifest["filters"], json!(filters));
    }
}

async fn a_line_is_everything_on_record(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    aged::fill(audit, 2).await;
    let lines = audit.lines(&Filter::default(), 100).await.unwrap().items;
    let file = exported(&gateway, "format=ndjson").await;
    let texts: Vec<_> = lines.iter().map(killgate::audit::Line::text).collect();
    assert_eq!(file.lines().take(texts.len()).collect::<Vec<_>>(), texts);
    let (kills, _) = opened(&file);
    let oldest = kills.last().unwrap();
    assert_eq!(oldest["client_address"], "192.0.2.7");
    assert_eq!((&oldest["token_id"], &oldest["gateway"]), (&json!("token-1"), &json!("here")));
    assert_eq!(oldest["events"].as_array().unwrap().len(), 2);
}

async fn an_export_is_for_those_who_may(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    aged::fill(gateway.app.kills().audit(), 1).await;
    for scope in ["", "sessions:kill", "kills:read sessions:kill"] {
        let answer = gateway.client().get("/kills/export", &Gateway::token("bot", scope)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (403, "forbidden"), "{scope}");
    }
    let token = Gateway::token("anybody", "kills:export");
    let answer = gateway.client().get("/kills/export?format=csv", &token).await;
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let disposition = answer.header("content-disposition").unwrap();
    assert!(disposition.starts_with("attachment; filename=\"killgate-20"), "{disposition}");
    assert!(disposition.ends_with(".csv\""), "{disposition}");
    // Nor may it be read with this scope in another way.
    assert_eq!(gateway.client().get("/kills", &token).await.code(), "forbidden");
}

async fn a_format_that_nobody_knows_is_named(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let token = Gateway::token("auditor", "kills:export");
    let answer = gateway.client().get("/kills/export?format=xml", &token).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid"));
    assert_eq!(answer.body["field"], "format");
    assert_eq!(answer.body["supported"], json!(["ndjson", "csv"]));
    let answer = gateway.client().get("/kills/export?until=soon", &token).await;
    assert_eq!((answer.status.as_u16(), &answer.body["field"]), (422, &json!("until")));
}

async fn pages_are_small_however_large_kills_are(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    for n in 0..150 {
        let mut large = attempt(NOON + n * Duration::from_secs(1));
        large.request = Some("x".repeat(60_000));
        aged::recorded(audit, &large).await;
    }
    let (filter, wanted) = (Filter::default(), Wanted::default());
    let mut export = Export::begin(audit.clone(), wanted, filter, Format::Ndjson.into()).await.unwrap();
    let mut sizes = Vec::new();
    while let Some(piece) = export.next().await.unwrap() {
        sizes.push(piece.len());
    }
    assert_eq!((export.kills(), export.manifest().is_some()), (150, true));
    // The first page is of as many kills as it is, for their size is not known.
    let largest = sizes.iter().skip(1).max().unwrap();
    assert!(*largest < 700_000, "{sizes:?}");
}
