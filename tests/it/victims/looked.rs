//! Every kill by ids is looked at first: who is protected is spared, who is not there is told so, and the record knows whose
//! sessions they were; and a kill that goes blind needs leave for it, and says so.

use actix_web::http::StatusCode;
use futures_util::future::join_all;
use killgate::sandbox::{Action, Behaviour, Session};
use serde_json::{Value, json};

use super::{kill_by, on_both_engines, on_one_engine, outcomes, place};
use crate::support::{
    dice::Dice,
    gateway::{Answer, Engine, Gateway, Setup, kill_of},
};

on_both_engines!(a_kill_by_ids_spares_who_is_protected_and_knows_who_is_not_there);

on_one_engine! {
    a_kill_that_goes_blind_needs_its_scope_and_says_so,
    a_protected_target_is_never_killed_blind,
    a_target_says_itself_whether_its_kills_are_looked_at,
    without_a_list_nothing_is_sent_and_the_problem_says_what_would_go,
    das_takes_the_users_of_ids_and_lists_each_of_them_once,
    kills_that_wait_for_one_list_share_it,
    a_lone_kill_is_one_list_and_one_call,
    a_match_tells_how_many_met_it_and_nobody_is_told_as_nobody,
    a_match_that_names_nobody_needs_a_confirm,
    patterns_lists_exceptions_and_times_choose_as_they_say,
    a_protected_session_is_never_sent_whatever_is_asked,
}

/// What each vendor is asked for, and lists with: its alias, a session that lives, one that replicates, and one that there is not.
const CASES: [(&str, Action, Action, [u64; 3]); 4] = [
    ("ledger", Action::GaussdbSessions, Action::GaussdbKill, [10_181, 10_184, 99]),
    ("shop", Action::DasProcesses, Action::DasKill, [11_213, 11_216, 99]),
    ("orders-ro", Action::TaurusdbProcesses, Action::TaurusdbKill, [2_075_426, 2_075_429, 99]),
    ("orders-shard-1", Action::DcdbProcesses, Action::DcdbKill, [1112, 1115, 99]),
];

/// A kill of those ids; DAS lists by user, so there each comes with its own.
fn asked(alias: &str, [app, repl, gone]: [u64; 3]) -> Value {
    if alias == "shop" {
        let ids = [(app, "app"), (repl, "repl"), (gone, "app")].map(|(id, user)| json!({ "id": id, "user": user }));
        return kill_by(alias, json!({ "ids": ids }));
    }
    kill_of(alias, &[app, repl, gone])
}

async fn kill_as(gateway: &Gateway, scope: &str, body: &Value) -> Answer {
    let token = Gateway::token("dba", scope);
    gateway.client().post("/sessions/kill", &token, &[("Prefer", "wait=30")], body.to_string()).await
}

/// The bodies of the calls of that action.
fn bodies(gateway: &Gateway, action: Action) -> Vec<String> {
    gateway.clouds.calls_for(action).into_iter().map(|call| String::from_utf8(call.body).unwrap()).collect()
}

async fn a_kill_by_ids_spares_who_is_protected_and_knows_who_is_not_there(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (alias, list, kill, ids) in CASES {
        let [app, repl, gone] = ids;
        let answer = kill_as(&gateway, "sessions:kill sessions:read", &asked(alias, ids)).await;
        assert_eq!(answer.status, StatusCode::OK, "{alias}: {}", answer.body);
        assert_eq!(
            outcomes(&answer),
            [(app, "killed"), (repl, "protected"), (gone, "not_found")],
            "{alias}: {}",
            answer.body
        );
        let sent = bodies(&gateway, kill);
        assert!(sent.len() == 1 && sent[0].contains(&app.to_string()), "{alias}: {sent:?}");
        assert!(!sent[0].contains(&repl.to_string()) && !sent[0].contains("99"), "{alias}: {sent:?}");
        assert!(gateway.clouds.alive(&place(alias)).contains(&repl), "{alias}");
        assert!(!gateway.clouds.calls_for(list).is_empty());
        let record = gateway.record(answer.kill_id()).await;
        assert_eq!((&record["look"]["complete"], record.get("blind")), (&json!(true), None), "{record}");
        let identity = &record["sessions"][0]["identity"];
        for name in ["user", "host", "database", "command", "state", "statement", "statement_digest"] {
            assert!(identity[name].as_str().is_some_and(|text| !text.is_empty()), "{alias} {name}: {record}");
        }
        assert!(identity["seconds"].is_u64(), "{identity}");
        assert!(!identity["statement"].as_str().unwrap().contains(char::is_numeric), "it has no literals: {identity}");
        assert_eq!(record["sessions"][2].get("identity"), None, "{record}");
    }
}

async fn a_kill_that_goes_blind_needs_its_scope_and_says_so(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (alias, list, kill, [app, _, gone]) in CASES {
        let mut body = kill_of(alias, &[app, gone]);
        body["look"] = false.into();
        let refused = kill_as(&gateway, "sessions:kill", &body).await;
        assert_eq!(
            (refused.status, &refused.body["field"]),
            (StatusCode::FORBIDDEN, &json!("look")),
            "{}",
            refused.body
        );
        assert_eq!(gateway.record(refused.kill_id()).await["status"], "refused");
        assert!(bodies(&gateway, kill).is_empty());
        let sent = kill_as(&gateway, "sessions:kill sessions:kill:blind", &body).await;
        assert!(sent.status.is_success(), "{alias}: {}", sent.body);
        let record = gateway.record(sent.kill_id()).await;
        assert_eq!((&record["blind"], record.get("look")), (&json!("asked"), None), "{record}");
        assert_eq!(record["sessions"][0].get("identity"), None, "{record}");
        let first = bodies(&gateway, kill).remove(0);
        assert!(first.contains(&app.to_string()) && first.contains("99"), "{alias}: {first}");
        let kills = gateway.clouds.calls_for(kill);
        let before = gateway.clouds.calls_for(list).into_iter().filter(|call| call.at < kills[0].at).count();
        assert_eq!(before, 0, "{alias}: nobody looked before");
    }
}

async fn a_protected_target_is_never_killed_blind(engine: Engine) {
    let off = "[vendors.taurusdb]\nlook = 'off'\n[[protect]]\ntarget = 'orders-ro'\nusers = ['etl']\n".to_owned();
    let gateway = Gateway::start_with(engine, Setup { more: off, ..Setup::default() }).await;
    let mut body = kill_of("orders-ro", &[2_075_426]);
    body["look"] = false.into();
    let refused = kill_as(&gateway, "sessions:kill sessions:kill:blind", &body).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "forbidden"), "{}", refused.body);
    assert!(gateway.clouds.calls().is_empty());
    let looked = kill_as(&gateway, "sessions:kill", &kill_of("orders-ro", &[2_075_426, 2_075_429])).await;
    assert_eq!(outcomes(&looked), [(2_075_426, "killed"), (2_075_429, "protected")], "{}", looked.body);
}

async fn a_target_says_itself_whether_its_kills_are_looked_at(engine: Engine) {
    let node = format!(
        "instance_id = '{}'\nnode_id = '{}'\n",
        killgate::sandbox::demo::TAURUSDB_INSTANCE,
        killgate::sandbox::demo::TAURUSDB_NODE
    );
    let more = format!(
        "[vendors.taurusdb]\nlook = 'off'\n\
         [targets.looked]\nvendor = 'taurusdb'\nlook = 'on'\n{node}[targets.quick]\nvendor = 'taurusdb'\nlook = 'off'\n{node}"
    );
    let gateway = Gateway::start_with(engine, Setup { more, ..Setup::default() }).await;
    // What has no say of its own is held to the names of the place that have.
    for (target, id, blind) in
        [("looked", 2_075_425, None), ("quick", 2_075_426, Some("configured")), ("orders-ro", 2_075_427, None)]
    {
        let answer = kill_as(&gateway, "sessions:kill", &kill_of(target, &[id])).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(answer.body.get("blind").and_then(Value::as_str), blind, "{target}: {}", answer.body);
    }
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbProcesses).len(), 2);
}

async fn without_a_list_nothing_is_sent_and_the_problem_says_what_would_go(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (alias, list, kill, ids) in CASES {
        gateway.clouds.misbehave(list, Behaviour::Deny);
        let answer = kill_as(&gateway, "sessions:kill", &asked(alias, ids)).await;
        assert_eq!((answer.code(), &answer.body["field"]), ("upstream_denied", &json!("look")), "{}", answer.body);
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains("nothing was sent"), "{detail}");
        // Who is pinned cannot be checked without a list.
        assert_eq!(detail.contains(r#""look": false"#), alias != "shop", "{detail}");
        assert!(bodies(&gateway, kill).is_empty());
    }
}

async fn das_takes_the_users_of_ids_and_lists_each_of_them_once(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let bare = kill_as(&gateway, "sessions:kill", &kill_of("shop", &[11_213])).await;
    assert_eq!((bare.status.as_u16(), &bare.body["field"]), (422, &json!("select.ids")), "{}", bare.body);
    assert!(bare.body["detail"].as_str().unwrap().contains(r#""look": false"#), "{}", bare.body);
    let ids = [(11_212, "report"), (11_213, "app"), (11_217, "app"), (11_214, "etl")];
    let ids = ids.map(|(id, user)| json!({ "id": id, "user": user }));
    let answer = kill_as(&gateway, "sessions:kill", &kill_by("shop", json!({ "ids": ids }))).await;
    let told: Vec<_> = outcomes(&answer).into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(told, ["killed"; 4], "{}", answer.body);
    assert_eq!(gateway.clouds.calls_for(Action::DasKill).len(), 1);
}

async fn a_lone_kill_is_one_list_and_one_call(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (alias, id) in [("ledger", 10_181), ("orders-ro", 2_075_426)] {
        let before = gateway.clouds.calls().len();
        let answer = kill_as(&gateway, "sessions:kill", &kill_of(alias, &[id])).await;
        assert_eq!(outcomes(&answer), [(id, "killed")], "{}", answer.body);
        assert_eq!(gateway.clouds.calls().len() - before, 2, "{alias}");
    }
}

async fn kills_that_wait_for_one_list_share_it(engine: Engine) {
    const KILLS: u64 = 40;
    let gateway = Gateway::start(engine).await;
    for id in 1..=KILLS {
        gateway.clouds.put(&place("orders-ro"), &Session::new(id, "app"));
    }
    // While the first list is being read the others gather.
    gateway.clouds.misbehave_times(
        1,
        Action::TaurusdbProcesses,
        Behaviour::Slow(std::time::Duration::from_millis(400)),
    );
    let bodies: Vec<_> = (1..=KILLS).map(|id| kill_of("orders-ro", &[id])).collect();
    let answers = join_all(bodies.iter().map(|body| kill_as(&gateway, "sessions:kill", body))).await;
    for (answer, id) in answers.iter().zip(1..) {
        assert_eq!(outcomes(answer), [(id, "killed")], "{}", answer.body);
    }
    let (lists, kills) =
        (gateway.clouds.calls_for(Action::TaurusdbProcesses), gateway.clouds.calls_for(Action::TaurusdbKill));
    assert!(lists.len() < 40, "{} lists", lists.len());
    // No kill rests on a list that was asked for before it was asked for itself.
    for answer in &answers {
        let (looked, asked) = (&answer.body["look"]["at"], &answer.body["requested_at"]);
        assert!(looked.as_str().unwrap() >= asked.as_str().unwrap(), "{}", answer.body);
    }
    assert!(!kills.is_empty());
}

async fn a_match_tells_how_many_met_it_and_nobody_is_told_as_nobody(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let none =
        kill_as(&gateway, "sessions:kill", &kill_by("orders-ro", json!({ "match": { "user": "nobody" } }))).await;
    assert_eq!((none.status, &none.body["matched"]), (StatusCode::OK, &json!(0)), "{}", none.body);
    assert_eq!(none.body["note"], "no session met the match, so nothing was sent");
    let some = json!({ "match": { "user": "report", "limit": 1 } });
    let some = kill_as(&gateway, "sessions:kill", &kill_by("orders-ro", some)).await;
    let all = some.body["matched"].as_u64().unwrap();
    assert!(all > 1 && outcomes(&some).len() == 1, "all that met it, and one that was meant: {}", some.body);
    assert_eq!(gateway.record(some.kill_id()).await["matched"], all);
    // DAS names nobody, and so does the database that picks by itself.
    let by_user = kill_by("shop", json!({ "match": { "user": "report" } }));
    let intelligent = kill_by("orders-ro", json!({ "intelligent": true }));
    for body in [by_user, intelligent] {
        let token = Gateway::token("dba", "sessions:kill");
        let answer = gateway.client().post("/sessions/kill", &token, &[], body.to_string()).await;
        assert_eq!((answer.status, &answer.body["sessions"]), (StatusCode::ACCEPTED, &json!([])), "{}", answer.body);
        assert_eq!(answer.body["sessions_known"], false, "{}", answer.body);
        assert!(answer.body["note"].as_str().unwrap().contains("names no sessions"), "{}", answer.body);
    }
}

async fn a_match_that_names_nobody_needs_a_confirm(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for criteria in [json!({ "min_seconds": 0 }), json!({ "user": "*" }), json!({ "state": "executing", "limit": 1 })] {
        let mut body = kill_by("ledger", json!({ "match": criteria }));
        let refused = kill_as(&gateway, "sessions:kill", &body).await;
        assert_eq!((refused.status.as_u16(), &refused.body["field"]), (422, &json!("confirm")), "{}", refused.body);
        body["dry_run"] = true.into();
        let preview = kill_as(&gateway, "sessions:kill", &body).await;
        assert!(preview.body["confirm"].is_string(), "{}", preview.body);
    }
    assert!(gateway.clouds.calls_for(Action::GaussdbKill).is_empty());
}

async fn patterns_lists_exceptions_and_times_choose_as_they_say(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let at = place("orders-ro");
    for (id, user, host, seconds) in [
        (1, "etl_a", "10.7.0.1:4", 600),
        (2, "etl_b", "10.7.0.2:4", 600),
        (3, "etl_b", "10.8.0.2:4", 600),
        (4, "e*l", "10.7.0.4:4", 600),
        (5, "etl_a", "10.7.0.5:4", 1),
    ] {
        gateway.clouds.put(&at, &Session { host: host.into(), ..Session::new(id, user).running("select 7", seconds) });
    }
    let met = async |criteria: Value| {
        let mut body = kill_by("orders-ro", json!({ "match": criteria }));
        body["dry_run"] = true.into();
        let answer = kill_as(&gateway, "sessions:kill", &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let mut ids: Vec<u64> = outcomes(&answer).into_iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(met(json!({ "user": "etl_*", "min_seconds": "5m" })).await, [1, 2, 3]);
    assert_eq!(met(json!({ "user": ["etl_a", "etl_b"], "host": "10.7.*" })).await, [1, 2, 5]);
    assert_eq!(met(json!({ "user": "etl_*", "except": { "host": "10.8.*", "user": "etl_a" } })).await, [2]);
    assert_eq!(met(json!({ "user": r"e\*l" })).await, [4]);
    assert!(met(json!({ "user": "e*l" })).await.contains(&4));
}

/// Whatever lives where and whatever is asked, all but what the database itself picks.
async fn a_protected_session_is_never_sent_whatever_is_asked(engine: Engine) {
    let more = "[[protect]]\nusers = ['dba_*']\n".to_owned();
    let gateway = Gateway::start_with(engine, Setup { more, ..Setup::default() }).await;
    let mut dice = Dice::new(4711);
    let own =
        [("ledger", "rdsRepl"), ("shop", "rdsAdmin"), ("orders-ro", "rdsProxy"), ("orders-shard-1", "tdsqlsys_x")];
    let mut first = 5_000_000;
    for round in 0..60 {
        let (alias, _, kill, _) = dice.one(&CASES);
        let own = own.iter().find(|(of, _)| *of == alias).unwrap().1;
        let mut spared = vec![];
        let ids: Vec<u64> = (first..first + 1 + dice.roll(5)).collect();
        first += 10;
        let mut users = vec![];
        for id in &ids {
            let (user, command) =
                dice.one(&[("app", "Query"), ("dba_ann", "Query"), (own, "Query"), ("repl", "Binlog Dump GTID")]);
            let session = Session { command: command.into(), ..Session::new(*id, user) };
            gateway.clouds.put(&place(alias), &session);
            users.push(user);
            spared.extend((user != "app").then_some(*id));
        }
        let pinned = || ids.iter().zip(&users).map(|(id, user)| json!({ "id": id, "user": user })).collect::<Vec<_>>();
        let user = dice.one(&["app", "dba_ann", own, "repl"]);
        let select = match dice.roll(5) {
            0 if alias != "shop" => json!({ "ids": ids }),
            0 | 1 => json!({ "ids": pinned() }),
            2 => json!({ "match": { "user": user } }),
            3 => json!({ "match": { "user": ["app", user], "min_seconds": 0 } }),
            _ => json!({ "match": { "database": "orders", "statement": "select 1" } }),
        };
        let mut body = kill_by(alias, select);
        if dice.roll(3) == 0 {
            body["dry_run"] = true.into();
            let preview = kill_as(&gateway, "sessions:kill", &body).await;
            body.as_object_mut().unwrap().remove("dry_run");
            body["confirm"] = preview.body["confirm"].clone();
        }
        let answer = kill_as(&gateway, "sessions:kill", &body).await;
        let alive = gateway.clouds.alive(&place(alias));
        assert!(
            spared.iter().all(|id| alive.contains(id)),
            "round {round}: {body} ended one of {spared:?}: {}",
            answer.body
        );
        for call in bodies(&gateway, kill) {
            assert!(spared.iter().all(|id| !call.contains(&id.to_string())), "round {round}: {body} sent {call}");
        }
        for id in &ids {
            gateway.clouds.remove(&place(alias), *id);
        }
    }
}
