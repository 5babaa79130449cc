//! A kill that cannot be indexed keeps no other from the index, nor from being sealed.

use std::time::Duration;

use killgate::{
    audit::{Audit, AuditError, Filter, Grouping, Sealing},
    chain::{SealKey, check::Wrong},
    clock::Clock,
    domain::{Kill, KillId, Outcome},
    evidence,
};
use time::macros::date;

use super::{
    book::{Book, NOON, answered, attempt},
    on_both_engines,
    reading::one,
};
use crate::evidence::{assert_told, literal};

on_both_engines! {
    a_kill_that_the_index_refuses_keeps_no_other_from_it,
    kills_that_the_index_refuses_altogether_keep_no_other_from_it,
    a_kill_that_the_database_cannot_return_keeps_no_other_from_the_index,
    a_row_that_is_there_already_keeps_no_kill_from_the_index,
    an_index_that_takes_nothing_leaves_what_has_ended_where_it_is,
    an_index_that_takes_nothing_keeps_nobody_from_sealing,
    a_kill_that_the_database_cannot_return_keeps_nobody_from_reading_what_is_of_others,
    many_sessions_are_indexed_a_few_kills_at_a_time,
}

/// A kill of that caller that has ended.
async fn ended(book: &Book, number: u64, caller: &str) -> Kill {
    let mut begun = attempt(NOON + Duration::from_millis(number));
    begun.kill.caller = caller.into();
    let kill = book.begin(&begun).await;
    let done = answered(&kill, &[("1111", Outcome::Killed)]);
    assert_eq!(book.audit.conclude(&done, NOON, "answered", None).await, Ok(true));
    done
}

/// Five kills that have ended, the one in the middle by `mallory`.
async fn five(book: &Book) -> Vec<KillId> {
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(ended(book, number, if number == 2 { "mallory" } else { "bot" }).await.id);
    }
    ids
}

/// Lets the index take no row of which the condition holds.
async fn refuses(book: &Book, condition: &str) {
    let statements: &[&str] = if book.is_postgres() {
        &[
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$",
            "CREATE TRIGGER refuses BEFORE INSERT ON kill_index FOR EACH ROW WHEN (?) EXECUTE FUNCTION refuse()",
        ]
    } else {
        &["CREATE TRIGGER refuses BEFORE INSERT ON kill_index WHEN ? BEGIN SELECT RAISE(ABORT, 'no'); END"]
    };
    for sql in statements {
        book.raw(&sql.replace('?', condition)).await.unwrap();
    }
}

/// Lets the database fail whenever it is to return what is known of that kill.
pub(crate) async fn cannot_return(book: &Book, kill: KillId) {
    let (id, failing) = (literal(book, kill), if book.is_postgres() { "1 / (seq - seq)" } else { "json('{')" });
    book.raw("ALTER TABLE kill_returns RENAME TO kill_returned").await.unwrap();
    let view = format!(
        "CREATE VIEW kill_returns AS SELECT kill_id, 1 AS look, CASE WHEN kill_id = {id} THEN {failing} ELSE 0 END \
         AS returned FROM kill_log WHERE seq = 1"
    );
    book.raw(&view).await.unwrap();
}

async fn leases(book: &Book) -> usize {
    book.texts("SELECT gateway FROM kill_leases").await.len()
}

async fn callers_of_index(book: &Book) -> Vec<String> {
    book.texts("SELECT caller FROM kill_index ORDER BY id").await.into_iter().flatten().collect()
}

async fn a_kill_that_the_index_refuses_keeps_no_other_from_it(book: &Book) {
    let ids = five(book).await;
    refuses(book, "NEW.caller = 'mallory'").await;
    assert_eq!(book.audit.index().await, Ok(5));
    assert_eq!((leases(book).await, book.audit.index().await), (0, Ok(0)));
    assert_eq!(callers_of_index(book).await, ["bot", "bot", "", "bot", "bot"]);
    assert_eq!(book.audit.misindexed(None, None).await, Ok(vec![ids[2]]), "it is told");
    assert!(book.audit.find(ids[2]).await.unwrap().is_some());
    assert_eq!(book.audit.page(&Filter::default(), 10).await.unwrap().items.len(), 5);
}

async fn kills_that_the_index_refuses_altogether_keep_no_other_from_it(book: &Book) {
    let mut ids = Vec::new();
    for number in 0..33 {
        ids.push(ended(book, number, "bot").await.id);
    }
    // The first of all, whole runs of them, and more than is taken for an index that takes nothing.
    let refused: Vec<KillId> = ids[..20].iter().chain(&ids[25..30]).copied().collect();
    let list = refused.iter().map(|id| literal(book, *id)).collect::<Vec<_>>().join(", ");
    refuses(book, &format!("NEW.id IN ({list})")).await;
    for _ in 0..10 {
        let _ = book.audit.index_all(10).await;
    }
    assert_eq!((leases(book).await, callers_of_index(book).await.len()), (25, 8));
    assert_eq!(book.audit.index().await, Ok(0), "they are left alone for a while");
    let late = ended(book, 50, "late").await;
    assert_eq!(book.audit.index().await, Ok(1));
    // They are told, and found.
    assert_eq!(book.audit.unindexed(NOON + Duration::from_mins(1)).await, Ok(Some(60.0)));
    let report = evidence::verify(&book.audit, vec![], vec![]).await.unwrap();
    assert_told(
        &report,
        Wrong::Changed,
        &format!("25 kills are not in the index as the log has them, the first is {}", ids[0]),
    );
    let page = book.audit.page(&Filter::default(), 100).await.unwrap();
    assert_eq!((page.items.len(), page.items[0].id), (34, late.id));
    assert_eq!(book.audit.reindex(None, None).await, Ok(0), "only what was there is made anew");
}

async fn a_kill_that_the_database_cannot_return_keeps_no_other_from_the_index(book: &Book) {
    let ids = five(book).await;
    cannot_return(book, ids[2]).await;
    assert!(book.audit.find(ids[2]).await.is_err());
    assert_eq!(book.audit.index().await, Ok(5));
    assert_eq!(leases(book).await, 0);
    assert_eq!(callers_of_index(book).await, ["bot", "bot", "", "bot", "bot"]);
}

async fn a_row_that_is_there_already_keeps_no_kill_from_the_index(book: &Book) {
    let ids = five(book).await;
    let (at, words, list) = if book.is_postgres() { ("now()", "'{}'", "'{}'") } else { ("0", "''", "'[]'") };
    let forged = format!(
        "INSERT INTO kill_index (id, status, caller, users, databases, outcomes, ever_unknown, requested_at, size, words, \
         recorded_in) VALUES ({}, 'failed', 'forged', {list}, {list}, {list}, false, {at}, 0, {words}, 1)",
        literal(book, ids[2])
    );
    book.raw(&forged).await.unwrap();
    assert_eq!(book.audit.index().await, Ok(5));
    assert_eq!(leases(book).await, 0);
    assert_eq!(book.audit.misindexed(None, None).await, Ok(vec![ids[2]]), "it is told");
    assert_eq!(book.audit.reindex(None, None).await, Ok(1));
}

async fn an_index_that_takes_nothing_leaves_what_has_ended_where_it_is(book: &Book) {
    five(book).await;
    refuses(book, "NEW.size > -2").await;
    assert!(matches!(book.audit.index().await, Err(AuditError::Failed { .. })));
    assert_eq!((leases(book).await, callers_of_index(book).await.len()), (5, 0));
}

async fn an_index_that_takes_nothing_keeps_nobody_from_sealing(book: &Book) {
    book.audit.begin_sealing().await.unwrap();
    five(book).await;
    assert_eq!(book.audit.index().await, Ok(5));
    refuses(book, "NEW.size > -2").await;
    ended(book, 7, "bot").await;
    let key = SealKey::generate().unwrap();
    let sealed = book.audit.seal(&key, Clock::system().now(), 10).await;
    assert_eq!(sealed, Ok(Sealing::Sealed { block: 1, entries: 5 }));
}

async fn a_kill_that_the_database_cannot_return_keeps_nobody_from_reading_what_is_of_others(book: &Book) {
    let ids = five(book).await;
    cannot_return(book, ids[2]).await;
    let of_bot = Filter { caller: one("bot"), ..Filter::default() };
    assert_eq!(book.audit.page(&of_bot, 10).await.unwrap().items.len(), 4);
    let counts = book.audit.stats(&of_bot, &Grouping::default(), 10, Duration::from_mins(1)).await;
    assert_eq!(counts.unwrap().unwrap()[0].kills, 4);
    for of_none in [
        Filter { only_caller: Some("alice".into()), ..Filter::default() },
        Filter { vendor: one("dcdb"), ..Filter::default() },
        Filter { account: one("huawei-test"), ..Filter::default() },
        Filter { target: one("order"), ..Filter::default() },
        Filter { instance_id: one("in08"), ..Filter::default() },
    ] {
        assert_eq!(book.audit.page(&of_none, 10).await.unwrap().items, []);
    }
}

/// Months are of Postgres only.
#[tokio::test]
async fn an_index_that_takes_nothing_keeps_no_other_month_from_being_removed() {
    let book = &Book::on_postgres().await;
    five(book).await;
    assert_eq!(book.audit.index().await, Ok(5));
    refuses(book, "NEW.size > -2").await;
    let now = Clock::system().now();
    let kill = book.begin(&attempt(now)).await;
    let done = answered(&kill, &[("1111", Outcome::Killed)]);
    assert_eq!(book.audit.conclude(&done, now, "answered", None).await, Ok(true));
    let march = date!(2026 - 03 - 01);
    assert_eq!(Audit::remove_month(&book.settings, march, "kept long enough").await, Ok(5));
}

async fn many_sessions_are_indexed_a_few_kills_at_a_time(book: &Book) {
    let ids: Vec<String> = (0..1000).map(|number| format!("{number}")).collect();
    for number in 0..60 {
        let kill = book.begin(&attempt(NOON + Duration::from_millis(number))).await;
        let known: Vec<_> = ids.iter().map(|id| (id.as_str(), Outcome::Killed)).collect();
        assert_eq!(book.audit.conclude(&answered(&kill, &known), NOON, "answered", None).await, Ok(true));
    }
    let first = book.audit.index().await.unwrap();
    assert!((1..=20).contains(&first), "{first}");
    book.audit.index_all(100).await.unwrap();
    assert_eq!(leases(book).await, 0);
    assert_eq!(book.audit.misindexed(None, None).await, Ok(vec![]));
}
