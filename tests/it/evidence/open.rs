//! Kills that were still open when they were sealed, which only the owner of the tables can have done.

use std::time::Duration;

use killgate::{
    chain::check::Wrong,
    clock::Clock,
    domain::{Kill, Outcome},
};

use super::{Sealed, assert_only, assert_told, export::Export, literal, on_both_engines};
use crate::audit::book::{Book, answered, attempt};

on_both_engines! {
    an_open_kill_that_was_sealed_is_protected_as_it_was,
    an_open_kill_that_was_sealed_and_settled_later_is_found,
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

async fn an_open_kill_that_was_sealed_is_protected_as_it_was(book: &Book) {
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
        assert_told(&report, Wrong::Changed, &format!("{} is not as it was sealed in block 4", kill.id));
    }
}

async fn an_open_kill_that_was_sealed_and_settled_later_is_found(book: &Book) {
    let sealed = Sealed::fill(book).await;
    let kill = open(&sealed).await;
    let found_out = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
    let at = kill.requested_at + Duration::from_secs(1);
    assert_eq!(book.audit.conclude(&found_out, at, "looked", None).await, Ok(true));
    sealed.seal().await;
    for report in [sealed.verify().await, Export::of(&sealed).await.verify(&sealed.key, vec![])] {
        assert_only(&report, &[Wrong::Changed]);
        assert_told(&report, Wrong::Changed, &format!("{} was sealed in block 4 and is another in block 5", kill.id));
    }
}
