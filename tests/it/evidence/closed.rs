//! What became of a kill that nobody looks after any more: nobody tells it anew, whatever its status.

use std::time::Duration;

use killgate::{
    chain::check::{VERIFIED, Wrong},
    clock::Clock,
    domain::{Kill, Outcome},
};

use super::{Sealed, assert_only, assert_told, free, literal, on_both_engines, settled};
use crate::audit::book::{Book, NOON, answered, attempt};

on_both_engines! {
    a_closed_kill_takes_no_event_and_no_outcome,
    a_closed_kill_that_was_rewritten_and_sealed_again_is_found,
    a_closed_kill_that_was_opened_rewritten_and_sealed_again_is_found,
    events_that_cannot_have_been_then_are_found,
    a_kill_that_is_held_open_is_found,
    without_a_key_nothing_waits_and_with_one_everything_does,
}

/// A kill that the vendor took, and of which nothing more can be learned.
async fn closed(book: &Book) -> Kill {
    let kill = book.begin(&attempt(NOON + Duration::from_millis(30))).await;
    book.audit.mark_sent(kill.id, "here", kill.requested_at, kill.requested_at).await.unwrap();
    let taken = answered(&kill, &[("1111", Outcome::Accepted), ("2222", Outcome::Accepted)]);
    assert_eq!(book.audit.conclude(&taken, kill.requested_at, "answered", None).await, Ok(true));
    taken
}

/// What makes the kill a success, as whoever rewrites it would.
fn success(book: &Book, kill: &Kill) -> String {
    let id = literal(book, kill.id);
    let (now, yes) =
        if book.is_postgres() { ("now()", "true") } else { ("CAST(unixepoch('subsec') * 1000 AS INTEGER)", "1") };
    let body = r#"{"sessions":[{"id":"1111","outcome":"killed"},{"id":"2222","outcome":"killed"}]}"#;
    format!(
        "INSERT INTO kill_log (kill_id, seq, at, kind, status, gateway, ends, body)
         VALUES ({id}, 4, {now}, 'looked', 'succeeded', 'here', {yes}, '{body}')"
    )
}

async fn a_closed_kill_takes_no_event_and_no_outcome(book: &Book) {
    let kill = closed(book).await;
    let refused = book.raw(&success(book, &kill)).await.unwrap_err();
    assert!(refused.contains("closed"), "{refused}");
    let found_out = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
    assert_eq!(book.audit.conclude(&found_out, NOON, "looked", Some(NOON)).await, Ok(false));
    assert_eq!(book.found(&kill).await.sessions, kill.sessions);
    // One that is looked after does learn.
    let kill = book.begin(&attempt(NOON + Duration::from_millis(31))).await;
    let taken = answered(&kill, &[("1111", Outcome::Accepted), ("2222", Outcome::Accepted)]);
    assert_eq!(book.audit.conclude(&taken, NOON, "answered", Some(NOON)).await, Ok(true));
    let found_out = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
    assert_eq!(book.audit.conclude(&found_out, NOON, "looked", None).await, Ok(true));
}

async fn a_closed_kill_that_was_rewritten_and_sealed_again_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let kill = closed(book).await;
    sealed.seal().await;
    assert_eq!(sealed.verify().await.verified, 11);
    sealed.tamper(&success(book, &kill)).await;
    sealed.tamper(&format!("INSERT INTO unsealed (entry_id) VALUES ({})", literal(book, kill.id))).await;
    sealed.seal().await;
    let report = sealed.verify_with(sealed.checkpoints().await).await;
    assert_only(&report, &[Wrong::Changed]);
    assert_told(&report, Wrong::Changed, &format!("{} was sealed in block", kill.id));
}

async fn a_closed_kill_that_was_opened_rewritten_and_sealed_again_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let kill = closed(book).await;
    // As if it were still open: that makes no difference.
    sealed.tamper("UPDATE kill_log SET ends = NOT ends WHERE ends AND status = 'accepted'").await;
    sealed.seal().await;
    assert_only(&sealed.verify().await, &[]);
    let still_open = if book.is_postgres() { "false" } else { "0" };
    let yes = if book.is_postgres() { "true" } else { "1" };
    let anew = success(book, &kill).replace("'succeeded'", "'accepted'");
    sealed.tamper(&anew.replace(&format!("'here', {yes}"), &format!("'here', {still_open}"))).await;
    sealed.tamper(&format!("INSERT INTO unsealed (entry_id) VALUES ({})", literal(book, kill.id))).await;
    sealed.seal().await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Changed]);
    assert_told(&report, Wrong::Changed, "was sealed in block 4 and is another in block 5");
}

async fn events_that_cannot_have_been_then_are_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    free(book).await;
    let an_hour = if book.is_postgres() { "interval '1 hour'" } else { "3600000" };
    let later_than_sealed =
        if book.is_postgres() { "now() + interval '1 hour'" } else { "unixepoch() * 1000 + 3600000" };
    let times = [
        (2, format!("at - {an_hour}"), "is before what it follows"),
        (1, format!("at + {an_hour}"), "is before what it follows"),
        (3, later_than_sealed.to_owned(), "is later than its block"),
    ];
    for (number, (event, at, _)) in (20..).zip(&times) {
        let kill = settled(book, number).await;
        let id = literal(book, kill.id);
        sealed.tamper(&format!("UPDATE kill_log SET at = {at} WHERE seq = {event} AND kill_id = {id}")).await;
    }
    sealed.seal().await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Changed]);
    assert_eq!((report.count(Wrong::Changed), report.verified), (3, 10), "{report}");
    for (_, _, told) in times {
        assert_told(&report, Wrong::Changed, told);
    }
}

async fn a_kill_that_is_held_open_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    book.begin(&attempt(Clock::system().now())).await;
    assert_only(&sealed.verify().await, &[]);
    // Asked months before the last block was sealed.
    let kill = book.begin(&attempt(NOON + Duration::from_millis(30))).await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Added]);
    assert_told(&report, Wrong::Added, &format!("{} is in no block: it is held open", kill.id));
}

async fn without_a_key_nothing_waits_and_with_one_everything_does(book: &Book) {
    let waiting = async || book.texts("SELECT 'x' FROM unsealed").await.len();
    closed(book).await;
    settled(book, 20).await;
    book.begin(&attempt(NOON + Duration::from_millis(31))).await;
    assert_eq!(book.audit.index().await, Ok(2));
    assert_eq!(waiting().await, 0);
    assert_eq!((book.audit.begin_sealing().await, book.audit.begin_sealing().await), (Ok(true), Ok(false)));
    assert_eq!(waiting().await, 2, "not what is worked on");
    let sealed = Sealed::fill(book).await;
    let report = sealed.verify().await;
    assert_eq!(report.verified, 12, "{report}");
    assert_eq!(report.status() & !Wrong::Added.status(), VERIFIED, "{report}");
    assert_eq!(waiting().await, 0);
}
