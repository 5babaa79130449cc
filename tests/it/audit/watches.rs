//! Watches over kills, and what was noted of who came back.

use std::time::Duration;

use killgate::{
    audit::{Audit, Filter, Returned, Seen, Sightings, Watch},
    domain::{Kill, Outcome},
};
use time::macros::date;

use super::{
    book::{Book, NOON, answered, attempt},
    on_both_engines,
};

on_both_engines! {
    a_watch_is_taken_when_it_is_due_and_by_one_gateway,
    what_was_noted_last_is_read_with_the_kill,
    what_was_noted_never_changes,
}

const LEASE: Duration = Duration::from_secs(30);

/// A kill that is done, and watched.
async fn watched(book: &Book) -> (Kill, Watch) {
    let kill = book.begin(&attempt(NOON)).await;
    let done = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::NotFound)]);
    assert_eq!(book.audit.conclude(&done, NOON, "answered", None).await, Ok(true));
    let before = vec![Seen("3333".into(), Some("10.0.0.7:40001".into())), Seen("4444".into(), None)];
    let sightings = Sightings { before, database: Some("orders".into()), came: ["5555".into()].into() };
    let watch = Watch { kill_id: kill.id, gateway: "here".into(), due_at: NOON + LEASE, looks: 1, sightings };
    book.audit.watch(&watch).await.unwrap();
    (done, watch)
}

fn returned(look: i32, count: u32) -> Returned {
    Returned { look, at: NOON, count, complete: true }
}

async fn a_watch_is_taken_when_it_is_due_and_by_one_gateway(book: &Book) {
    let (_, watch) = watched(book).await;
    // Once is enough.
    book.audit.watch(&Watch { due_at: NOON, ..watch.clone() }).await.unwrap();
    let other = book.another().await;
    assert_eq!(book.audit.claim_watches("there", NOON, LEASE, 9).await, Ok(vec![]));
    let taken = Watch { gateway: "there".into(), due_at: NOON + 2 * LEASE, ..watch };
    assert_eq!(other.claim_watches("there", NOON + LEASE, LEASE, 9).await, Ok(vec![taken.clone()]));
    assert_eq!(book.audit.claim_watches("here", NOON + LEASE, LEASE, 9).await, Ok(vec![]));
    // Whoever took it died.
    let again = Watch { gateway: "here".into(), due_at: NOON + 3 * LEASE, ..taken };
    assert_eq!(book.audit.claim_watches("here", NOON + 2 * LEASE, LEASE, 9).await, Ok(vec![again]));
    other.close().await;
}

async fn what_was_noted_last_is_read_with_the_kill(book: &Book) {
    let (kill, watch) = watched(book).await;
    assert_eq!(book.found(&kill).await, kill);
    let on = Watch { looks: 2, due_at: NOON, ..watch };
    book.audit.note_look(kill.id, Some(returned(1, 2)), Some(&on)).await.unwrap();
    let known = Kill { returned: Some(2), ..kill.clone() };
    assert_eq!(book.found(&kill).await, known);
    let taken = Watch { due_at: NOON + LEASE, ..on.clone() };
    assert_eq!(book.audit.claim_watches("here", NOON, LEASE, 9).await, Ok(vec![taken]));
    // Another gateway was there first.
    book.audit.note_look(kill.id, Some(returned(1, 9)), Some(&on)).await.unwrap();
    assert_eq!(book.found(&kill).await, known);
    book.audit.note_look(kill.id, Some(returned(2, 3)), None).await.unwrap();
    let known = Kill { returned: Some(3), ..kill };
    assert_eq!(book.audit.page(&Filter::default(), 5).await.unwrap().items, [known]);
    assert_eq!(book.audit.claim_watches("here", NOON + LEASE, LEASE, 9).await, Ok(vec![]));
}

async fn what_was_noted_never_changes(book: &Book) {
    let (kill, _) = watched(book).await;
    book.audit.note_look(kill.id, Some(returned(2, 3)), None).await.unwrap();
    for (sql, says) in [
        ("UPDATE kill_returns SET returned = 0", "never changed"),
        ("DELETE FROM kill_returns", "never removed"),
        ("INSERT INTO kill_returns SELECT * FROM kill_returns", if book.is_postgres() { "duplicate" } else { "never" }),
    ] {
        let told = book.raw(sql).await.expect_err(sql);
        assert!(told.contains(says), "{sql}: {told}");
    }
    assert_eq!(book.found(&kill).await.returned, Some(3));
}

#[tokio::test]
async fn what_was_noted_goes_with_its_month_and_no_other() {
    let book = Book::on_postgres().await;
    let (kill, watch) = watched(&book).await;
    book.audit.note_look(kill.id, Some(returned(1, 3)), Some(&watch)).await.unwrap();
    let later = book.begin(&attempt(NOON + Duration::from_hours(24 * 31))).await;
    book.audit.watch(&Watch { kill_id: later.id, ..watch }).await.unwrap();
    book.audit.note_look(later.id, Some(returned(2, 1)), None).await.unwrap();
    while book.audit.index().await.unwrap() > 0 {}
    assert_eq!(Audit::remove_month(&book.settings, date!(2026 - 03 - 01), "kept long enough").await, Ok(1));
    let kept = book.texts("SELECT kill_id::text FROM kill_returns").await;
    assert_eq!(kept, [Some(later.id.to_string())]);
    assert_eq!(book.texts("SELECT kill_id::text FROM kill_watches").await, []);
}
