//! Every source, from the list to the kill.

use std::time::Duration;

use futures_util::future::join_all;
use killgate::sandbox::{Behaviour, Canned, Metadata};

use super::*;

on_one_engine! {
    with_every_source_sessions_are_listed_and_ended_and_it_is_asked_once,
    keys_are_renewed_ahead_of_their_end,
    fifty_kills_that_wait_meet_one_asking,
    what_is_stale_is_renewed_once_and_the_kill_sent_again,
    a_pods_token_is_read_again_each_time,
    a_metadata_service_without_tokens_of_its_own_is_asked_without,
}

fn token_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{}\n", world::TENCENT_WEB_IDENTITY_TOKEN)).unwrap();
    file
}

async fn with_every_source_sessions_are_listed_and_ended_and_it_is_asked_once(engine: Engine) {
    let file = token_file();
    let sources =
        [ecs_agency(), agency_by_keys(), agency_by_user(), cvm_role(), assumed_role(), pods_role(file.path())];
    for source in sources {
        let (gateway, _) = start(engine, &source, "").await;
        let (alias, ..) = source.place();
        let token = Gateway::token("chatops-bot", "sessions:read");
        let list = gateway.client().get(&format!("/sessions?target={alias}"), &token).await;
        assert!(list.body["items"].as_array().is_some_and(|rows| rows.len() > 5), "{}: {}", source.name, list.body);
        for nth in 0..3 {
            let answer = kill(&gateway, &source, nth).await;
            assert!(goes_well(&answer), "{}: {}", source.name, answer.body);
        }
        let recorded = gateway.read("/kills?limit=10").await.body.to_string();
        assert_eq!(asked(&gateway, &source), 1, "{}", source.name);
        let key = signed_with(&gateway, &source);
        assert!(gateway.clouds.temporary_secrets().contains(&key), "{}: {key}", source.name);
        assert!(!recorded.contains(&key), "{}", source.name);
    }
}

async fn keys_are_renewed_ahead_of_their_end(engine: Engine) {
    for source in [ecs_agency(), agency_by_keys(), cvm_role(), assumed_role()] {
        let (gateway, clock) = start(engine, &source, "").await;
        let noon = clock.now();
        assert!(goes_well(&kill(&gateway, &source, 0).await), "{}", source.name);
        let first = signed_with(&gateway, &source);
        clock.set(noon + Duration::from_mins(53));
        assert!(goes_well(&kill(&gateway, &source, 1).await));
        assert_eq!(asked(&gateway, &source), 1, "{}", source.name);
        // The kill that finds them old goes with them, and meanwhile they are renewed.
        clock.set(noon + Duration::from_mins(56));
        assert!(goes_well(&kill(&gateway, &source, 2).await));
        // At Tencent the look after an earlier kill may have found them so before it.
        assert!(!source.is_huawei() || signed_with(&gateway, &source) == first, "{}", source.name);
        let with_others = async || {
            let answer = kill(&gateway, &source, 3).await;
            assert!(goes_well(&answer), "{}", answer.body);
            (signed_with(&gateway, &source) != first).then_some(())
        };
        eventually("another key signs", with_others).await;
        clock.set(noon + Duration::from_mins(70));
        assert!(goes_well(&kill(&gateway, &source, 4).await), "{}: the first ones have ended", source.name);
        assert_eq!(asked(&gateway, &source), 2, "{}", source.name);
    }
}

async fn fifty_kills_that_wait_meet_one_asking(engine: Engine) {
    for source in [ecs_agency(), assumed_role()] {
        let (gateway, _) = start(engine, &source, "").await;
        gateway.clouds.misbehave(source.asked, Behaviour::Hold);
        let (gateway, source) = (&gateway, &source);
        let release = async {
            gateway.clouds.arrived(source.asked, 1).await;
            // All of them are on record while the source is silent.
            let recorded = async || {
                let items = gateway.read("/kills?limit=100").await;
                (items.body["items"].as_array().unwrap().len() == 50).then_some(())
            };
            eventually("fifty kills wait", recorded).await;
            gateway.clouds.behave();
        };
        let kills = join_all((0..50).map(|nth| kill(gateway, source, nth % 12)));
        let (answers, ()) = tokio::join!(kills, release);
        for answer in answers {
            assert!(answer.status.is_success(), "{}: {}", source.name, answer.body);
        }
        assert_eq!(asked(gateway, source), 1, "{}", source.name);
    }
}

async fn what_is_stale_is_renewed_once_and_the_kill_sent_again(engine: Engine) {
    for source in [ecs_agency(), agency_by_user(), cvm_role(), assumed_role()] {
        let (gateway, _) = start(engine, &source, "").await;
        let (_, _, ends) = source.place();
        assert!(goes_well(&kill(&gateway, &source, 0).await), "{}", source.name);
        gateway.clouds.revoke_keys();
        assert!(goes_well(&kill(&gateway, &source, 1).await), "{}", source.name);
        // At Tencent the look after the first kill may have found it out before the second.
        let sent = gateway.clouds.calls_for(ends).len();
        assert!(sent == 3 || (sent == 2 && !source.is_huawei()), "{}: {sent}", source.name);
        assert_eq!(asked(&gateway, &source), 2, "{}", source.name);

        // And a cloud that takes none of them.
        let refusal = if source.is_huawei() {
            Canned::json(401, r#"{"error_code":"APIGW.0301","error_msg":"verify security token fail"}"#)
        } else {
            let error = r#"{"Code":"AuthFailure.TokenFailure","Message":"no"}"#;
            Canned::json(200, &format!(r#"{{"Response":{{"Error":{error},"RequestId":"{{request_id}}"}}}}"#))
        };
        gateway.clouds.misbehave(ends, Behaviour::Status(refusal));
        let before = gateway.clouds.calls_for(ends).len();
        let answer = kill(&gateway, &source, 2).await;
        assert_nothing_done(&gateway, &source, &answer, "upstream_denied").await;
        // A metadata service gives the same keys again, which are not worth another call.
        let is_machines = matches!(source.asked, Action::EcsKeys | Action::CvmKeys);
        let sent = if is_machines { 1 } else { 2 };
        assert_eq!(gateway.clouds.calls_for(ends).len(), before + sent, "{}", source.name);
        for _ in 0..3 {
            kill(&gateway, &source, 2).await;
        }
        // At Tencent a look after an earlier kill may be taken meanwhile, so that each refusal is worth one more.
        let most = if source.is_huawei() { 3 } else { 6 };
        assert!(asked(&gateway, &source) <= most, "{}: never in a loop", source.name);
    }
}

async fn a_pods_token_is_read_again_each_time(engine: Engine) {
    let file = token_file();
    let source = pods_role(file.path());
    let (gateway, clock) = start(engine, &source, "").await;
    assert!(goes_well(&kill(&gateway, &source, 0).await));
    gateway.clouds.set_web_identity_token("another.web-identity.token");
    std::fs::write(file.path(), "another.web-identity.token").unwrap();
    clock.set(clock.now() + Duration::from_hours(2));
    let answer = kill(&gateway, &source, 1).await;
    assert!(goes_well(&answer), "{}", answer.body);
    assert_eq!(asked(&gateway, &source), 2);
    // And without one.
    std::fs::write(file.path(), "\n").unwrap();
    clock.set(clock.now() + Duration::from_hours(2));
    let answer = kill(&gateway, &source, 2).await;
    assert_nothing_done(&gateway, &source, &answer, "upstream_failed").await;
    assert!(detail(&answer).contains("is empty"), "{}", answer.body);
}

async fn a_metadata_service_without_tokens_of_its_own_is_asked_without(engine: Engine) {
    for (metadata, tokens) in [(Metadata::First, 0), (Metadata::Both, 1), (Metadata::Second, 1)] {
        let source = ecs_agency();
        let (gateway, _) = start(engine, &source, "").await;
        gateway.clouds.set_metadata(metadata);
        assert!(goes_well(&kill(&gateway, &source, 0).await), "{metadata:?}");
        let with_token = |call: &&killgate::sandbox::Received| call.headers.value("x-metadata-token").is_some();
        assert_eq!(gateway.clouds.calls_for(Action::EcsKeys).iter().filter(with_token).count(), tokens, "{metadata:?}");
    }
}
