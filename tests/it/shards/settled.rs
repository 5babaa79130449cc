//! What is not known at once of sessions on several shards.

use std::time::Duration;

use killgate::sandbox::{Action, Behaviour, Lie};
use serde_json::json;

use super::{
    A, B, Gateway, aliases, clouds, kill, kill_by, kills::refusal, lives, of_twins, on_both_engines, outcomes, started,
};
use crate::{
    safety::{process::Served, recorded_as},
    support::{
        configuration::record_at,
        gateway::{Engine, Setup, url_of},
        patience::eventually,
    },
};

on_both_engines! {
    a_lost_answer_of_one_shard_is_unknown_and_settled_by_its_own_list,
    a_kill_of_a_dead_gateway_is_settled_by_another_shard_by_shard,
    who_comes_back_on_one_shard_is_not_taken_for_one_who_was_on_another,
    while_one_shard_cannot_be_listed_nobody_says_that_none_came_back,
}

async fn a_lost_answer_of_one_shard_is_unknown_and_settled_by_its_own_list(engine: Engine) {
    let gateway = started(engine, "").await;
    gateway.clouds.set_flow_time(Duration::ZERO);
    gateway.clouds.misbehave_at(B, Action::DcdbKill, Behaviour::Drop);
    let answer = gateway.kill(&kill_by("all", of_twins())).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (504, "outcome_unknown"), "{}", answer.body);
    // The calls of one shard say nothing of the other's sessions; only its own list does.
    let kill = recorded_as(&gateway, answer.kill_id(), "succeeded").await;
    assert_eq!(outcomes(&kill), [(A, "4711", "killed"), (B, "4711", "gone")], "{kill}");
    assert!(!lives(&gateway, A) && !lives(&gateway, B));
}

async fn a_kill_of_a_dead_gateway_is_settled_by_another_shard_by_shard(engine: Engine) {
    let clouds = clouds();
    clouds.set_flow_time(Duration::from_secs(2));
    let setup = Setup { more: aliases(), clouds: Some(clouds), ..Setup::default() };
    let living = Gateway::start_with(engine, setup).await;
    let doomed = Served::start(&record_at(&url_of(&living)), &living.sandbox.url, &aliases()).await;
    let answer = doomed.kill(&kill_by("all", of_twins())).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
    assert_eq!(outcomes(&answer.body), [(A, "4711", "accepted"), (B, "4711", "accepted")]);
    doomed.die().await;
    let kill = recorded_as(&living, answer.kill_id(), "succeeded").await;
    assert_eq!(outcomes(&kill), [(A, "4711", "killed"), (B, "4711", "killed")], "{kill}");
    assert_eq!(living.clouds.calls_for(Action::DcdbKill).len(), 2, "nothing is sent again");
}

async fn who_comes_back_on_one_shard_is_not_taken_for_one_who_was_on_another(engine: Engine) {
    let gateway = started(engine, "[returned]\nwatch_s = 12\n").await;
    gateway.clouds.misbehave_at(B, Action::DcdbKill, Behaviour::Lie(Lie::Reconnects));
    let answer = kill(&gateway, &kill_by("all", of_twins())).await;
    assert_eq!(answer.body["status"], json!("succeeded"), "{}", answer.body);
    let came = async || gateway.record(answer.kill_id()).await["returned"].as_u64();
    assert_eq!(eventually("it is told who came back", came).await, 1);
}

async fn while_one_shard_cannot_be_listed_nobody_says_that_none_came_back(engine: Engine) {
    let gateway = started(engine, "[returned]\nwatch_s = 4\n").await;
    gateway.clouds.misbehave_at(B, Action::DcdbKill, Behaviour::Lie(Lie::Reconnects));
    let answer = kill(&gateway, &kill_by("all", of_twins())).await;
    assert_eq!(answer.body["status"], json!("succeeded"), "{}", answer.body);
    gateway.clouds.misbehave_at(B, Action::DcdbProcesses, refusal("InternalError.OperateDatabaseFailed"));
    let of_b = || {
        let calls = gateway.clouds.calls_for(Action::DcdbProcesses).into_iter();
        calls.filter(|call| String::from_utf8_lossy(&call.body).contains(B)).count()
    };
    let before = of_b();
    // The last one is tried again.
    eventually("three looks were made", async || (of_b() >= before + 3).then_some(())).await;
    let returned = async || gateway.record(answer.kill_id()).await["returned"].as_u64();
    assert_eq!(returned().await, None);
    gateway.clouds.behave();
    assert_eq!(eventually("it is told who came back", returned).await, 1);
}
