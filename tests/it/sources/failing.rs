//! Sources that fail, and come back.

use std::time::Duration;

use killgate::sandbox::{Behaviour, Canned};

use super::*;

on_one_engine! {
    a_source_that_fails_fails_the_kill_with_what_it_answered_and_nothing_is_sent,
    while_the_old_keys_hold_kills_go_on,
    without_a_role_the_kill_is_denied_and_the_source_left_alone_for_a_minute,
    a_role_that_may_not_be_assumed_is_told_by_its_code,
}

/// Vendors give up on a call soon.
const IMPATIENT: &str = "[vendors.taurusdb]\ntimeout_ms = 1500\nmax_wait_ms = 1000\n\
                         [vendors.dcdb]\ntimeout_ms = 1500\nmax_wait_ms = 1000\n";

fn failures() -> [(Behaviour, &'static str); 5] {
    let canned = |status, body| Behaviour::Status(Canned::json(status, body));
    [
        (canned(500, "canary"), "answered HTTP 500"),
        (Behaviour::Garble, "holds no credentials that can be read"),
        (canned(200, r#"{"Code":"Success","Response":{},"credential":{"access":"canary"}}"#), "holds no credentials"),
        (Behaviour::DropBefore, "no answer of 127.0.0.1"),
        (Behaviour::Hang, "did not answer within the time of the call"),
    ]
}

async fn a_source_that_fails_fails_the_kill_with_what_it_answered_and_nothing_is_sent(engine: Engine) {
    for source in [ecs_agency(), agency_by_keys(), cvm_role(), assumed_role()] {
        for (behaviour, told) in failures() {
            // A hanging one is asked for longer than a call may take.
            let (gateway, clock) = start(engine, &source, IMPATIENT).await;
            gateway.clouds.misbehave(source.asked, behaviour.clone());
            let answer = kill(&gateway, &source, 0).await;
            assert_nothing_done(&gateway, &source, &answer, "upstream_failed").await;
            let sentence = "the account has no credentials at this time; nothing was killed: ";
            assert!(detail(&answer).starts_with(sentence), "{}", answer.body);
            assert!(detail(&answer).contains(told) && !detail(&answer).contains("canary"), "{told}: {}", answer.body);
            assert!(gateway.clouds.calls_for(source.place().2).is_empty(), "{told}");
            let metrics = gateway.client().get("/metrics", "").await.body.to_string();
            assert!(metrics.contains(r#"result=\"credentials\""#), "{metrics}");
            if behaviour != Behaviour::Hang {
                gateway.clouds.behave();
                // For so long a source that failed is left alone.
                clock.set(clock.now() + Duration::from_secs(2));
                let answer = kill(&gateway, &source, 1).await;
                assert!(goes_well(&answer), "{} after {told}: {}", source.name, answer.body);
            }
        }
    }
}

async fn while_the_old_keys_hold_kills_go_on(engine: Engine) {
    for (behaviour, _) in failures() {
        let source = cvm_role();
        let (gateway, clock) = start(engine, &source, IMPATIENT).await;
        assert!(goes_well(&kill(&gateway, &source, 0).await));
        gateway.clouds.misbehave(source.asked, behaviour.clone());
        clock.set(clock.now() + Duration::from_mins(56));
        for nth in 1..4 {
            let answer = kill(&gateway, &source, nth).await;
            assert!(goes_well(&answer), "{behaviour:?}: {}", answer.body);
        }
        gateway.clouds.arrived(source.asked, 2).await;
        assert_eq!(asked(&gateway, &source), 2, "{behaviour:?}: once a minute");
    }
}

async fn without_a_role_the_kill_is_denied_and_the_source_left_alone_for_a_minute(engine: Engine) {
    for (source, told) in
        [(ecs_agency(), "says that the machine has no agency"), (cvm_role(), "the metadata service answered HTTP 404")]
    {
        let (gateway, clock) = start(engine, &source, "").await;
        gateway.clouds.set_machine(false, None);
        for _ in 0..3 {
            let answer = kill(&gateway, &source, 0).await;
            assert_nothing_done(&gateway, &source, &answer, "upstream_denied").await;
            assert!(detail(&answer).contains(told), "{}", answer.body);
        }
        let count = |gateway: &Gateway| gateway.clouds.count();
        let before = count(&gateway);
        assert!(before <= 2, "{}", source.name);
        // Somebody gives it one.
        gateway.clouds.set_machine(true, Some("another-role"));
        kill(&gateway, &source, 0).await;
        assert_eq!(count(&gateway), before);
        clock.set(clock.now() + Duration::from_secs(61));
        let answer = kill(&gateway, &source, 0).await;
        assert!(goes_well(&answer), "{}: {}", source.name, answer.body);
    }
}

async fn a_role_that_may_not_be_assumed_is_told_by_its_code(engine: Engine) {
    for (right, code) in
        [(world::TENCENT_EXTERNAL_ID, "UnauthorizedOperation"), ("roleName/killgate", "ResourceNotFound.RoleNotFound")]
    {
        let source = assumed_role();
        let source = Source { lines: source.lines.replace(right, "another"), ..source };
        let (gateway, _) = start(engine, &source, "").await;
        for _ in 0..2 {
            let answer = kill(&gateway, &source, 0).await;
            assert_nothing_done(&gateway, &source, &answer, "upstream_denied").await;
            let told = format!("STS gives no keys for the role ({code})");
            assert!(detail(&answer).contains(&told), "{}", answer.body);
        }
        assert_eq!(asked(&gateway, &source), 1);
    }
}
