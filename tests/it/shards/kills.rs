//! One kill on record, and a call for each shard.

use std::time::Duration;

use killgate::sandbox::{Action, Behaviour, Canned, Clouds, Session, demo as world};
use serde_json::{Value, json};

use super::{
    A, B, Gateway, TWIN, events, kill, kill_by, lives, of_twins, on_both_engines, on_one_engine, outcomes, place, sent,
    started,
};
use crate::support::gateway::{Engine, Setup};

on_both_engines! {
    the_same_number_on_two_shards_is_two_sessions,
    a_shard_that_fails_leaves_the_outcomes_of_the_others,
    a_shard_that_was_added_after_the_preview_is_not_touched,
    a_kill_that_is_asked_for_again_under_its_key_is_the_same,
}

on_one_engine! {
    a_users_sessions_on_every_shard_end_by_one_kill,
    a_shard_that_is_not_there_fails_alone,
    a_shard_that_cannot_be_listed_is_told_and_the_others_are_ended,
    what_keeps_from_every_shard_is_told_before_what_is_wrong_at_one,
    a_bare_id_at_several_shards_is_refused,
    ids_go_without_a_look_to_the_shard_that_each_names,
    the_vendors_limit_is_kept_over_all_shards,
    no_call_has_more_ids_than_the_vendor_takes_or_those_of_two_shards,
    pins_and_exceptions_hold_on_every_shard,
    of_a_shard_whose_primary_changes_the_node_that_was_looked_at_is_meant,
}

/// The vendor's own refusal of one call.
pub(super) fn refusal(code: &str) -> Behaviour {
    let error = json!({ "Response": { "Error": { "Code": code, "Message": "no" }, "RequestId": "{request_id}" } });
    Behaviour::Status(Canned::json(200, &error.to_string()))
}

async fn the_same_number_on_two_shards_is_two_sessions(engine: Engine) {
    let gateway = started(engine, "").await;
    let one = json!({ "ids": [{ "shard": B, "id": TWIN }] });
    let answer = kill(&gateway, &kill_by("all", one)).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    assert_eq!(outcomes(&answer.body), [(B, "4711", "killed")]);
    assert_eq!((lives(&gateway, A), lives(&gateway, B)), (true, false));
    assert_eq!(sent(&gateway), [(B.to_owned(), world::DCDB_SECOND_NODE.to_owned(), vec![TWIN])]);
    assert_eq!(answer.body["select"], json!({ "ids": [format!("{B}/4711")] }));
    // Its other form, and both sessions of that number at once.
    gateway.clouds.put(&place(B), &Session::new(TWIN, "twin"));
    let both = json!({ "ids": [format!("{B}/4711"), format!("{A}/4711")] });
    let answer = kill(&gateway, &kill_by("both", both)).await;
    assert_eq!(outcomes(&answer.body), [(B, "4711", "killed"), (A, "4711", "killed")], "{}", answer.body);
    assert_eq!(answer.body["target"]["shards"], json!([A, B]));
    assert_eq!(gateway.record(answer.kill_id()).await["sessions"], answer.body["sessions"]);
    assert!(!lives(&gateway, A) && !lives(&gateway, B));
}

async fn a_users_sessions_on_every_shard_end_by_one_kill(engine: Engine) {
    let gateway = started(engine, "").await;
    let answer = kill(&gateway, &kill_by("all", of_twins())).await;
    assert_eq!((&answer.body["status"], &answer.body["matched"]), (&json!("succeeded"), &json!(2)), "{}", answer.body);
    assert_eq!(outcomes(&answer.body), [(A, "4711", "killed"), (B, "4711", "killed")]);
    let nodes = [(A, world::DCDB_NODE), (B, world::DCDB_SECOND_NODE)];
    let plain = nodes.map(|(shard, node)| (shard.to_owned(), node.to_owned(), vec![TWIN]));
    assert_eq!(sent(&gateway), plain, "the vendor's script knows one shard and plain ids");
    assert_eq!(gateway.read("/kills").await.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(gateway.clouds.calls_for(Action::DcdbDetail).len(), 1, "one question for all shards");
}

async fn a_shard_that_fails_leaves_the_outcomes_of_the_others(engine: Engine) {
    for failing in [A, B] {
        let gateway = started(engine, "").await;
        gateway.clouds.misbehave_at(failing, Action::DcdbKill, refusal("ResourceUnavailable.InstanceHasBeenLocked"));
        let answer = kill(&gateway, &kill_by("all", of_twins())).await;
        assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &json!("partial")), "{}", answer.body);
        let of = |shard: &str| if shard == failing { "failed" } else { "killed" };
        assert_eq!(outcomes(&answer.body), [(A, "4711", of(A)), (B, "4711", of(B))]);
        let sessions = answer.body["sessions"].as_array().unwrap();
        let failed = sessions.iter().find(|session| session["shard"] == failing).unwrap();
        assert!(failed["detail"].as_str().is_some_and(|why| why.starts_with("refused: ")), "{failed}");
        assert_eq!((lives(&gateway, A), lives(&gateway, B)), (failing == A, failing == B));
        assert_eq!(gateway.record(answer.kill_id()).await["sessions"], answer.body["sessions"]);
    }
}

async fn a_shard_that_is_not_there_fails_alone(engine: Engine) {
    let more = format!(
        "[targets.wrong]\nvendor = 'dcdb'\ninstance_id = '{}'\nshards = ['{A}', 'shard-nowhere']\n",
        world::DCDB_INSTANCE
    );
    let gateway = started(engine, &more).await;
    let ids = json!({ "ids": [format!("{A}/4711"), "shard-nowhere/4711"] });
    let answer = kill(&gateway, &kill_by("wrong", ids)).await;
    assert_eq!(answer.body["status"], "partial", "{}", answer.body);
    assert_eq!(outcomes(&answer.body), [(A, "4711", "killed"), ("shard-nowhere", "4711", "failed")]);
    assert!(answer.body["sessions"][1]["detail"].as_str().unwrap().contains("no such shard"), "{}", answer.body);
    let alone = kill(&gateway, &kill_by("all", json!({ "ids": ["shard-nowhere/1"] }))).await;
    assert_eq!((alone.status.as_u16(), alone.code()), (404, "target_not_found"), "{}", alone.body);
}

async fn a_shard_that_cannot_be_listed_is_told_and_the_others_are_ended(engine: Engine) {
    let gateway = started(engine, "").await;
    gateway.clouds.misbehave_at(A, Action::DcdbProcesses, refusal("InternalError.OperateDatabaseFailed"));
    let answer = kill(&gateway, &kill_by("all", of_twins())).await;
    assert_eq!(answer.body["status"], "partial", "{}", answer.body);
    assert_eq!(outcomes(&answer.body), [(B, "4711", "killed")]);
    assert_eq!(answer.body["look"]["complete"], false);
    let [unlisted] = answer.body["unlisted"].as_array().unwrap().as_slice() else { panic!("{}", answer.body) };
    assert!(
        unlisted["shard"] == A && unlisted["detail"].as_str().unwrap().starts_with("the vendor fail"),
        "{unlisted}"
    );
    let record = gateway.record(answer.kill_id()).await;
    assert_eq!((&record["unlisted"], &record["status"]), (&answer.body["unlisted"], &json!("partial")));
    // What a preview did not see the kill that is bound to it did not look for either.
    gateway.clouds.put(&place(B), &Session::new(TWIN, "twin"));
    let mut bound = kill_by("all", of_twins());
    bound["dry_run"] = true.into();
    let preview = gateway.kill(&bound).await;
    assert_eq!(preview.body["unlisted"][0]["shard"], A, "{}", preview.body);
    bound.as_object_mut().unwrap().remove("dry_run");
    bound["confirm"] = preview.body["confirm"].clone();
    let answer = kill(&gateway, &bound).await;
    assert_eq!((outcomes(&answer.body), &answer.body["status"]), (vec![(B, "4711", "killed")], &json!("partial")));
    assert_eq!(answer.body["unlisted"], preview.body["unlisted"]);
    let token = Gateway::token("auditor", "kills:export");
    let csv = gateway.client().get("/kills/export?format=csv", &token).await.body;
    assert!(csv.as_str().unwrap().contains(&format!("false,\"{A}: the vendor fail")), "{csv}");
    let ids = json!({ "ids": [format!("{A}/4711"), format!("{B}/2111")] });
    let answer = kill(&gateway, &kill_by("all", ids)).await;
    assert_eq!(outcomes(&answer.body), [(A, "4711", "failed"), (B, "2111", "killed")], "{}", answer.body);
    assert!(lives(&gateway, A));
    gateway.clouds.misbehave_at(B, Action::DcdbProcesses, refusal("InternalError.OperateDatabaseFailed"));
    let nothing = kill(&gateway, &kill_by("all", of_twins())).await;
    assert_eq!((nothing.status.as_u16(), &nothing.body["field"]), (502, &json!("look")), "{}", nothing.body);
}

async fn a_shard_that_was_added_after_the_preview_is_not_touched(engine: Engine) {
    let gateway = started(engine, "").await;
    let mut body = kill_by("all", of_twins());
    body["dry_run"] = true.into();
    let preview = gateway.kill(&body).await;
    assert_eq!(outcomes(&preview.body), [(A, "4711", "alive"), (B, "4711", "alive")], "{}", preview.body);
    let third = gateway.clouds.add_dcdb(world::DCDB_INSTANCE, "shard-demo0003", "set_1700000001_9", "node-demo0009");
    gateway.clouds.put(&third, &Session::new(TWIN, "twin").running("select 1 from orders", 60));
    body.as_object_mut().unwrap().remove("dry_run");
    body["confirm"] = preview.body["confirm"].clone();
    let answer = kill(&gateway, &body).await;
    assert_eq!(answer.body["status"], "succeeded", "{}", answer.body);
    assert_eq!(outcomes(&answer.body), [(A, "4711", "killed"), (B, "4711", "killed")]);
    assert_eq!(gateway.clouds.alive(&third), [TWIN]);
    let asked = gateway
        .clouds
        .calls()
        .into_iter()
        .filter(|call| String::from_utf8_lossy(&call.body).contains("shard-demo0003"));
    assert_eq!(asked.count(), 0, "nobody asked for it");
}

async fn a_kill_that_is_asked_for_again_under_its_key_is_the_same(engine: Engine) {
    let gateway = started(engine, "").await;
    let headers = [("Prefer", "wait=60"), ("Idempotency-Key", "twins")];
    let body = kill_by("all", json!({ "ids": [{ "shard": A, "id": "4711" }, { "shard": B, "id": "4711" }] }));
    let first = gateway.kill_with(&headers, &body).await;
    let same = kill_by("all", json!({ "ids": [format!("{A}/4711"), { "shard": B, "id": 4711 }] }));
    let again = gateway.kill_with(&headers, &same).await;
    assert_eq!((first.status.as_u16(), &again.body), (200, &first.body), "{}", again.body);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let others = kill_by("all", json!({ "ids": [format!("{A}/4711"), format!("{A}/1111")] }));
    assert_eq!(gateway.kill_with(&headers, &others).await.code(), "key_reused");
    assert_eq!(sent(&gateway).len(), 2);
}

async fn what_keeps_from_every_shard_is_told_before_what_is_wrong_at_one(engine: Engine) {
    let gateway = started(engine, "").await;
    for (gone, kept) in [(A, B), (B, A)] {
        gateway.clouds.misbehave_at(gone, Action::DcdbProcesses, refusal("InvalidParameterValue.ShardNotExist"));
        gateway.clouds.misbehave_at(kept, Action::DcdbProcesses, refusal("UnauthorizedOperation"));
        let answer = kill(&gateway, &kill_by("both", of_twins())).await;
        let told = (answer.status.as_u16(), answer.code(), &answer.body["field"]);
        assert_eq!(told, (502, "upstream_denied", &json!("look")), "{}", answer.body);
    }
    assert!(sent(&gateway).is_empty());
}

async fn a_bare_id_at_several_shards_is_refused(engine: Engine) {
    let gateway = started(engine, "").await;
    for (target, id, says) in [
        ("all", json!("4711"), "with its shard"),
        ("all", json!(4711), "with its shard"),
        ("both", json!({ "id": "4711", "user": "twin" }), "with its shard"),
        ("both", json!("shard-demo0009/4711"), "one of the shards"),
        ("all", json!(format!("{A}/x")), "a whole number"),
        ("all", json!(format!("{A}/")), "a whole number"),
        ("all", json!("a b/1"), "the name of a shard"),
        ("all", json!("all/1"), "the name of a shard"),
        ("orders-shard-1", json!(format!("{A}/1111")), "must not name a shard"),
        ("orders-shard-1", json!({ "shard": A, "id": 1111 }), "must not name a shard"),
    ] {
        let answer = gateway.kill(&kill_by(target, json!({ "ids": [id] }))).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid"), "{id}: {}", answer.body);
        assert_eq!(answer.body["field"], "select.ids[0]", "{}", answer.body);
        assert!(answer.body["detail"].as_str().unwrap().contains(says), "{}", answer.body);
    }
    let twice = json!({ "ids": [format!("{A}/4711"), { "shard": A, "id": "04711" }] });
    let answer = gateway.kill(&kill_by("all", twice)).await;
    assert_eq!(answer.body["detail"], "select.ids[1] is given twice");
    let mixed = json!({ "ids": [{ "shard": A, "id": format!("{A}/1") }] });
    assert_eq!(gateway.kill(&kill_by("all", mixed)).await.body["field"], "select.ids[0].id");
    let other = json!({ "ids": [{ "node": A, "id": 1 }] });
    let answer = gateway.kill(&kill_by("all", other)).await;
    assert_eq!(answer.body["detail"], "select.ids[0].node must be the name of a node; a shard's goes into `shard`");
    assert!(gateway.clouds.calls().is_empty());
}

async fn ids_go_without_a_look_to_the_shard_that_each_names(engine: Engine) {
    let gateway = started(engine, "").await;
    let mut body = kill_by(
        "all",
        json!({ "ids": [format!("{A}/4711"), format!("{B}/4711"), "shard-nowhere/1", format!("{A}/1111")] }),
    );
    body["look"] = false.into();
    let token = Gateway::token("dba", "sessions:kill sessions:kill:blind");
    let headers = [("Prefer", "wait=60")];
    let answer = gateway.client().post("/sessions/kill", &token, &headers, body.to_string()).await;
    let told = [(A, "4711", "killed"), (B, "4711", "killed"), ("shard-nowhere", "1", "failed"), (A, "1111", "killed")];
    assert_eq!(outcomes(&answer.body), told, "as they were asked for: {}", answer.body);
    assert_eq!((&answer.body["status"], &answer.body["blind"]), (&json!("partial"), &json!("asked")));
    assert!(!lives(&gateway, A) && !lives(&gateway, B));
}

async fn the_vendors_limit_is_kept_over_all_shards(engine: Engine) {
    let clouds = Clouds::demo();
    let shards = clouds.add_dcdb_shards("tdsqlshard-twelve", 12);
    for shard in &shards {
        clouds.put(shard, &Session::new(TWIN, "twin").running("select 1", 60));
    }
    clouds.limit_dcdb(4);
    let more = "[targets.twelve]\nvendor = 'dcdb'\ninstance_id = 'tdsqlshard-twelve'\nshards = 'all'\n\
                [vendors.dcdb]\nrequests_per_second = 4\nlook_max_age_ms = 60000\n[confirm]\nabove = 100\n";
    let gateway =
        Gateway::start_with(engine, Setup { more: more.into(), clouds: Some(clouds), ..Setup::default() }).await;
    let answer = kill(&gateway, &kill_by("twelve", of_twins())).await;
    assert_eq!(answer.body["status"], "succeeded", "{}", answer.body);
    assert_eq!((outcomes(&answer.body).len(), sent(&gateway).len()), (12, 12));
    assert_eq!(gateway.clouds.violations(), 0);
    assert!(shards.iter().all(|shard| gateway.clouds.alive(shard).is_empty()));
}

async fn no_call_has_more_ids_than_the_vendor_takes_or_those_of_two_shards(engine: Engine) {
    let gateway = started(engine, "[vendors.dcdb]\nmax_ids_per_call = 2\n").await;
    let ids = [(A, 1111), (B, 2111), (A, 1112), (A, 1113), (B, TWIN)].map(|(shard, id)| format!("{shard}/{id}"));
    let answer = kill(&gateway, &kill_by("all", json!({ "ids": ids }))).await;
    let calls: Vec<_> = sent(&gateway).into_iter().map(|(shard, _, ids)| (shard, ids)).collect();
    let expected = [(A, vec![1111, 1112]), (A, vec![1113]), (B, vec![2111, TWIN])];
    assert_eq!(calls, expected.map(|(shard, ids)| (shard.to_owned(), ids)), "{}", answer.body);
    let order: Vec<_> = outcomes(&answer.body).into_iter().map(|(shard, id, _)| format!("{shard}/{id}")).collect();
    assert_eq!(order, ids, "as they were asked for");
}

async fn pins_and_exceptions_hold_on_every_shard(engine: Engine) {
    let gateway = started(engine, "[[protect]]\ntarget = 'orders-shard-1'\nusers = ['twin']\n").await;
    let pinned =
        json!({ "ids": [{ "shard": A, "id": TWIN, "user": "twin" }, { "shard": B, "id": TWIN, "user": "app" }] });
    let answer = kill(&gateway, &kill_by("all", pinned.clone())).await;
    assert_eq!(outcomes(&answer.body), [(A, "4711", "protected"), (B, "4711", "changed")], "{}", answer.body);
    let select = &gateway.record(answer.kill_id()).await["select"];
    assert_eq!(select["ids"][1], json!({ "id": format!("{B}/4711"), "user": "app" }));
    let spared = json!({ "match": { "user": ["twin", "report"], "except": { "user": "report" } } });
    let answer = kill(&gateway, &kill_by("all", spared)).await;
    assert_eq!(outcomes(&answer.body), [(A, "4711", "protected"), (B, "4711", "killed")], "{}", answer.body);
    let few = json!({ "match": { "user": "report", "limit": 2, "order": "longest" } });
    assert_eq!(outcomes(&kill(&gateway, &kill_by("all", few)).await.body).len(), 2, "of all shards together");
}

async fn of_a_shard_whose_primary_changes_the_node_that_was_looked_at_is_meant(engine: Engine) {
    let gateway = started(engine, "").await;
    gateway.clouds.set_flow_time(Duration::from_millis(1));
    let answer = kill(&gateway, &kill_by("all", of_twins())).await;
    let events = events(&gateway, answer.kill_id()).await;
    let looks: Vec<&Value> = events.iter().filter_map(|event| event.get("look")).collect();
    let nodes = format!("{A}/{},{B}/{}", world::DCDB_NODE, world::DCDB_SECOND_NODE);
    assert_eq!(looks[0]["found"], json!({ "shards": format!("{A},{B}"), "node_id": nodes }), "{events:?}");
}
