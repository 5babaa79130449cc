//! Servers that are not reached, let nobody in, are others than was said, or are poolers.

use std::sync::Arc;

use actix_web::http::StatusCode;
use serde_json::json;

use super::{
    super::{by_ids, kill, list, outcomes},
    gateway,
};
use crate::support::{
    gateway::{Answer, Engine, Gateway, Setup, on_one_engine},
    postgres::{Cluster, Pooler},
    servers::{PASSWORD, PgServer, is_ended, run},
    way::{Proxy, nobody},
};

on_one_engine! {
    what_keeps_the_gateway_from_a_server_is_told,
    a_full_server_is_told_and_a_kept_connection_still_ends_sessions,
    a_server_that_restarts_between_look_and_kill_loses_nobody_else,
    a_server_that_is_not_the_expected_one_takes_no_kill,
    a_role_that_does_not_see_everybody_is_told_and_ends_nobody,
    behind_a_pooler_nothing_is_sent,
}

async fn what_keeps_the_gateway_from_a_server_is_told(engine: Engine) {
    let server = PgServer::new().await;
    let (_kept, gone) = nobody();
    let wrong = server.configuration("wrong", "").replace(PASSWORD, "canary-of-a-password");
    // Two names for one address are refused.
    let proxy = Proxy::before(server.address()).await;
    let wrong = wrong.replace(&server.address(), &proxy.address.to_string());
    let down = server.configuration("down", "").replace(&server.address(), &gone.to_string());
    let gateway = gateway(engine, &server, &format!("{wrong}{down}")).await;
    let at = |target: &str| by_ids(target, &[7]);
    let answer = kill(&gateway, &at("wrong")).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_denied"), "{}", answer.body);
    assert!(!answer.body.to_string().contains("canary"), "{}", answer.body);
    let offers_to_go_blind = |answer: &Answer| answer.body["detail"].as_str().unwrap().contains("without a look");
    assert!(!offers_to_go_blind(&answer), "it would be refused again: {}", answer.body);
    let answer = kill(&gateway, &at("down")).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_failed"), "{}", answer.body);
    assert!(!offers_to_go_blind(&answer), "there is no way for it either: {}", answer.body);
    let answer = kill(
        &gateway,
        &json!({ "target": { "vendor": "postgresql", "account": "orders-pg", "node": "x" },
        "select": { "ids": [7] }, "reason": "no such node" }),
    )
    .await;
    assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid"), "{}", answer.body);
    assert_eq!(answer.body["errors"][0]["field"], "target.node", "{}", answer.body);
}

async fn a_full_server_is_told_and_a_kept_connection_still_ends_sessions(engine: Engine) {
    let cluster = Arc::new(Cluster::start());
    let server = PgServer::on(&cluster).await;
    let gateway = gateway(engine, &server, "").await;
    let mut owner = server.owner().await;
    let limit = format!("ALTER ROLE {} CONNECTION LIMIT 0", server.gateway);
    run(&mut owner, &limit).await;
    let (mut session, id) = server.session().await;
    let answer = kill(&gateway, &by_ids("orders", &[id])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "target_busy"), "{}", answer.body);
    assert!(!is_ended(&mut session).await);
    run(&mut owner, &limit.replace("LIMIT 0", "LIMIT 1")).await;
    assert_eq!(list(&gateway, "orders").await.status, StatusCode::OK);
    run(&mut owner, &limit).await;
    let answer = kill(&gateway, &by_ids("orders", &[id])).await;
    assert_eq!(outcomes(&answer), [(id.to_string().as_str(), "killed")], "{}", answer.body);
}

async fn a_server_that_restarts_between_look_and_kill_loses_nobody_else(engine: Engine) {
    let cluster = Arc::new(Cluster::start());
    let server = PgServer::on(&cluster).await;
    let gateway = gateway(engine, &server, "").await;
    let (_session, id) = server.session().await;
    let mut preview = by_ids("orders", &[id]);
    preview["dry_run"] = json!(true);
    let confirm = kill(&gateway, &preview).await.body["confirm"].clone();
    cluster.stop();
    cluster.restart();
    let (mut other, other_id) = server.session().await;
    let mut body = by_ids("orders", &[id]);
    body["confirm"] = confirm;
    let answer = kill(&gateway, &body).await;
    let outcome = outcomes(&answer)[0].1;
    let expected = if other_id == id { "changed" } else { "not_found" };
    assert_eq!(outcome, expected, "{}", answer.body);
    assert!(!is_ended(&mut other).await);
}

async fn a_server_that_is_not_the_expected_one_takes_no_kill(engine: Engine) {
    let server = PgServer::new().await;
    let expect = "expect.system_identifier = \"1\"\n";
    let gateway = gateway(engine, &server, expect).await;
    let (mut session, id) = server.session().await;
    let mut body = by_ids("orders", &[id]);
    for look in [true, false] {
        body["look"] = json!(look);
        let answer = kill(&gateway, &body).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "target_changed"), "{}", answer.body);
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains("system_identifier") && !detail.contains("without a look"), "{detail}");
    }
    assert!(!is_ended(&mut session).await);
}

async fn a_role_that_does_not_see_everybody_is_told_and_ends_nobody(engine: Engine) {
    let server = PgServer::new().await;
    let gateway = gateway(engine, &server, "").await;
    let mut owner = server.owner().await;
    run(&mut owner, &format!("REVOKE pg_read_all_stats FROM {}", server.gateway)).await;
    let (mut session, id) = server.session().await;
    let answer = kill(&gateway, &by_ids("orders", &[id])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_denied"), "{}", answer.body);
    assert!(answer.body["detail"].as_str().unwrap().contains("without a look"), "it would go: {}", answer.body);
    assert_eq!(list(&gateway, "orders").await.code(), "upstream_denied");
    assert!(!is_ended(&mut session).await);
}

async fn behind_a_pooler_nothing_is_sent(engine: Engine) {
    let server = PgServer::new().await;
    let pooler = Pooler::start(server.url(), "transaction");
    let address = pooler.url().split(['@', '/']).nth(3).unwrap().to_owned();
    let more = server.configuration("orders", "").replace(&server.address(), &address);
    let database = server.url().rsplit('/').next().unwrap().to_owned();
    let more = more.replace("tls = \"off\"", &format!("tls = \"off\"\ndatabase = \"{database}\""));
    let gateway = Gateway::start_with(engine, Setup { more, ..Setup::default() }).await;
    let (mut session, id) = server.session().await;
    let answer = kill(&gateway, &by_ids("orders", &[id])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "upstream_failed"), "{}", answer.body);
    let mut blind = by_ids("orders", &[id]);
    blind["look"] = json!(false);
    for answer in [answer, kill(&gateway, &blind).await, list(&gateway, "orders").await] {
        let detail = answer.body["detail"].as_str().unwrap();
        let told = ["a connection pooler is at this address", "PgBouncer", "nodes.", "08P01"];
        assert!(told.iter().all(|word| detail.contains(word)) && !detail.contains("without a look"), "{detail}");
    }
    assert!(!is_ended(&mut session).await);
}
