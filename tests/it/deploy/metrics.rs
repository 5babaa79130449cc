//! Every metric that somebody is to watch exists, and everything that exists is told of.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use actix_web::http::Method;
use killgate::{
    metrics::{Exposition, Metrics},
    sandbox::{Action, Behaviour},
};
use serde_json::Value;

use crate::support::{
    gateway::{Engine, Gateway, Setup, kill_of, on_both_engines, on_one_engine},
    patience::eventually,
    postgres::Cluster,
    receiver::{Receiver, Reply},
};

on_both_engines! {
    what_is_open_and_owed_is_counted,
}

on_one_engine! {
    what_is_watched_is_what_there_is,
    who_invents_paths_and_methods_makes_no_label,
}

fn shipped(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

/// The metrics that a text names; what is recorded by rules has a `:` beside it.
fn named(text: &str) -> BTreeSet<String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c| !is_of_name(c)).map(|word| word.trim_end_matches(':'));
    words.filter(|word| word.starts_with("killgate_") && !word.contains(':')).map(ToOwned::to_owned).collect()
}

/// The scrape as Prometheus' tools read it.
async fn scrape(gateway: &Gateway) -> String {
    let text = gateway.client().send(Method::GET, "/metrics", &[], String::new()).await.body;
    let Value::String(text) = text else { panic!("{text}") };
    text
}

/// A gateway that has done a bit of everything that is counted: a series with labels is there from its first count on.
async fn busy(engine: Engine) -> (Gateway, String) {
    let more = "[webhooks.nobody]\nurl = \"http://127.0.0.1:9/\"\nsecret = \"a-key-that-only-the-tests-know-03\"\n\
                [traces]\nendpoint = \"http://127.0.0.1:9\"\n";
    let gateway = Gateway::start_with(engine, Setup { more: more.to_owned(), ..Setup::default() }).await;
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    gateway.read("/kills").await;
    gateway.client().get("/kills", "no-token").await;
    let text = eventually("a delivery and spans that failed", async || {
        let text = scrape(&gateway).await;
        let are_there = ["killgate_webhook_deliveries_total{", "killgate_spans_total{"].map(|name| text.contains(name));
        are_there.iter().all(|is_there| *is_there).then_some(text)
    });
    let text = text.await;
    (gateway, text)
}

async fn what_is_watched_is_what_there_is(engine: Engine) {
    let (_gateway, text) = busy(engine).await;
    // This gateway's callers share a secret with it, so it has no key sets to tell of.
    let of_key_sets = Metrics::default();
    of_key_sets.key_set("https://sso.test", false, Some(Duration::from_secs(1)), 1);
    let of_key_sets = of_key_sets.text(Exposition::Prometheus);
    let families: BTreeSet<(&str, &str)> = text
        .lines()
        .chain(of_key_sets.lines())
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .filter(|(name, _)| name.starts_with("killgate_"))
        .collect();
    let mut series = BTreeSet::new();
    for &(name, kind) in &families {
        match kind {
            "histogram" => series.extend(["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}"))),
            _ => drop(series.insert(name.to_owned())),
        }
    }
    for path in ["deploy/prometheus/killgate.rules.yml", "deploy/grafana/killgate.json"] {
        let used = named(&shipped(path));
        assert!(!used.is_empty(), "{path}");
        let missing: Vec<_> = used.difference(&series).collect();
        assert!(missing.is_empty(), "{path} names what there is not: {missing:?}");
    }
    let rows = shipped("docs/operating.md");
    let rows = rows.lines().filter_map(|line| line.strip_prefix("| `killgate_")?.split_once('`'));
    let told: BTreeSet<_> =
        rows.map(|(name, _)| format!("killgate_{name}")).filter(|name| name != "killgate_owner").collect();
    let families: BTreeSet<_> = families.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(told, families, "docs/operating.md tells of other metrics than there are");
    assert_is_clean(&text);
    for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"] {
        assert!(value(&text, &format!("process_{name}")).is_some_and(|value| value > 0.0), "{name} {text}");
    }
    let answers = "killgate_http_requests_total{method=\"POST\",route=\"/sessions/kill\",status=\"200\"}";
    assert_eq!(value(&text, answers), Some(1.0), "{text}");
    let took = "killgate_http_request_seconds_count{method=\"POST\",route=\"/sessions/kill\"}";
    assert_eq!(value(&text, took), Some(1.0), "{text}");
    assert_eq!(value(&text, "killgate_kill_seconds_count{vendor=\"taurusdb\"}"), Some(1.0), "{text}");
    assert!(value(&text, "killgate_db_connections_limit{pool=\"writer\"}").is_some(), "{text}");
}

/// What a metric with these labels tells.
fn value(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

async fn who_invents_paths_and_methods_makes_no_label(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for path in ["/canary-1", "/canary-2?canary=3"] {
        let method = Method::from_bytes(b"CANARY").unwrap();
        gateway.client().send(method, path, &[], String::new()).await;
    }
    gateway.read("/kills/canary-4").await;
    let text = scrape(&gateway).await;
    let answers = "killgate_http_requests_total{method=\"_OTHER\",route=\"none\",status=\"404\"}";
    assert_eq!(value(&text, answers), Some(2.0), "{text}");
    assert!(!text.to_lowercase().contains("canary"), "{text}");
}

async fn what_is_open_and_owed_is_counted(engine: Engine) {
    let portal = Receiver::always(Reply::Hang).await;
    let gateway = Gateway::start_with(engine, Setup { more: portal.section("portal"), ..Setup::default() }).await;
    let text = scrape(&gateway).await;
    for name in ["open_kills{age=\"under_1m\"}", "oldest_open_kill_seconds", "webhook_backlog{webhook=\"portal\"}"] {
        assert_eq!(value(&text, &format!("killgate_{name}")), Some(0.0), "{name} {text}");
    }
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    gateway.clouds.misbehave(Action::TaurusdbKill, Behaviour::Hold);
    let (client, token) = (gateway.client().clone(), Gateway::token("chatops-bot", "sessions:kill"));
    let body = kill_of("orders-ro", &[2_075_426]).to_string();
    let asked = tokio::spawn(async move { client.post("/sessions/kill", &token, &[], body).await });
    let counted = async || {
        let text = scrape(&gateway).await;
        let told = |name: &str| value(&text, &format!("killgate_{name}")).unwrap();
        let is_open = told("open_kills{age=\"under_1m\"}") + told("open_kills{age=\"under_15m\"}");
        let are_owed = told("webhook_backlog{webhook=\"portal\"}");
        (is_open >= 1.0 && told("oldest_open_kill_seconds") > 0.0 && are_owed >= 1.0).then_some(())
    };
    eventually("one is open and one is owed", counted).await;
    gateway.clouds.behave();
    asked.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_is_answered_while_the_record_is_away() {
    let cluster = Cluster::start();
    let setup = Setup { database_url: Some(cluster.url().to_owned()), ..Setup::default() };
    let gateway = Gateway::start_with(Engine::Postgres, setup).await;
    assert_eq!(value(&scrape(&gateway).await, "killgate_oldest_open_kill_seconds"), Some(0.0));
    tokio::task::block_in_place(|| cluster.stop());
    let untold = async || {
        let text = scrape(&gateway).await;
        let age = value(&text, "killgate_oldest_open_kill_seconds").unwrap();
        (age.is_nan() && !text.contains("killgate_open_kills{")).then_some(())
    };
    eventually("nobody can tell", untold).await;
}

/// `promtool check metrics` has nothing to say of it.
fn assert_is_clean(text: &str) {
    let mut child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/promtool.sh"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the script runs");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // An installation may have come before it.
    let about: Vec<_> = said
        .lines()
        .filter(|line| ["killgate_", "process_"].iter().any(|of| line.starts_with(of)) || line.contains("error"))
        .collect();
    assert!(output.status.success() && about.is_empty(), "{said}\n{text}");
}
