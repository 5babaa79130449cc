//! Rows that are not what was sealed.

use std::time::Duration;

use killgate::{
    chain::check::{NOTHING_SEALED, VERIFIED, Wrong},
    clock::Clock,
    domain::Outcome,
};

use super::{Sealed, assert_only, assert_told, literal, on_both_engines, seal_with, settled, settled_at};
use crate::audit::{
    book::{Book, NOON, answered, attempt},
    poison::cannot_return,
};

on_both_engines! {
    an_untouched_record_verifies,
    what_is_not_sealed_yet_is_told_and_not_wrong,
    a_kill_that_nobody_looks_after_is_sealed_once_and_for_all,
    every_changed_cell_is_found,
    whether_an_entry_is_the_last_one_is_sealed,
    an_index_that_says_something_else_is_found_and_made_anew,
    each_column_of_the_index_is_held_against_the_log,
    what_was_swapped_is_found,
    what_was_deleted_in_the_middle_is_found,
    what_was_put_in_afterwards_is_found,
    a_settled_kill_that_was_changed_and_sealed_again_is_found,
    a_kill_that_was_deleted_before_it_was_sealed_is_found,
    a_kill_that_cannot_be_read_is_named_and_stops_nothing,
    a_kill_that_the_database_cannot_return_is_named_and_stops_nothing,
    a_kill_that_ended_long_ago_and_is_in_no_index_is_found,
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
    settled_at(book, Clock::system().now()).await;
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
    let swapped = r#"[{"id":"2222","outcome":"killed"},{"id":"1111","outcome":"not_found"}]"#;
    let changes = [
        (format!("UPDATE kill_log SET {}", book.body("asked.caller", "\"mallory\"")), 1),
        (format!("UPDATE kill_log SET {}", book.body("asked.reason", "null")), 1),
        ("UPDATE kill_log SET status = 'failed'".to_owned(), 3),
        (format!("UPDATE kill_log SET {}", book.body("asked.target", "{}")), 1),
        (format!("UPDATE kill_log SET at = at + {a_little}"), 1),
        (format!("UPDATE kill_log SET {}", book.body("sessions", swapped)), 3),
        (format!("UPDATE kill_log SET {}", book.body("sessions", r#"[{"id":"1111","outcome":"killed"}]"#)), 3),
        ("UPDATE kill_log SET body = '{}'".to_owned(), 3),
        ("UPDATE kill_log SET gateway = 'there'".to_owned(), 2),
        ("DELETE FROM kill_log".to_owned(), 3),
    ];
    for (number, (change, seq)) in changes.iter().enumerate() {
        sealed.tamper(&format!("{change} WHERE seq = {seq} AND kill_id = {}", sealed.id(number))).await;
        let report = sealed.verify().await;
        assert_only(&report, &[Wrong::Changed]);
        assert_told(&report, Wrong::Changed, &format!("{} is not as it was sealed", sealed.kills[number]));
        book.audit.reindex(None, None).await.unwrap();
    }
}

/// Of a kill that nobody could settle, which may end with either word.
async fn whether_an_entry_is_the_last_one_is_sealed(book: &Book) {
    let sealed = Sealed::fill(book).await;
    for (number, seq) in [(30, 3), (31, 2)] {
        let at = NOON + Duration::from_millis(number);
        let kill = book.begin(&attempt(at)).await;
        let lost = answered(&kill, &[("1111", Outcome::Unknown), ("2222", Outcome::Killed)]);
        book.audit.conclude(&lost, at, "answered", Some(at)).await.unwrap();
        book.audit.learn(&lost, &lost.sessions, at, "looked", None).await.unwrap();
        sealed.seal().await;
        let id = literal(book, kill.id);
        let turn = |book: &Book| if book.is_postgres() { "NOT ends" } else { "1 - ends" };
        let change = format!("UPDATE kill_log SET ends = {} WHERE seq = {seq} AND kill_id = {id}", turn(book));
        assert_only(&sealed.verify().await, &[]);
        sealed.tamper(&change).await;
        let report = sealed.verify().await;
        assert_only(&report, &[Wrong::Changed]);
        assert_told(&report, Wrong::Changed, &format!("{} is not as it was sealed", kill.id));
        sealed.tamper(&change).await;
    }
}

async fn what_was_swapped_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let (first, second) = (sealed.id(1), sealed.id(8));
    // The later entries of both change places.
    let uuid = if book.is_postgres() { "::uuid" } else { "" };
    let swap = format!(
        "UPDATE kill_log SET kill_id = CASE WHEN kill_id = {first} THEN {second}{uuid} ELSE {first}{uuid} END,
            seq = seq + 100 WHERE kill_id IN ({first}, {second}) AND seq > 1"
    );
    sealed.tamper(&swap).await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Changed]);
    for number in [1, 8] {
        assert_told(&report, Wrong::Changed, &sealed.kills[number].to_string());
    }
}

async fn an_index_that_says_something_else_is_found_and_made_anew(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let id = |number: usize| sealed.id(number);
    let other = literal(book, killgate::clock::id_at(NOON + Duration::from_millis(77)));
    let columns = "users, databases, outcomes, ever_unknown, requested_at, size, words, recorded_in";
    for change in [
        format!("UPDATE kill_index SET caller = 'mallory' WHERE id = {}", id(0)),
        format!("UPDATE kill_index SET status = 'failed' WHERE id = {}", id(1)),
        format!("UPDATE kill_index SET words = words WHERE id = {} OR id = {}", id(2), id(2)),
        format!("UPDATE kill_index SET recorded_in = recorded_in + 1 WHERE id = {}", id(2)),
        format!("DELETE FROM kill_index WHERE id = {}", id(3)),
        format!("DELETE FROM kill_index_sessions WHERE session_id = '1111' AND kill_id = {}", id(4)),
        format!("UPDATE kill_index_sessions SET session_id = '9' WHERE session_id = '1111' AND kill_id = {}", id(5)),
        format!(
            "INSERT INTO kill_index (id, status, caller, {columns}) SELECT {other}, status, caller, {columns} \
                 FROM kill_index WHERE id = {}",
            id(6)
        ),
        format!(
            "INSERT INTO kill_index_sessions SELECT '7', kill_id, recorded_in FROM kill_index_sessions \
                 WHERE session_id = '1111' AND kill_id = {}",
            id(7)
        ),
    ] {
        sealed.tamper(&change).await;
    }
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Changed]);
    assert_eq!((report.count(Wrong::Changed), report.verified), (1, 10), "{report}");
    assert_told(
        &report,
        Wrong::Changed,
        &format!("8 kills are not in the index as the log has them, the first is {}", sealed.kills[0]),
    );
    assert_eq!(book.audit.reindex(None, None).await, Ok(8));
    assert_only(&sealed.verify().await, &[]);
    assert_eq!(book.audit.reindex(None, None).await, Ok(0));
}

async fn each_column_of_the_index_is_held_against_the_log(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let list = |json: &str, array: &str| if book.is_postgres() { format!("'{array}'") } else { format!("'{json}'") };
    let (other, nobody) = (list(r#"["mallory"]"#, "{mallory}"), list("[]", "{}"));
    for change in [
        "on_behalf_of = 'mallory'".to_owned(),
        format!("users = {other}"),
        format!("databases = {other}"),
        format!("outcomes = {nobody}"),
        format!("outcomes = {other}"),
        "ever_unknown = NOT ever_unknown".to_owned(),
    ] {
        sealed.tamper(&format!("UPDATE kill_index SET {change} WHERE id = {}", sealed.id(1))).await;
        assert_eq!(book.audit.misindexed(None, None).await, Ok(vec![sealed.kills[1]]), "{change}");
        let report = sealed.verify().await;
        assert_only(&report, &[Wrong::Changed]);
        assert_eq!(book.audit.reindex(None, None).await, Ok(1), "{change}");
        assert_only(&sealed.verify().await, &[]);
    }
}

/// Removes a kill with all that belongs to it.
async fn delete(sealed: &Sealed<'_>, condition: &str) {
    for (table, id) in [("kill_log", "kill_id"), ("kill_index_sessions", "kill_id"), ("kill_index", "id")] {
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
    book.audit.index().await.unwrap();
    sealed.tamper("DELETE FROM unsealed").await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Added]);
    assert_told(&report, Wrong::Added, &kill.id.to_string());
    sealed.seal().await;
    assert_only(&sealed.verify().await, &[Wrong::Added]);
}

async fn a_settled_kill_that_was_changed_and_sealed_again_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let change = book.body("asked.caller", "\"mallory\"");
    sealed.tamper(&format!("UPDATE kill_log SET {change} WHERE seq = 1 AND kill_id = {}", sealed.id(3))).await;
    book.audit.reindex(None, None).await.unwrap();
    sealed.tamper(&format!("INSERT INTO unsealed (entry_id) VALUES ({})", sealed.id(3))).await;
    sealed.seal().await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Changed]);
    let what = format!("{} was sealed in block 1 and is another in block 4", sealed.kills[3]);
    assert_eq!(report.told(Wrong::Changed), [what]);
}

async fn a_kill_that_was_deleted_before_it_was_sealed_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let kill = settled(book, 40).await;
    book.audit.index().await.unwrap();
    delete(&sealed, &format!("= {}", literal(book, kill.id))).await;
    sealed.seal().await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Missing]);
    assert_told(&report, Wrong::Missing, &kill.id.to_string());
}

async fn a_kill_that_cannot_be_read_is_named_and_stops_nothing(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let damage = if book.is_postgres() {
        "UPDATE kill_log SET at = 'infinity'"
    } else {
        "PRAGMA ignore_check_constraints = ON; UPDATE kill_log SET body = '{'"
    };
    let late = settled(book, 41).await;
    book.audit.index().await.unwrap();
    sealed.tamper(&format!("{damage} WHERE seq = 3 AND kill_id = {}", sealed.id(2))).await;
    sealed.tamper(&format!("{damage} WHERE seq = 1 AND kill_id = {}", sealed.id(5))).await;
    sealed.tamper(&format!("{damage} WHERE seq = 1 AND kill_id = {}", literal(book, late.id))).await;
    settled(book, 42).await;
    sealed.seal().await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Changed]);
    assert_eq!((report.count(Wrong::Changed), report.verified), (3, 9), "{report}");
    for id in [sealed.kills[2], sealed.kills[5], late.id] {
        assert_told(&report, Wrong::Changed, &format!("{id} does not read as a kill any more"));
    }
}

async fn a_kill_that_the_database_cannot_return_is_named_and_stops_nothing(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let late = settled(book, 41).await;
    book.audit.index().await.unwrap();
    cannot_return(book, late.id).await;
    settled(book, 42).await;
    sealed.seal().await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Changed]);
    assert_eq!((report.count(Wrong::Changed), report.verified), (1, 11), "{report}");
    assert_told(&report, Wrong::Changed, &format!("{} does not read as a kill any more", late.id));
    assert_eq!(book.audit.reindex(None, None).await, Ok(0));
}

async fn a_kill_that_ended_long_ago_and_is_in_no_index_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let now = Clock::system().now();
    for ago in [2, 0] {
        let kill = settled_at(book, now - Duration::from_hours(ago)).await;
        let report = sealed.verify().await;
        assert_only(&report, &[Wrong::Changed]);
        assert_eq!((report.count(Wrong::Changed), report.verified), (1, 10), "{report}");
        if ago > 0 {
            let told = format!("1 kills are not in the index as the log has them, the first is {}", kill.id);
            assert_told(&report, Wrong::Changed, &told);
        }
    }
    sealed.seal().await;
    assert_only(&sealed.verify().await, &[]);
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
