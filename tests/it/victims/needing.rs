//! Who needs a confirm, and how many sessions may end.

use std::time::Duration;

use actix_web::http::StatusCode;
use killgate::{
    clock::Clock,
    sandbox::{Action, Behaviour, Lie},
};
use serde_json::{Value, json};

use super::{ids_of, kill_by, on_one_engine, outcomes, place};
use crate::support::gateway::{Answer, Engine, Gateway, Setup, kill_of, targets};

on_one_engine! {
    a_match_with_many_victims_needs_a_confirm_at_every_vendor,
    what_the_vendor_ends_by_itself_is_counted_first,
    without_a_list_no_match_is_sent,
    without_a_turn_to_look_no_match_is_sent,
    whoever_may_do_so_goes_without_a_look_where_nothing_depends_on_it,
    some_callers_and_targets_always_need_one,
    a_kill_ends_no_more_sessions_than_its_cap,
    a_target_loses_no_more_sessions_in_a_minute_than_its_cap,
}

async fn started(engine: Engine, more: &str) -> Gateway {
    Gateway::start_with(engine, Setup { more: more.to_owned(), ..Setup::default() }).await
}

/// The same after its preview.
async fn confirmed(gateway: &Gateway, body: &Value) -> Answer {
    let (mut dry, mut body) = (body.clone(), body.clone());
    dry["dry_run"] = true.into();
    body["confirm"] = gateway.kill(&dry).await.body["confirm"].clone();
    gateway.kill_with(&[("Prefer", "wait=30")], &body).await
}

/// It is turned away for the lack of a confirm, on record, and nothing was killed.
async fn assert_needs_one(gateway: &Gateway, answer: &Answer) {
    assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid"), "{}", answer.body);
    assert_eq!(answer.body["field"], "confirm");
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains("is required for") && detail.contains("dry_run"), "{detail}");
    let record = gateway.record(answer.kill_id()).await;
    assert_eq!((&record["status"], &record["problem"]["code"]), (&json!("failed"), &json!("invalid")), "{record}");
}

async fn a_match_with_many_victims_needs_a_confirm_at_every_vendor(engine: Engine) {
    let gateway = started(engine, "[confirm]\nabove = 1\n").await;
    for (alias, kill) in [
        ("ledger", Action::GaussdbKill),
        ("shop", Action::DasKill),
        ("orders-ro", Action::TaurusdbKill),
        ("orders-shard-1", Action::DcdbKill),
    ] {
        let of_user = ids_of(&gateway, alias, "report");
        assert!(of_user.len() > 1);
        let asked = kill_by(alias, json!({ "match": { "user": "report" } }));
        assert_needs_one(&gateway, &gateway.kill(&asked).await).await;
        assert!(gateway.clouds.calls_for(kill).is_empty(), "{alias}");
        let one = kill_by(alias, json!({ "match": { "user": "report", "limit": 1 } }));
        let killed = gateway.kill_with(&[("Prefer", "wait=30")], &one).await;
        assert_eq!((killed.status, outcomes(&killed).len()), (StatusCode::OK, 1), "{alias}: {}", killed.body);
        let killed = confirmed(&gateway, &asked).await;
        assert_eq!(outcomes(&killed).len(), of_user.len() - 1, "{alias}: {}", killed.body);
        assert!(ids_of(&gateway, alias, "report").is_empty(), "{alias}");
    }
}

async fn what_the_vendor_ends_by_itself_is_counted_first(engine: Engine) {
    let gateway = started(engine, "[confirm]\nabove = 4\n").await;
    let sent = |gateway: &Gateway| {
        let calls = gateway.clouds.calls_for(Action::DasKill);
        calls.into_iter().map(|call| serde_json::from_slice::<Value>(&call.body).unwrap()).collect::<Vec<_>>()
    };
    let by_user = |user: &str| kill_by("shop", json!({ "match": { "user": user } }));
    assert_needs_one(&gateway, &gateway.kill(&by_user("app")).await).await;
    assert!(sent(&gateway).is_empty());
    // Few, and none of them to be spared: the vendor's own way.
    let answer = gateway.kill(&by_user("etl")).await;
    assert_eq!((answer.status, &answer.body["sessions"]), (StatusCode::ACCEPTED, &json!([])), "{}", answer.body);
    assert_eq!((sent(&gateway)[0]["user"].as_str(), &answer.body["look"]["complete"]), (Some("etl"), &json!(true)));
    // Replication is spared, which the vendor would not do.
    let answer = gateway.kill(&by_user("repl")).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "forbidden"), "{}", answer.body);
    // Of a list that was cut off only what was seen was counted, so only that is sent.
    gateway.clouds.misbehave(Action::DasProcesses, Behaviour::Lie(Lie::CutLists(1)));
    let answer = gateway.kill(&by_user("report")).await;
    assert_eq!((sent(&gateway).len(), sent(&gateway)[1].get("user")), (2, None), "{}", answer.body);
    assert!(!outcomes(&answer).is_empty());
    gateway.clouds.behave();
    assert_eq!(gateway.kill(&by_user("nobody")).await.body["status"], "succeeded");
    assert_eq!(sent(&gateway).len(), 2);
}

async fn some_callers_and_targets_always_need_one(engine: Engine) {
    let gateway = started(engine, "[confirm]\ncallers = ['*-intern']\ntargets = ['orders-*']\n").await;
    let one = kill_of("orders-ro", &[2_075_425]);
    let mut in_full = one.clone();
    in_full["target"] = targets().into_iter().find(|(alias, _)| *alias == "orders-ro").unwrap().1;
    for body in [&one, &in_full, &kill_by("orders-ro", json!({ "intelligent": true }))] {
        assert_needs_one(&gateway, &gateway.kill(body).await).await;
    }
    let intern = Gateway::token("dba-intern", "sessions:kill");
    let body = kill_of("ledger", &[10_180]).to_string();
    let answer = gateway.client().post("/sessions/kill", &intern, &[], body).await;
    assert_needs_one(&gateway, &answer).await;
    assert!(gateway.clouds.calls().is_empty(), "nobody even looked");
    assert_eq!(outcomes(&gateway.kill(&kill_of("ledger", &[10_180])).await), [(10_180, "killed")]);
    assert_eq!(outcomes(&confirmed(&gateway, &one).await), [(2_075_425, "killed")]);
    // Sessions at DAS are previewed by their user.
    let gateway = started(engine, "[confirm]\ntargets = ['*']\n").await;
    let pinned = kill_by("shop", json!({ "ids": [{ "id": "11213", "user": "app" }] }));
    assert_eq!(outcomes(&confirmed(&gateway, &pinned).await), [(11_213, "killed")]);
    let nameless = json!({ "vendor": "gaussdb", "instance_id": killgate::sandbox::demo::GAUSSDB_INSTANCE,
        "node_id": killgate::sandbox::demo::GAUSSDB_NODE, "component_id": "dn_6001" });
    assert_needs_one(&gateway, &gateway.kill(&kill_of(nameless, &[20_180])).await).await;
}

async fn a_kill_ends_no_more_sessions_than_its_cap(engine: Engine) {
    let more = "[callers]\nkills_per_second = 1000\nburst = 1000\nsessions_per_kill = 2\n";
    let gateway = started(engine, more).await;
    let mut tried_out = kill_of("orders-ro", &[1, 2, 3]);
    tried_out["dry_run"] = true.into();
    let by_user = |alias: &str| kill_by(alias, json!({ "match": { "user": "app" } }));
    for body in [kill_of("orders-ro", &[1, 2, 3]), tried_out, by_user("orders-ro"), by_user("shop")] {
        let answer = gateway.kill(&body).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid"), "{}", answer.body);
        assert_eq!(
            (&answer.body["field"], &gateway.record(answer.kill_id()).await["status"]),
            (&json!("select"), &json!("failed"))
        );
    }
    for kill in [Action::TaurusdbKill, Action::DasKill] {
        assert!(gateway.clouds.calls_for(kill).is_empty());
    }
    assert_eq!(outcomes(&gateway.kill(&kill_of("orders-ro", &[2_075_425, 2_075_426])).await).len(), 2);
}

async fn a_target_loses_no_more_sessions_in_a_minute_than_its_cap(engine: Engine) {
    let more = "[callers]\nkills_per_second = 1000\nburst = 1000\nsessions_per_target_minute = 3\n".to_owned();
    let begin = Clock::system().now();
    let clock = Clock::manual(begin);
    let gateway = Gateway::start_with(engine, Setup { more, clock: Some(clock.clone()), ..Setup::default() }).await;
    let keyed = async |ids: &[u64]| gateway.kill_with(&[("Idempotency-Key", "key")], &kill_of("orders-ro", ids)).await;
    assert_eq!(gateway.kill(&kill_of("orders-ro", &[2_075_425, 2_075_426])).await.status, StatusCode::OK);
    clock.set(begin + Duration::from_secs(20));
    let limited = keyed(&[2_075_428, 2_075_430]).await;
    assert_eq!((limited.status, limited.code()), (StatusCode::TOO_MANY_REQUESTS, "rate_limited"), "{}", limited.body);
    assert_eq!(limited.header("retry-after"), Some("40"));
    let record = gateway.record(limited.kill_id()).await;
    assert_eq!((&record["status"], &record["sessions"][0]["outcome"]), (&json!("rate_limited"), &json!("failed")));
    // One still fits, other targets have their own minute, and an alias has the same as its place.
    assert_eq!(
        gateway.kill(&kill_by("orders-ro", json!({ "match": { "user": "etl", "limit": 1 } }))).await.status,
        StatusCode::OK
    );
    assert_eq!(gateway.kill(&kill_of("ledger", &[10_180])).await.status, StatusCode::OK);
    let in_full = targets().into_iter().find(|(alias, _)| *alias == "orders-ro").unwrap().1;
    assert_eq!(gateway.kill(&kill_of(in_full, &[2_075_428])).await.code(), "rate_limited");
    let never = gateway.kill(&kill_of("orders-ro", &[2_075_428, 2_075_430, 2_075_431, 2_075_432])).await;
    assert_eq!((never.code(), &never.body["field"]), ("invalid", &json!("select")), "no minute has room for it");
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbKill).len(), 2);
    clock.set(begin + Duration::from_mins(1));
    let again = keyed(&[2_075_428, 2_075_430]).await;
    assert_eq!(again.status, StatusCode::OK, "its key is free again: {}", again.body);
    assert_eq!(gateway.clouds.alive(&place("orders-ro")).len(), 12);
}

async fn without_a_list_no_match_is_sent(engine: Engine) {
    let gateway = started(engine, "").await;
    gateway.clouds.misbehave(Action::DasProcesses, Behaviour::Deny);
    gateway.clouds.misbehave(Action::TaurusdbProcesses, Behaviour::Deny);
    for alias in ["shop", "orders-ro"] {
        let answer = gateway.kill(&kill_by(alias, json!({ "match": { "user": "report" } }))).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_denied"), "{}", answer.body);
        assert_eq!(answer.body["field"], "look");
        assert_eq!(gateway.record(answer.kill_id()).await["status"], "failed");
        assert!(!ids_of(&gateway, alias, "report").is_empty());
    }
    assert!(gateway.clouds.calls_for(Action::DasKill).is_empty());
}

async fn without_a_turn_to_look_no_match_is_sent(engine: Engine) {
    let slow = "[vendors.das]\nmax_wait_ms = 500\n[accounts.huawei-slow]\ncloud = 'huawei'\nregion = 'r'\nproject_id = '0611f1bd8b00d5d32f17c017f15b599f'\n\
                access_key = 'i'\nsecret_key = 'k'\nendpoints.das = '{clouds}'\nvendors.das.requests_per_second = 1\n\
                [targets.slow]\nvendor = 'das'\naccount = 'huawei-slow'\n";
    let [_, (_, das), ..] = targets();
    let more = format!(
        "{slow}instance_id = {}\ndb_user_id = {}\n[confirm]\nabove = 1\n",
        das["instance_id"], das["db_user_id"]
    );
    let gateway = started(engine, &more).await;
    // Kills that want the same list would share it.
    let bodies = ["report", "app", "etl", "repl"].map(|user| kill_by("slow", json!({ "match": { "user": user } })));
    let answers = futures_util::future::join_all(bodies.each_ref().map(|body| gateway.kill(body))).await;
    for answer in &answers {
        assert!(answer.status.is_client_error() || answer.status.is_server_error(), "{}", answer.body);
    }
    let turned_away: Vec<_> = answers.iter().filter(|answer| answer.status.as_u16() == 429).collect();
    assert!(!turned_away.is_empty(), "one call a second, and nobody waits");
    for answer in turned_away {
        assert_eq!((answer.code(), &answer.body["field"]), ("rate_limited", &json!("look")), "{}", answer.body);
        assert!(answer.header("retry-after").is_some(), "{}", answer.body);
        assert!(answer.body["detail"].as_str().unwrap().contains("sessions:kill:blind"), "{}", answer.body);
    }
    assert!(gateway.clouds.calls_for(Action::DasKill).is_empty());
}

async fn whoever_may_do_so_goes_without_a_look_where_nothing_depends_on_it(engine: Engine) {
    const BLIND: &str = "sessions:kill sessions:kill:blind";
    let ask = async |gateway: &Gateway, scope: &str, alias: &str, select: Value| {
        let mut body = kill_by(alias, select);
        body["look"] = false.into();
        gateway.client().post("/sessions/kill", &Gateway::token("dba", scope), &[], body.to_string()).await
    };
    let by_user = || json!({ "match": { "user": "report" } });
    for (more, scope, alias, select, code) in [
        ("[confirm]\nabove = 1000\n", "sessions:kill", "shop", by_user(), "forbidden"),
        ("", BLIND, "shop", by_user(), "forbidden"),
        ("[confirm]\nabove = 1000\n[callers]\nsessions_per_kill = 5\n", BLIND, "shop", by_user(), "forbidden"),
        ("[confirm]\nabove = 1000\n[callers]\nsessions_per_target_minute = 5\n", BLIND, "shop", by_user(), "forbidden"),
        (
            "[confirm]\nabove = 1000\n[[protect]]\nvendor = 'das'\nusers = ['x']\n",
            BLIND,
            "shop",
            by_user(),
            "forbidden",
        ),
        ("[[protect]]\nusers = ['x']\n", BLIND, "orders-ro", json!({ "ids": ["2075425"] }), "forbidden"),
        ("[confirm]\nabove = 1000\n", BLIND, "orders-ro", by_user(), "invalid"),
        ("", BLIND, "orders-ro", json!({ "ids": [{ "id": "2075425", "user": "report" }] }), "invalid"),
    ] {
        let gateway = started(engine, more).await;
        let answer = ask(&gateway, scope, alias, select).await;
        assert_eq!((answer.code(), &answer.body["field"]), (code, &json!("look")), "{more}: {}", answer.body);
        assert!(gateway.clouds.calls().is_empty(), "{more}");
        let status = if code == "forbidden" { "refused" } else { "failed" };
        assert_eq!(gateway.record(answer.kill_id()).await["status"], status);
    }
    let gateway = started(engine, "[confirm]\nabove = 1000\n").await;
    gateway.clouds.misbehave(Action::DasProcesses, Behaviour::Deny);
    let answer = ask(&gateway, BLIND, "shop", by_user()).await;
    assert_eq!((answer.status, &answer.body["sessions"]), (StatusCode::ACCEPTED, &json!([])), "{}", answer.body);
    assert!(answer.body.get("look").is_none() && ids_of(&gateway, "shop", "report").is_empty());
    let by_id = ask(&gateway, BLIND, "orders-ro", json!({ "ids": ["2075425"] })).await;
    assert_eq!(by_id.status, StatusCode::OK, "{}", by_id.body);
}
