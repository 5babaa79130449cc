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
use killgate::metrics::{Exposition, Metrics};
use serde_json::Value;

use crate::support::{
    gateway::{Engine, Gateway, Setup, kill_of, on_one_engine},
    patience::eventually,
};

on_one_engine! {
    what_is_watched_is_what_there_is,
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
    let more = "[webhooks.nobody]\nurl = \"http://127.0.0.1:9/\"\nsecret = \"a-key-that-only-the-tests-know-03\"\n";
    let gateway = Gateway::start_with(engine, Setup { more: more.to_owned(), ..Setup::default() }).await;
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    gateway.read("/kills").await;
    gateway.client().get("/kills", "no-token").await;
    let text = eventually("a delivery that failed", async || {
        let text = scrape(&gateway).await;
        text.contains("killgate_webhook_deliveries_total").then_some(text)
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
    let about: Vec<_> = said.lines().filter(|line| line.starts_with("killgate_") || line.contains("error")).collect();
    assert!(output.status.success() && about.is_empty(), "{said}\n{text}");
}
