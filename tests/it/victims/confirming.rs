//! A confirm binds a kill to its preview: what was shown is ended, and nothing else.

use std::time::Duration;

use actix_web::http::StatusCode;
use killgate::{
    clock::Clock,
    sandbox::{Action, Behaviour, Session},
};
use serde_json::{Value, json};

use super::{ids_of, kill_by, on_both_engines, outcomes, place};
use crate::support::gateway::{Answer, Engine, Gateway, Setup, kill_of, url_of};

on_both_engines! {
    what_a_preview_showed_is_ended_and_nothing_that_came_later,
    a_session_that_is_another_one_by_now_is_not_sent,
    what_is_protected_by_the_time_of_the_kill_is_spared,
    the_database_picks_again_and_the_confirm_says_who_may_ask,
    a_confirm_runs_out,
    a_confirm_is_good_for_what_it_was_given_for_and_nothing_else,
    a_repeated_preview_gives_the_same_confirm_and_a_repeated_kill_the_same_kill,
    a_preview_of_nothing_gives_no_confirm,
    an_export_tells_which_preview_a_kill_confirms,
}

const SECRET: &str = "a-secret-that-all-gateways-share-01";

fn shared() -> String {
    format!("[confirm]\nsecret = '{SECRET}'\n")
}

async fn preview(gateway: &Gateway, body: &Value) -> Answer {
    let mut body = body.clone();
    body["dry_run"] = true.into();
    let answer = gateway.kill(&body).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("preview")), "{}", answer.body);
    answer
}

fn with(body: &Value, confirm: &Value) -> Value {
    let mut body = body.clone();
    assert!(confirm.is_string(), "no confirm: {confirm}");
    body["confirm"] = confirm.clone();
    body
}

/// What a vendor was asked to end.
fn kills_of(alias: &str) -> Action {
    match alias {
        "ledger" => Action::GaussdbKill,
        "shop" => Action::DasKill,
        "orders-ro" => Action::TaurusdbKill,
        _ => Action::DcdbKill,
    }
}

/// The confirm is turned away with a sentence that has these words, on record, and nothing was sent.
async fn assert_turned_away(gateway: &Gateway, answer: &Answer, words: &str) {
    assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid"), "{}", answer.body);
    assert_eq!(answer.body["field"], "confirm", "{}", answer.body);
    assert!(answer.body["detail"].as_str().unwrap().contains(words), "{words}: {}", answer.body);
    let record = gateway.record(answer.kill_id()).await;
    assert_eq!((&record["status"], &record["problem"]["field"]), (&json!("failed"), &json!("confirm")), "{record}");
    assert_eq!(record["confirms"], json!(null));
    for alias in ["ledger", "shop", "orders-ro", "orders-shard-1"] {
        assert!(gateway.clouds.calls_for(kills_of(alias)).is_empty(), "{}", answer.body);
    }
}

async fn what_a_preview_showed_is_ended_and_nothing_that_came_later(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for alias in ["ledger", "shop", "orders-ro", "orders-shard-1"] {
        let shown = ids_of(&gateway, alias, "report");
        let asked = kill_by(alias, json!({ "match": { "user": "report" } }));
        let previewed = preview(&gateway, &asked).await;
        assert_eq!(outcomes(&previewed), shown.iter().map(|id| (*id, "alive")).collect::<Vec<_>>());
        assert!(previewed.body["confirm_until"].is_string(), "{}", previewed.body);
        let record = gateway.record(previewed.kill_id()).await;
        assert_eq!((&record["confirm"], &record["confirm_until"]), (&json!(null), &json!(null)), "only in the answer");

        let (gone, late) = (shown[0], shown[shown.len() - 1] + 1000);
        gateway.clouds.remove(&place(alias), gone);
        gateway.clouds.put(&place(alias), &Session::new(late, "report"));
        let body = with(&asked, &previewed.body["confirm"]);
        let killed = gateway.kill_with(&[("Prefer", "wait=30")], &body).await;
        assert!(killed.status.is_success(), "{alias}: {}", killed.body);
        let expected = |id: &u64| (*id, if *id == gone { "not_found" } else { "killed" });
        assert_eq!(outcomes(&killed), shown.iter().map(expected).collect::<Vec<_>>(), "{alias}: {}", killed.body);
        assert_eq!(killed.body["confirms"], previewed.body["id"]);
        assert_eq!(killed.body["select"], asked["select"], "as it was asked");
        assert_eq!(ids_of(&gateway, alias, "report"), [late], "{alias}");
        assert_eq!(gateway.record(killed.kill_id()).await, killed.body);
        let call = gateway.clouds.calls_for(kills_of(alias)).pop().unwrap();
        let sent = String::from_utf8(call.body).unwrap();
        assert!(!sent.contains(&late.to_string()) && !sent.contains("\"user\""), "{alias}: {sent}");
    }
}

async fn a_session_that_is_another_one_by_now_is_not_sent(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (alias, [other, same]) in
        [("ledger", [10_180, 10_181]), ("orders-ro", [2_075_425, 2_075_426]), ("orders-shard-1", [1111, 1112])]
    {
        let asked = kill_of(alias, &[other, same, 99]);
        let previewed = preview(&gateway, &asked).await;
        assert_eq!(outcomes(&previewed), [(other, "alive"), (same, "alive"), (99, "not_found")]);
        // Both ids that are not to be sent belong to somebody by now.
        gateway.clouds.remove(&place(alias), other);
        gateway.clouds.put(&place(alias), &Session::new(other, "somebody_else"));
        gateway.clouds.put(&place(alias), &Session::new(99, "somebody_else"));
        let body = with(&asked, &previewed.body["confirm"]);
        let killed = gateway.kill_with(&[("Prefer", "wait=30")], &body).await;
        assert_eq!(outcomes(&killed), [(other, "changed"), (same, "killed")], "{alias}: {}", killed.body);
        let alive = gateway.clouds.alive(&place(alias));
        assert!(alive.contains(&other) && alive.contains(&99) && !alive.contains(&same), "{alias}");
    }
    // DAS lists by user or database only. Shown by database, sessions are found again by their users, wherever they are.
    let shown: Vec<_> =
        gateway.clouds.sessions(&place("shop")).into_iter().filter(|it| it.database == "orders").collect();
    let asked = kill_by("shop", json!({ "match": { "database": "orders" } }));
    let previewed = preview(&gateway, &asked).await;
    assert_eq!(outcomes(&previewed).len(), shown.len());
    gateway.clouds.remove(&place("shop"), shown[0].id);
    let moved = Session::new(shown[0].id, &shown[0].user).in_database("warehouse");
    gateway.clouds.put(&place("shop"), &moved);
    let killed = gateway.kill(&with(&asked, &previewed.body["confirm"])).await;
    let expected = shown.iter().map(|it| (it.id, "accepted")).collect::<Vec<_>>();
    assert_eq!(outcomes(&killed), expected, "{}", killed.body);
    assert!(
        !gateway.clouds.alive(&place("shop")).contains(&moved.id),
        "it has gone to another database and is the same"
    );
}

async fn what_is_protected_by_the_time_of_the_kill_is_spared(engine: Engine) {
    let more = shared();
    let before = Gateway::start_with(engine, Setup { more: more.clone(), ..Setup::default() }).await;
    let asked = kill_of("orders-ro", &[2_075_425, 2_075_427]);
    let previewed = preview(&before, &asked).await;
    assert_eq!(outcomes(&previewed), [(2_075_425, "alive"), (2_075_427, "alive")]);
    // A gateway of the same fleet, with a rule that is new.
    let more = more + "[[protect]]\nusers = ['etl']\n";
    let setup =
        Setup { more, database_url: Some(url_of(&before)), clouds: Some(before.clouds.clone()), ..Setup::default() };
    let after = Gateway::start_with(engine, setup).await;
    let killed = after.kill(&with(&asked, &previewed.body["confirm"])).await;
    assert_eq!(outcomes(&killed), [(2_075_425, "killed"), (2_075_427, "protected")], "{}", killed.body);
    assert_eq!(killed.body["confirms"], previewed.body["id"]);
}

async fn the_database_picks_again_and_the_confirm_says_who_may_ask(engine: Engine) {
    let more = "[confirm]\nintelligent = true\n".to_owned();
    let gateway = Gateway::start_with(engine, Setup { more, ..Setup::default() }).await;
    let asked = kill_by("orders-ro", json!({ "intelligent": true }));
    assert_turned_away(&gateway, &gateway.kill(&asked).await, "required for an intelligent kill").await;
    assert!(gateway.clouds.calls().is_empty());
    let previewed = preview(&gateway, &asked).await;
    let killed = gateway.kill(&with(&asked, &previewed.body["confirm"])).await;
    assert_eq!(killed.body["status"], "accepted", "{}", killed.body);
    assert_eq!(killed.body["confirms"], previewed.body["id"]);
    assert_eq!(gateway.clouds.calls_for(Action::IntelligentKill).len(), 1);
}

async fn a_confirm_runs_out(engine: Engine) {
    let (begin, more) = (Clock::system().now(), "[confirm]\nttl_s = 60\n".to_owned());
    let clock = Clock::manual(begin);
    let gateway = Gateway::start_with(engine, Setup { more, clock: Some(clock.clone()), ..Setup::default() }).await;
    let asked = kill_of("orders-ro", &[2_075_425]);
    let previewed = preview(&gateway, &asked).await;
    let body = with(&asked, &previewed.body["confirm"]);
    clock.set(begin + Duration::from_mins(1));
    assert_turned_away(&gateway, &gateway.kill(&body).await, "has run out").await;
    clock.set(begin + Duration::from_millis(59_999));
    assert_eq!(outcomes(&gateway.kill(&body).await), [(2_075_425, "killed")]);
}

async fn a_confirm_is_good_for_what_it_was_given_for_and_nothing_else(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let asked = kill_of("orders-ro", &[2_075_425]);
    let confirm = preview(&gateway, &asked).await.body["confirm"].clone();
    let turned_away = async |body: Value, words: &str| {
        let answer = gateway.kill(&body).await;
        assert_turned_away(&gateway, &answer, words).await;
    };
    turned_away(with(&kill_of("ledger", &[2_075_425]), &confirm), "is for another target").await;
    turned_away(with(&kill_of("orders-ro", &[2_075_426]), &confirm), "is for another select").await;
    turned_away(with(&kill_by("orders-ro", json!({ "intelligent": true })), &confirm), "is for another select").await;
    let mut pinned = with(&asked, &confirm);
    pinned["select"]["ids"][0] = json!({ "id": "2075425", "user": "report" });
    turned_away(pinned, "is for another select").await;
    let token = confirm.as_str().unwrap();
    let last = if token.ends_with('A') { "B" } else { "A" };
    for made_up in ["", "kgc_", "yes", &token[1..], &format!("{}{last}", &token[..token.len() - 1])] {
        turned_away(with(&asked, &json!(made_up)), "is not a confirm of this gateway").await;
    }
    let mut tried_out = with(&asked, &confirm);
    tried_out["dry_run"] = true.into();
    turned_away(tried_out, "does not go with dry_run").await;
    let another = Gateway::token("another-bot", "sessions:kill");
    let body = with(&asked, &confirm).to_string();
    let answer = gateway.client().post("/sessions/kill", &another, &[], body).await;
    assert_turned_away(&gateway, &answer, "was given to another caller").await;
    // A gateway with another secret, on the same record.
    let setup =
        Setup { database_url: Some(url_of(&gateway)), clouds: Some(gateway.clouds.clone()), ..Setup::default() };
    let stranger = Gateway::start_with(engine, setup).await;
    assert_turned_away(&stranger, &stranger.kill(&with(&asked, &confirm)).await, "is not a confirm of this").await;

    let mut in_full = with(&asked, &confirm);
    let (_, coordinates) =
        crate::support::gateway::targets().into_iter().find(|(alias, _)| *alias == "orders-ro").unwrap();
    in_full["target"] = coordinates;
    assert_eq!(outcomes(&gateway.kill(&in_full).await), [(2_075_425, "killed")], "the same place by another name");
}

async fn a_repeated_preview_gives_the_same_confirm_and_a_repeated_kill_the_same_kill(engine: Engine) {
    let begin = Clock::system().now();
    let clock = Clock::manual(begin);
    let gateway = Gateway::start_with(engine, Setup { clock: Some(clock.clone()), ..Setup::default() }).await;
    let asked = kill_of("orders-ro", &[2_075_425]);
    let mut dry = asked.clone();
    dry["dry_run"] = true.into();
    let key = [("Idempotency-Key", "preview")];
    let first = gateway.kill_with(&key, &dry).await;
    clock.set(begin + Duration::from_secs(299));
    let again = gateway.kill_with(&key, &dry).await;
    assert_eq!((again.header("idempotency-replayed"), &again.body), (Some("true"), &first.body));
    let body = with(&asked, &first.body["confirm"]);
    let killed = gateway.kill_with(&[("Idempotency-Key", "kill")], &body).await;
    assert_eq!(outcomes(&killed), [(2_075_425, "killed")]);

    clock.set(begin + Duration::from_secs(301));
    let late = gateway.kill_with(&key, &dry).await;
    assert_eq!((late.kill_id(), &late.body["confirm"]), (first.kill_id(), &json!(null)), "it has run out");
    let again = gateway.kill_with(&[("Idempotency-Key", "kill")], &body).await;
    assert_eq!((again.header("idempotency-replayed"), &again.body), (Some("true"), &killed.body));
    // What has run out takes no key, and another confirm is another request.
    let expired = gateway.kill_with(&[("Idempotency-Key", "fresh")], &body).await;
    assert_eq!((expired.status, expired.code()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid"));
    let newer = preview(&gateway, &kill_of("orders-ro", &[2_075_426])).await.body["confirm"].clone();
    let body = with(&kill_of("orders-ro", &[2_075_426]), &newer);
    assert_eq!(outcomes(&gateway.kill_with(&[("Idempotency-Key", "fresh")], &body).await), [(2_075_426, "killed")]);
    let other = with(&body, &json!(format!("{}x", newer.as_str().unwrap())));
    let reused = gateway.kill_with(&[("Idempotency-Key", "fresh")], &other).await;
    assert_eq!(reused.code(), "key_reused", "{}", reused.body);
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbKill).len(), 2);
}

async fn a_preview_of_nothing_gives_no_confirm(engine: Engine) {
    let more = "[callers]\nkills_per_second = 1000\nburst = 1000\nsessions_per_kill = 1\n".to_owned();
    let gateway = Gateway::start_with(engine, Setup { more, ..Setup::default() }).await;
    // Nobody there, too many to be ended, cannot be listed without a user.
    for asked in [
        kill_of("orders-ro", &[99]),
        kill_by("orders-ro", json!({ "match": { "user": "report" } })),
        kill_of("shop", &[11_212]),
    ] {
        let previewed = preview(&gateway, &asked).await;
        assert_eq!(previewed.body["confirm"], json!(null), "{}", previewed.body);
    }
    gateway.clouds.misbehave(Action::TaurusdbProcesses, Behaviour::Deny);
    let previewed = preview(&gateway, &kill_of("orders-ro", &[2_075_425])).await;
    assert_eq!(previewed.body["confirm"], json!(null), "nobody saw it");
}

async fn an_export_tells_which_preview_a_kill_confirms(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let asked = kill_of("orders-ro", &[2_075_425]);
    let previewed = preview(&gateway, &asked).await;
    let killed = gateway.kill(&with(&asked, &previewed.body["confirm"])).await;
    let token = Gateway::token("auditor", "kills:export");
    let exported = async |format: &str| {
        let file = gateway.client().get(&format!("/kills/export?format={format}"), &token).await.body;
        file.as_str().unwrap().to_owned()
    };
    // Newest first.
    let lines = exported("ndjson").await;
    let kills: Vec<Value> = lines.lines().take(2).map(|line| serde_json::from_str(line).unwrap()).collect();
    let (kill, before) = (&kills[0], &kills[1]);
    assert_eq!((kill["id"].as_str(), &kill["confirms"]), (Some(killed.kill_id()), &previewed.body["id"]));
    assert_eq!((before["id"].as_str(), before.get("confirms")), (Some(previewed.kill_id()), None), "{before}");
    let sent: Value = serde_json::from_str(kill["request"].as_str().unwrap()).unwrap();
    assert_eq!(sent["confirm"], "[confirm]", "what was sent is on record, but for it");
    let rows = exported("csv").await;
    let mut reader = csv::Reader::from_reader(rows.as_bytes());
    let column = reader.headers().unwrap().iter().position(|name| name == "confirms").unwrap();
    let cells: Vec<_> = reader.records().map(|row| row.unwrap()[column].to_owned()).collect();
    assert_eq!(cells[..2], [previewed.kill_id(), ""]);
}
