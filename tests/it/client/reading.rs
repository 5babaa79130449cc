//! What lists look like to people and to programs, and how it is told what went wrong.

use killgate::sandbox::{Place, Session, demo as world};
use serde_json::Value;

use super::kit::{ALL, Person, answered, mode};
use crate::support::gateway::{Engine, Gateway, kill_of};

fn has_unseen(text: &str) -> bool {
    text.chars().any(|c| c != '\n' && killgate::domain::is_unseen(c))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_is_a_table_for_people_and_the_gateways_own_answer_for_programs() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    gateway.kill(&kill_of("orders-ro", &[2_075_425, 99])).await;
    let anna = Person::at(&gateway);
    for (words, path, shown) in [
        (
            "sessions orders-ro --user report --order longest",
            "/sessions?target=orders-ro&user=report&order=longest",
            "SECONDS",
        ),
        ("targets", "/targets", "orders-shard-1"),
        ("kills --status succeeded --since 1h", "/kills?status=succeeded", "INC-4711 runaway report"),
        ("whoami", "/me", "sessions:kill"),
    ] {
        let table = anna.run(words).await;
        table.assert(0);
        assert!(table.stdout.contains(shown) && !table.stdout.contains('\u{1b}'), "{words}: {table:?}");
        let json = anna.run(&format!("{words} -o json")).await;
        assert_eq!(timeless(json.assert(0).json()), timeless(answered(&gateway, &anna, path).await), "{words}");
    }
    let counted = anna.run("stats --by status,outcome").await;
    let lines: Vec<Vec<&str>> =
        counted.assert(0).stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        lines,
        [vec!["STATUS", "OUTCOME", "KILLS"], vec!["succeeded", "killed", "1"], vec!["succeeded", "not_found", "1"]]
    );
    let id = anna.run("kills -o json").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let one = anna.run(&format!("kills {id}")).await;
    for part in ["chatops-bot", "INC-4711 runaway report", "2075425", "killed", "not_found", "succeeded"] {
        assert!(one.assert(0).stdout.contains(part), "{part}: {one:?}");
    }
    assert_eq!(anna.run(&format!("kills {id} -o json")).await.json()["id"], id.as_str());
}

/// An answer without what grows from one reading to the next.
fn timeless(mut answer: Value) -> Value {
    for item in answer.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(members) = item.as_object_mut() {
            members.retain(|name, _| !name.ends_with("seconds"));
        }
    }
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_blocks_whom_and_what_is_protected_is_seen_in_a_list() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let shown = Person::at(&gateway).run("sessions orders-ro --command Binlog*").await;
    let line = shown.assert(0).stdout.lines().nth(1).unwrap_or_else(|| panic!("{shown:?}"));
    assert!(line.contains("2075429") && line.contains("built in, commands: Binlog Dump*"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_a_sentence_and_a_hint_and_a_document_for_programs() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let anna = Person::at(&gateway);
    let near = anna.run("sessions orders-r").await;
    assert!(
        near.assert(2).stderr.contains("orders-ro") && near.stderr.contains("\n  hint: `killgate targets`"),
        "{near:?}"
    );
    assert_eq!(near.stdout, "");
    let json = anna.run("sessions orders-r -o json").await;
    assert_eq!(json.assert(2).json()["code"], "unknown_target");
    for (words, status, said) in [
        ("kills --status done", 2, "status has no such word"),
        ("kills --limit 0", 2, "limit"),
        ("sessions orders-ro --longer 5M", 2, "min_seconds must be a whole number of seconds"),
        ("stats --by colour", 2, "by has no such word"),
        ("kills 0199", 2, "there is no such kill"),
        ("preview orders-ro", 2, "which sessions are meant is not said"),
        ("sessions", 2, "required arguments"),
        ("sessions orders-ro --url ftp://x", 2, "--url: must be an https URL"),
        ("sessions orders-ro --url http://192.0.2.7", 2, "--url: must be an https URL"),
        ("sessions orders-ro --url http://127.0.0.1:1", 1, "the gateway at http://127.0.0.1:1 cannot be reached"),
        ("sessions orders-ro --ca-file /nowhere", 2, "--ca-file: cannot read /nowhere"),
    ] {
        let refused = anna.run(words).await;
        assert!(refused.assert(status).stderr.contains(said), "{words}: {refused:?}");
    }
    let token = Gateway::token("bob", "kills:read");
    let bob = Person::with(&anna.env[0].1, &token);
    let forbidden = bob.run("sessions orders-ro").await;
    assert!(
        forbidden.assert(4).stderr.contains("sessions:read") && forbidden.stderr.contains("killgate whoami"),
        "{forbidden:?}"
    );
    let nobody = Person::with(&anna.env[0].1, "canary-no-token");
    let refused = nobody.run("targets").await;
    assert!(refused.assert(4).stderr.contains("killgate login") && !refused.stderr.contains("canary"), "{refused:?}");
    let without = Person::nobody();
    assert!(without.run("targets").await.assert(2).stderr.contains("which gateway is meant"));
    let without = without.run(&format!("targets --url {}", anna.env[0].1)).await;
    assert!(without.assert(4).stderr.contains("there is no token for"), "{without:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_database_says_reaches_the_terminal_as_an_order() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let place = Place::taurusdb(world::TAURUSDB_INSTANCE, world::TAURUSDB_NODE);
    let hostile = "select 1 /* \u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\r\n */ from t";
    gateway.clouds.put(&place, &Session::new(4711, "evil\u{1b}[31m\u{202e}user").running(hostile, 99_999));
    let anna = Person::at(&gateway);
    let token = Gateway::token("anna", &format!("{ALL} sessions:statements"));
    let anna = Person { env: vec![anna.env[0].clone(), ("KILLGATE_TOKEN", token)], ..anna };
    for words in ["sessions orders-ro --order longest", "preview orders-ro 4711", "preview orders-ro --longer 20h"] {
        let table = anna.run(words).await;
        assert!(
            table.assert(0).stdout.contains("4711") && table.stdout.contains("\\u{1b}[31m\\u{202e}user"),
            "{table:?}"
        );
        assert!(!has_unseen(&table.stdout) && !has_unseen(&table.stderr), "{words}: {table:?}");
        let json = anna.run(&format!("{words} -o json")).await;
        assert!(!has_unseen(&json.assert(0).stdout), "{words}: {json:?}");
        assert!(json.json().to_string().contains("\u{202e}user"), "{words}: it means the same");
    }
    let seen = anna.at_terminal("kill orders-ro 4711 -m test", 200, "n\n").await;
    assert!(seen.assert(3).stdout.contains("\\u{1b}[31m\\u{202e}user"), "{seen:?}");
    assert!(
        !seen.stdout.contains("\u{1b}]") && !seen.stdout.contains("\u{1b}[2J") && !seen.stdout.contains('\u{202e}'),
        "{seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colours_are_for_terminals_and_for_those_who_want_them() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let mut anna = Person::at(&gateway);
    let seen = anna.at_terminal("sessions orders-ro", 80, "").await;
    assert!(seen.assert(0).stdout.contains("\u{1b}[1m"), "{seen:?}");
    let longest = |text: &str| text.lines().map(|line| console::measure_text_width(line.trim_end())).max();
    assert!(longest(&seen.stdout) <= Some(80), "{seen:?}");
    anna.env.push(("NO_COLOR", "1".to_owned()));
    let plain = anna.at_terminal("sessions orders-ro", 80, "").await;
    assert!(!plain.assert(0).stdout.contains('\u{1b}'), "{plain:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_whole_or_not_there() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    gateway.kill(&kill_of("ledger", &[10_180])).await;
    let anna = Person::at(&gateway);
    let path = |name: &str| anna.home.path().join(name);
    let told = anna.run("export --file all.ndjson").await;
    assert_eq!(told.assert(0).stdout, "2 kills in all.ndjson\n");
    assert_eq!(mode(&path("all.ndjson")), 0o600);
    let text = std::fs::read_to_string(path("all.ndjson")).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("INC-4711")).count(), 2, "{text}");
    let piped = anna.run("export --vendor gaussdb").await;
    assert_eq!(piped.assert(0).stdout.lines().filter(|line| line.contains("INC-4711")).count(), 1, "{piped:?}");
    let table = anna.run("export --format csv --rows sessions --file it.csv -o json").await;
    assert_eq!(table.assert(0).json()["manifest"]["kills"], 2);
    assert_eq!(std::fs::read_to_string(path("it.csv")).unwrap().lines().count(), 3);
    let manifest: Value = serde_json::from_slice(&std::fs::read(path("it.csv.manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest, table.json()["manifest"]);
    std::fs::remove_file(path("it.csv")).unwrap();
    for (words, said) in [
        ("export --format csv --file it.csv", "it.csv.manifest.json is there already"),
        ("export --file all.ndjson", "all.ndjson is there already"),
        ("export --excel", "--format csv only"),
        ("export --status done --file new.ndjson", "status has no such word"),
    ] {
        assert!(anna.run(words).await.assert(2).stderr.contains(said), "{words}");
    }
    anna.run("export --format csv --file it.csv --force").await.assert(0);
    let seen = anna.at_terminal("export", 80, "").await;
    assert!(seen.assert(2).stdout.contains("not for a terminal"), "{seen:?}");
    let left = std::fs::read_dir(anna.home.path()).unwrap().count();
    assert_eq!(left, 3, "nothing unfinished is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_is_offered_the_targets_there_are_now() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let mut anna = Person::at(&gateway);
    anna.env.extend([
        ("COMPLETE", "bash".to_owned()),
        ("_CLAP_COMPLETE_INDEX", "2".to_owned()),
        ("_CLAP_IFS", "\n".to_owned()),
    ]);
    let offered = anna.run("-- killgate kill orders-").await;
    let mut words: Vec<&str> = offered.assert(0).stdout.lines().collect();
    words.sort_unstable();
    assert_eq!(words, ["orders-ro", "orders-shard-1"]);
    anna.env.push(("KILLGATE_URL", "http://127.0.0.1:1".to_owned()));
    anna.run("-- killgate kill orders-").await.assert(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_tells_who_issues_tokens_without_one() {
    let more = "[login]\nclient_id = 'killgate-cli'\nscope = 'openid sessions:read'\n";
    let set =
        "[auth]\nissuer = 'https://sso.example.com'\naudience = 'killgate'\njwks_url = 'http://127.0.0.1:1/keys'\n";
    let path = "/.well-known/oauth-protected-resource";
    let told = async |more: String| {
        let setup = crate::support::gateway::Setup { more, ..Default::default() };
        let gateway = Gateway::start_with(Engine::Sqlite, setup).await;
        let answer = gateway.client().send(actix_web::http::Method::GET, path, &[], String::new()).await;
        (format!("http://{}", gateway.app.address()), answer.body)
    };
    let (url, body) = told(format!("{set}{more}")).await;
    assert_eq!(body["resource"], url.as_str());
    assert_eq!(body["authorization_servers"], serde_json::json!(["https://sso.example.com"]));
    assert_eq!(body["login"], serde_json::json!({ "client_id": "killgate-cli", "scope": "openid sessions:read" }));
    let (_, body) = told(String::new()).await;
    assert_eq!((&body["authorization_servers"], body.get("login")), (&serde_json::json!([]), None::<&Value>));
}
