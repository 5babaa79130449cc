//! Vendors that give the same page at every offset.

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Behaviour, Canned};
use serde_json::{Value, json};

use super::{Engine, Gateway};

/// A hundred sessions from 5001 on, under a product's own names, and what it says around them.
fn page(alias: &str) -> Value {
    let rows = |row: fn(u64) -> Value| (5001..=5100).map(row).collect::<Vec<_>>();
    match alias {
        "orders-ro" => json!({
            "processes": rows(|id| json!({ "id": id, "user": "app", "host": "10.0.1.7:4", "time": 3 })),
            "total_count": 150,
        }),
        "shop" => json!({
            "processes": rows(|id| json!({ "id": id.to_string(), "user": "app", "host": "10.0.1.7:4", "time": "3" })),
            "count": 150,
        }),
        _ => json!({ "Response": {
            "ProcessList": rows(|id| json!({ "Id": id, "User": "app", "Host": "10.0.1.7:4", "Time": 3 })),
            "RequestId": "{request_id}",
        } }),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_repeats_ends_the_list_and_nobody_is_called_gone_by_it() {
    for (alias, list) in [
        ("orders-ro", Action::TaurusdbProcesses),
        ("shop", Action::DasProcesses),
        ("orders-shard-1", Action::DcdbProcesses),
    ] {
        let gateway = Gateway::start(Engine::Sqlite).await;
        gateway.clouds.misbehave(list, Behaviour::Status(Canned::json(200, &page(alias).to_string())));
        let token = Gateway::token("dba", "sessions:read");
        let listed = gateway.client().get(&format!("/sessions?target={alias}&user=app"), &token).await;
        assert_eq!(listed.status, StatusCode::OK, "{alias}: {}", listed.body);
        let items = listed.body["items"].as_array().unwrap().len();
        assert_eq!((items, &listed.body["complete"]), (100, &json!(false)), "{alias}");
        assert_eq!(gateway.clouds.calls_for(list).len(), 2, "{alias}");
        let pinned = json!({ "ids": [{ "id": "5140", "user": "app" }] });
        let answer = gateway.kill(&json!({ "target": alias, "select": pinned, "reason": "INC-4711" })).await;
        let kill = gateway.record(answer.kill_id()).await;
        assert_eq!(kill["sessions"][0]["outcome"], "failed", "{alias}: {kill}");
        assert!(kill["sessions"][0]["detail"].as_str().unwrap().contains("cut off"), "{alias}: {kill}");
    }
}
