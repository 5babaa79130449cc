//! Several nodes of one instance as one target: the same as several shards, by another word.

use killgate::sandbox::{Action, Behaviour, Canned, Clouds, Place, Session, demo as world};
use serde_json::{Value, json};

use super::{Gateway, TWIN, events, kill, kill_by, of_twins, on_both_engines, on_one_engine, text_of};
use crate::support::gateway::{Engine, Setup};

/// In the order in which they are named: a list is sorted.
const REPLICA: &str = world::TAURUSDB_REPLICA_NODE;
const PRIMARY: &str = world::TAURUSDB_NODE;
const NOWHERE: &str = "00000000000000000000000000000000no07";

on_both_engines! {
    a_users_sessions_on_every_node_end_by_one_kill_and_all_that_tells_of_them_names_the_node,
}

on_one_engine! {
    a_node_that_fails_or_is_not_there_leaves_the_outcomes_of_the_others,
    nodes_that_are_named_are_not_asked_for_first,
    an_id_without_its_node_is_refused_and_so_is_one_with_a_shard,
    the_database_picks_on_one_node,
    what_guards_one_node_guards_it_among_several,
    a_node_that_cannot_be_listed_is_told,
}

fn place(node: &str) -> Place {
    Place::taurusdb(world::TAURUSDB_INSTANCE, node)
}

/// `every` and `both` are the two nodes of the demo's instance, each with a session of the user `twin` of the same number.
async fn started(engine: Engine, more: &str) -> Gateway {
    let clouds = Clouds::demo();
    for node in [REPLICA, PRIMARY] {
        clouds.put(&place(node), &Session::new(TWIN, "twin").running("select 1 from orders", 60));
    }
    let instance = world::TAURUSDB_INSTANCE;
    let more = format!(
        "[targets.every]\nvendor = 'taurusdb'\ninstance_id = '{instance}'\nnodes = 'all'\n\
         [targets.both]\nvendor = 'taurusdb'\ninstance_id = '{instance}'\nnodes = ['{PRIMARY}', '{REPLICA}']\n{more}"
    );
    Gateway::start_with(engine, Setup { more, clouds: Some(clouds), ..Setup::default() }).await
}

fn saying(status: u16, code: &str) -> Behaviour {
    Behaviour::Status(Canned::json(status, &json!({ "error_code": code, "error_msg": "no" }).to_string()))
}

fn failing() -> Behaviour {
    saying(500, "DBS.200005")
}

/// Its sessions: node, id and outcome.
fn outcomes(kill: &Value) -> Vec<(&str, &str, &str)> {
    let sessions = kill["sessions"].as_array().unwrap_or_else(|| panic!("{kill}"));
    sessions.iter().map(|it| (text_of(it, "node"), text_of(it, "id"), text_of(it, "outcome"))).collect()
}

/// The paths of the kills that arrived, and their bodies.
fn sent(gateway: &Gateway) -> Vec<(String, Value)> {
    let calls = gateway.clouds.calls_for(Action::TaurusdbKill).into_iter();
    calls.map(|call| (call.path, serde_json::from_slice(&call.body).unwrap())).collect()
}

fn lives(gateway: &Gateway, node: &str) -> bool {
    gateway.clouds.alive(&place(node)).contains(&TWIN)
}

async fn a_users_sessions_on_every_node_end_by_one_kill_and_all_that_tells_of_them_names_the_node(engine: Engine) {
    let gateway = started(engine, "").await;
    let answer = kill(&gateway, &kill_by("every", of_twins())).await;
    assert_eq!((&answer.body["status"], &answer.body["matched"]), (&json!("succeeded"), &json!(2)), "{}", answer.body);
    let both = [(REPLICA, "4711", "killed"), (PRIMARY, "4711", "killed")];
    assert_eq!(outcomes(&answer.body), both);
    assert!(answer.body["sessions"][0].get("shard").is_none());
    let path = |node: &str| {
        let end = format!("/instances/{}/nodes/{node}/processes", world::TAURUSDB_INSTANCE);
        (end, json!({ "processes": [TWIN] }))
    };
    for ((path, body), (end, expected)) in sent(&gateway).into_iter().zip([REPLICA, PRIMARY].map(path)) {
        assert!(path.ends_with(&end) && body == expected, "{path} {body}");
    }
    assert!(!lives(&gateway, REPLICA) && !lives(&gateway, PRIMARY));
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbInstance).len(), 1, "one question for all nodes");
    let record = gateway.record(answer.kill_id()).await;
    assert_eq!((&record["sessions"], &record["target"]["nodes"]), (&answer.body["sessions"], &json!("all")));
    let events = events(&gateway, answer.kill_id()).await;
    let look = events.iter().find_map(|event| event.get("look")).unwrap();
    assert_eq!(look["found"], json!({ "nodes": format!("{REPLICA},{PRIMARY}") }), "{events:?}");
    let calls: Vec<_> = events.iter().filter_map(|event| event["calls"].as_array()).flatten().collect();
    assert!(calls.iter().all(|call| call["node"].is_string() && call["ids"] == json!(["4711"])), "{events:?}");

    let token = Gateway::token("auditor", "kills:read kills:export");
    let get = async |path: &str| gateway.client().get(path, &token).await.body;
    for (session, many) in [("4711".to_owned(), 1), (format!("{PRIMARY}/4711"), 1), (format!("{NOWHERE}/4711"), 0)] {
        let found = get(&format!("/kills?session_id={session}")).await;
        assert_eq!(found["items"].as_array().unwrap().len(), many, "{session}: {found}");
    }
    let csv = get("/kills/export?format=csv&rows=sessions").await;
    let mut rows = csv::Reader::from_reader(csv.as_str().unwrap().as_bytes());
    let headers = rows.headers().unwrap().clone();
    let column = headers.iter().position(|header| header == "session_node").unwrap();
    let nodes: Vec<_> = rows.records().map(|row| row.unwrap()[column].to_owned()).collect();
    assert_eq!(nodes, [REPLICA, PRIMARY], "{csv}");
}

async fn a_node_that_fails_or_is_not_there_leaves_the_outcomes_of_the_others(engine: Engine) {
    let gateway = started(engine, "").await;
    gateway.clouds.misbehave_at(REPLICA, Action::TaurusdbKill, saying(400, "DBS.201014"));
    let answer = kill(&gateway, &kill_by("every", of_twins())).await;
    let expected = [(REPLICA, "4711", "failed"), (PRIMARY, "4711", "killed")];
    assert_eq!(
        (outcomes(&answer.body), &answer.body["status"]),
        (expected.to_vec(), &json!("partial")),
        "{}",
        answer.body
    );
    assert!(lives(&gateway, REPLICA) && !lives(&gateway, PRIMARY));
    let ids = json!({ "ids": [format!("{NOWHERE}/4711"), { "node": PRIMARY, "id": 2_075_425 }] });
    let answer = kill(&gateway, &kill_by("every", ids)).await;
    let expected = [(NOWHERE, "4711", "failed"), (PRIMARY, "2075425", "killed")];
    assert_eq!(outcomes(&answer.body), expected, "{}", answer.body);
    assert!(text_of(&answer.body["sessions"][0], "detail").contains("its node could not be listed"), "{}", answer.body);
}

async fn nodes_that_are_named_are_not_asked_for_first(engine: Engine) {
    let gateway = started(engine, "").await;
    let preview = kill_by("both", json!({ "ids": [format!("{REPLICA}/4711")] }));
    let answer = kill(&gateway, &preview).await;
    assert_eq!(outcomes(&answer.body), [(REPLICA, "4711", "killed")], "{}", answer.body);
    assert_eq!(answer.body["target"]["nodes"], json!([REPLICA, PRIMARY]));
    assert!(gateway.clouds.calls_for(Action::TaurusdbInstance).is_empty());
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbProcesses).len(), 1, "of the node that is meant");
    assert!(lives(&gateway, PRIMARY));
}

async fn an_id_without_its_node_is_refused_and_so_is_one_with_a_shard(engine: Engine) {
    let gateway = started(engine, "").await;
    for (target, id, says) in [
        ("every", json!("4711"), "with its node, as {\"node\": …, \"id\": …} or \"NODE/ID\""),
        ("both", json!(4711), "with its node"),
        ("both", json!(format!("{NOWHERE}/4711")), "one of the nodes that the target names"),
        ("every", json!("shard-a/4711"), "the name of a node"),
        ("every", json!({ "shard": "shard-a", "id": 4711 }), "the name of a node"),
        ("every", json!({ "shard": PRIMARY, "id": 4711 }), "select.ids[0].shard must be the name of a shard"),
        ("orders-ro", json!(format!("{PRIMARY}/4711")), "must not name a shard or a node"),
    ] {
        let answer = gateway.kill(&kill_by(target, json!({ "ids": [id] }))).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid"), "{id}: {}", answer.body);
        assert!(answer.body["detail"].as_str().unwrap().contains(says), "{}", answer.body);
    }
    let both = json!({ "ids": [{ "shard": "a", "node": PRIMARY, "id": 4711 }] });
    assert_eq!(gateway.kill(&kill_by("every", both)).await.body["field"], "select.ids[0].node");
    let instance = world::TAURUSDB_INSTANCE;
    for (more, field) in [
        (json!({}), "target.node_id"),
        (json!({ "node_id": PRIMARY, "nodes": "all" }), "target.node_id"),
        (json!({ "nodes": [] }), "target.nodes"),
        (json!({ "nodes": [PRIMARY, PRIMARY] }), "target.nodes"),
        (json!({ "nodes": ["all"] }), "target.nodes[0]"),
        (json!({ "nodes": 7 }), "target.nodes"),
        (json!({ "shards": "all" }), "target.shards"),
    ] {
        let mut target = json!({ "vendor": "taurusdb", "instance_id": instance });
        target.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = json!({ "target": target, "select": of_twins(), "reason": "INC-4711" });
        let answer = gateway.kill(&body).await;
        let fields: Vec<_> = answer.body["errors"].as_array().unwrap().iter().map(|it| it["field"].clone()).collect();
        assert!(answer.status.is_client_error() && fields.contains(&json!(field)), "{more}: {}", answer.body);
    }
    assert!(gateway.clouds.calls().is_empty());
}

async fn the_database_picks_on_one_node(engine: Engine) {
    let gateway = started(engine, "").await;
    for target in ["every", "both"] {
        let answer = gateway.kill(&kill_by(target, json!({ "intelligent": true }))).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "unsupported_selector"), "{}", answer.body);
        assert!(text_of(&answer.body, "detail").contains("give node_id in place of nodes"), "{}", answer.body);
        assert_eq!(answer.body["supported"], json!(["ids", "match"]));
    }
    assert!(gateway.clouds.calls().is_empty());
}

async fn what_guards_one_node_guards_it_among_several(engine: Engine) {
    let more = "[[protect]]\ntarget = 'orders-ro'\nusers = ['twin']\n";
    let gateway = started(engine, more).await;
    let answer = kill(&gateway, &kill_by("every", of_twins())).await;
    let expected = [(REPLICA, "4711", "killed"), (PRIMARY, "4711", "protected")];
    assert_eq!(outcomes(&answer.body), expected, "{}", answer.body);
    assert!(lives(&gateway, PRIMARY));
}

async fn a_node_that_cannot_be_listed_is_told(engine: Engine) {
    let gateway = started(engine, "").await;
    gateway.clouds.misbehave_at(REPLICA, Action::TaurusdbProcesses, failing());
    let token = Gateway::token("anna", "sessions:read");
    let list = gateway.client().get("/sessions?target=every&user=twin", &token).await.body;
    let items = list["items"].as_array().unwrap_or_else(|| panic!("{list}"));
    assert_eq!((items.len(), &items[0]["node"], &list["complete"]), (1, &json!(PRIMARY), &json!(false)), "{list}");
    assert_eq!(list["unlisted"][0]["node"], REPLICA);
    let answer = kill(&gateway, &kill_by("every", of_twins())).await;
    assert_eq!((&answer.body["status"], outcomes(&answer.body).len()), (&json!("partial"), 1), "{}", answer.body);
    let record = gateway.record(answer.kill_id()).await;
    assert_eq!((&record["unlisted"], &record["unlisted"][0]["node"]), (&answer.body["unlisted"], &json!(REPLICA)));
    gateway.clouds.misbehave(Action::TaurusdbInstance, failing());
    let failed = kill(&gateway, &kill_by("every", of_twins())).await;
    assert_eq!((failed.status.as_u16(), &failed.body["field"]), (502, &json!("look")), "{}", failed.body);
}
