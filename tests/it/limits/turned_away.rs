//! What a caller asks for beyond its limit is counted and on record, and fills nothing.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use futures_util::future::join_all;
use serde_json::Value;

use crate::support::{
    gateway::{Answer, Engine, Gateway, Setup, kill_of, on_both_engines},
    patience::eventually,
};

on_both_engines! {
    attempts_beyond_the_limit_share_one_record_a_second_that_counts_them,
    a_stop_leaves_no_attempt_uncounted,
    of_an_attempt_without_the_scope_little_is_kept,
}

const FLOOD: usize = 200;

async fn start(engine: Engine) -> Gateway {
    let more = "[callers]\nkills_per_second = 1\nburst = 2\n".to_owned();
    Gateway::start_with(engine, Setup { more, ..Setup::default() }).await
}

/// So many attempts at once, of which none can be done.
async fn flood(gateway: &Gateway, scope: &str, body: &str) -> Vec<Answer> {
    let token = Gateway::token("mallory", scope);
    let ask = || gateway.client().post("/sessions/kill", &token, &[], body.to_owned());
    join_all((0..FLOOD).map(|_| ask())).await
}

/// The records of the flood.
async fn records(gateway: &Gateway) -> Vec<Value> {
    let page = gateway.read("/kills?caller=mallory&limit=500").await;
    page.body["items"].as_array().unwrap_or_else(|| panic!("{}", page.body)).clone()
}

/// How many attempts those records stand for.
fn attempts(records: &[Value]) -> usize {
    let stands_for = |record: &Value| record["problem"]["attempts"].as_u64().unwrap_or(1);
    usize::try_from(records.iter().map(stands_for).sum::<u64>()).unwrap()
}

async fn attempts_beyond_the_limit_share_one_record_a_second_that_counts_them(engine: Engine) {
    for (scope, body, code) in [
        ("", kill_of("orders-ro", &[2_075_425]).to_string(), "forbidden"),
        ("sessions:kill", "no JSON".to_owned(), "malformed"),
        ("sessions:kill", kill_of("nowhere", &[1]).to_string(), "unknown_target"),
    ] {
        let gateway = start(engine).await;
        let (limited, within): (Vec<_>, Vec<_>) = flood(&gateway, scope, &body)
            .await
            .into_iter()
            .partition(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS);
        assert!(within.len() >= 2 && within.iter().all(|answer| answer.code() == code), "{code}");
        for answer in &limited {
            assert_eq!(answer.code(), "rate_limited", "{}", answer.body);
            assert!(answer.header("retry-after").is_some() && answer.header("ratelimit").is_some());
        }
        let all = async || {
            let records = records(&gateway).await;
            (attempts(&records) == FLOOD).then_some(records)
        };
        let records = eventually("all are counted", all).await;
        assert!(records.len() < FLOOD / 2, "{} records", records.len());
        let told = limited.iter().chain(&within).filter_map(|answer| answer.body["kill_id"].as_str());
        let recorded: BTreeSet<_> = records.iter().map(|record| record["id"].as_str().unwrap()).collect();
        assert!(told.collect::<BTreeSet<_>>().is_subset(&recorded));
        let counts = records.iter().filter(|record| record["problem"]["attempts"].is_u64());
        for record in counts {
            assert_eq!(
                (&record["status"], &record["problem"]["code"]),
                (&"rate_limited".into(), &"rate_limited".into())
            );
        }
    }
}

async fn of_an_attempt_without_the_scope_little_is_kept(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let mut body = kill_of("orders-ro", &[2_075_425]);
    body["reason"] = "é".repeat(20_000).into();
    let token = Gateway::token("mallory", "");
    let answer = gateway.client().post("/sessions/kill", &token, &[], body.to_string()).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "forbidden"));
    let export = gateway.client().get("/kills/export", &Gateway::token("auditor", "kills:export")).await;
    let line = export.body.as_str().unwrap().lines().next().unwrap().to_owned();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["id"], answer.kill_id());
    let kept: String = serde_json::from_str(line["request"].as_str().unwrap()).unwrap();
    assert!(kept.len() <= 1024 + "…".len() && body.to_string().starts_with(kept.trim_end_matches('…')), "{kept}");
    assert!(line.to_string().len() < 4096, "{line}");
}

async fn a_stop_leaves_no_attempt_uncounted(engine: Engine) {
    let gateway = start(engine).await;
    flood(&gateway, "", "").await;
    gateway.app.kills().idle().await;
    assert_eq!(attempts(&records(&gateway).await), FLOOD);
}
