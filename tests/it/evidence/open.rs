//! Kills that were still open when they were sealed.

use std::time::Duration;

use killgate::{
    chain::check::Wrong,
    clock::Clock,
    domain::{Kill, Outcome},
};

use super::{Sealed, assert_only, assert_told, export::Export, literal, on_both_engines};
use crate::audit::book::{Book, answered, attempt};

on_both_engines! {
    an_open_kill_that_was_rewritten_and_sealed_again_is_found,
    an_open_kill_that_was_rewritten_and_then_settled_is_found_in_an_export,
    an_open_kill_is_protected_as_a_whole_while_it_learns_nothing,
    an_open_kill_that_lost_events_is_found,
}

/// A kill whose fate is not known, sealed although somebody looks after it.
async fn open(sealed: &Sealed<'_>) -> Kill {
    // Within the time in which a kill is looked after.
    let at = Clock::system().now();
    let kill = sealed.book.begin(&attempt(at)).await;
    let lost = answered(&kill, &[("1111", Outcome::Unknown), ("2222", Outcome::Killed)]);
    sealed.book.audit.conclude(&lost, at, "answered", Some(at)).await.unwrap();
    let rests = format!("INSERT INTO unsealed (entry_id) VALUES ({})", literal(sealed.book, kill.id));
    assert_eq!(sealed.book.raw(&rests).await, Ok(1));
    sealed.seal().await;
    kill
}

/// What a gateway does once it knows: the kill is settled, and sealed again.
async fn settle(sealed: &Sealed<'_>, kill: &Kill) {
    let at = kill.requested_at + Duration::from_secs(1);
    let found_out = answered(kill, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
    assert_eq!(sealed.book.audit.conclude(&found_out, at, "looked", None).await, Ok(true));
    sealed.seal().await;
}

/// One more event, with the kill where whatever is to be sealed waits.
async fn put_forward(sealed: &Sealed<'_>, kill: &Kill) {
    let id = literal(sealed.book, kill.id);
    let (now, no) = if sealed.book.is_postgres() {
        ("now()", "false")
    } else {
        ("CAST(unixepoch('subsec') * 1000 AS INTEGER)", "0")
    };
    sealed
        .tamper(&format!(
            "INSERT INTO kill_log (kill_id, seq, at, kind, status, gateway, ends, body)
             VALUES ({id}, 3, {now}, 'looked', 'unknown', 'here', {no}, '{{}}')"
        ))
        .await;
    sealed.tamper(&format!("INSERT INTO unsealed (entry_id) VALUES ({id})")).await;
}

async fn an_open_kill_that_was_rewritten_and_sealed_again_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let kill = open(&sealed).await;
    let id = literal(book, kill.id);
    put_forward(&sealed, &kill).await;
    sealed.seal().await;
    assert_only(&sealed.verify().await, &[]);
    let asked = "what was asked, or one of its first 2 events";
    let body = |member: &str, json: &str| format!("UPDATE kill_log SET {} WHERE seq = 1", book.body(member, json));
    for (change, back) in [
        (body("asked.caller", "\"mallory\""), body("asked.caller", "\"bot\"")),
        (body("asked.request_id", "\"x\""), body("asked.request_id", "\"request-1\"")),
        (body("asked.dry_run", "true"), body("asked.dry_run", "false")),
        (
            "UPDATE kill_log SET kind = 'seen' WHERE seq = 2".to_owned(),
            "UPDATE kill_log SET kind = 'answered' WHERE seq = 2".to_owned(),
        ),
    ] {
        sealed.tamper(&format!("{change} AND kill_id = {id}")).await;
        sealed.tamper(&format!("INSERT INTO unsealed (entry_id) VALUES ({id})")).await;
        sealed.seal().await;
        let report = sealed.verify().await;
        assert_only(&report, &[Wrong::Changed]);
        assert_told(&report, Wrong::Changed, asked);
        sealed.tamper(&format!("{back} AND kill_id = {id}")).await;
        // A block that says otherwise stays, whatever the kill says now.
        assert_only(&sealed.verify().await, &[Wrong::Changed]);
        let kept = book.texts("SELECT CAST(max(number) AS text) FROM blocks").await.remove(0).unwrap();
        sealed.tamper(&format!("DELETE FROM blocks WHERE number = {kept}")).await;
        assert_only(&sealed.verify().await, &[]);
    }
}

async fn an_open_kill_that_was_rewritten_and_then_settled_is_found_in_an_export(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let kill = open(&sealed).await;
    let change = book.body("asked.reason", "\"harmless\"");
    sealed
        .tamper(&format!("UPDATE kill_log SET {change} WHERE seq = 1 AND kill_id = {}", literal(book, kill.id)))
        .await;
    settle(&sealed, &kill).await;
    for report in [sealed.verify().await, Export::of(&sealed).await.verify(&sealed.key, vec![])] {
        assert_only(&report, &[Wrong::Changed]);
        assert_told(&report, Wrong::Changed, &kill.id.to_string());
    }
}

async fn an_open_kill_is_protected_as_a_whole_while_it_learns_nothing(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let kill = open(&sealed).await;
    assert_only(&sealed.verify().await, &[]);
    let id = literal(book, kill.id);
    let killed = r#"[{"id":"1111","outcome":"killed"},{"id":"2222","outcome":"killed"}]"#;
    sealed
        .tamper(&format!("UPDATE kill_log SET {} WHERE seq = 2 AND kill_id = {id}", book.body("sessions", killed)))
        .await;
    for report in [sealed.verify().await, Export::of(&sealed).await.verify(&sealed.key, vec![])] {
        assert_only(&report, &[Wrong::Changed]);
    }
    // What was said once stays on record, and what it was made of too.
    settle(&sealed, &kill).await;
    assert_only(&sealed.verify().await, &[Wrong::Changed]);
}

async fn an_open_kill_that_lost_events_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let kill = open(&sealed).await;
    let id = literal(book, kill.id);
    sealed.tamper(&format!("DELETE FROM kill_log WHERE seq = 2 AND kill_id = {id}")).await;
    sealed.tamper(&format!("INSERT INTO unsealed (entry_id) VALUES ({id})")).await;
    for _ in 0..2 {
        let report = sealed.verify().await;
        assert_only(&report, &[Wrong::Changed]);
        assert_told(&report, Wrong::Changed, "it had 2 events then and has 1 now");
        sealed.seal().await;
    }
}
