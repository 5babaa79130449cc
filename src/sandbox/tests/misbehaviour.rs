use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{io::AsyncReadExt, time::timeout};

use super::*;

fn kill(id: u64) -> Ask {
    let path = format!("{}/nodes/{}/processes", demo::TAURUSDB_INSTANCE, demo::TAURUSDB_NODE);
    Ask::huawei("DELETE", &path, &json!({"processes": [id]}))
}

fn is_alive(sandbox: &Sandbox, id: u64) -> bool {
    let place = Place::taurusdb(demo::TAURUSDB_INSTANCE, demo::TAURUSDB_NODE);
    sandbox.clouds.alive(&place).contains(&id)
}

fn world_with(behaviour: Behaviour) -> Sandbox {
    let sandbox = demo_world();
    sandbox.clouds.misbehave_times(1, Action::TaurusdbKill, behaviour);
    sandbox
}

#[tokio::test]
async fn a_dropped_call_sends_not_one_byte() {
    for (behaviour, done) in [(Behaviour::Drop, true), (Behaviour::DropBefore, false)] {
        let sandbox = world_with(behaviour);
        let mut raw = vec![];
        let mut stream = kill(2_075_425).open(&sandbox).await.unwrap();
        // An end and a reset are both a closed connection.
        let read = stream.read_to_end(&mut raw).await;
        assert!(raw.is_empty(), "{read:?}");
        assert_eq!(is_alive(&sandbox, 2_075_425), !done);
        let call = sandbox.clouds.calls().remove(0);
        assert_eq!((call.verdict, call.killed.len()), (Verdict::Misbehaved, usize::from(done)));
        // Once was planned.
        assert_eq!(kill(2_075_426).send(&sandbox).await.status, 200);
    }
}

#[tokio::test]
async fn a_truncated_answer_is_half_of_what_it_announces() {
    let sandbox = world_with(Behaviour::Truncate);
    let got = kill(2_075_425).send(&sandbox).await;
    let announced: usize = got.headers.value("content-length").unwrap().parse().unwrap();
    assert_eq!((got.status, got.body.len()), (200, announced / 2));
    assert!(!is_alive(&sandbox, 2_075_425));
}

#[tokio::test]
async fn a_slow_answer_comes_late_and_the_work_is_done_at_once() {
    let pause = Duration::from_millis(80);
    let sandbox = world_with(Behaviour::Slow(pause));
    let start = Instant::now();
    assert_eq!(kill(2_075_425).send(&sandbox).await.status, 200);
    assert!(start.elapsed() >= pause);
    assert!(!is_alive(&sandbox, 2_075_425));
}

#[tokio::test]
async fn a_held_call_is_answered_once_the_clouds_behave() {
    let sandbox = world_with(Behaviour::Hold);
    let held = kill(2_075_425);
    let release = async {
        sandbox.clouds.arrived(Action::TaurusdbKill, 1).await;
        assert!(!is_alive(&sandbox, 2_075_425), "the work is done at once");
        sandbox.clouds.behave();
    };
    let (answer, ()) = tokio::join!(held.send(&sandbox), release);
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_hanging_call_is_answered_by_the_end_of_the_server_only() {
    let sandbox = world_with(Behaviour::Hang);
    let mut stream = kill(2_075_425).open(&sandbox).await.unwrap();
    let mut raw = vec![];
    sandbox.clouds.arrived(Action::TaurusdbKill, 1).await;
    assert!(timeout(Duration::from_millis(60), stream.read_to_end(&mut raw)).await.is_err());
    // Others are served meanwhile.
    assert_eq!(kill(2_075_426).send(&sandbox).await.status, 200);
    assert!(!is_alive(&sandbox, 2_075_425));
    sandbox.stop();
    let end = timeout(Duration::from_mins(1), stream.read_to_end(&mut raw)).await;
    assert!(end.is_ok() && raw.is_empty());
}

#[tokio::test]
async fn garbled_and_canned_answers_come_as_they_are() {
    let sandbox = world_with(Behaviour::Garble);
    let got = kill(2_075_425).send(&sandbox).await;
    assert_eq!((got.status, got.headers.value("content-type")), (200, Some("text/html")));
    assert!(got.text().starts_with("<html>") && !is_alive(&sandbox, 2_075_425));

    let mut canned = Canned::json(503, "{\"error_code\":\"APIGW.0613\",\"error_msg\":\"later\"}");
    canned.headers.insert("Retry-After".into(), "2".into());
    sandbox.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Status(canned));
    let got = kill(2_075_426).refused(&sandbox, 503, "APIGW.0613").await;
    assert_eq!(got.headers.value("retry-after"), Some("2"));
    assert!(is_alive(&sandbox, 2_075_426));
}

#[tokio::test]
async fn a_pool_that_reconnects_is_back_at_once_on_another_port() {
    let sandbox = world_with(Behaviour::Lie(Lie::Reconnects));
    let place = Place::taurusdb(demo::TAURUSDB_INSTANCE, demo::TAURUSDB_NODE);
    let before = sandbox.clouds.sessions(&place);
    let lost = before.iter().find(|session| session.id == 2_075_426).unwrap();
    assert_eq!(kill(lost.id).send(&sandbox).await.status, 200);
    assert!(!is_alive(&sandbox, lost.id));
    let new = sandbox.clouds.sessions(&place).pop().unwrap();
    assert!(before.iter().all(|session| session.id != new.id));
    assert_eq!((&new.user, &new.statement), (&lost.user, &lost.statement));
    let address = |session: &Session| session.host.rsplit_once(':').unwrap().0.to_owned();
    assert!(address(&new) == address(lost) && new.host != lost.host);
}

#[tokio::test]
async fn each_vendor_throttles_and_denies_in_its_own_way() {
    let sandbox = demo_world();
    let das = json!({"db_user_id": demo::DAS_DB_USER_ID, "user": "app"});
    let das = Ask::huawei("DELETE", &format!("{}/process", demo::DAS_INSTANCE), &das);
    let gaussdb = json!({"node_id": demo::GAUSSDB_NODE, "component_id": demo::GAUSSDB_COMPONENT, "session_ids": ["1"]});
    let gaussdb = Ask::huawei("POST", &format!("{}/kill-session", demo::GAUSSDB_INSTANCE), &gaussdb);
    let dcdb = json!({"InstanceId": demo::DCDB_INSTANCE, "ShardId": demo::DCDB_SHARD, "SessionId": [1111]});
    let dcdb = Ask::tencent("KillSession", &dcdb);
    let cases = [
        (Action::GaussdbKill, &gaussdb, (429, "APIGW.0308"), (400, "DBS.216003")),
        (Action::TaurusdbKill, &kill(2_075_425), (429, "APIGW.0308"), (403, "DBS.200010")),
        (Action::DasKill, &das, (400, "DAS.200002"), (403, "APIGW.0302")),
        (Action::DcdbKill, &dcdb, (200, "RequestLimitExceeded"), (200, "UnauthorizedOperation.PermissionDenied")),
    ];
    for (action, ask, throttled, denied) in cases {
        sandbox.clouds.misbehave_times(1, action, Behaviour::Throttle);
        sandbox.clouds.misbehave(action, Behaviour::Deny);
        ask.refused(&sandbox, throttled.0, throttled.1).await;
        ask.refused(&sandbox, denied.0, denied.1).await;
        ask.refused(&sandbox, denied.0, denied.1).await;
        sandbox.clouds.behave();
        assert_eq!(ask.send(&sandbox).await.code(), "");
    }
    assert_eq!(sandbox.clouds.violations(), 0);
}

#[tokio::test]
async fn a_reset_brings_the_world_back() {
    let sandbox = world_with(Behaviour::Hang);
    sandbox.clouds.reset();
    kill(2_075_425).send(&sandbox).await;
    assert!(!is_alive(&sandbox, 2_075_425));
    sandbox.clouds.reset();
    assert!(is_alive(&sandbox, 2_075_425) && sandbox.clouds.calls().is_empty());
}

#[test]
fn worlds_of_many_shards_are_built_in_a_line() {
    let clouds = Clouds::new();
    let shards = clouds.add_dcdb_shards("tdsqlshard-many", 32);
    clouds.put_ids(&shards[31], 1..=3);
    assert_eq!((shards.len(), clouds.alive(&shards[31]), clouds.alive(&shards[0])), (32, vec![1, 2, 3], vec![]));
    clouds.remove(&shards[31], 2);
    assert_eq!(clouds.alive(&shards[31]), [1, 3]);
}
