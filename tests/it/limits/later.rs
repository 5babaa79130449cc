//! `Retry-After`, in all its forms: no call before it, and the caller is told the same.

use std::time::Duration;

use killgate::sandbox::{Action, Behaviour, Canned};
use serde_json::json;

use super::{all, assert_accepted, ids, sent, shards};
use crate::support::gateway::{Answer, Engine, Gateway, Setup, kill_of};

fn wait(answer: &Answer) -> u64 {
    answer.header("retry-after").unwrap_or_else(|| panic!("{}", answer.body)).parse().unwrap()
}

fn throttled(status: u16, retry_after: &str) -> Behaviour {
    let mut canned = Canned::json(status, r#"{"error_code":"APIGW.0308","error_msg":""}"#);
    canned.headers.insert("Retry-After".to_owned(), retry_after.to_owned());
    Behaviour::Status(canned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_comes_before_a_date_that_the_vendor_names() {
    let (gateway, targets) = shards(Engine::Sqlite, 5, "").await;
    gateway.clouds.misbehave_times(1, Action::DcdbKill, Behaviour::ThrottleUntil(300));
    let first = gateway.kill(&ids(&targets[0], &[1])).await;
    assert_eq!((first.status.as_u16(), first.code()), (429, "upstream_throttled"), "{}", first.body);
    assert!((150..=300).contains(&wait(&first)), "{}", wait(&first));
    for answer in all(&gateway, &targets[1..].iter().map(|target| ids(target, &[1])).collect::<Vec<_>>()).await {
        assert_eq!(answer.status.as_u16(), 429, "{}", answer.body);
        assert!((100..=300).contains(&wait(&answer)), "{}", wait(&answer));
    }
    assert_eq!(sent(&gateway.clouds).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_asked_to_wait_holds_all_calls_of_its_budget() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    gateway.clouds.misbehave_times(1, Action::TaurusdbProcesses, Behaviour::ThrottleUntil(300));
    let token = Gateway::token("dba", "sessions:read");
    for _ in 0..3 {
        let listed = gateway.client().get("/sessions?target=orders-ro", &token).await;
        assert_eq!(listed.status.as_u16(), 429, "{}", listed.body);
        assert!((100..=300).contains(&wait(&listed)), "{}", wait(&listed));
    }
    let killed = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    assert_eq!(killed.status.as_u16(), 429, "{}", killed.body);
    assert_eq!(gateway.clouds.calls().len(), 1);
    // Others have their own.
    let killed = gateway.kill(&kill_of("ledger", &[10_180])).await;
    assert_eq!(killed.status.as_u16(), 200, "{}", killed.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_date_that_is_over_means_now_and_one_that_is_near_is_waited_for() {
    let (gateway, targets) = shards(Engine::Sqlite, 2, "").await;
    let mut over = Canned::json(429, "{}");
    over.headers.insert("Retry-After".to_owned(), "Thu, 01 Jan 1970 00:00:00 GMT".to_owned());
    gateway.clouds.misbehave_times(1, Action::DcdbKill, Behaviour::Status(over));
    assert_accepted(&[gateway.kill(&ids(&targets[0], &[1])).await]);
    gateway.clouds.misbehave_times(1, Action::DcdbKill, Behaviour::ThrottleUntil(2));
    assert_accepted(&[gateway.kill(&ids(&targets[1], &[1])).await]);
    let calls = gateway.clouds.calls_for(Action::DcdbKill);
    assert_eq!(calls.len(), 4);
    assert!(calls[3].arrived - calls[2].arrived >= Duration::from_millis(900));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fraction_is_rounded_up_and_a_huge_wait_breaks_nothing() {
    let impatient = "[vendors.taurusdb]\nmax_wait_ms = 0\n[[protect]]\nusers = ['repl']\n".to_owned();
    for (value, seconds) in [("6.2", 7), ("18446744073709551615", 86_400), ("99999999999999999999999", 86_400)] {
        let setup = || Setup { more: impatient.clone(), ..Setup::default() };
        let gateway = Gateway::start_with(Engine::Sqlite, setup()).await;
        gateway.clouds.misbehave_times(1, Action::TaurusdbProcesses, throttled(429, value));
        let token = Gateway::token("dba", "sessions:read");
        let listed = gateway.client().get("/sessions?target=orders-ro", &token).await;
        assert_eq!((listed.status.as_u16(), wait(&listed)), (429, seconds), "{value}: {}", listed.body);
        // One that has to look first ends as it should, and not as one whose gateway went away.
        let gateway = Gateway::start_with(Engine::Sqlite, setup()).await;
        gateway.clouds.misbehave_times(1, Action::TaurusdbProcesses, throttled(429, value));
        let looked = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
        assert_ne!(looked.status.as_u16(), 202, "{value}: {}", looked.body);
        assert_ne!(gateway.record(looked.kill_id()).await["status"], json!("pending"), "{value}");
        let gateway = Gateway::start_with(Engine::Sqlite, setup()).await;
        gateway.clouds.misbehave_times(1, Action::TaurusdbKill, throttled(429, value));
        let sent = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
        assert_eq!((sent.status.as_u16(), sent.code(), wait(&sent)), (429, "upstream_throttled", seconds), "{value}");
    }
}
