//! Rows that are not what was sealed.

use std::time::Duration;

use killgate::{
    chain::check::{NOTHING_SEALED, VERIFIED, Wrong},
    clock::Clock,
    domain::Outcome,
};

use super::{Sealed, assert_only, assert_told, literal, on_both_engines, seal_with, settled};
use crate::audit::book::{Book, NOON, answered, attempt};

on_both_engines! {
    an_untouched_record_verifies,
    what_is_not_sealed_yet_is_told_and_not_wrong,
    a_kill_that_nobody_looks_after_is_sealed_once_and_for_all,
    every_changed_cell_is_found,
    what_was_swapped_is_found,
    what_was_deleted_in_the_middle_is_found,
    what_was_put_in_afterwards_is_found,
    a_settled_kill_that_was_changed_and_sealed_again_is_found,
    a_kill_that_was_deleted_before_it_was_sealed_is_found,
    a_kill_that_cannot_be_read_is_named_and_stops_nothing,
    a_tail_that_was_cut_off_is_found_by_a_checkpoint_from_outside,
    a_record_that_was_emptied_is_found_by_a_checkpoint_from_outside,
}

async fn an_untouched_record_verifies(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let report = sealed.verify_with(sealed.checkpoints().await).await;
    assert_eq!((report.status(), report.blocks, report.verified, report.checkpoints), (VERIFIED, 3, 10, 3), "{report}");
    assert_eq!(report.to_string(), "verified: 10 entries in 3 blocks, 3 checkpoints");
}

async fn what_is_not_sealed_yet_is_told_and_not_wrong(book: &Book) {
    let sealed = Sealed::fill(book).await;
    settled(book, 20).await;
    // Somebody works on this one.
    book.begin(&attempt(Clock::system().now())).await;
    let report = sealed.verify().await;
    assert_eq!((report.status(), report.verified), (VERIFIED, 10), "{report}");
    assert_eq!(report.notes, ["2 kills are not sealed yet, or not as they are now"]);
}

async fn a_kill_that_nobody_looks_after_is_sealed_once_and_for_all(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let at = NOON + Duration::from_millis(30);
    let kill = book.begin(&attempt(at)).await;
    let lost = answered(&kill, &[("1111", Outcome::Unknown), ("2222", Outcome::Killed)]);
    book.audit.conclude(&lost, at, "answered", None).await.unwrap();
    sealed.seal().await;
    assert_eq!(sealed.verify().await.verified, 11);
    let found_out = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
    assert_eq!(book.audit.conclude(&found_out, at, "looked", None).await, Ok(false));
    sealed.seal().await;
    let report = sealed.verify().await;
    assert_eq!((report.status(), report.verified, report.blocks), (VERIFIED, 11, 4), "{report}");
}

async fn every_changed_cell_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let a_little = if book.is_postgres() { "interval '1 microsecond'" } else { "1" };
    let changes = [
        "UPDATE kills SET caller = 'mallory' WHERE id = ",
        "UPDATE kills SET reason = NULL WHERE id = ",
        "UPDATE kills SET status = 'failed' WHERE id = ",
        "UPDATE kills SET target = '{}' WHERE id = ",
        &format!("UPDATE kills SET requested_at = requested_at + {a_little} WHERE id = "),
        "UPDATE kill_sessions SET outcome = 'failed' WHERE session_id = '1111' AND kill_id = ",
        "UPDATE kill_sessions SET position = 1 - position WHERE kill_id = ",
        "DELETE FROM kill_sessions WHERE session_id = '2222' AND kill_id = ",
        "UPDATE kill_events SET detail = '{}' WHERE seq = 3 AND kill_id = ",
        "DELETE FROM kill_events WHERE seq = 3 AND kill_id = ",
    ];
    for (number, change) in changes.iter().enumerate() {
        sealed.tamper(&format!("{change}{}", sealed.id(number))).await;
        let report = sealed.verify().await;
        assert_only(&report, &[Wrong::Changed]);
        assert_eq!(report.count(Wrong::Changed), number as u64 + 1, "{change}: {report}");
        assert_told(&report, Wrong::Changed, &format!("{} is not as it was sealed", sealed.kills[number]));
    }
}

async fn what_was_swapped_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let (first, second) = (sealed.id(1), sealed.id(8));
    sealed.tamper(&format!("UPDATE kills SET gateway = 'there' WHERE id = {first}")).await;
    let other = if book.is_postgres() { "'00000000-0000-7000-8000-000000000000'" } else { "x'00'" };
    // The events of both change places.
    if book.is_postgres() {
        let swap = format!(
            "UPDATE kill_events SET kill_id = CASE WHEN kill_id = {first} THEN {second}::uuid ELSE {first}::uuid END,
                seq = seq + 100 WHERE kill_id IN ({first}, {second}) AND {other} <> ''"
        );
        sealed.tamper(&swap).await;
    } else {
        let swap = format!(
            "UPDATE kill_events SET kill_id = CASE WHEN kill_id = {first} THEN {second} ELSE {first} END,
                seq = seq + 100 WHERE kill_id IN ({first}, {second}) AND {other} <> ''"
        );
        sealed.tamper(&swap).await;
    }
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Changed]);
    for number in [1, 8] {
        assert_told(&report, Wrong::Changed, &sealed.kills[number].to_string());
    }
}

/// Removes a kill with all that belongs to it.
async fn delete(sealed: &Sealed<'_>, condition: &str) {
    for (table, id) in [("kill_sessions", "kill_id"), ("kill_events", "kill_id"), ("kills", "id")] {
        sealed.tamper(&format!("DELETE FROM {table} WHERE {id} {condition}")).await;
    }
}

async fn what_was_deleted_in_the_middle_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    delete(&sealed, &format!("= {}", sealed.id(4))).await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Missing]);
    assert_eq!(report.told(Wrong::Missing), [format!("{} of block 2 is gone", sealed.kills[4])]);
}

async fn what_was_put_in_afterwards_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let kill = settled(book, 5).await;
    sealed.tamper("DELETE FROM unsealed").await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Added]);
    assert_told(&report, Wrong::Added, &kill.id.to_string());
    sealed.seal().await;
    assert_only(&sealed.verify().await, &[Wrong::Added]);
}

async fn a_settled_kill_that_was_changed_and_sealed_again_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    sealed.tamper(&format!("UPDATE kills SET caller = 'mallory' WHERE id = {}", sealed.id(3))).await;
    sealed.tamper(&format!("INSERT INTO unsealed (entry_id) VALUES ({})", sealed.id(3))).await;
    sealed.seal().await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Changed]);
    let what = format!("{} was settled in block 1 and is another in block 4", sealed.kills[3]);
    assert_eq!(report.told(Wrong::Changed), [what]);
}

async fn a_kill_that_was_deleted_before_it_was_sealed_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let kill = settled(book, 40).await;
    delete(&sealed, &format!("= {}", literal(book, kill.id))).await;
    sealed.seal().await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Missing]);
    assert_told(&report, Wrong::Missing, &kill.id.to_string());
}

async fn a_kill_that_cannot_be_read_is_named_and_stops_nothing(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let (event, time) = if book.is_postgres() {
        ("UPDATE kill_events SET at = 'infinity'", "UPDATE kills SET requested_at = 'infinity'")
    } else {
        (
            "PRAGMA ignore_check_constraints = ON; UPDATE kill_events SET detail = '{'",
            "PRAGMA ignore_check_constraints = ON; UPDATE kills SET selector = '{'",
        )
    };
    let late = settled(book, 41).await;
    sealed.tamper(&format!("{event} WHERE kill_id = {}", sealed.id(2))).await;
    sealed.tamper(&format!("{time} WHERE id = {}", sealed.id(5))).await;
    sealed.tamper(&format!("{time} WHERE id = {}", literal(book, late.id))).await;
    settled(book, 42).await;
    sealed.seal().await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Changed]);
    assert_eq!((report.count(Wrong::Changed), report.verified), (3, 9), "{report}");
    for id in [sealed.kills[2], sealed.kills[5], late.id] {
        assert_told(&report, Wrong::Changed, &format!("{id} does not read as a kill any more"));
    }
}

async fn a_tail_that_was_cut_off_is_found_by_a_checkpoint_from_outside(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let checkpoints = sealed.checkpoints().await;
    delete(&sealed, &format!(">= {}", sealed.id(4))).await;
    let rows_only = sealed.verify().await;
    assert_only(&rows_only, &[Wrong::Missing]);
    assert_eq!(rows_only.count(Wrong::Missing), 6, "{rows_only}");
    sealed.tamper("DELETE FROM blocks WHERE number >= 2").await;
    assert_eq!(sealed.verify().await.status(), VERIFIED, "from inside nothing is to be seen");
    let report = sealed.verify_with(checkpoints).await;
    assert_only(&report, &[Wrong::Checkpoint]);
    assert_told(&report, Wrong::Checkpoint, "blocks 2 to 3 are missing");
}

async fn a_record_that_was_emptied_is_found_by_a_checkpoint_from_outside(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let checkpoints = sealed.checkpoints().await;
    delete(&sealed, "IS NOT NULL").await;
    sealed.tamper("DELETE FROM blocks").await;
    assert_eq!(sealed.verify().await.status(), NOTHING_SEALED);
    let report = sealed.verify_with(checkpoints.clone()).await;
    assert_only(&report, &[Wrong::Checkpoint]);
    assert_told(&report, Wrong::Checkpoint, "blocks 1 to 3 are missing");
    // Another history in its place, with the very key.
    settled(book, 70).await;
    seal_with(book, &sealed.key).await;
    let report = sealed.verify_with(checkpoints).await;
    assert_told(&report, Wrong::Checkpoint, "block 1 is not the one that a checkpoint tells of");
    assert_told(&report, Wrong::Checkpoint, "blocks 2 to 3 are missing");
}
