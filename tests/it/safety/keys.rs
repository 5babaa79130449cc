//! An `Idempotency-Key` in a fleet: three gateways on one Postgres, and those that come after them, keep it as one.

use std::collections::HashSet;

use actix_web::http::StatusCode;
use futures_util::future::join_all;
use killgate::{
    app::App,
    clock::Clock,
    sandbox::{Action, Behaviour},
};
use serde_json::Value;

use super::{process::Served, records};
use crate::support::{
    configuration::{BLIND, configuration, record_at},
    gateway::{Answer, Client, Engine, Gateway, Setup, kill_of},
    patience::eventually,
};

/// Enough to meet each other in many ways.
const ROUNDS: u64 = 12;
/// Equal requests at each gateway.
const EACH: usize = 4;

/// Three gateways on one record and one set of clouds.
struct Fleet {
    first: Gateway,
    others: Vec<App>,
}

impl Fleet {
    async fn start() -> Self {
        let first = Gateway::start_blind(Engine::Postgres).await;
        let mut fleet = Self { first, others: vec![] };
        for _ in 0..2 {
            fleet.another().await;
        }
        fleet
    }

    async fn another(&mut self) -> Client {
        let config = configuration(&record_at(&self.first.database_url()), &self.first.sandbox.url, BLIND);
        let app = App::start(&config, Clock::system()).await.expect("a gateway that starts");
        let client = Client::new(app.address());
        self.others.push(app);
        client
    }

    fn clients(&self) -> Vec<Client> {
        let others = self.others.iter().map(|app| Client::new(app.address()));
        [self.first.client().clone()].into_iter().chain(others).collect()
    }

    fn sent(&self) -> usize {
        self.first.clouds.calls_for(Action::TaurusdbKill).len()
    }
}

async fn keyed(client: &Client, key: &str, body: &Value) -> Answer {
    let token = Gateway::token("chatops-bot", "sessions:kill");
    client.post("/sessions/kill", &token, &[("Idempotency-Key", key)], body.to_string()).await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

fn body(round: u64) -> Value {
    kill_of("orders-ro", &[700_000 + round])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_requests_at_three_gateways_at_once_are_one_call_and_one_kill() {
    let fleet = Fleet::start().await;
    let clients = fleet.clients();
    for round in 0..ROUNDS {
        let (key, body) = (format!("key-{round}"), body(round));
        let requests = clients.iter().flat_map(|client| [client; EACH]);
        let answers = join_all(requests.map(|client| keyed(client, &key, &body))).await;
        let kills: HashSet<_> = answers.iter().map(Answer::kill_id).collect();
        assert_eq!(kills.len(), 1, "{answers:?}");
        let is_fresh = |answer: &&Answer| answer.status == StatusCode::OK && !is_replayed(answer);
        assert_eq!(answers.iter().filter(is_fresh).count(), 1, "{answers:?}");
        for answer in answers.iter().filter(|answer| !is_fresh(answer)) {
            assert!(is_replayed(answer) || answer.code() == "in_progress", "{answer:?}");
        }
        // Once it is done, each of them knows it.
        for answer in join_all(clients.iter().map(|client| keyed(client, &key, &body))).await {
            assert!(answer.status == StatusCode::OK && is_replayed(&answer), "{answer:?}");
            assert!(kills.contains(answer.kill_id()), "{answer:?}");
        }
    }
    assert_eq!(fleet.sent() as u64, ROUNDS);
    assert_eq!(records(&fleet.first).await.len() as u64, ROUNDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_different_requests_under_one_key_at_three_gateways_one_is_sent_and_the_others_are_told() {
    let fleet = Fleet::start().await;
    let clients = fleet.clients();
    for round in 0..ROUNDS {
        let key = format!("key-{round}");
        let asked: Vec<_> = clients.iter().zip(10 * round..).map(|(client, id)| (client, body(id))).collect();
        let answers = join_all(asked.iter().map(|(client, body)| keyed(client, &key, body))).await;
        let (done, told): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == StatusCode::OK);
        let [done] = done.as_slice() else { panic!("{answers:?}") };
        assert!(!is_replayed(done), "{done:?}");
        for answer in told {
            assert_eq!((answer.status.as_u16(), answer.code()), (422, "key_reused"), "{answer:?}");
            assert!(!is_replayed(answer), "{answer:?}");
            assert!(answer.body["detail"].as_str().unwrap().contains(done.kill_id()), "{answer:?}");
            // It is an attempt like any other.
            let record = fleet.first.record(answer.kill_id()).await;
            assert_eq!((&record["status"], &record["problem"]["code"]), (&"failed".into(), &"key_reused".into()));
        }
    }
    assert_eq!(fleet.sent() as u64, ROUNDS);
    assert_eq!(records(&fleet.first).await.len(), clients.len() * usize::try_from(ROUNDS).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_starts_later_knows_the_keys_of_those_before_it() {
    let mut fleet = Fleet::start().await;
    let [first, second, third] = fleet.clients().try_into().unwrap();
    let done = keyed(&first, "key", &body(1)).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    // Those that served meanwhile are gone.
    for app in std::mem::take(&mut fleet.others) {
        app.stop().await.unwrap();
    }
    drop([second, third]);
    let restarted = fleet.another().await;
    let again = keyed(&restarted, "key", &body(1)).await;
    assert!(is_replayed(&again), "{again:?}");
    assert_eq!((again.status, &again.body), (done.status, &done.body));
    let other = keyed(&restarted, "key", &body(2)).await;
    assert_eq!((other.status.as_u16(), other.code()), (422, "key_reused"), "{other:?}");
    assert_eq!(fleet.sent(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_gateway_was_killed_stands_for_the_kill_that_it_left() {
    let clock = Clock::manual(Clock::system().now());
    let setup = Setup { clock: Some(clock.clone()), ..Setup::default() };
    let next = Gateway::start_blind_with(Engine::Postgres, setup).await;
    let doomed = Served::start(&record_at(&next.database_url()), &next.sandbox.url, BLIND).await;
    next.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Hang);
    let lost = tokio::spawn({
        let client = doomed.client.clone();
        let token = format!("Bearer {}", Gateway::token("chatops-bot", "sessions:kill"));
        async move {
            let headers =
                [("Authorization", token.as_str()), ("Content-Type", "application/json"), ("Idempotency-Key", "key")];
            client.try_send(actix_web::http::Method::POST, "/sessions/kill", &headers, body(1).to_string()).await
        }
    });
    next.clouds.arrived(Action::TaurusdbKill, 1).await;
    doomed.die().await;
    lost.await.unwrap().expect_err("its gateway is dead");
    // Longer than the kill may take.
    clock.set(Clock::system().now() + std::time::Duration::from_mins(5));

    let id = records(&next).await[0]["id"].as_str().unwrap().to_owned();
    let settled = async || {
        let answer = keyed(next.client(), "key", &body(1)).await;
        assert_eq!(answer.kill_id(), id, "{answer:?}");
        assert!(is_replayed(&answer) || answer.code() == "in_progress", "{answer:?}");
        Some(answer).filter(is_replayed)
    };
    let settled = eventually("the kill is settled", settled).await;
    assert_eq!((settled.status.as_u16(), settled.code()), (504, "outcome_unknown"), "{settled:?}");
    assert_eq!(next.clouds.calls_for(Action::TaurusdbKill).len(), 1);
}
