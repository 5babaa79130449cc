//! Counts are what counting the list gives.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{aged, on_both_engines, on_one_engine};
use crate::{
    audit::book::NOON,
    support::gateway::{Engine, Gateway, kill_of},
};

on_both_engines! {
    counts_are_what_counting_the_list_gives,
    without_a_window_the_last_day_is_counted,
    a_caller_that_may_only_kill_counts_its_own,
}

on_one_engine! {
    a_window_that_is_too_large_is_named,
}

/// The list, counted by hand.
async fn counted(gateway: &Gateway, query: &str, by: &[&str], per: &str) -> BTreeMap<String, u64> {
    let page = gateway.read(&format!("/kills?limit=500&{query}")).await;
    let mut counts = BTreeMap::new();
    for kill in page.body["items"].as_array().unwrap() {
        let at = kill["requested_at"].as_str().unwrap();
        let from = match per {
            "hour" => format!("{}:00:00.000Z", &at[..13]),
            "day" => format!("{}T00:00:00.000Z", &at[..10]),
            _ => "2000-01-01T00:00:00.000Z".to_owned(),
        };
        let mut groups = vec![json!({ "from": from })];
        for word in by {
            let values = values(kill, word);
            let with = |group: &Value, value: &Value| {
                let mut group = group.clone();
                group[*word] = value.clone();
                group
            };
            groups = groups.iter().flat_map(|group| values.iter().map(move |value| with(group, value))).collect();
        }
        for group in groups {
            *counts.entry(group.to_string()).or_default() += 1;
        }
    }
    counts
}

/// What a kill counts as: once for each value that it has, or once without any.
fn values(kill: &Value, word: &str) -> Vec<Value> {
    let of_sessions = |at: &str| {
        let values = kill["sessions"].as_array().unwrap().iter().filter_map(|session| session.pointer(at)?.as_str());
        let values: BTreeSet<_> = values.collect();
        if values.is_empty() { vec![Value::Null] } else { values.into_iter().map(Value::from).collect() }
    };
    match word {
        "vendor" | "account" => vec![kill["target"][word].clone()],
        "target" => vec![kill["target"]["alias"].clone()],
        "user" => of_sessions("/identity/user"),
        "database" => of_sessions("/identity/database"),
        "outcome" => of_sessions("/outcome"),
        _ => vec![kill[word].clone()],
    }
}

async fn counts_are_what_counting_the_list_gives(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    aged::fill(gateway.app.kills().audit(), 12).await;
    for filters in [
        "",
        "&status=failed",
        "&session_id=2222,1111",
        "&user=app",
        "&outcome=failed&ever_unknown=true",
        "&reason=report&vendor=dcdb",
        "&caller=nobody",
    ] {
        for (by, per) in [
            ("", ""),
            ("", "day"),
            ("status", ""),
            ("status,vendor,caller", "day"),
            ("vendor", "hour"),
            ("caller,status", "hour"),
            ("on_behalf_of", ""),
            ("user", "day"),
            ("outcome,user", ""),
            ("database,outcome", ""),
            ("target,account,outcome", "day"),
        ] {
            // No more hours than may be counted at once.
            let since = if per == "hour" { "2026-02-01T00:00:00Z" } else { "2024-01-01T00:00:00Z" };
            let since = if per.is_empty() { "2000-01-01T00:00:00Z" } else { since };
            let window = format!("since={since}&until=2026-03-10T00:00:00Z{filters}");
            let words = [("by", by), ("per", per)].into_iter().filter(|(_, word)| !word.is_empty());
            let words = words.map(|(name, word)| format!("&{name}={word}")).collect::<Vec<_>>().concat();
            let answer = gateway.read(&format!("/kills/stats?{window}{words}")).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(answer.body["since"], since.replace('Z', ".000Z"));
            let mut found = BTreeMap::new();
            for item in answer.body["items"].as_array().unwrap() {
                let mut item = item.clone();
                let count = item.as_object_mut().unwrap().remove("count").unwrap().as_u64().unwrap();
                assert!(found.insert(item.to_string(), count).is_none(), "{item} comes twice");
            }
            let by: Vec<_> = by.split(',').filter(|word| !word.is_empty()).collect();
            assert_eq!(found, counted(&gateway, &window, &by, per).await, "{window}{words}");
            assert_eq!(found.is_empty(), filters == "&caller=nobody");
        }
    }
}

async fn without_a_window_the_last_day_is_counted(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    aged::fill(gateway.app.kills().audit(), 1).await;
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    let at = |value: &Value| OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap();
    let answer = gateway.read("/kills/stats?by=status&until=2100-01-01T00:00:00Z").await;
    assert_eq!(at(&answer.body["until"]) - at(&answer.body["since"]), time::Duration::DAY);
    let since = NOON - time::Duration::HOUR;
    let answer = gateway.read(&format!("/kills/stats?since={}", since.format(&Rfc3339).unwrap())).await;
    assert!(answer.body["items"][0]["count"].as_u64() >= Some(3), "{}", answer.body);
    let answer = gateway.read("/kills/stats").await;
    assert_eq!(at(&answer.body["until"]) - at(&answer.body["since"]), time::Duration::DAY);
    // The kill of this very millisecond is not of the time before it.
    assert!(answer.body["items"].as_array().unwrap().len() <= 1, "{}", answer.body);
}

async fn a_caller_that_may_only_kill_counts_its_own(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    aged::fill(gateway.app.kills().audit(), 2).await;
    let path = "/kills/stats?by=caller&since=2020-01-01T00:00:00Z";
    let answer = gateway.client().get(path, &Gateway::token("carol", "sessions:kill")).await;
    let counts = json!([{ "from": "2020-01-01T00:00:00.000Z", "caller": "carol", "count": 1 }]);
    assert_eq!(answer.body["items"], counts);
    assert_eq!(gateway.client().get(path, &Gateway::token("carol", "kills:export")).await.code(), "forbidden");
}

async fn a_window_that_is_too_large_is_named(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (query, field) in [
        ("per=hour&since=2020-01-01T00:00:00Z&until=2020-03-01T00:00:00Z", "since"),
        ("per=day&since=1990-01-01T00:00:00Z", "since"),
        ("since=2020-01-01T00:00:00Z&until=2019-01-01T00:00:00Z", "since"),
        ("per=minute", "per"),
        ("by=status,size", "by"),
        ("by=", "by"),
        ("by=user,database", "by"),
        ("by=database,status,user", "by"),
        ("until=soon", "until"),
        ("until=0000-01-01T00:00:00Z", "until"),
        ("since=0000-01-01T00:00:00Z", "since"),
        ("since=9998-12-31T23:59:59-23:59", "since"),
    ] {
        let answer = gateway.read(&format!("/kills/stats?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid"), "{query}: {}", answer.body);
        assert_eq!(answer.body["field"], field, "{query}");
    }
    let edge = "per=hour&since=2020-01-01T00:00:00Z&until=2020-02-11T16:00:00Z";
    assert_eq!(gateway.read(&format!("/kills/stats?{edge}")).await.status, 200, "a thousand hours");
    for edge in ["until=1970-01-01T00:00:00Z", "since=1970-01-01T00:00:00Z&until=9998-12-31T23:59:59Z"] {
        assert_eq!(gateway.read(&format!("/kills/stats?{edge}")).await.status, 200, "{edge}");
    }
}
