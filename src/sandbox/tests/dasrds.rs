use serde_json::{Value, json};

use super::*;

fn kill(engine: &str, processes: &Value) -> Ask {
    let path = format!("{}/kill-process", demo::DASRDS_INSTANCE);
    Ask::huawei("POST", &path, &json!({"engine_type": engine, "processes": processes}))
}

#[tokio::test]
async fn a_process_is_ended_where_its_user_is_the_one_that_was_named() {
    let sandbox = demo_world();
    let named = json!([{"id": 51212, "user": "report"}, {"id": 51213, "user": "report"}, {"id": 7, "user": "report"}]);
    let got = kill("postgresql", &named).send(&sandbox).await;
    assert_eq!((got.status, got.text().as_str()), (200, "\"\""));
    let alive = sandbox.clouds.alive(&Place::of("dasrds", demo::DASRDS_INSTANCE));
    assert!(!alive.contains(&51212) && alive.contains(&51213), "{alive:?}");
}

#[tokio::test]
async fn pages_are_counted_from_one() {
    let sandbox = demo_world();
    let page = async |query: &str| {
        let path = format!("{}/pg/query-process-list?{query}", demo::DASRDS_INSTANCE);
        Ask::huawei("GET", &path, &Value::Null).send(&sandbox).await.json()
    };
    let first = page("cur_page=1&per_page=5&show_all=true&hide_sys=false").await;
    assert_eq!((first["process_info_list"].as_array().map(Vec::len), &first["total"]), (Some(5), &json!(12)));
    let last = page("cur_page=3&per_page=5").await;
    assert_eq!(last["process_info_list"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn an_instance_has_one_engine() {
    let sandbox = demo_world();
    let list = |instance: &str, rest: &str| Ask::huawei("GET", &format!("{instance}/{rest}"), &Value::Null);
    let (pg, my) = (demo::DASRDS_INSTANCE, demo::DASRDS_MYSQL_INSTANCE);
    for (ask, code) in [
        (kill("mysql", &json!([{"id": 51212, "user": "report"}])), "DAS.200114"),
        (kill("oracle", &json!([{"id": 51212, "user": "report"}])), "DAS.200100"),
        (kill("postgresql", &json!([{"id": 51212}])), "DAS.200100"),
        (kill("postgresql", &json!([])), "DAS.200100"),
        (list(my, "query-process-list"), "DAS.200100"),
        (list(my, "pg/query-process-list"), "DAS.200114"),
        (list(pg, "query-process-list?engine_type=MySQL"), "DAS.200114"),
        (list(pg, "pg/query-process-list?engine_type=postgresql"), "DAS.200100"),
    ] {
        ask.refused(&sandbox, 400, code).await;
    }
}
