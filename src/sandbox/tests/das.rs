use serde_json::{Value, json};

use super::*;

fn kill(criteria: &Value) -> Ask {
    let mut body = criteria.clone();
    body["db_user_id"] = json!(demo::DAS_DB_USER_ID);
    Ask::huawei("DELETE", &format!("{}/process", demo::DAS_INSTANCE), &body)
}

fn list(query: &str) -> Ask {
    let target = format!("{}/processes?db_user_id={}{query}", demo::DAS_INSTANCE, demo::DAS_DB_USER_ID);
    Ask::huawei("GET", &target, &Value::Null)
}

#[tokio::test]
async fn kills_by_id_user_or_database_answer_with_nothing() {
    let sandbox = demo_world();
    let place = Place::das(demo::DAS_INSTANCE);
    let got = kill(&json!({"process_ids": ["11212", "5"]})).send(&sandbox).await;
    assert_eq!((got.status, got.body.len()), (200, 0));
    assert!(!sandbox.clouds.alive(&place).contains(&11212));
    kill(&json!({"user": "app"})).send(&sandbox).await;
    kill(&json!({"database": "warehouse"})).send(&sandbox).await;
    let left: Vec<_> = sandbox.clouds.sessions(&place).into_iter().map(|session| session.user).collect();
    assert_eq!(left, ["repl", "report"]);
}

#[tokio::test]
async fn a_list_wants_a_filter_and_pages() {
    let sandbox = demo_world();
    list("").refused(&sandbox, 400, "DAS.200100").await;
    list("&user=app&limit=0").refused(&sandbox, 400, "DAS.200104").await;
    list("&user=app&page=2").refused(&sandbox, 400, "DAS.200100").await;
    let got = list("&user=app&offset=1&limit=2").send(&sandbox).await.json();
    assert_eq!((got["count"].as_u64(), got["processes"].as_array().unwrap().len()), (Some(6), 2));
    let row = got["processes"][0].as_object().unwrap();
    assert!(row.len() == 9 && row.values().all(Value::is_string));
}

#[tokio::test]
async fn wrong_parameters_have_their_documented_codes() {
    let sandbox = demo_world();
    let of_nobody = json!({"db_user_id": "00000000-0000-0000-0000-000000000000", "user": "app"});
    let elsewhere = format!("{}in01/process", "0".repeat(32));
    let cases = [
        (kill(&json!({"process_ids": [11212]})), "DAS.200100"),
        (kill(&json!({"process_ids": ["2147483648"]})), "DAS.200100"),
        (kill(&json!({"process_ids": ["+1"]})), "DAS.200100"),
        (kill(&json!({})), "DAS.200100"),
        (kill(&json!({"user": "app", "node_id": "x"})), "DAS.200100"),
        (Ask::huawei("DELETE", &format!("{}/process", demo::DAS_INSTANCE), &of_nobody), "DAS.200112"),
        (Ask::huawei("DELETE", &elsewhere, &of_nobody), "DAS.200114"),
        (Ask::huawei("DELETE", &format!("{}/process", demo::DAS_INSTANCE), &Value::Null), "DAS.200100"),
    ];
    for (ask, code) in cases {
        ask.refused(&sandbox, 400, code).await;
    }
    assert_eq!(sandbox.clouds.alive(&Place::das(demo::DAS_INSTANCE)).len(), 12);
}

#[tokio::test]
async fn a_success_comes_in_every_body_seen() {
    let sandbox = demo_world();
    for (body, text) in
        [(DasBody::Empty, ""), (DasBody::EmptyString, "\"\""), (DasBody::Ok, "\"OK\""), (DasBody::Object, "{}")]
    {
        sandbox.clouds.misbehave_times(1, Action::DasKill, Behaviour::Lie(Lie::DasBody(body)));
        let got = kill(&json!({"user": "nobody"})).send(&sandbox).await;
        assert_eq!((got.status, got.text().as_str()), (200, text));
    }
}
