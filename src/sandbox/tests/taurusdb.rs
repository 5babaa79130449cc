use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::clock::{Clock, unix_millis};

fn path(what: &str) -> String {
    format!("{}/{what}", demo::TAURUSDB_INSTANCE)
}

fn on_node(method: &str, query: &str, body: &Value) -> Ask {
    Ask::huawei(method, &path(&format!("nodes/{}/processes{query}", demo::TAURUSDB_NODE)), body)
}

fn place() -> Place {
    Place::taurusdb(demo::TAURUSDB_INSTANCE, demo::TAURUSDB_NODE)
}

#[tokio::test]
async fn a_kill_sorts_ids_and_skips_the_engine_itself() {
    let sandbox = demo_world();
    let got = on_node("DELETE", "", &json!({"processes": [2_075_425, 7, 9]})).send(&sandbox).await;
    let expected = json!({"processes_killed": [2_075_425], "processes_not_found": [9]});
    assert_eq!((got.status, got.json()), (200, expected));
    assert!(sandbox.clouds.alive(&place()).contains(&7));
}

#[tokio::test]
async fn a_list_pages_and_hides_the_engine_itself() {
    let sandbox = demo_world();
    let got = on_node("GET", "?offset=10&limit=5", &Value::Null).send(&sandbox).await.json();
    assert_eq!((got["total_count"].as_u64(), got["processes"].as_array().unwrap().len()), (Some(16), 5));
    assert!(got["processes"][0]["id"].is_u64() && got["processes"][0]["time"].is_u64());
    sandbox.clouds.misbehave_times(1, Action::TaurusdbProcesses, Behaviour::Lie(Lie::CutLists(3)));
    let got = on_node("GET", "", &Value::Null).send(&sandbox).await.json();
    assert_eq!((got["total_count"].as_u64(), got["processes"].as_array().unwrap().len()), (Some(16), 3));
}

#[tokio::test]
async fn wrong_parameters_have_their_documented_codes() {
    let sandbox = demo_world();
    let elsewhere = format!("nodes/{}no07/processes", "0".repeat(32));
    let absent = format!("{}in07/nodes/{}/processes", "0".repeat(32), demo::TAURUSDB_NODE);
    let cases = [
        (on_node("DELETE", "", &json!({"processes": ["2075425"]})), 400, "DBS.280001"),
        (on_node("DELETE", "", &json!({"processes": [2_075_425.0]})), 400, "DBS.280001"),
        (on_node("DELETE", "", &json!({"processes": [u64::MAX]})), 400, "DBS.280001"),
        (on_node("DELETE", "", &json!({})), 400, "DBS.280001"),
        (on_node("DELETE", "", &Value::Null), 400, "DBS.200006"),
        (on_node("GET", "?limit=101", &Value::Null), 400, "DBS.280001"),
        (Ask::huawei("DELETE", &path("nodes/x/processes"), &json!({"processes": [1]})), 400, "DBS.280404"),
        (Ask::huawei("DELETE", &path(&elsewhere), &json!({"processes": [1]})), 400, "DBS.212005"),
        (Ask::huawei("DELETE", &absent, &json!({"processes": [1]})), 404, "DBS.200002"),
    ];
    for (ask, status, code) in cases {
        ask.refused(&sandbox, status, code).await;
    }
}

#[tokio::test]
async fn a_slow_death_shows_as_killed_and_recycled_ids_are_somebody_else() {
    let sandbox = demo_world();
    let hour = Duration::from_hours(1);
    sandbox.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Lie(Lie::SlowDeath(hour)));
    on_node("DELETE", "", &json!({"processes": [2_075_425]})).send(&sandbox).await;
    sandbox.clouds.misbehave_times(1, Action::TaurusdbProcesses, Behaviour::Lie(Lie::RecycleIds));
    let got = on_node("GET", "?limit=1", &Value::Null).send(&sandbox).await.json();
    assert_eq!(got["processes"][0]["command"], "Killed");
    let got = on_node("GET", "?limit=1", &Value::Null).send(&sandbox).await.json();
    assert_eq!((&got["processes"][0]["id"], &got["processes"][0]["user"]), (&json!(2_075_425), &json!("newcomer")));
}

#[tokio::test]
async fn an_intelligent_kill_takes_the_top_groups_and_enters_the_history() {
    let sandbox = demo_world();
    sandbox.clouds.set_history_delay(Duration::ZERO);
    let node = format!("?node_id={}", demo::TAURUSDB_NODE);
    let preview = Ask::huawei("GET", &path(&format!("intelligent-kill-session/statistic{node}")), &Value::Null);
    let preview = preview.send(&sandbox).await.json();
    assert_eq!(preview["statistics"].as_array().unwrap().len(), 9);
    assert_eq!(preview["statistics"][0]["strategy"], "top3_time");
    assert!(preview["statistics"][0]["max_time"].is_f64());

    let before = unix_millis(Clock::system().now());
    let kill = Ask::huawei("POST", &path("intelligent-kill-session"), &json!({"node_id": demo::TAURUSDB_NODE}));
    let task = kill.send(&sandbox).await.json()["task_id"].as_str().unwrap().to_owned();
    let left = sandbox.clouds.sessions(&place());
    assert!(left.iter().any(|session| session.user == "repl") && !left.iter().any(|session| session.user == "etl"));

    let window = |from: i64, to: i64| {
        let query = format!("{node}&start_time={from}&end_time={to}");
        Ask::huawei("GET", &path(&format!("intelligent-kill-session/history{query}")), &Value::Null)
    };
    let history = window(before, before + 60_000).send(&sandbox).await.json();
    let entry = &history["intelligent_kill_session_histories"][0];
    assert_eq!((history["total_count"].as_u64(), entry["task_id"].as_str()), (Some(1), Some(task.as_str())));
    assert_eq!(entry["start_time"].as_i64().unwrap() / 10_000, before / 10_000_000);
    window(before / 1000, before / 1000 + 60).refused(&sandbox, 400, "DBS.280001").await;

    sandbox.clouds.misbehave_times(1, Action::IntelligentKill, Behaviour::Lie(Lie::TaskIdAsNumber));
    assert!(kill.send(&sandbox).await.json()["task_id"].is_i64());
}
