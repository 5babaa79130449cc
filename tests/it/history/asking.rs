//! What the record can be asked: whose the sessions were, on whose behalf, what became of them, and in which order.

use std::time::Duration;

use killgate::{audit::Audit, domain::Outcome};
use serde_json::{Value, json};

use super::{aged, listed, on_both_engines, on_one_engine};
use crate::{
    audit::book::{NOON, answered, attempt, refused},
    support::gateway::{Engine, Gateway, kill_of},
};

on_both_engines! {
    a_kill_is_found_by_whose_its_sessions_were,
    a_match_that_names_no_session_is_found_by_whom_it_asked_for,
    what_was_ever_unknown_is_found_whatever_was_learned_later,
    several_values_are_any_of_them_and_a_beginning_is_all_that_begin_so,
    oldest_first_is_the_list_the_other_way_round,
}

on_one_engine! {
    whoever_may_not_see_identities_may_not_ask_for_them,
    a_cursor_goes_on_in_its_own_order_and_in_no_other,
}

const SECOND: Duration = Duration::from_secs(1);

/// The kills that a query finds, by the second of the minute in which they were asked.
async fn found(gateway: &Gateway, query: &str) -> Vec<u32> {
    let answer = gateway.read(&format!("/kills?{query}")).await;
    let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{query}: {}", answer.body));
    items.iter().map(|kill| kill["requested_at"].as_str().unwrap()[17..19].parse().unwrap()).collect()
}

/// Holds before and after they are indexed.
async fn finds(gateway: &Gateway, expected: &[(&str, &[u32])]) {
    for round in ["as they come", "indexed"] {
        for (query, expected) in expected {
            assert_eq!(found(gateway, query).await, *expected, "{round}: {query}");
        }
        gateway.app.kills().audit().index_all(10).await.unwrap();
    }
}

/// Records a kill asked at that second, and what became of its two sessions, the first of them somebody's.
async fn settled(audit: &Audit, second: u32, user: &str, database: &str, outcomes: [Outcome; 2]) {
    let at = NOON + second * SECOND;
    let kill = aged::recorded(audit, &attempt(at)).await;
    let mut done = answered(&kill, &[("1111", outcomes[0]), ("2222", outcomes[1])]);
    done.sessions[0].identity = Some(aged::whose(user, database));
    audit.conclude(&done, at, "answered", None).await.unwrap();
}

async fn a_kill_is_found_by_whose_its_sessions_were(engine: Engine) {
    use Outcome::{Alive, Failed, Killed, NotFound};
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    settled(audit, 1, "report", "orders", [Killed, Killed]).await;
    settled(audit, 2, "report", "shop's \"own\"", [Killed, NotFound]).await;
    settled(audit, 3, "Report", "orders", [Failed, Failed]).await;
    settled(audit, 4, "app\\\u{1f980}", "orders", [Alive, Killed]).await;
    aged::recorded(audit, &refused(NOON + 5 * SECOND)).await;
    finds(
        &gateway,
        &[
            ("user=report", &[2, 1]),
            ("user=Report", &[3]),
            ("user=report,Report", &[3, 2, 1]),
            ("user=app%5C%F0%9F%A6%80", &[4]),
            ("user=rep", &[]),
            ("database=orders", &[4, 3, 1]),
            ("database=shop's%20%22own%22", &[2]),
            ("user=report&database=orders", &[1]),
            ("outcome=killed", &[4, 2, 1]),
            ("outcome=alive,failed", &[4, 3]),
            ("outcome=protected", &[]),
            ("user=report&outcome=not_found&session_id=2222", &[2]),
            ("session_id=1111,2222&outcome=killed", &[4, 2, 1]),
        ],
    )
    .await;
}

async fn a_match_that_names_no_session_is_found_by_whom_it_asked_for(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    for (second, criteria) in [
        (1, json!({ "user": "report", "min_seconds": 5 })),
        (2, json!({ "user": ["report", "app_*"], "database": ["orders"] })),
        (3, json!({ "database": "orders" })),
        (4, json!({ "user": 7, "database": { "x": "orders" } })),
    ] {
        let mut broad = attempt(NOON + second * SECOND);
        broad.kill.select = Some(json!({ "match": criteria }));
        broad.kill.sessions = vec![];
        let kill = aged::recorded(audit, &broad).await;
        audit.conclude(&answered(&kill, &[]), kill.requested_at, "answered", None).await.unwrap();
    }
    // Where sessions are known, they are what counts.
    let mut named = attempt(NOON + 5 * SECOND);
    named.kill.select = Some(json!({ "match": { "user": "report" } }));
    named.kill.sessions[0].identity = Some(aged::whose("REPORT", "orders"));
    aged::recorded(audit, &named).await;
    finds(
        &gateway,
        &[
            ("user=report", &[2, 1]),
            ("user=REPORT", &[5]),
            ("user=app_x", &[]),
            ("database=orders", &[5, 3, 2]),
            ("database=orders&order=oldest", &[2, 3, 5]),
        ],
    )
    .await;
    let counts = gateway.read("/kills/stats?by=user&since=2026-03-01T00:00:00Z&until=2026-03-10T00:00:00Z").await;
    let users: Vec<_> = counts.body["items"].as_array().unwrap().iter().map(|count| count["user"].clone()).collect();
    assert_eq!(users, [json!("REPORT"), json!("report"), Value::Null], "a pattern is no user");
}

async fn what_was_ever_unknown_is_found_whatever_was_learned_later(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    let at = |second: u32| NOON + second * SECOND;
    for second in 1..=3 {
        let kill = aged::recorded(audit, &attempt(at(second))).await;
        if second > 1 {
            let lost = answered(&kill, &[("1111", Outcome::Unknown), ("2222", Outcome::Killed)]);
            let later = at(second) + Duration::from_hours(24 * 3650);
            audit.conclude(&lost, at(second), "answered", Some(later)).await.unwrap();
        }
        if second < 3 {
            let done = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
            audit.conclude(&done, at(second + 1), "answered", None).await.unwrap();
        }
    }
    finds(
        &gateway,
        &[
            ("ever_unknown=true", &[3, 2]),
            ("ever_unknown=true&status=succeeded", &[2]),
            ("status=unknown", &[3]),
            ("ever_unknown=false", &[1]),
        ],
    )
    .await;
}

async fn several_values_are_any_of_them_and_a_beginning_is_all_that_begin_so(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    for (second, caller, alias, person) in [
        (1, "dba-anna", "orders-ro", "anna"),
        (2, "dba-", "Orders", "bert"),
        (3, "dba", "orders", "carol"),
        (4, "DBA-bert", "ord%", "dave"),
        (5, "dba.carl", "ord_rs", "anna"),
        (6, "d\u{e9}b\u{e9}-\u{10ffff}", "\u{62a5}\u{8868}-1", "anna"),
    ] {
        let mut one = attempt(NOON + second * SECOND);
        one.kill.caller = caller.into();
        one.kill.on_behalf_of = Some(person.into());
        one.kill.target = Some(json!({ "alias": alias, "vendor": "taurusdb", "account": "huawei-prod" }));
        let kill = aged::recorded(audit, &one).await;
        if second % 2 == 0 {
            let done = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
            audit.conclude(&done, kill.requested_at, "answered", None).await.unwrap();
        }
    }
    finds(
        &gateway,
        &[
            ("caller=dba-*", &[2, 1]),
            ("caller=dba*", &[5, 3, 2, 1]),
            ("caller=dba,DBA*", &[4, 3]),
            ("caller=d%C3%A9*", &[6]),
            ("caller=*", &[6, 5, 4, 3, 2, 1]),
            ("target=ord*", &[5, 4, 3, 1]),
            ("target=ord%25*", &[4]),
            ("target=%E6%8A%A5*,Orders", &[6, 2]),
            ("on_behalf_of=anna,bert", &[6, 5, 2, 1]),
            ("on_behalf_of=ann", &[]),
            ("on_behalf_of=anna&caller=dba*&target=ord*", &[5, 1]),
            ("status=pending,failed&caller=dba*", &[5, 3, 1]),
            ("vendor=das,taurusdb&account=nobody,huawei-prod&order=oldest", &[1, 2, 3, 4, 5, 6]),
            ("vendor=das&account=nobody&vendor=taurusdb&account=huawei-prod&order=oldest", &[1, 2, 3, 4, 5, 6]),
        ],
    )
    .await;
}

async fn oldest_first_is_the_list_the_other_way_round(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    aged::fill(gateway.app.kills().audit(), 20).await;
    for query in [
        "",
        "caller=carol,dave",
        "session_id=2222",
        "session_id=1111,2222&status=failed",
        "reason=report",
        "user=app,report",
        "ever_unknown=true",
        "since=2025-02-01T00:00:00Z&until=2025-11-01T00:00:00Z",
    ] {
        let mut expected = listed(&gateway, query).await;
        assert!(!expected.is_empty(), "{query}");
        expected.reverse();
        assert_eq!(listed(&gateway, &format!("order=oldest&{query}")).await, expected, "{query}");
        assert_eq!(listed(&gateway, &format!("order=newest&{query}")).await.first(), expected.last());
    }
    // What comes while it is read is on no page, as ever.
    let first = gateway.read("/kills?order=oldest&limit=79").await;
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    let next = first.header("link").unwrap().split(['<', '>']).nth(1).unwrap().to_owned();
    assert!(next.contains("order=oldest"), "{next}");
    let last = gateway.read(&next).await.body;
    assert_eq!((last["items"].as_array().unwrap().len(), &last["next_cursor"]), (1, &Value::Null), "{last}");
}

async fn whoever_may_not_see_identities_may_not_ask_for_them(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    settled(gateway.app.kills().audit(), 1, "report", "orders", [Outcome::Killed, Outcome::Killed]).await;
    let window = "since=2026-01-01T00:00:00Z";
    for (path, field) in [
        ("/kills?user=report".to_owned(), "user"),
        ("/kills?database=orders".to_owned(), "database"),
        (format!("/kills/stats?{window}&user=report"), "user"),
        (format!("/kills/stats?{window}&by=status,user"), "by"),
        (format!("/kills/stats?{window}&by=database"), "by"),
    ] {
        let answer = gateway.client().get(&path, &Gateway::token("bot", "sessions:kill")).await;
        assert_eq!((answer.status.as_u16(), answer.code(), &answer.body["field"]), (403, "forbidden", &json!(field)));
        for scope in ["sessions:kill sessions:read", "kills:read"] {
            let answer = gateway.client().get(&path, &Gateway::token("bot", scope)).await;
            assert_eq!(answer.body["items"].as_array().map(Vec::len), Some(1), "{path} {scope}: {}", answer.body);
        }
    }
    let own = gateway.client().get("/kills?outcome=killed", &Gateway::token("bot", "sessions:kill")).await;
    assert_eq!(own.body["items"].as_array().map(Vec::len), Some(1), "an outcome is no identity");
}

async fn a_cursor_goes_on_in_its_own_order_and_in_no_other(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    aged::fill(gateway.app.kills().audit(), 3).await;
    let first = async |order: &str| {
        let page = gateway.read(&format!("/kills?limit=2{order}")).await;
        page.body["next_cursor"].as_str().unwrap().to_owned()
    };
    let (newest, oldest) = (first("").await, first("&order=oldest").await);
    for query in
        [format!("cursor={newest}"), format!("order=newest&cursor={newest}"), format!("order=oldest&cursor={oldest}")]
    {
        assert_eq!(gateway.read(&format!("/kills?{query}")).await.status, 200, "{query}");
    }
    for (path, field) in [
        (format!("/kills?cursor={oldest}"), "cursor"),
        (format!("/kills?order=newest&cursor={oldest}"), "cursor"),
        (format!("/kills?order=oldest&cursor={newest}"), "cursor"),
        (format!("/kills/export/manifest?format=csv&place={oldest}"), "place"),
    ] {
        let token = Gateway::token("auditor", "kills:read kills:export");
        let answer = gateway.client().get(&path, &token).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid"), "{path}: {}", answer.body);
        assert_eq!(answer.body["field"], field);
    }
}
