//! `GET /kills`: filters, limits, and pages that neither skip nor repeat.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use killgate::sandbox::demo as world;
use serde_json::{Value, json};

use super::{
    kit::{LIST, assert_problem},
    on_both_engines, on_one_engine,
};
use crate::support::gateway::{Answer, Engine, Gateway, kill_of, targets};

on_both_engines! {
    every_filter_narrows_and_all_of_them_hold,
    a_time_window_includes_its_beginning_and_not_its_end,
    pages_neither_skip_nor_repeat_while_new_kills_come,
}

on_one_engine! {
    a_filter_or_limit_that_cannot_be_is_named,
}

fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let items = answer.body["items"].as_array().expect("a list");
    items.iter().map(|kill| kill["id"].as_str().expect("an id").to_owned()).collect()
}

/// Tries out a kill, which leaves a record and no more.
async fn preview(gateway: &Gateway, caller: &str, target: impl Into<Value>, ids: &[u64]) -> Value {
    let mut body = kill_of(target, ids);
    body["dry_run"] = true.into();
    let token = Gateway::token(caller, "sessions:kill");
    let answer = gateway.client().post("/sessions/kill", &token, &[], body.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body
}

/// Whether a kill is one that the query asks for.
fn holds(kill: &Value, query: &str) -> bool {
    let is = |value: &Value, wanted: &str| match (value.as_str(), wanted.strip_suffix('*')) {
        (Some(text), Some(beginning)) => text.starts_with(beginning),
        (text, _) => text == Some(wanted),
    };
    let holds = |name: &str, wanted: &str| match name {
        "target" => is(&kill["target"]["alias"], wanted),
        "session_id" => kill["sessions"].as_array().unwrap().iter().any(|session| session["id"] == wanted),
        "caller" | "status" => is(&kill[name], wanted),
        _ => is(&kill["target"][name], wanted),
    };
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.all(|(name, wanted)| wanted.split(',').any(|wanted| holds(name, wanted)))
}

async fn every_filter_narrows_and_all_of_them_hold(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let mut made = vec![];
    for (alias, target) in targets() {
        made.push(preview(&gateway, "anna", alias, &[11, 12]).await);
        made.push(preview(&gateway, "bert", target, &[12, 13]).await);
    }
    made.push(gateway.kill(&kill_of("orders-ro", &[2_075_425, 99])).await.body);
    made.push(gateway.kill(&kill_of("nowhere", &[1])).await.body);
    let everything = gateway.read("/kills").await;
    assert_eq!(everything.body["items"].as_array().unwrap().len(), made.len());
    assert_eq!(everything.body["next_cursor"], Value::Null);
    assert_eq!(everything.header("link"), None);
    let all = everything.body["items"].as_array().unwrap();
    for (query, count) in [
        ("vendor=dcdb", 2),
        ("vendor=taurusdb", 3),
        ("account=huawei-test", 7),
        ("account=tencent-test", 2),
        ("target=orders-ro", 2),
        ("target=nowhere", 0),
        ("target=orders-*", 3),
        ("target=*", 5),
        ("caller=an*,chatops-bot", 6),
        ("vendor=dcdb,das", 4),
        ("status=failed,succeeded", 2),
        ("session_id=11,13,99", 7),
        (&format!("instance_id={}", world::DCDB_INSTANCE), 2),
        ("session_id=2075425", 1),
        ("caller=anna", 4),
        ("status=preview", 8),
        ("status=succeeded", 1),
        ("status=failed", 1),
        ("caller=anna&vendor=dcdb", 1),
        ("caller=anna&vendor=dcdb&target=ledger", 0),
        ("session_id=99&status=succeeded&account=huawei-test&vendor=taurusdb&target=orders-ro", 1),
        ("vendor=oracle", 0),
        ("caller=%27%20OR%201%3D1--", 0),
    ] {
        let found = gateway.read(&format!("/kills?{query}")).await;
        assert_eq!(ids(&found).len(), count, "{query}");
        if !query.contains('%') {
            let expected: Vec<_> =
                all.iter().filter(|kill| holds(kill, query)).map(|kill| kill["id"].clone()).collect();
            assert_eq!(ids(&found), expected, "{query}, newest first");
        }
    }
}

async fn a_time_window_includes_its_beginning_and_not_its_end(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let mut made: Vec<Value> = vec![];
    while made.len() < 3 {
        let kill = preview(&gateway, "anna", "ledger", &[1]).await;
        // Two within one millisecond could not be told apart by time.
        if made.last().is_none_or(|last| last["requested_at"] != kill["requested_at"]) {
            made.push(kill);
        }
    }
    let at = |n: usize| made[n]["requested_at"].as_str().unwrap();
    let since = ids(&gateway.read(&format!("/kills?since={}", at(1))).await);
    assert!(since.contains(&made[1]["id"].as_str().unwrap().to_owned()));
    assert!(!since.contains(&made[0]["id"].as_str().unwrap().to_owned()));
    let window = ids(&gateway.read(&format!("/kills?since={}&until={}", at(1), at(2))).await);
    assert!(window.contains(&made[1]["id"].as_str().unwrap().to_owned()));
    assert!(!window.contains(&made[2]["id"].as_str().unwrap().to_owned()));
    let elsewhere = at(1).replace('Z', "%2B00:00");
    assert_eq!(ids(&gateway.read(&format!("/kills?since={elsewhere}")).await), since);
    assert!(ids(&gateway.read("/kills?since=2100-01-01T00:00:00Z").await).is_empty());
    assert!(ids(&gateway.read("/kills?until=1970-01-01T00:00:00Z").await).is_empty());
}

async fn pages_neither_skip_nor_repeat_while_new_kills_come(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let mut made = BTreeSet::new();
    for n in 0..120 {
        let caller = if n % 4 == 3 { "bert" } else { "anna" };
        let kill = preview(&gateway, caller, "orders-ro", &[n]).await;
        made.insert((caller, kill["id"].as_str().unwrap().to_owned()));
    }
    let of = |caller| made.iter().filter(move |(c, _)| *c == caller).map(|(_, id)| id.clone());
    for (path, expected) in [
        ("/kills?limit=7".to_owned(), of("anna").chain(of("bert")).collect::<BTreeSet<_>>()),
        ("/kills?caller=anna&limit=13".to_owned(), of("anna").collect()),
        ("/kills".to_owned(), of("anna").chain(of("bert")).collect()),
        ("/kills?limit=500&vendor=taurusdb".to_owned(), of("anna").chain(of("bert")).collect()),
    ] {
        let (mut seen, mut next) = (Vec::<String>::new(), Some(path.clone()));
        let mut late = BTreeSet::new();
        while let Some(path) = next {
            let page = gateway.read(&path).await;
            seen.extend(ids(&page));
            let cursor = page.body["next_cursor"].as_str();
            let link = page.header("link").map(|link| {
                let link = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
                link.expect("a link to the next page").to_owned()
            });
            assert_eq!(link.is_some(), cursor.is_some());
            assert!(link.as_ref().is_none_or(|link| link.ends_with(&format!("cursor={}", cursor.unwrap()))));
            next = link;
            late.insert(preview(&gateway, "carl", "shop", &[1]).await["id"].as_str().unwrap().to_owned());
        }
        assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "{path}: newest first, none twice");
        assert!(seen.iter().all(|id| !late.contains(id)), "{path}: what came later is not on later pages");
        let seen: BTreeSet<_> = seen.into_iter().collect();
        assert!(expected.is_subset(&seen), "{path}: none skipped");
    }
}

async fn a_filter_or_limit_that_cannot_be_is_named(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=-1", "limit"),
        ("limit=many", "limit"),
        ("limit=", "limit"),
        ("status=done", "status"),
        ("since=yesterday", "since"),
        ("until=2026-01-02", "until"),
        ("until=0000-01-01T00:00:00Z", "until"),
        ("since=1969-12-31T23:59:59Z", "since"),
        ("since=1970-01-01T00:00:00%2B00:01", "since"),
        ("until=9999-01-01T00:00:00Z", "until"),
        ("until=9998-12-31T23:59:59-00:01", "until"),
        ("cursor=", "cursor"),
        ("cursor=AAAA", "cursor"),
        ("cursor=not%20a%20cursor", "cursor"),
        ("caller=", "caller"),
        ("caller=anna,", "caller"),
        ("caller=*a", "caller"),
        ("target=or*ders", "target"),
        ("vendor=d*", "vendor"),
        ("session_id=1*", "session_id"),
        ("status=fail*", "status"),
        ("reason=INC-*", "reason"),
        ("outcome=killed,dead", "outcome"),
        ("ever_unknown=perhaps", "ever_unknown"),
        ("order=longest", "order"),
        ("session_id=a%00b", "session_id"),
        (&format!("instance_id={}", "x".repeat(256)), "instance_id"),
    ] {
        let answer = gateway.read(&format!("/kills?{query}")).await;
        assert_problem(&answer, LIST, 422, "invalid");
        assert_eq!(answer.body["field"], field, "{query}");
        let has_words = ["status", "outcome", "order"].contains(&field) && !query.contains('*');
        assert_eq!(answer.body["supported"].is_array(), has_words, "{query}");
    }
    for query in ["limit=1", "limit=500"] {
        assert_eq!(gateway.read(&format!("/kills?{query}")).await.body, json!({ "items": [], "next_cursor": null }));
    }
}
