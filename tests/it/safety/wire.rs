//! Answers that come over a wire that is not kind: none of them is taken for another one, and none for a refusal.

use std::{collections::BTreeSet, time::Duration};

use killgate::sandbox::{Action, Behaviour, Canned, Frame, Interim};
use serde_json::json;

use super::{IMPATIENT, Operation, all_sessions_are, assert_unknown, let_nobody_look, operations};
use crate::support::gateway::{Engine, Gateway, Setup, kill_of};

async fn impatient() -> Gateway {
    Gateway::start_blind_with(Engine::Sqlite, Setup { more: IMPATIENT.into(), ..Setup::default() }).await
}

/// Interim answers before the answer, each at once and with a pause.
fn interims() -> Vec<Interim> {
    let at_once = [&[100][..], &[102], &[103], &[100, 103, 102, 100]].map(Interim::then_the_answer);
    let with_a_pause = Interim { pause: Duration::from_millis(100), ..Interim::then_the_answer(&[100]) };
    at_once.into_iter().chain([with_a_pause]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_is_what_the_final_answer_says_whatever_comes_before() {
    let gateway = Gateway::start_blind(Engine::Sqlite).await;
    for operation in operations() {
        for interim in interims() {
            gateway.clouds.reset();
            let why = format!("{:?} {interim:?}", operation.action);
            let usual = gateway.kill(&operation.body).await;
            gateway.clouds.reset();
            gateway.clouds.misbehave_times(1, operation.action, Behaviour::Interim(interim));
            let answer = gateway.kill(&operation.body).await;
            assert!(answer.status.is_success(), "{why}: {}", answer.body);
            for member in ["status", "sessions"] {
                assert_eq!(answer.body[member], usual.body[member], "{why}");
            }
            assert_eq!(gateway.clouds.calls_for(operation.action).len(), 1, "{why}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_gets_the_answer_of_another_one() {
    let gateway = Gateway::start_blind(Engine::Sqlite).await;
    let interim = Interim { pause: Duration::from_millis(50), ..Interim::then_the_answer(&[100]) };
    gateway.clouds.misbehave(Action::DcdbKill, Behaviour::Interim(interim));
    let mut tasks = BTreeSet::new();
    for id in [1111, 1112, 1116] {
        let answer = gateway.kill(&kill_of("orders-shard-1", &[id])).await;
        assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
        tasks.insert(answer.body["upstream"]["task_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(tasks.len(), 3, "{tasks:?}");
    gateway.clouds.behave();
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Frame(Frame::WithAnother));
    for id in [2_075_425, 2_075_426] {
        let answer = gateway.kill(&kill_of("orders-ro", &[id])).await;
        assert!(answer.status.as_u16() == 200 && all_sessions_are(&answer.body, "killed", 1), "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_never_came_whole_is_unknown_and_not_repeated() {
    let gateway = impatient().await;
    let_nobody_look(&gateway.clouds);
    let ends = |status| Interim { ends: true, ..Interim::then_the_answer(&[status]) };
    let losses = [
        Behaviour::Interim(ends(100)),
        Behaviour::Interim(ends(103)),
        Behaviour::Interim(Interim::then_the_answer(&[101])),
        Behaviour::Frame(Frame::NoLength),
        Behaviour::Frame(Frame::CutBeforeChunks),
        Behaviour::Frame(Frame::CutInSize),
        Behaviour::Frame(Frame::CutBeforeTheLastChunk),
        Behaviour::Frame(Frame::TwoLengths),
        // From something in between, which says nothing of the kill.
        Behaviour::Status(Canned::json(302, "")),
        Behaviour::Status(Canned::json(600, "")),
    ];
    for operation in operations() {
        let mut calls = 0;
        for behaviour in &losses {
            gateway.clouds.misbehave_times(1, operation.action, behaviour.clone());
            let answer = gateway.kill(&operation.body).await;
            assert_unknown(&gateway, &answer, &operation, &format!("{:?} {behaviour:?}", operation.action)).await;
            // An endpoint that only fails would be left alone for a while.
            let answer = gateway.kill(&operation.body).await;
            assert!(answer.status.is_success(), "{behaviour:?}: {}", answer.body);
            calls += 2;
            assert_eq!(gateway.clouds.calls_for(operation.action).len(), calls, "{behaviour:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_flows_and_logins_behind_interim_answers_are_read() {
    let gateway = Gateway::start_blind(Engine::Sqlite).await;
    let hints = || Behaviour::Interim(Interim::then_the_answer(&[103, 100]));
    for action in [
        Action::GaussdbSessions,
        Action::DasProcesses,
        Action::TaurusdbProcesses,
        Action::DcdbProcesses,
        Action::DcdbFlow,
    ] {
        gateway.clouds.misbehave(action, hints());
    }
    let token = Gateway::token("dba", "sessions:read");
    for query in ["target=ledger", "target=shop&user=app", "target=orders-ro", "target=orders-shard-1"] {
        let answer = gateway.client().get(&format!("/sessions?{query}"), &token).await;
        assert_eq!((answer.status.as_u16(), &answer.body["complete"]), (200, &json!(true)), "{query}: {}", answer.body);
    }
    let answer = gateway.kill(&kill_of("orders-shard-1", &[1111])).await;
    super::recorded_as(&gateway, answer.kill_id(), "succeeded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_das_does_not_say_is_no_consent() {
    let gateway = impatient().await;
    let_nobody_look(&gateway.clouds);
    let [_, operation, ..] = operations();
    let Operation { action, body, .. } = &operation;
    for (text, status, code) in [
        (r#"{"success":false}"#, 502, "upstream_failed"),
        (r#"{"status":"failed","msg":"x"}"#, 502, "upstream_failed"),
        (r#"{"status":"who knows"}"#, 504, "outcome_unknown"),
        ("", 202, ""),
        ("{}", 202, ""),
        (r#"{"success":true}"#, 202, ""),
    ] {
        gateway.clouds.misbehave_times(1, *action, Behaviour::Status(Canned::json(200, text)));
        let answer = gateway.kill(body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{text}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_came_before_is_lost_where_the_vendor_lets_one_tell() {
    let gateway = impatient().await;
    let_nobody_look(&gateway.clouds);
    let answer = r#"{"Response":{"TaskId":7,"RequestId":"c5f4b3a2"}}"#;
    gateway.clouds.misbehave_times(2, Action::DcdbKill, Behaviour::Status(Canned::json(200, answer)));
    let first = gateway.kill(&kill_of("orders-shard-1", &[1111])).await;
    assert_eq!(first.status.as_u16(), 202, "{}", first.body);
    let second = gateway.kill(&kill_of("orders-shard-1", &[1112])).await;
    assert_eq!((second.status.as_u16(), second.code()), (504, "outcome_unknown"), "{}", second.body);
    let third = gateway.kill(&kill_of("orders-shard-1", &[1112])).await;
    assert_eq!(third.status.as_u16(), 202, "{}", third.body);
}
