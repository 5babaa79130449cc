//! Blocks that are not what was signed.

use killgate::chain::{SealKey, check::Wrong};

use super::{Sealed, all, assert_only, assert_told, on_both_engines, seal_with};
use crate::audit::book::Book;

on_both_engines! {
    every_changed_cell_of_a_block_is_found,
    a_block_that_is_missing_is_found,
    a_record_that_was_sealed_anew_with_another_key_is_found,
    a_record_that_was_sealed_anew_with_the_same_key_is_found_by_a_checkpoint,
    a_checkpoint_of_another_key_proves_nothing,
}

async fn every_changed_cell_of_a_block_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    book.raw("CREATE TABLE kept AS SELECT * FROM blocks").await.unwrap();
    let of_the_first = |column: &str| format!("{column} = (SELECT {column} FROM blocks WHERE number = 1)");
    let later = if book.is_postgres() {
        "sealed_at = sealed_at + interval '1 millisecond'"
    } else {
        "sealed_at = sealed_at + 1"
    };
    for change in [
        later,
        "total = total + 1",
        "root = previous",
        "listing = root",
        "previous = root",
        "public_key = root",
        &of_the_first("entries"),
        &of_the_first("leaves"),
        &of_the_first("signature"),
    ] {
        sealed.tamper(&format!("UPDATE blocks SET {change} WHERE number = 2")).await;
        let report = sealed.verify().await;
        assert!(report.count(Wrong::Chain) > 0, "{change}: {report}");
        assert_told(&report, Wrong::Chain, "block 2:");
        sealed.tamper("DELETE FROM blocks").await;
        sealed.tamper("INSERT INTO blocks SELECT * FROM kept").await;
        assert_only(&sealed.verify().await, &[]);
    }
}

async fn a_block_that_is_missing_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let checkpoints = sealed.checkpoints().await;
    sealed.tamper("DELETE FROM blocks WHERE number = 2").await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Chain, Wrong::Added]);
    assert_eq!(report.told(Wrong::Chain), ["block 2 is missing"]);
    sealed.tamper("DELETE FROM blocks WHERE number = 1").await;
    let report = sealed.verify_with(checkpoints).await;
    assert_only(&report, &[Wrong::Chain, Wrong::Added, Wrong::Checkpoint]);
    assert_eq!(report.told(Wrong::Chain), ["blocks 1 to 2 are missing"]);
}

/// Removes all blocks and seals everything anew.
async fn seal_anew(sealed: &Sealed<'_>, key: &SealKey) {
    sealed.tamper("DELETE FROM blocks").await;
    let change = sealed.book.body("asked.caller", "\"mallory\"");
    sealed.tamper(&format!("UPDATE kill_log SET {change} WHERE seq = 1")).await;
    sealed.book.audit.reindex(None, None).await.unwrap();
    sealed.tamper("INSERT INTO unsealed (entry_id) SELECT id FROM kill_index").await;
    seal_with(sealed.book, key).await;
    assert_eq!(all(sealed.book).await.len(), 10);
}

async fn a_record_that_was_sealed_anew_with_another_key_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let checkpoints = sealed.checkpoints().await;
    seal_anew(&sealed, &SealKey::generate().unwrap()).await;
    let report = sealed.verify().await;
    assert_only(&report, &[Wrong::Chain]);
    assert_told(&report, Wrong::Chain, "block 1: it is signed with another key");
    assert_eq!(report.count(Wrong::Chain), 3);
    assert_only(&sealed.verify_with(checkpoints).await, &[Wrong::Chain, Wrong::Checkpoint]);
}

async fn a_record_that_was_sealed_anew_with_the_same_key_is_found_by_a_checkpoint(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let checkpoints = sealed.checkpoints().await;
    seal_anew(&sealed, &sealed.key).await;
    assert_only(&sealed.verify().await, &[]);
    let report = sealed.verify_with(checkpoints).await;
    assert_only(&report, &[Wrong::Checkpoint]);
    assert_eq!(report.count(Wrong::Checkpoint), 3, "{report}");
    assert_told(&report, Wrong::Checkpoint, "block 1 is not the one that a checkpoint tells of");
}

async fn a_checkpoint_of_another_key_proves_nothing(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let mut checkpoints = sealed.checkpoints().await;
    checkpoints[1].head.public_key = SealKey::generate().unwrap().public();
    let report = sealed.verify_with(checkpoints).await;
    assert_only(&report, &[Wrong::Checkpoint]);
    assert_told(&report, Wrong::Checkpoint, "block 2 has a wrong signature");
}
