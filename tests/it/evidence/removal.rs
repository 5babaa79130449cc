//! Months that were removed as a whole.

use killgate::{
    audit::Audit,
    chain::check::{VERIFIED, Wrong},
};
use time::macros::date;

use super::{Sealed, assert_only, assert_told};
use crate::audit::book::Book;

#[tokio::test]
async fn a_month_that_was_removed_is_told_and_everything_else_verifies() {
    let book = Book::on_postgres().await;
    let sealed = Sealed::fill(&book).await;
    let checkpoints = sealed.checkpoints().await;
    let removed = Audit::remove_month(&book.settings, date!(2026 - 03 - 01), "kept long enough").await;
    assert_eq!(removed, Ok(10));
    let before = sealed.verify().await;
    assert_eq!(before.status(), VERIFIED, "{before}");
    sealed.seal().await;
    let report = sealed.verify_with(checkpoints).await;
    assert_eq!((report.status(), report.blocks, report.verified), (VERIFIED, 4, 1), "{report}");
    let told = &report.notes[0];
    assert!(told.contains("2026-03-01") && told.contains("10 kills") && told.contains("kept long enough"), "{told}");
}

#[tokio::test]
async fn a_removal_that_was_changed_excuses_nothing_that_it_did_not() {
    let book = Book::on_postgres().await;
    let sealed = Sealed::fill(&book).await;
    Audit::remove_month(&book.settings, date!(2026 - 03 - 01), "kept long enough").await.unwrap();
    sealed.seal().await;
    sealed.tamper("UPDATE removals SET reason = 'x'").await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Changed]);
    sealed.tamper("DELETE FROM removals").await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Missing]);
    assert_eq!(report.count(Wrong::Missing), 11, "{report}");
}

#[tokio::test]
async fn a_removal_does_not_hide_what_was_deleted_before_or_beside_it() {
    let book = Book::on_postgres().await;
    let sealed = Sealed::fill(&book).await;
    for (table, id) in [("kill_log", "kill_id"), ("kill_index_sessions", "kill_id"), ("kill_index", "id")] {
        sealed.tamper(&format!("DELETE FROM {table} WHERE {id} = {}", sealed.id(2))).await;
    }
    let forged = "INSERT INTO removals VALUES (gen_random_uuid(), '2026-03-01', 1, NULL, NULL, now(), 'x', 'x')";
    sealed.tamper(forged).await;
    sealed.tamper("INSERT INTO unsealed (entry_id) SELECT id FROM removals").await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Missing, Wrong::Added]);
    assert_told(&report, Wrong::Missing, &sealed.kills[2].to_string());
    sealed.tamper("DELETE FROM removals").await;
    sealed.tamper("DELETE FROM unsealed").await;
    Audit::remove_month(&book.settings, date!(2026 - 03 - 01), "kept long enough").await.unwrap();
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Missing]);
    assert_told(&report, Wrong::Missing, "had 9 kills when it was removed, but 10 were sealed");
}

#[tokio::test]
async fn a_month_is_not_removed_while_anything_of_it_is_still_to_be_sealed() {
    let book = Book::on_postgres().await;
    Sealed::fill(&book).await;
    super::settled(&book, 50).await;
    book.audit.index().await.unwrap();
    let refused = Audit::remove_month(&book.settings, date!(2026 - 03 - 01), "kept long enough").await.unwrap_err();
    assert!(refused.to_string().contains("still to be sealed"), "{refused}");
}

#[tokio::test]
async fn an_sqlite_file_is_kept_whole() {
    let book = Book::on_sqlite().await;
    let refused = Audit::remove_month(&book.settings, date!(2026 - 03 - 01), "kept long enough").await.unwrap_err();
    assert!(refused.to_string().contains("an SQLite file holds all months"), "{refused}");
}
