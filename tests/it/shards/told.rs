//! Every place that tells of a session tells its shard.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use super::{A, B, Gateway, events, kill, kill_by, of_twins, on_both_engines, on_one_engine, outcomes, started};
use crate::support::gateway::Engine;

on_both_engines! {
    history_events_exports_and_filters_say_the_shard_of_each_session,
}

on_one_engine! {
    vendors_and_targets_say_what_can_be_named_together,
}

async fn history_events_exports_and_filters_say_the_shard_of_each_session(engine: Engine) {
    let gateway = started(engine, "").await;
    let answer = kill(&gateway, &kill_by("both", of_twins())).await;
    let both = [(A, "4711", "killed"), (B, "4711", "killed")];
    assert_eq!(outcomes(&gateway.read("/kills").await.body["items"][0]), both);
    let events = events(&gateway, answer.kill_id()).await;
    let of = |name: &str| -> Vec<Value> {
        events.iter().filter_map(|event| event.get(name)?.as_array()).flatten().cloned().collect()
    };
    let calls: Vec<_> = of("calls").into_iter().map(|call| (call["shard"].clone(), call["ids"].clone())).collect();
    assert_eq!(calls, [A, B].map(|shard| (json!(shard), json!(["4711"]))), "{events:?}");
    assert!(of("sessions").iter().all(|session| session["shard"].is_string() && session["id"] == "4711"), "{events:?}");
    let token = Gateway::token("auditor", "kills:read kills:export");
    let get = async |path: &str| {
        let answer = gateway.client().get(path, &token).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    };
    let lines = get("/kills/export").await;
    let line: Value = serde_json::from_str(lines.as_str().unwrap().lines().next().unwrap()).unwrap();
    assert_eq!((outcomes(&line), &line["target"]["shards"]), (both.to_vec(), &json!([A, B])));
    let csv = get("/kills/export?format=csv&rows=sessions").await;
    let mut rows = csv::Reader::from_reader(csv.as_str().unwrap().as_bytes());
    let headers = rows.headers().unwrap().clone();
    let column = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let rows: Vec<[String; 3]> = rows
        .records()
        .map(|row| {
            ["session_shard", "session_id", "session_outcome"]
                .map(|name| row.as_ref().unwrap()[column(name)].to_owned())
        })
        .collect();
    assert_eq!(rows, both.map(|(shard, id, outcome)| [shard, id, outcome].map(str::to_owned)), "{csv}");
    let of_kills = get("/kills/export?format=csv").await;
    assert!(of_kills.as_str().unwrap().contains(&format!("{A}/4711 killed; {B}/4711 killed")), "{of_kills}");
    for (session, many) in
        [("4711".to_owned(), 1), (format!("{A}/4711"), 1), (format!("{A}/1111"), 0), ("1111".into(), 0)]
    {
        let found = get(&format!("/kills?session_id={session}")).await;
        assert_eq!(found["items"].as_array().unwrap().len(), many, "{session}: {found}");
        let counted = get(&format!(
            "/kills/stats?by=status&since=2020-01-01T00:00:00Z&until=2100-01-01T00:00:00Z&session_id={session}"
        ))
        .await;
        let count =
            counted["items"].as_array().unwrap().iter().map(|item| item["count"].as_u64().unwrap()).sum::<u64>();
        assert_eq!(count, many as u64, "{session}: {counted}");
    }
}

async fn vendors_and_targets_say_what_can_be_named_together(engine: Engine) {
    let gateway = started(engine, "").await;
    let token = Gateway::token("anna", "sessions:read");
    let vendors = gateway.client().get("/vendors", &token).await.body;
    let dcdb = vendors["items"].as_array().unwrap().iter().find(|vendor| vendor["name"] == "dcdb").unwrap();
    let shards = dcdb["coordinates"].as_array().unwrap().iter().find(|it| it["name"] == "shards").unwrap();
    assert_eq!(
        (&shards["one_of"], &shards["example"], &shards["required"]),
        (&json!("shard"), &json!("all"), &json!(false))
    );
    assert!(dcdb["session_id"].as_str().unwrap().contains("SHARD/ID"), "{dcdb}");
    let others = vendors["items"].as_array().unwrap().iter().filter(|vendor| vendor["name"] != "dcdb");
    assert!(others.into_iter().all(|vendor| !vendor.to_string().contains("SHARD/ID")), "{vendors}");
    let targets = gateway.client().get("/targets", &token).await.body;
    let shown = |alias: &str| {
        targets["items"].as_array().unwrap().iter().find(|it| it["alias"] == alias).unwrap()["shards"].clone()
    };
    assert_eq!((shown("all"), shown("both")), (json!("all"), json!([A, B])));
}
