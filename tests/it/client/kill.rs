//! `killgate kill`: what is shown, what is asked, what is sent, and how it ends.

use killgate::sandbox::{Action, Behaviour, Lie, Place, demo as world};
use serde_json::json;

use super::kit::{Person, on_record, statuses};
use crate::support::{
    gateway::{Engine, Gateway, Setup},
    patience::in_time,
};

fn taurusdb() -> Place {
    Place::taurusdb(world::TAURUSDB_INSTANCE, world::TAURUSDB_NODE)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sees_says_yes_and_is_told_what_became_of_each() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let anna = Person::at(&gateway);
    let words = "kill orders-ro --user report --longer 10m -m INC-4711 --on-behalf-of bob@example.com";
    let seen = anna.at_terminal(words, 220, "y\n").await;
    let screen = console::strip_ansi_codes(&seen.assert(0).stdout).into_owned();
    let names: Vec<&str> = screen.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(names, ["ID", "USER", "CLIENT", "DATABASE", "STATE", "SECONDS", "OUTCOME", "STATEMENT"]);
    for part in
        ["2075425", "2075433", "would end", "select customer_id", "End 2 sessions at orders-ro? [y/N]", "succeeded"]
    {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert_eq!(screen.matches("killed").count(), 2, "{screen}");
    let alive = gateway.clouds.alive(&taurusdb());
    assert!(!alive.contains(&2_075_425) && !alive.contains(&2_075_433) && alive.contains(&2_075_432), "{alive:?}");
    let [kill, preview] = <[_; 2]>::try_from(on_record(&gateway).await).unwrap();
    assert_eq!((&kill["confirms"], &preview["status"]), (&preview["id"], &json!("preview")));
    assert_eq!((&kill["on_behalf_of"], &kill["reason"]), (&json!("bob@example.com"), &json!("INC-4711")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_not_say_yes_ends_nobody() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let anna = Person::at(&gateway);
    for typed in ["n\n", "\n", "yess\n", ""] {
        let seen = anna.at_terminal("kill orders-ro 2075425 -m test", 200, typed).await;
        assert!(seen.assert(3).stdout.contains("nothing was sent"), "{typed:?}: {seen:?}");
    }
    assert_eq!(statuses(&gateway).await, ["preview"; 4]);
    assert!(gateway.clouds.alive(&taurusdb()).contains(&2_075_425));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_says_yes_beforehand_or_nothing_is_sent() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let anna = Person::at(&gateway);
    let refused = anna.run("kill orders-ro 2075425 -m test").await;
    assert!(refused.assert(2).stderr.contains("nobody can be asked"), "{refused:?}");
    assert!(anna.run("kill orders-ro 2075425 --yes").await.assert(2).stderr.contains("--reason"));
    assert_eq!(on_record(&gateway).await.len(), 0);
    let killed = anna.run("kill orders-ro 2075425 99 -m test --yes -o json").await;
    let kill = killed.assert(0).json();
    let outcomes: Vec<_> =
        kill["sessions"].as_array().unwrap().iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    assert_eq!((&kill["status"], outcomes), (&json!("succeeded"), vec!["killed"]), "{kill}");
    assert!(killed.stderr.contains("would end") && killed.stderr.contains("not_found"), "{killed:?}");
    assert!(!killed.stderr.contains('\u{1b}'), "{killed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_can_be_told_what_is_asked_for_is_done_all_the_same() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let person = Person::at(&gateway);
    for (words, status) in [("kill orders-ro 2075425 -m test --yes", 0), ("kill nowhere 7 -m test --yes", 2)] {
        let program = env!("CARGO_BIN_EXE_killgate");
        let mut command = person.command("/bin/sh");
        let ended =
            in_time(command.args(["-c", &format!("exec {program} {words} 2>/dev/full")]).output()).await.unwrap();
        assert_eq!(ended.status.code(), Some(status), "{words}");
    }
    assert!(!gateway.clouds.alive(&taurusdb()).contains(&2_075_425));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_at_das_is_named_with_its_user() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let person = Person::at(&gateway);
    let killed = person.run("kill shop 11213 --user app -m test --yes").await;
    assert!(killed.stdout.contains("11213"), "{killed:?}");
    let other = person.run("kill shop 11212 --user nobody -m test --yes").await;
    assert!(other.stderr.contains("there is no such session"), "{other:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_taken_with_the_end_of_its_line_and_no_other_mark() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let mut person = Person::at(&gateway);
    person.env[1].1 += "\r\n";
    person.run("whoami").await.assert(0);
    person.env[1].1 = "a b".to_owned();
    let refused = person.run("whoami").await;
    assert!(refused.assert(2).stderr.contains("KILLGATE_TOKEN"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_status_tells_what_became_of_it() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let anna = Person::at(&gateway);
    let kill = async |words: &str| anna.run(&format!("kill {words} -m test --yes")).await;
    kill("orders-ro 99").await.assert(0);
    let protected = kill("orders-ro 2075429").await;
    assert!(protected.assert(4).stderr.contains("protected"), "{protected:?}");
    let misbehave = |action, behaviour| gateway.clouds.misbehave_times(1, action, behaviour);
    misbehave(Action::TaurusdbKill, Behaviour::Deny);
    let denied = kill("orders-ro 2075425").await;
    assert!(denied.assert(6).stdout.contains("failed"), "{denied:?}");
    misbehave(Action::GaussdbKill, Behaviour::Lie(Lie::SaysKilledButAlive));
    kill("ledger 10180").await.assert(0);
    // A flow that runs on is no outcome by the time that this one waits.
    gateway.clouds.misbehave(Action::DcdbFlow, Behaviour::Hang);
    let open = kill("orders-shard-1 1111 --timeout 1s").await;
    assert!(open.assert(7).stdout.contains("accepted") || open.stdout.contains("pending"), "{open:?}");
    let preview = anna.run("preview orders-ro --user report").await;
    assert!(preview.assert(0).stdout.contains("would end"), "{preview:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_was_lost_is_followed_until_a_look_settles_it() {
    let more = "[vendors.taurusdb]\nmax_wait_ms = 1500\ntimeout_ms = 1500\n".to_owned();
    let gateway = Gateway::start_with(Engine::Sqlite, Setup { more, ..Setup::default() }).await;
    let anna = Person::at(&gateway);
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Drop);
    let killed = anna.run("kill orders-ro 2075425 -m test --yes -o json").await;
    let kill = killed.assert(0).json();
    assert_eq!((&kill["status"], kill["verified_at"].is_string()), (&json!("succeeded"), true), "{kill}");
    // Nobody waits for that one, and so it is told as it stands.
    gateway.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Drop);
    let unknown = anna.run("kill orders-ro 2075433 -m test --yes --no-follow").await;
    assert!(
        unknown.assert(8).stderr.contains("look at the database before anybody kills that session again"),
        "{unknown:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_tells_each_change_and_then_the_kill() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let anna = Person::at(&gateway);
    let id = anna.run("kill orders-shard-1 1111 -m test --yes --no-follow -o json").await.json()["id"].clone();
    let watched = anna.run(&format!("watch {} -o json", id.as_str().unwrap())).await;
    let lines: Vec<serde_json::Value> =
        watched.assert(0).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (kill, events) = lines.split_last().unwrap();
    assert_eq!((&kill["id"], &kill["status"]), (&id, &json!("succeeded")));
    assert_eq!(events[0]["kind"], "recorded");
    let nobody = anna.run("watch 01990000-0000-7000-8000-000000000000").await;
    assert!(nobody.assert(2).stderr.contains("there is no such kill"), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_can_be_asked_arrives_as_it_was_asked() {
    let more = "[confirm]\nintelligent = true\n".to_owned();
    let gateway = Gateway::start_with(Engine::Sqlite, Setup { more, ..Setup::default() }).await;
    gateway.clouds.set_history_delay(std::time::Duration::ZERO);
    let anna = Person::at(&gateway);
    anna.run("kill orders-ro --intelligent -m load --yes").await.assert(0);
    let place = format!(
        "vendor=taurusdb,account=huawei-test,instance_id={},node_id={}",
        world::TAURUSDB_INSTANCE,
        world::TAURUSDB_NODE
    );
    let words = format!(
        "kill {place} --user app --user etl --longer 30s --except user=etl --limit 1 --order longest -m x --yes"
    );
    anna.run(&words).await.assert(0);
    let cannot = anna.run("kill orders-ro 2075425 --statement -m x --yes").await;
    assert!(cannot.assert(2).stderr.contains("end"), "{cannot:?}");
    let record = on_record(&gateway).await;
    let select = &record.iter().find(|kill| kill["status"] == "succeeded").unwrap()["select"];
    let expected = json!({ "match": {
        "user": ["app", "etl"], "min_seconds": 30, "except": { "user": "etl" }, "limit": 1, "order": "longest",
    } });
    assert_eq!(*select, expected, "{record:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_named_and_lives_is_told_and_makes_it_partial() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let anna = Person::at(&gateway);
    let killed = anna.run("kill orders-ro 2075425 2075429 -m test --yes -o json").await;
    assert_eq!(killed.assert(5).json()["status"], "succeeded", "{killed:?}");
    assert!(killed.stderr.contains("not ended of those that were named: 2075429 (protected)"), "{killed:?}");
    let unfollowed = anna.run("kill orders-ro 2075433 2075429 99 -m test --yes --no-follow").await;
    assert!(unfollowed.assert(5).stderr.contains("named: 2075429 (protected)\n"), "{unfollowed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_command_with_the_same_key_is_the_same_kill() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let anna = Person::at(&gateway);
    let words = "kill orders-ro 2075425 -m test --yes --key INC-4711 -o json";
    let first = anna.run(words).await.assert(0).json()["id"].clone();
    let again = anna.run(words).await;
    assert_eq!(again.assert(0).json()["id"], first, "{again:?}");
    assert!(again.stderr.contains("this --key stands for the kill"), "{again:?}");
    assert_eq!(statuses(&gateway).await, ["succeeded", "preview"]);
    let other = anna.run("kill orders-ro 2075433 -m test --yes --key INC-4711").await;
    assert!(other.assert(2).stderr.contains("give a fresh --key"), "{other:?}");
    assert!(gateway.clouds.alive(&taurusdb()).contains(&2_075_433));
    // Whoever said no before may say yes later.
    let words = "kill orders-ro 2075433 -m test --key INC-4712";
    anna.at_terminal(words, 200, "n\n").await.assert(3);
    anna.at_terminal(words, 200, "y\n").await.assert(0);
    anna.at_terminal(words, 200, "").await.assert(0);
    assert_eq!(on_record(&gateway).await.iter().filter(|kill| kill["status"] == "succeeded").count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_that_fails_is_a_problem_for_people_and_for_programs() {
    let more = "[vendors.taurusdb]\nmax_wait_ms = 1500\ntimeout_ms = 1500\n".to_owned();
    let gateway = Gateway::start_with(Engine::Sqlite, Setup { more, ..Setup::default() }).await;
    let anna = Person::at(&gateway);
    gateway.clouds.misbehave(Action::TaurusdbProcesses, Behaviour::Deny);
    for words in ["kill orders-ro 2075425 -m test --yes --key K", "preview orders-ro 2075425"] {
        let told = anna.run(&format!("{words} -o json")).await;
        let problem = told.assert(6).json();
        assert_eq!(problem["code"], "upstream_denied", "{told:?}");
        assert!(problem["kill_id"].is_string() && told.stderr.contains("hint: "), "{told:?}");
        let table = anna.run(words).await;
        assert_eq!((table.assert(6).stdout.as_str(), table.stderr.contains("killgate: ")), ("", true), "{table:?}");
    }
    gateway.clouds.behave();
    let again = anna.run("kill orders-ro 2075425 -m test --yes --key K").await;
    assert!(again.assert(6).stderr.contains("no kill came of this --key"), "{again:?}");
    assert!(gateway.clouds.alive(&taurusdb()).contains(&2_075_425));
}
