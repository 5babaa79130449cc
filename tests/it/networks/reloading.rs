//! A gateway that is told of another configuration while it works.

use std::{os::unix::net::UnixDatagram, path::Path};

use killgate::{
    auth::{Grant, mint},
    clock::Clock,
    config::Secret,
    sandbox::{Action, Behaviour, Clouds, Sandbox, demo as world},
};
use serde_json::Value;

use crate::{
    safety::process::Served,
    support::{
        gateway::{AUDIENCE, Answer, ISSUER, JWT_SECRET, kill_of},
        patience::{PATIENCE, eventually},
    },
};

fn clouds() -> Sandbox {
    Sandbox::start(([127, 0, 0, 1], 0).into(), Clouds::demo()).unwrap()
}

/// Waits until the gateway has said that so often.
async fn says(served: &Served, text: &str, times: usize) {
    let said = async || (served.process.stderr().matches(text).count() >= times).then_some(());
    eventually(&format!("it says {text:?}"), said).await;
}

fn alias(name: &str) -> String {
    format!(
        "[targets.{name}]\nvendor = \"taurusdb\"\naccount = \"huawei-test\"\ninstance_id = \"{}\"\nnode_id = \"{}\"\n",
        world::TAURUSDB_INSTANCE,
        world::TAURUSDB_NODE
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_way_are_finished_and_what_comes_later_finds_the_new_configuration() {
    let clouds = clouds();
    let served = Served::start("", &clouds.url, "# here").await;
    let usual = served.configuration();
    clouds.clouds.misbehave_times(2, Action::GaussdbKill, Behaviour::Hold);
    let held = [kill_of("ledger", &[10_180]), kill_of("ledger", &[10_185])];
    let one = tokio::spawn(served.asked(&held[0]));
    clouds.clouds.arrived(Action::GaussdbKill, 1).await;
    let two = tokio::spawn(served.asked(&held[1]));
    let unknown = served.kill(&kill_of("new-name", &[2_075_425])).await;
    assert_eq!(unknown.code(), "unknown_target", "{}", unknown.body);

    served.configure(&usual.replace("# here", &format!("{}[callers]\nburst = 7\n", alias("new-name"))).replacen(
        "[callers]\nkills_per_second = 100000\nburst = 100000\nlists_per_second = 100000\nlists_burst = 100000\n",
        "",
        1,
    ));
    served.process.signal("HUP");
    says(&served, "the configuration was read again", 1).await;
    let log = served.process.stderr();
    assert!(log.contains("targets.new-name added") && log.contains("callers changed"), "{log}");
    let known = served.kill(&kill_of("new-name", &[2_075_425])).await;
    assert_eq!((known.status.as_u16(), &known.body["status"]), (200, &Value::from("succeeded")), "{}", known.body);

    // And again, and one that is gone.
    served.configure(&usual.replace("[targets.ledger]", "[targets.books]"));
    served.process.signal("HUP");
    says(&served, "targets.ledger removed", 1).await;
    assert_eq!(served.kill(&kill_of("ledger", &[10_186])).await.code(), "unknown_target");
    clouds.clouds.behave();
    for (answer, id) in [(one.await.unwrap(), "10180"), (two.await.unwrap(), "10185")] {
        assert_eq!(
            (answer.status.as_u16(), &answer.body["status"]),
            (200, &Value::from("succeeded")),
            "{}",
            answer.body
        );
        assert_eq!(answer.body["sessions"][0]["id"], id, "{}", answer.body);
    }
    served.process.signal("TERM");
    let ended = served.process.ended().await;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(!ended.stderr.contains("stopping with kills under way"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_changes_nothing_and_what_needs_a_restart_is_told_and_left() {
    let clouds = clouds();
    let served = Served::start("", &clouds.url, "").await;
    let usual = served.configuration();
    served.configure(&usual.replace("[targets.ledger]", "[targets.ledger]\ncolour = 7"));
    served.process.signal("HUP");
    says(&served, "the configuration is not good; nothing has changed", 1).await;
    assert_eq!(served.kill(&kill_of("ledger", &[10_180])).await.status.as_u16(), 200);
    served.configure("no TOML 'canary'");
    served.process.signal("HUP");
    says(&served, "the configuration is not good; nothing has changed", 2).await;
    assert_eq!(served.kill(&kill_of("ledger", &[10_185])).await.status.as_u16(), 200);

    served.configure(
        &usual
            .replace("[audit]", "[server.log]\nfilter = \"info,killgate=debug\"\n[audit]")
            .replace("shutdown_grace_ms = 10000", "shutdown_grace_ms = 9999\nworkers = 1"),
    );
    served.process.signal("HUP");
    says(&served, "server.log.filter changed", 1).await;
    says(&served, "needs a restart", 1).await;
    served.configure(&usual);
    served.process.signal("HUP");
    says(&served, "server.log.filter changed", 2).await;
    served.process.signal("HUP");
    says(&served, "nothing has changed", 3).await;
    assert!(!served.process.stderr().contains("canary"), "{}", served.process.stderr());
}

/// A token of the usual issuer that is signed with that secret.
fn token(secret: &str) -> String {
    let extra = serde_json::Map::new();
    let grant = Grant { issuer: ISSUER, audience: AUDIENCE, subject: "anna", scope: "", ttl: PATIENCE * 2, extra };
    mint(&grant, &Secret::from(secret.to_owned()), &Clock::system()).unwrap()
}

async fn me(served: &Served, secret: &str) -> Answer {
    served.client.get("/me", &token(secret)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_another_one_as_soon_as_its_file_is() {
    let (clouds, folder) = (clouds(), tempfile::tempdir().unwrap());
    let (file, new) = (folder.path().join("secret"), "a-newer-secret-than-the-usual-one-0001");
    std::fs::write(&file, JWT_SECRET).unwrap();
    let more = format!(
        "[auth]\nissuer = '{ISSUER}'\naudience = '{AUDIENCE}'\nhs256_secret = {{ file = '{}' }}\n",
        file.display()
    );
    let served = Served::start("", &clouds.url, &more).await;
    assert_eq!(me(&served, JWT_SECRET).await.status.as_u16(), 200);
    assert_eq!(me(&served, new).await.status.as_u16(), 401);
    // As those who deliver secrets do it: another file takes its place.
    replace(&file, new);
    let taken = async || (me(&served, new).await.status.as_u16() == 200).then_some(());
    eventually("the new secret is taken", taken).await;
    assert_eq!(me(&served, JWT_SECRET).await.status.as_u16(), 401);
    assert!(served.process.stderr().contains("auth changed"));
    replace(&file, "short");
    says(&served, "must have at least 32 bytes", 1).await;
    assert_eq!(me(&served, new).await.status.as_u16(), 200);
}

fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("next");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_is_told_what_is_so() {
    let (clouds, folder) = (clouds(), tempfile::tempdir().unwrap());
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = |wanted: &str| {
        loop {
            let mut text = [0; 200];
            let length = manager.recv(&mut text).expect("it is told");
            let text = std::str::from_utf8(&text[..length]).unwrap();
            if text.lines().next() == Some(wanted) {
                return;
            }
        }
    };
    let env = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let served = Served::start_with("", &clouds.url, "", &env).await;
    heard("READY=1");
    for _ in 0..3 {
        heard("WATCHDOG=1");
    }
    served.process.signal("HUP");
    heard("RELOADING=1");
    heard("READY=1");
    served.process.signal("TERM");
    heard("STOPPING=1");
    assert!(served.process.ended().await.status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_is_added_is_told_of_kills_from_then_on() {
    let clouds = clouds();
    let (taken, posts) = (tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(), tokio::sync::mpsc::channel(1));
    let url = format!("http://{}/", taken.local_addr().unwrap());
    let (post, mut posted) = posts;
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = taken.accept().await.unwrap();
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        post.send(String::from_utf8(head).unwrap()).await.unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    });
    let served = Served::start("", &clouds.url, "").await;
    let hook = format!("\n[webhooks.portal]\nurl = \"{url}\"\nsecret = \"a-key-that-only-the-tests-know-02\"\n");
    served.configure(&(served.configuration() + &hook));
    served.process.signal("HUP");
    says(&served, "webhooks.portal added", 1).await;
    assert_eq!(served.kill(&kill_of("ledger", &[10_180])).await.status.as_u16(), 200);
    let head = tokio::time::timeout(PATIENCE, posted.recv()).await.unwrap().unwrap();
    assert!(head.starts_with("POST / HTTP/1.1"), "{head}");
}
