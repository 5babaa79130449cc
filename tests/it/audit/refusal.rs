//! The database itself keeps history, whoever comes with SQL.

use killgate::{audit::Filter, domain::Outcome};

use super::{
    book::{Book, NOON, answered, attempt},
    on_both_engines,
};

on_both_engines! {
    no_entry_can_be_changed,
    nothing_can_be_removed,
    a_settled_kill_takes_no_entry,
    an_entry_is_the_next_one_of_a_kill_that_is_there,
    only_known_words_are_taken,
}

async fn settled(book: &Book) {
    let kill = book.begin(&attempt(NOON)).await;
    book.audit.mark_sent(kill.id, "here", NOON, NOON).await.unwrap();
    let done = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
    assert_eq!(book.audit.conclude(&done, NOON, "answered", None).await, Ok(true));
}

/// Each statement must be refused with these words, and the record must read as before.
async fn refuses(book: &Book, words: &str, statements: &[&str]) {
    let before = book.audit.page(&Filter::default(), 10).await.unwrap();
    for sql in statements {
        let refusal = book.raw(sql).await.expect_err(sql);
        assert!(refusal.contains(words), "{sql}: {refusal}");
    }
    assert_eq!(book.audit.page(&Filter::default(), 10).await.unwrap(), before);
}

async fn no_entry_can_be_changed(book: &Book) {
    settled(book).await;
    book.begin(&attempt(NOON)).await;
    let changes = [
        "UPDATE kill_log SET at = at",
        "UPDATE kill_log SET kind = 'answered'",
        "UPDATE kill_log SET status = 'failed'",
        "UPDATE kill_log SET gateway = 'mallory'",
        "UPDATE kill_log SET ends = NOT ends",
        "UPDATE kill_log SET body = '{}'",
        "UPDATE kill_log SET seq = seq + 1",
        "UPDATE kill_log SET kill_id = kill_id WHERE seq = 1",
    ];
    refuses(book, "append-only", &changes).await;
}

async fn nothing_can_be_removed(book: &Book) {
    book.begin(&attempt(NOON)).await;
    settled(book).await;
    refuses(book, "append-only", &["DELETE FROM kill_log", "DELETE FROM kill_log WHERE seq = 3"]).await;
    if book.is_postgres() {
        refuses(book, "append-only", &["TRUNCATE kill_log", "TRUNCATE kill_log CASCADE"]).await;
    } else {
        let columns = "kill_id, seq, at, kind, status, gateway, ends, body";
        let by_key = format!(
            "INSERT OR REPLACE INTO kill_log ({columns}) SELECT kill_id, seq, at, 'x', status, gateway, ends, body \
             FROM kill_log"
        );
        refuses(book, "append-only", &[&by_key]).await;
    }
}

/// An entry after that one of the same kill.
fn added(after: &str, seq: &str) -> String {
    format!(
        "INSERT INTO kill_log (kill_id, seq, at, kind, status, gateway, ends, body) \
         SELECT kill_id, {seq}, at, 'looked', 'failed', gateway, ends, body FROM kill_log WHERE seq = {after}"
    )
}

async fn a_settled_kill_takes_no_entry(book: &Book) {
    settled(book).await;
    // Before it is indexed, and after that.
    for _ in 0..2 {
        let entries = [added("3", "4"), added("3", "40"), added("3", "2147483647")];
        refuses(book, "a settled or closed kill has no more of them", &entries.each_ref().map(String::as_str)).await;
        book.audit.index().await.unwrap();
    }
    assert_eq!(book.events().await.len(), 3);
}

async fn an_entry_is_the_next_one_of_a_kill_that_is_there(book: &Book) {
    book.begin(&attempt(NOON)).await;
    let id = if book.is_postgres() { "'019cbfff-0000-7000-8000-000000000000'" } else { "zeroblob(16)" };
    let of_none = added("1", "2").replace("SELECT kill_id", &format!("SELECT {id}"));
    refuses(book, "the next one of an open kill", &[&of_none, &added("1", "2"), &added("1", "3")]).await;
}

/// Only SQLite has such numbers.
#[tokio::test]
async fn an_entry_cannot_be_replaced_through_its_number() {
    let book = &Book::on_sqlite().await;
    settled(book).await;
    book.begin(&attempt(NOON)).await;
    let entry = "INSERT OR REPLACE INTO kill_log (number, kill_id, seq, at, kind, status, gateway, ends, body)";
    let changes = [
        "UPDATE OR REPLACE kill_log SET number = 1 WHERE number = 2",
        "UPDATE kill_log SET number = 9 WHERE number = 4",
        &format!("{entry} VALUES (1, zeroblob(16), 1, 0, 'x', 'failed', 'x', 1, '{{}}')"),
        &format!("{entry} VALUES (9, zeroblob(16), 1, 0, 'x', 'failed', 'x', 1, '{{}}')"),
        &format!("{entry} VALUES (-1, zeroblob(16), 1, 0, 'x', 'failed', 'x', 1, '{{}}')"),
    ];
    refuses(book, "append-only", &changes).await;
    let blocks = "INSERT OR REPLACE INTO blocks (rowid, number) VALUES (1, 2)";
    refuses(book, "no column named rowid", &[blocks]).await;
}

async fn only_known_words_are_taken(book: &Book) {
    book.begin(&attempt(NOON)).await;
    let id = if book.is_postgres() { "gen_random_uuid()" } else { "randomblob(16)" };
    let odd = added("1", "1").replace("SELECT kill_id", &format!("SELECT {id}")).replace("'failed'", "'done'");
    assert!(book.raw(&odd).await.is_err());
}
