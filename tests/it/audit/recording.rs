//! What is written is what is read, and nothing that was known is lost.

use std::{collections::BTreeMap, time::Duration};

use killgate::domain::{Identity, Kill, Look, Outcome, Sent, Session, SessionId, Status};
use serde_json::json;

use super::{
    book::{Book, NOON, answered, attempt, refused, sessions},
    on_both_engines,
};

on_both_engines! {
    a_kill_is_found_as_it_was_recorded,
    a_kill_that_was_never_recorded_is_not_found,
    a_refused_attempt_without_a_target_is_recorded,
    a_kill_goes_from_accepted_to_succeeded_and_every_step_is_an_event,
    an_event_tells_only_the_sessions_that_changed,
    the_calls_of_an_answer_are_an_event_and_tell_how_old_the_look_was,
    sessions_that_are_learned_later_are_added,
    a_settled_kill_is_not_concluded_again,
    a_kill_that_is_not_recorded_is_not_concluded,
    what_is_sent_is_marked_once_and_only_by_who_holds_it,
    any_text_comes_back_as_it_went_in,
    a_nul_costs_a_character_and_not_the_record,
    a_thousand_sessions_come_back_in_order,
    overlong_coordinates_of_a_refused_attempt_are_recorded,
    the_parts_of_a_millisecond_are_dropped,
}

async fn a_kill_is_found_as_it_was_recorded(book: &Book) {
    let kill = book.begin(&attempt(NOON)).await;
    assert_eq!(book.found(&kill).await, kill);
    assert_eq!(book.events().await, ["1 recorded pending here"]);
    let kept = "SELECT coalesce(request, '') || client_address || client_id || token_id || request_id || gateway \
                || vendor || account || alias || instance_id FROM kills";
    let expected = r#"{"target":"orders","select":{"ids":["1111","2222"]}}192.0.2.7consoletoken-1request-1here"#;
    assert_eq!(book.texts(kept).await, [Some(format!("{expected}taurusdbhuawei-prodordersin07"))]);
}

async fn a_kill_that_was_never_recorded_is_not_found(book: &Book) {
    assert_eq!(book.audit.find(attempt(NOON).kill.id).await, Ok(None));
}

async fn a_refused_attempt_without_a_target_is_recorded(book: &Book) {
    let kill = book.begin(&refused(NOON)).await;
    assert_eq!(book.found(&kill).await, kill);
    assert_eq!(book.events().await, ["1 recorded refused here"]);
}

async fn a_kill_goes_from_accepted_to_succeeded_and_every_step_is_an_event(book: &Book) {
    let kill = book.begin(&attempt(NOON)).await;
    assert_eq!(book.audit.mark_sent(kill.id, "here", NOON, NOON).await, Ok(true));

    let accepted = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::Accepted)]);
    assert_eq!(accepted.status, Status::Accepted);
    assert_eq!(book.audit.conclude(&accepted, NOON, "answered", Some(NOON)).await, Ok(true));
    assert_eq!(book.found(&kill).await, accepted);

    let succeeded = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::NotFound)]);
    assert_eq!(book.audit.conclude(&succeeded, NOON, "looked", None).await, Ok(true));
    assert_eq!(book.found(&kill).await, succeeded);

    let steps =
        ["1 recorded pending here", "2 sent pending here", "3 answered accepted here", "4 looked succeeded here"];
    assert_eq!(book.events().await, steps);
}

async fn an_event_tells_only_the_sessions_that_changed(book: &Book) {
    let kill = book.begin(&attempt(NOON)).await;
    let accepted = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::Unknown)]);
    book.audit.conclude(&accepted, NOON, "answered", None).await.unwrap();
    let events = book.audit.events(kill.id, 0).await.unwrap();
    let told: Vec<_> = events.iter().map(|event| json!(event.sessions)).collect();
    assert_eq!(told[0], json!([{"id": "1111", "outcome": "unknown"}, {"id": "2222", "outcome": "unknown"}]));
    assert_eq!(told[1], json!([{"id": "1111", "outcome": "killed"}]));
}

async fn the_calls_of_an_answer_are_an_event_and_tell_how_old_the_look_was(book: &Book) {
    let kill = book.begin(&attempt(NOON)).await;
    let found: BTreeMap<_, _> = [("node_id".to_owned(), "node-7".to_owned())].into();
    let look = Look { at: NOON, complete: true, to_kill_ms: None };
    let looked = Kill { look: Some(look), found: found.clone(), ..kill.clone() };
    book.audit.conclude(&looked, NOON, "looked", Some(NOON)).await.unwrap();
    book.audit.mark_sent(kill.id, "here", NOON + Duration::from_secs(1), NOON).await.unwrap();
    let to_kill_ms = async || book.found(&kill).await.look.and_then(|look| look.to_kill_ms);
    assert_eq!(to_kill_ms().await, Some(1000), "it may have left from the mark on");
    let call = |after, id: &str, task: Option<&str>, refused| Sent {
        at: NOON + Duration::from_secs(after),
        ids: vec![id.to_owned()],
        task_id: task.map(str::to_owned),
        answered: true,
        refused,
    };
    let calls = [call(2, "1111", Some("31\u{fffd}"), false), call(5, "2222", None, true)];
    let done = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::Failed)]);
    let done = Kill { look: Some(look), found: found.clone(), ..done };
    // What the database has no room for is replaced there too.
    let said = [call(2, "1111", Some("31\0"), false), calls[1].clone()];
    assert_eq!(book.audit.answer(&done, &said, NOON + Duration::from_secs(6), None).await, Ok(true));
    assert_eq!(to_kill_ms().await, Some(5000), "the last one left then");
    let events = book.audit.events(kill.id, 0).await.unwrap();
    let of_kinds: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.calls.as_slice())).collect();
    assert_eq!(of_kinds, [("recorded", &[][..]), ("looked", &[]), ("sent", &[]), ("answered", &calls)]);
    let places: Vec<_> = events.iter().filter_map(|event| event.look.as_ref()).map(|look| &look.found).collect();
    assert_eq!(places, [&found, &found], "where it was looked at and sent");
}

async fn sessions_that_are_learned_later_are_added(book: &Book) {
    let mut by_user = attempt(NOON);
    by_user.kill.sessions.clear();
    let kill = book.begin(&by_user).await;
    assert_eq!(book.found(&kill).await.sessions, []);
    let learned = answered(&kill, &[("9", Outcome::Killed), ("10", Outcome::Accepted)]);
    book.audit.conclude(&learned, NOON, "answered", Some(NOON)).await.unwrap();
    let more = answered(&kill, &[("9", Outcome::Killed), ("10", Outcome::Killed), ("1", Outcome::NotFound)]);
    book.audit.conclude(&more, NOON, "looked", None).await.unwrap();
    assert_eq!(book.found(&kill).await, more);
}

async fn a_settled_kill_is_not_concluded_again(book: &Book) {
    let kill = book.begin(&attempt(NOON)).await;
    let done = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
    assert_eq!(book.audit.conclude(&done, NOON, "answered", None).await, Ok(true));
    let late = answered(&kill, &[("1111", Outcome::Failed), ("2222", Outcome::Failed)]);
    assert_eq!(book.audit.conclude(&late, NOON, "taken_over", None).await, Ok(false));
    assert_eq!(book.found(&kill).await, done);
    assert_eq!(book.events().await.len(), 2);
}

async fn a_kill_that_is_not_recorded_is_not_concluded(book: &Book) {
    let kill = answered(&attempt(NOON).kill, &[("1111", Outcome::Killed)]);
    assert_eq!(book.audit.conclude(&kill, NOON, "answered", None).await, Ok(false));
}

async fn what_is_sent_is_marked_once_and_only_by_who_holds_it(book: &Book) {
    let kill = book.begin(&attempt(NOON)).await;
    assert_eq!(book.audit.mark_sent(kill.id, "elsewhere", NOON, NOON).await, Ok(false));
    assert_eq!(book.audit.mark_sent(kill.id, "here", NOON, NOON).await, Ok(true));
    assert_eq!(book.audit.mark_sent(kill.id, "here", NOON + Duration::from_secs(1), NOON).await, Ok(true));
    let claimed =
        book.audit.claim("elsewhere", NOON + Duration::from_mins(1), Duration::from_secs(5), 9).await.unwrap();
    assert_eq!(claimed[0].sent_at, Some(NOON), "the first byte left then");
    assert_eq!(book.audit.mark_sent(kill.id, "here", NOON, NOON).await, Ok(false), "it is no longer ours");
    let done = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
    book.audit.conclude(&done, NOON, "answered", None).await.unwrap();
    assert_eq!(book.audit.mark_sent(kill.id, "elsewhere", NOON, NOON).await, Ok(false), "it is over");
}

async fn any_text_comes_back_as_it_went_in(book: &Book) {
    for reason in
        [r#"it's "quoted" \ and -- ; DROP TABLE kills"#, "äöü 会话 🪓", "\u{202e}gnirts\u{202c}", "$1 ? %s {}"]
    {
        let mut odd = attempt(NOON);
        odd.kill.reason = Some(reason.into());
        odd.kill.caller = reason.into();
        odd.kill.target = Some(json!({ "alias": reason, "vendor": "das" }));
        odd.kill.sessions[0] = Session::new(&SessionId(reason.into()), Outcome::Failed).because(reason);
        let kill = book.begin(&odd).await;
        assert_eq!(book.found(&kill).await, kill);
    }
}

async fn a_nul_costs_a_character_and_not_the_record(book: &Book) {
    let kill = book.begin(&attempt(NOON)).await;
    let mut garbled = answered(&kill, &[("1111", Outcome::Unknown), ("2222", Outcome::Unknown)]);
    garbled.upstream.error_message = Some("b\0d".into());
    garbled.sessions[0].identity = Some(Identity { user: Some("a\0b".into()), ..Identity::default() });
    assert_eq!(book.audit.conclude(&garbled, NOON, "answered", None).await, Ok(true));
    let found = book.found(&kill).await;
    assert_eq!(found.upstream.error_message.as_deref(), Some("b\u{fffd}d"));
    assert_eq!(found.sessions[0].identity.as_ref().and_then(|it| it.user.as_deref()), Some("a\u{fffd}b"));

    let mut odd = refused(NOON);
    odd.kill.target = Some(json!({ "al\0ias": ["a\0b"] }));
    let kill = book.begin(&odd).await;
    assert_eq!(book.found(&kill).await.target, Some(json!({ "al\u{fffd}ias": ["a\u{fffd}b"] })));
}

async fn a_thousand_sessions_come_back_in_order(book: &Book) {
    let ids: Vec<String> = (0..1000).map(|n| (n * 7919 % 1000).to_string()).collect();
    let named = |outcome| sessions(&ids.iter().map(|id| (id.as_str(), outcome)).collect::<Vec<_>>());
    let mut many = attempt(NOON);
    many.kill.sessions = named(Outcome::Unknown);
    let kill = book.begin(&many).await;
    assert_eq!(book.found(&kill).await, kill);
    let mut done = answered(&kill, &[]);
    done.sessions = named(Outcome::Killed);
    assert_eq!(book.audit.conclude(&done, NOON, "answered", None).await, Ok(true));
    assert_eq!(book.found(&kill).await, done);
}

async fn overlong_coordinates_of_a_refused_attempt_are_recorded(book: &Book) {
    let mut long = refused(NOON);
    let word: String = (0..20_000_u32).filter_map(|n| char::from_u32(0x4e00 + n * 31 % 20_000)).collect();
    long.kill.target = Some(json!({ "alias": word, "vendor": word, "account": word, "instance_id": word }));
    let kill = book.begin(&long).await;
    assert_eq!(book.found(&kill).await, kill);
}

async fn the_parts_of_a_millisecond_are_dropped(book: &Book) {
    let kill = book.begin(&attempt(NOON + Duration::from_nanos(456_789))).await;
    assert_eq!(book.found(&kill).await.requested_at, NOON);
}
