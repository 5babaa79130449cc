//! Whoever asks for too much is told so, in the standard way, and on record.

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, Behaviour};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{all, assert_accepted, assert_recorded, ids, shards};
use crate::support::{
    gateway::{Answer, Engine, Gateway, kill_of},
    lateness::Lateness,
    patience::eventually,
};

fn split(answers: Vec<Answer>) -> (Vec<Answer>, Vec<Answer>) {
    answers.into_iter().partition(|answer| answer.status == StatusCode::ACCEPTED)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_asks_too_often_is_limited_alone() {
    let limit = "[callers]\nkills_per_second = 1\nburst = 2\n";
    let (gateway, targets) = shards(Engine::Sqlite, 10, limit).await;
    let bodies: Vec<_> = targets.iter().map(|target| ids(target, &[1])).collect();
    let (done, limited) = split(all(&gateway, &bodies).await);
    assert!(done.len() >= 2 && !limited.is_empty());
    for answer in done.iter().chain(&limited) {
        assert_eq!(answer.header("ratelimit-policy"), Some(r#""caller";q=2;w=2"#));
    }
    for answer in &limited {
        assert_eq!((answer.status, answer.code()), (StatusCode::TOO_MANY_REQUESTS, "rate_limited"), "{}", answer.body);
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("ratelimit"), Some(r#""caller";r=0;t=1"#));
    }
    // The first has a record of its own.
    let first = limited.iter().find(|answer| answer.body.get("kill_id").is_some()).expect("a record");
    assert_recorded(&gateway, first, "rate_limited").await;
    let dba = Gateway::token("dba", "sessions:kill");
    let other = gateway.client().post("/sessions/kill", &dba, &[], bodies[0].to_string()).await;
    assert_eq!((other.status, other.header("ratelimit")), (StatusCode::ACCEPTED, Some(r#""caller";r=1;t=0"#)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_too_many_wait_more_are_turned_away() {
    let few = "[vendors.dcdb]\nrequests_per_second = 1\nmax_wait_ms = 60000\nmax_waiting = 1\n";
    let (gateway, targets) = shards(Engine::Sqlite, 6, few).await;
    assert_accepted(&all(&gateway, &[ids(&targets[0], &[1])]).await);
    let bodies: Vec<_> = targets.iter().map(|target| ids(target, &[2])).collect();
    let (done, turned_away) = split(all(&gateway, &bodies).await);
    assert!(!done.is_empty() && !turned_away.is_empty());
    for answer in &turned_away {
        assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "overloaded"), "{}", answer.body);
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_recorded(&gateway, answer, "rate_limited").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_have_a_turn_in_time_is_told_when_there_is_one() {
    let impatient = "[vendors.dcdb]\nrequests_per_second = 1\nmax_wait_ms = 0\n";
    let lateness = Lateness::watch();
    let (gateway, targets) = shards(Engine::Postgres, 6, impatient).await;
    let bodies: Vec<_> = targets.iter().map(|target| ids(target, &[1])).collect();
    let (_, late) = split(all(&gateway, &bodies).await);
    assert!(!late.is_empty());
    for answer in &late {
        assert_eq!((answer.status, answer.code()), (StatusCode::TOO_MANY_REQUESTS, "rate_limited"), "{}", answer.body);
        let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=2).contains(&after));
        assert_recorded(&gateway, answer, "rate_limited").await;
    }
    lateness.assert_kept(&gateway.clouds.calls_for(Action::DcdbKill), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_hangs_up_does_not_cancel_its_kill() {
    let gateway = Gateway::start_blind(Engine::Sqlite).await;
    gateway.clouds.misbehave(Action::DcdbKill, Behaviour::Hold);
    let (token, body) = (Gateway::token("hasty", "sessions:kill"), kill_of("orders-shard-1", &[1111]).to_string());
    let request = format!(
        "POST /sessions/kill HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(gateway.app.address()).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    gateway.clouds.arrived(Action::DcdbKill, 1).await;
    drop(connection);
    gateway.clouds.behave();
    let done = async || {
        let kills = gateway.read("/kills?caller=hasty&status=succeeded").await.body;
        (!kills["items"][0].is_null()).then_some(())
    };
    eventually("the kill is seen through", done).await;
}
