//! Whatever guards one shard guards it where several are named.

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, demo as world};
use serde_json::{Value, json};

use super::{A, B, Gateway, TWIN, aliases, clouds, kill_by, lives, of_twins, on_one_engine, outcomes};
use crate::support::gateway::{Answer, Engine, Setup};

on_one_engine! {
    who_may_reach_one_shard_alone_reaches_no_other_through_several,
    a_rule_at_one_shard_protects_its_sessions_and_no_others,
    a_shard_that_needs_a_confirm_needs_it_among_several_and_has_one_share_of_the_minute,
    a_look_is_needed_where_a_rule_covers_one_of_them,
}

/// `second` is shard B, for `dba-*` alone.
async fn started(more: &str) -> Gateway {
    let second = format!(
        "[targets.second]\nvendor = 'dcdb'\ninstance_id = '{}'\nshard_id = '{B}'\ncallers = ['dba-*']\n",
        world::DCDB_INSTANCE
    );
    let more = format!("{}{second}{more}", aliases());
    Gateway::start_with(Engine::Sqlite, Setup { more, clouds: Some(clouds()), ..Setup::default() }).await
}

fn named(shards: impl Into<Value>) -> Value {
    json!({ "vendor": "dcdb", "instance_id": world::DCDB_INSTANCE, "shards": shards.into() })
}

async fn kill_as(gateway: &Gateway, caller: &str, body: &Value) -> Answer {
    let token = Gateway::token(caller, "sessions:kill sessions:read sessions:kill:blind");
    gateway.client().post("/sessions/kill", &token, &[("Prefer", "wait=60")], body.to_string()).await
}

async fn who_may_reach_one_shard_alone_reaches_no_other_through_several(_: Engine) {
    let gateway = started("").await;
    let ids = json!({ "ids": [format!("{A}/{TWIN}")] });
    for target in [named(json!("all")), named(json!([A, B])), named(json!([B])), json!("all"), json!("both")] {
        for select in [of_twins(), ids.clone()] {
            if target == named(json!([B])) && select == ids {
                continue;
            }
            let body = json!({ "target": target, "select": select, "reason": "INC-4711" });
            let answer = kill_as(&gateway, "mallory", &body).await;
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::FORBIDDEN, "forbidden"),
                "{target}: {}",
                answer.body
            );
            assert_eq!(gateway.record(answer.kill_id()).await["status"], "refused");
        }
    }
    let token = Gateway::token("mallory", "sessions:read");
    for query in ["target=all".to_owned(), format!("vendor=dcdb&instance_id={}&shards=all", world::DCDB_INSTANCE)] {
        let list = gateway.client().get(&format!("/sessions?{query}"), &token).await;
        assert_eq!(list.status, StatusCode::FORBIDDEN, "{query}");
    }
    let targets = async |caller: &str| gateway.client().get("/targets", &Gateway::token(caller, "sessions:read")).await;
    let shown = targets("mallory").await.body.to_string();
    assert!(!shown.contains("\"all\"") && shown.contains("orders-shard-1"), "{shown}");
    assert!(gateway.clouds.calls().is_empty());
    // The shard that is nobody's alone, and a caller who may reach both.
    let first = json!({ "target": named(json!([A])), "select": ids, "reason": "INC-4711" });
    assert_eq!(outcomes(&kill_as(&gateway, "mallory", &first).await.body), [(A, "4711", "killed")]);
    let answer = kill_as(&gateway, "dba-ann", &kill_by("all", of_twins())).await;
    assert_eq!(outcomes(&answer.body), [(B, "4711", "killed")], "{}", answer.body);
    assert_eq!(targets("dba-ann").await.body["items"].as_array().unwrap()[0]["shards"], "all");
}

async fn a_rule_at_one_shard_protects_its_sessions_and_no_others(_: Engine) {
    let gateway = started("[[protect]]\ntarget = 'second'\nusers = ['twin']\n").await;
    let token = Gateway::token("dba-ann", "sessions:read");
    let list = gateway.client().get("/sessions?target=all&user=twin", &token).await.body;
    let protected: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| &item["protected"]).collect();
    assert_eq!(protected, [&json!(false), &json!(true)], "{list}");
    let ids = json!({ "ids": [format!("{A}/{TWIN}"), format!("{B}/{TWIN}")] });
    let answer = kill_as(&gateway, "dba-ann", &kill_by("all", ids)).await;
    assert_eq!(outcomes(&answer.body), [(A, "4711", "killed"), (B, "4711", "protected")], "{}", answer.body);
    assert!(lives(&gateway, B) && !lives(&gateway, A));
    assert_eq!(gateway.clouds.calls_for(Action::DcdbKill).len(), 1);
}

async fn a_shard_that_needs_a_confirm_needs_it_among_several_and_has_one_share_of_the_minute(_: Engine) {
    let gateway = started("[confirm]\ntargets = ['second']\n[callers]\nsessions_per_target_minute = 2\n").await;
    let mut body = kill_by("all", of_twins());
    let without = kill_as(&gateway, "dba-ann", &body).await;
    assert_eq!((without.code(), &without.body["field"]), ("invalid", &json!("confirm")), "{}", without.body);
    body["dry_run"] = true.into();
    let preview = kill_as(&gateway, "dba-ann", &body).await;
    body.as_object_mut().unwrap().remove("dry_run");
    body["confirm"] = preview.body["confirm"].clone();
    let elsewhere = json!({ "target": "both", "select": of_twins(), "reason": "INC-4711", "confirm": body["confirm"] });
    assert_eq!(kill_as(&gateway, "dba-ann", &elsewhere).await.body["field"], "confirm", "it is of another target");
    let answer = kill_as(&gateway, "dba-ann", &body).await;
    assert_eq!(answer.body["status"], "succeeded", "{}", answer.body);
    // What ended there counts for each of the shards, and the other way round.
    for (target, id) in [("orders-shard-1", "1111".to_owned()), ("all", format!("{A}/1111"))] {
        let mut one = kill_by(target, json!({ "ids": [id] }));
        one["dry_run"] = true.into();
        let preview = kill_as(&gateway, "dba-ann", &one).await;
        one.as_object_mut().unwrap().remove("dry_run");
        one["confirm"] = preview.body["confirm"].clone();
        let answer = kill_as(&gateway, "dba-ann", &one).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (429, "rate_limited"), "{target}: {}", answer.body);
    }
}

async fn a_look_is_needed_where_a_rule_covers_one_of_them(_: Engine) {
    let gateway = started("[[protect]]\ntarget = 'second'\nusers = ['twin']\n").await;
    let mut body = kill_by("all", json!({ "ids": [format!("{A}/{TWIN}")] }));
    body["look"] = false.into();
    let answer = kill_as(&gateway, "dba-ann", &body).await;
    assert_eq!((answer.status, &answer.body["field"]), (StatusCode::FORBIDDEN, &json!("look")), "{}", answer.body);
    assert!(gateway.clouds.calls().is_empty());
}
