//! Whom the gateway chooses, and that a confirm binds it to whom its preview showed.

use actix_web::http::StatusCode;
use serde_json::{Value, json};
use sqlx::{Executor, MySqlConnection};
use tokio::task::JoinHandle;

use super::{
    super::{kill, outcomes},
    gateway,
};
use crate::support::{
    gateway::{Answer, Gateway},
    my::{MyServer, Product, is_ended, on_both_servers, plain},
};

on_both_servers! {
    the_busiest_statements_are_chosen_shown_and_bound_by_a_confirm,
    who_meets_the_criteria_is_shown_and_bound_by_a_confirm,
}

async fn the_busiest_statements_are_chosen_shown_and_bound_by_a_confirm(product: Product) {
    let server = MyServer::own(product, &[]).await;
    let gateway = gateway(&server, &server.tls()).await;
    let (mut idle, _) = server.session().await;
    let busy = [runs(&server, 600).await, runs(&server, 700).await];
    for (id, _) in &busy {
        server.until(*id, "COMMAND = 'Query' AND TIME > 5").await;
    }
    let select = json!({ "intelligent": true });
    let preview = preview(&gateway, &select).await;
    let ids = [busy[0].0, busy[1].0];
    assert_eq!(told(&preview), each(ids, "alive"), "{}", preview.body);
    let figures = preview.body["sessions"][0]["detail"].as_str().unwrap();
    assert!(figures.starts_with("2 sessions run this statement"), "{}", preview.body);
    let (late_id, late) = runs(&server, 3600).await;
    server.until(late_id, "COMMAND = 'Query' AND TIME > 5").await;
    let answer = confirmed(&gateway, &select, &preview).await;
    assert_eq!(told(&answer), each(ids, "killed"), "{}", answer.body);
    for (_, work) in busy {
        assert!(is_ended(&mut work.await.unwrap()).await);
    }
    assert!(!late.is_finished() && !is_ended(&mut idle).await, "nobody else");
    late.abort();
}

async fn who_meets_the_criteria_is_shown_and_bound_by_a_confirm(product: Product) {
    let server = MyServer::new(product).await;
    let gateway = gateway(&server, "").await;
    let ((mut first, first_id), (mut second, second_id)) = (server.session().await, server.session().await);
    let select = json!({ "match": { "user": server.app, "database": server.database } });
    let preview = preview(&gateway, &select).await;
    assert_eq!(preview.body["matched"], 2, "{}", preview.body);
    assert_eq!(told(&preview), each([first_id, second_id], "alive"), "{}", preview.body);
    let (mut late, _) = server.session().await;
    let answer = confirmed(&gateway, &select, &preview).await;
    assert_eq!(told(&answer), each([first_id, second_id], "killed"), "{}", answer.body);
    assert!(is_ended(&mut first).await && is_ended(&mut second).await && !is_ended(&mut late).await);
}

/// A session that runs a statement for that many seconds, and gives itself back then.
async fn runs(server: &MyServer, seconds: u32) -> (u64, JoinHandle<MySqlConnection>) {
    let (mut session, id) = server.session().await;
    let work = tokio::spawn(async move {
        let _ = session.execute(plain(format!("SELECT SLEEP({seconds})"))).await;
        session
    });
    (id, work)
}

async fn preview(gateway: &Gateway, select: &Value) -> Answer {
    let body = json!({ "target": "orders", "select": select, "reason": "slow", "dry_run": true });
    let answer = kill(gateway, &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer
}

async fn confirmed(gateway: &Gateway, select: &Value, preview: &Answer) -> Answer {
    let confirm = &preview.body["confirm"];
    kill(gateway, &json!({ "target": "orders", "select": select, "reason": "slow", "confirm": confirm })).await
}

fn told(answer: &Answer) -> Vec<(String, String)> {
    let mut told: Vec<_> = outcomes(answer).into_iter().map(|(id, it)| (id.to_owned(), it.to_owned())).collect();
    told.sort();
    told
}

fn each(ids: [u64; 2], outcome: &str) -> Vec<(String, String)> {
    let mut all = ids.map(|id| (id.to_string(), outcome.to_owned())).to_vec();
    all.sort();
    all
}
