//! Where a word is unknown, a near one that its caller may use is named.

use std::fmt::Write as _;

use super::{
    kit::{LIST, assert_problem, assert_recorded},
    on_one_engine,
};
use crate::support::gateway::{Answer, Engine, Gateway, Setup, kill_of};

on_one_engine! {
    a_near_alias_is_named_where_an_alias_is_unknown,
    an_alias_for_other_callers_is_not_named,
    a_near_parameter_is_named_where_one_is_unknown,
}

fn detail(answer: &Answer) -> &str {
    answer.body["detail"].as_str().unwrap_or_else(|| panic!("{}", answer.body))
}

async fn a_near_alias_is_named_where_an_alias_is_unknown(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let near = "no target has this alias; did you mean \"orders-ro\"?";
    let reader = Gateway::token("reader", "sessions:read");
    for alias in ["orders-rw", "order-ro", "Orders-ro", "oredrs-ro"] {
        let answer = gateway.kill(&kill_of(alias, &[1])).await;
        let record = assert_recorded(&gateway, &answer, 404, "unknown_target", "failed").await;
        assert_eq!((detail(&answer), &record["problem"]["detail"]), (near, &near.into()), "{alias}");
        let answer = gateway.client().get(&format!("/sessions?target={alias}"), &reader).await;
        assert_eq!(detail(&answer), near, "{alias}");
    }
    for alias in ["nowhere", "ro", &"orders-ro".repeat(1000)] {
        let answer = gateway.kill(&kill_of(alias, &[1])).await;
        assert_eq!(detail(&answer), "no target has this alias");
    }
}

async fn an_alias_for_other_callers_is_not_named(engine: Engine) {
    let mut more = "[targets.orders-rx]\ncallers = ['dba-*']\n".to_owned();
    let (_, place) = crate::support::gateway::targets().into_iter().find(|(alias, _)| *alias == "shop").unwrap();
    for (key, value) in place.as_object().unwrap() {
        writeln!(more, "{key} = {value}").unwrap();
    }
    let gateway = Gateway::start_with(engine, Setup { more, ..Setup::default() }).await;
    let body = kill_of("orders-rxx", &[1]).to_string();
    for (caller, near) in [("chatops-bot", "orders-ro"), ("dba-ann", "orders-rx")] {
        let token = Gateway::token(caller, "sessions:kill");
        let answer = gateway.client().post("/sessions/kill", &token, &[], body.clone()).await;
        assert_eq!(detail(&answer), format!("no target has this alias; did you mean \"{near}\"?"), "{caller}");
    }
    let nobody = gateway.client().post("/sessions/kill", &Gateway::token("mallory", ""), &[], body).await;
    assert!(!nobody.body.to_string().contains("orders-r\""), "{}", nobody.body);
}

async fn a_near_parameter_is_named_where_one_is_unknown(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let answer = gateway.read("/kills?calller=bob").await;
    assert_problem(&answer, LIST, 400, "malformed");
    assert_eq!(detail(&answer), "calller is no parameter of this operation; did you mean \"caller\"?");
    assert_eq!(detail(&gateway.read("/kills?colour=red").await), "colour is no parameter of this operation");
    let reader = Gateway::token("reader", "sessions:read");
    let answer = gateway.client().get("/sessions?target=orders-ro&uesr=bob", &reader).await;
    assert_eq!(detail(&answer), "uesr is no parameter of this operation; did you mean \"user\"?");
}
