//! What the program's commands do and how they end.

use killgate::sandbox::{Action, Behaviour, Clouds, Sandbox};
use serde_json::Value;

use super::process::{Ended, Process, Served};
use crate::support::{
    configuration::configuration_text,
    gateway::{Client, Gateway, kill_of},
    postgres::Database,
};

fn clouds() -> Sandbox {
    Sandbox::start(std::net::SocketAddr::from(([127, 0, 0, 1], 0)), Clouds::demo()).unwrap()
}

/// Runs a command to its end on a configuration of that text.
async fn run(arguments: &[&str], configuration: &str) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("elsewhere.toml");
    std::fs::write(&file, configuration).unwrap();
    Process::start(arguments, directory.path(), &[("KILLGATE_CONFIG", file.to_str().unwrap())]).ended().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_stops_a_gateway_after_it_has_finished() {
    let sandbox = clouds();
    let served = Served::start("", &sandbox.url, "").await;
    sandbox.clouds.misbehave(Action::GaussdbKill, Behaviour::Slow(std::time::Duration::from_millis(700)));
    let body = kill_of("ledger", &[10_180]);
    let terminate = async {
        sandbox.clouds.arrived(Action::GaussdbKill, 1).await;
        served.process.signal("TERM");
    };
    let (answer, ()) = tokio::join!(served.kill(&body), terminate);
    assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &"succeeded".into()), "{}", answer.body);
    let ended = served.process.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("embedded SQLite file"), "{}", ended.stderr);
    assert!(ended.stderr.contains("confirm.secret is not set"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_in_a_file_has_one_gateway_and_is_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let (sandbox, directory) = (clouds(), tempfile::tempdir().unwrap());
    let record = directory.path().join("k.db");
    let audit = format!("sqlite_path = \"{}\"", record.display());
    let first = Served::start(&audit, &sandbox.url, "").await;
    let second = run(&["serve"], &configuration_text(&audit, &sandbox.url, "")).await;
    assert!(!second.status.success() && second.stderr.contains("another gateway"), "{}", second.stderr);
    assert_eq!(first.kill(&kill_of("ledger", &[10_180])).await.status.as_u16(), 200);
    // Whoever only reads may do so beside it.
    let file = directory.path().join("k.ndjson");
    let export = ["audit", "export", "--output", file.to_str().unwrap()];
    let exported = run(&export, &configuration_text(&audit, &sandbox.url, "")).await;
    assert!(exported.status.success(), "{}", exported.stderr);
    for name in ["k.db", "k.db-wal", "k.db-shm", "k.db.lock", "k.ndjson"] {
        let mode = std::fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_bad_configuration_ends_it_with_the_keys_path() {
    let good = configuration_text("", "http://127.0.0.1:1", "");
    let bad = configuration_text("timeout = 3", "http://127.0.0.1:1", "[vendors.dcdb]\nmax_wait_ms = -1\n");
    let bad = bad.replace("[audit]", "workers = 65\n[audit]");
    for command in [&["serve"][..], &["check"], &["migrate"], &["token", "--sub", "x", "--scope", "y"]] {
        let ended = run(command, &bad).await;
        assert!(!ended.status.success(), "{command:?}");
        assert_eq!(ended.stdout, "", "{command:?}");
        for path in ["server.workers: must be", "audit.timeout: unknown key", "vendors.dcdb.max_wait_ms: must be"] {
            assert!(ended.stderr.contains(path), "{command:?}: {}", ended.stderr);
        }
    }
    let target =
        good + "\n[targets.x]\nvendor = \"das\"\naccount = \"huawei-test\"\ninstance_id = \"?\"\ndb_user_id = \"?\"";
    let ended = run(&["check"], &target).await;
    assert!(!ended.status.success() && ended.stderr.contains("targets.x."), "{}", ended.stderr);
}

#[tokio::test]
async fn an_address_that_is_taken_ends_it_with_the_keys_path() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = configuration_text("", "http://127.0.0.1:1", "");
    let text = text.replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    let ended = run(&["serve"], &text).await;
    assert!(!ended.status.success() && ended.stderr.contains("server.listen"), "{}", ended.stderr);
}

#[tokio::test]
async fn check_says_what_the_configuration_means() {
    let ended = run(&["check"], &configuration_text("", "http://127.0.0.1:1", "")).await;
    assert!(ended.status.success(), "{}", ended.stderr);
    for line in ["account huawei-test: huawei ap-southeast-1, key pair", "target ledger: gaussdb", "is good"] {
        assert!(ended.stdout.contains(line), "{}", ended.stdout);
    }
}

#[tokio::test]
async fn openapi_prints_the_document() {
    let ended = run(&["openapi"], "").await;
    assert!(ended.status.success(), "{}", ended.stderr);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(document["paths"]["/sessions/kill"]["post"].is_object());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_from_the_command_line_opens_the_gateway() {
    let gateway = Gateway::start(crate::support::gateway::Engine::Sqlite).await;
    let text = configuration_text("", &gateway.sandbox.url, "");
    let ended = run(&["token", "--sub", "deployer", "--scope", "sessions:kill", "--ttl", "5m"], &text).await;
    assert!(ended.status.success(), "{}", ended.stderr);
    let body = kill_of("ledger", &[10_180]).to_string();
    let answer = gateway.client().post("/sessions/kill", ended.stdout.trim(), &[], body).await;
    assert_eq!((answer.status.as_u16(), &answer.body["caller"]), (200, &"deployer".into()), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_migrate_made_a_gateway_that_does_not_migrate_can_use() {
    let (sandbox, database) = (clouds(), Database::empty().await);
    let audit = format!("database_url = \"{}\"\nmigrate = false", database.url());
    let unmade = Served::start(&audit, &sandbox.url, "").await;
    assert_eq!(unmade.client.get("/readyz", "").await.status.as_u16(), 503);
    assert_eq!(unmade.kill(&kill_of("ledger", &[10_180])).await.status.as_u16(), 503);
    assert_eq!(sandbox.clouds.calls().len(), 0);

    let ended = run(&["migrate"], &configuration_text(&audit, &sandbox.url, "")).await;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(unmade.client.get("/readyz", "").await.status.as_u16(), 200);
    assert_eq!(unmade.kill(&kill_of("ledger", &[10_180])).await.status.as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulated_clouds_run_by_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(&["sandbox", "--listen", "127.0.0.1:0"], directory.path(), &[]);
    let url = super::eventually("an address", async || {
        let said = process.stdout();
        Some(said.split_whitespace().find_map(|word| word.strip_prefix("http://"))?.trim_end_matches(';').to_owned())
    })
    .await;
    let sessions = Client::new(url.parse().unwrap()).get("/_sandbox/sessions", "").await;
    assert_eq!(sessions.status.as_u16(), 200);
    process.signal("INT");
    let ended = process.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_told_in_the_log() {
    let sandbox = clouds();
    let served = Served::start_with("", &sandbox.url, "", &[("KILLGATE__SERVER__LOG__FORMAT", "json")]).await;
    served.kill(&kill_of("ledger", &[10_180])).await;
    let token = Gateway::token("anna", "kills:export");
    let path = "/kills/export?format=csv&vendor=gaussdb";
    assert_eq!(served.client.get(path, &token).await.status.as_u16(), 200);
    served.process.signal("TERM");
    let ended = served.process.ended().await;
    let lines = ended.stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told: Vec<Value> = lines.filter(|line| line.to_string().contains("\"export\"")).collect();
    assert_eq!(told.len(), 1, "{}", ended.stderr);
    let told = told[0].to_string();
    for part in
        ["anna", r#"{\"vendor\":\"gaussdb\"}"#, r#""format":"csv""#, r#""kills":1"#, r#""complete":true"#, "request_id"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains(&token), "no token");
}
