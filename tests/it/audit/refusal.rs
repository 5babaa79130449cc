//! The database itself keeps history, whoever comes with SQL.

use killgate::{audit::Filter, domain::Outcome};

use super::{
    book::{Book, NOON, answered, attempt},
    on_both_engines,
};

on_both_engines! {
    a_settled_kill_cannot_be_changed,
    what_was_asked_cannot_be_changed_while_the_kill_is_open,
    what_was_sent_or_answered_cannot_be_taken_back,
    nothing_can_be_removed,
    events_cannot_be_changed,
    the_sessions_of_a_settled_kill_cannot_be_changed_or_added_to,
    the_events_of_a_settled_kill_cannot_be_added_to,
    what_belongs_to_no_kill_cannot_be_added,
    an_event_is_the_next_one,
    only_known_words_are_taken,
    every_column_of_a_kill_is_either_asked_or_learned,
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

async fn a_settled_kill_cannot_be_changed(book: &Book) {
    settled(book).await;
    let changes = [
        "UPDATE kills SET status = 'failed'",
        "UPDATE kills SET status = 'pending'",
        "UPDATE kills SET problem = NULL",
        "UPDATE kills SET upstream_error_message = 'nothing happened'",
        "UPDATE kills SET completed_at = NULL",
    ];
    refuses(book, "settled", &changes).await;
}

async fn what_was_asked_cannot_be_changed_while_the_kill_is_open(book: &Book) {
    book.begin(&attempt(NOON)).await;
    let changes = [
        "UPDATE kills SET caller = 'mallory'",
        "UPDATE kills SET on_behalf_of = 'mallory'",
        "UPDATE kills SET actor = 'mallory'",
        "UPDATE kills SET reason = NULL",
        "UPDATE kills SET target = NULL",
        "UPDATE kills SET selector = NULL",
        "UPDATE kills SET request = NULL",
        "UPDATE kills SET dry_run = NOT dry_run",
        "UPDATE kills SET client_address = NULL",
        "UPDATE kills SET client_id = NULL",
        "UPDATE kills SET token_id = NULL",
        "UPDATE kills SET request_id = NULL",
        "UPDATE kills SET idempotency_key = 'x'",
        "UPDATE kills SET confirms = id",
        "UPDATE kills SET gateway = 'mallory'",
        "UPDATE kills SET requested_at = sent_at",
    ];
    refuses(book, "what was asked never changes", &changes).await;
    refuses(book, "which session was meant", &["UPDATE kill_sessions SET session_id = 'x' || session_id"]).await;
    refuses(book, "which session was meant", &["UPDATE kill_sessions SET position = position + 1"]).await;
}

async fn what_was_sent_or_answered_cannot_be_taken_back(book: &Book) {
    let kill = book.begin(&attempt(NOON)).await;
    book.audit.mark_sent(kill.id, "here", NOON, NOON).await.unwrap();
    refuses(book, "never taken back", &["UPDATE kills SET sent_at = NULL"]).await;
    let accepted = answered(&kill, &[("1111", Outcome::Accepted)]);
    book.audit.conclude(&accepted, NOON, "answered", Some(NOON)).await.unwrap();
    refuses(book, "never taken back", &["UPDATE kills SET status = 'pending'"]).await;
}

async fn nothing_can_be_removed(book: &Book) {
    book.begin(&attempt(NOON)).await;
    settled(book).await;
    let removals = ["DELETE FROM kills", "DELETE FROM kill_sessions", "DELETE FROM kill_events"];
    refuses(book, "append-only", &removals).await;
    if book.is_postgres() {
        let emptying = ["TRUNCATE kills CASCADE", "TRUNCATE kill_sessions", "TRUNCATE kill_events"];
        refuses(book, "append-only", &emptying).await;
    } else {
        let columns = "(id, status, caller, dry_run, gateway, requested_at)";
        let replacement = format!(
            "INSERT OR REPLACE INTO kills {columns} SELECT id, 'failed', caller, dry_run, gateway, requested_at FROM kills"
        );
        let another = "INSERT OR REPLACE INTO kill_events SELECT kill_id, seq, at, 'x', status, gateway, detail \
                       FROM kill_events";
        refuses(book, "append-only", &[&replacement, another]).await;
    }
}

async fn events_cannot_be_changed(book: &Book) {
    book.begin(&attempt(NOON)).await;
    let changes = ["UPDATE kill_events SET kind = 'answered'", "UPDATE kill_events SET at = at"];
    refuses(book, "append-only", &changes).await;
}

async fn the_sessions_of_a_settled_kill_cannot_be_changed_or_added_to(book: &Book) {
    settled(book).await;
    let changes = [
        "UPDATE kill_sessions SET outcome = 'failed'",
        "UPDATE kill_sessions SET detail = 'x'",
        "INSERT INTO kill_sessions (kill_id, session_id, position, outcome) SELECT id, '9', 9, 'killed' FROM kills",
    ];
    refuses(book, "the sessions of a settled kill never change", &changes).await;
}

async fn the_events_of_a_settled_kill_cannot_be_added_to(book: &Book) {
    settled(book).await;
    let added = |seq: &str| {
        format!(
            "INSERT INTO kill_events (kill_id, seq, at, kind, status, gateway, detail) \
             SELECT kill_id, {seq}, at, 'looked', 'failed', gateway, '{{}}' FROM kill_events WHERE seq = 3"
        )
    };
    refuses(book, "a settled kill has no more of them", &[&added("4"), &added("40"), &added("2147483647")]).await;
    assert_eq!(book.events().await.len(), 3);
}

async fn what_belongs_to_no_kill_cannot_be_added(book: &Book) {
    book.begin(&attempt(NOON)).await;
    let id = if book.is_postgres() { "'019cbfff-0000-7000-8000-000000000000'" } else { "zeroblob(16)" };
    // Another program need not hold foreign keys.
    let off = if book.is_postgres() { "" } else { "PRAGMA foreign_keys = OFF; " };
    let event = format!(
        "{off}INSERT INTO kill_events (kill_id, seq, at, kind, status, gateway, detail) \
         SELECT {id}, seq, at, kind, status, gateway, detail FROM kill_events"
    );
    let session = format!(
        "{off}INSERT INTO kill_sessions (kill_id, session_id, position, outcome) VALUES ({id}, '1', 0, 'killed')"
    );
    refuses(book, "of a kill that is there", &[&event, &session]).await;
}

async fn an_event_is_the_next_one(book: &Book) {
    book.begin(&attempt(NOON)).await;
    let event = "INSERT INTO kill_events (kill_id, seq, at, kind, status, gateway, detail) \
                 SELECT kill_id, 3, at, kind, status, gateway, detail FROM kill_events";
    refuses(book, "the next one", &[event]).await;
    let next = event.replace("kill_id, 3", "kill_id, 2");
    assert_eq!(book.raw(&next).await, Ok(1));
}

/// Only SQLite has such numbers.
#[tokio::test]
async fn a_row_cannot_be_replaced_through_its_number() {
    let book = &Book::on_sqlite().await;
    settled(book).await;
    book.begin(&attempt(NOON)).await;
    let kills = "INSERT OR REPLACE INTO kills (rowid, id, status, caller, dry_run, gateway, requested_at)";
    let changes = [
        "UPDATE OR REPLACE kills SET rowid = 1 WHERE rowid = 2",
        "UPDATE kills SET rowid = 9 WHERE rowid = 2",
        &format!("{kills} VALUES (1, zeroblob(16), 'failed', 'x', 0, 'x', 0)"),
        &format!("{kills} VALUES (9, zeroblob(16), 'failed', 'x', 0, 'x', 0)"),
        &format!("{kills} VALUES (-1, zeroblob(16), 'failed', 'x', 0, 'x', 0)"),
    ];
    refuses(book, "append-only", &changes).await;
    let events = "INSERT OR REPLACE INTO kill_events (rowid, kill_id, seq, at, kind, status, detail) \
                  SELECT 1, kill_id, 3, at, kind, status, detail FROM kill_events WHERE seq = 1";
    let blocks = "INSERT OR REPLACE INTO blocks (rowid, number) VALUES (1, 2)";
    refuses(book, "no column named rowid", &[events, blocks]).await;
}

async fn only_known_words_are_taken(book: &Book) {
    book.begin(&attempt(NOON)).await;
    assert!(book.raw("UPDATE kills SET status = 'done'").await.is_err());
    assert!(book.raw("UPDATE kill_sessions SET outcome = 'done'").await.is_err());
}

/// What a kill may learn while it is open; every other column must be guarded, those of later migrations too.
const LEARNED: [&str; 18] = [
    "closed",
    "status",
    "looked_at",
    "list_complete",
    "sent_at",
    "completed_at",
    "verified_at",
    "problem",
    "upstream_http_status",
    "upstream_request_id",
    "upstream_task_id",
    "upstream_evidence_url",
    "upstream_error_code",
    "upstream_error_message",
    // These follow from the target.
    "vendor",
    "account",
    "alias",
    "instance_id",
];

async fn every_column_of_a_kill_is_either_asked_or_learned(book: &Book) {
    let (columns, guard) = if book.is_postgres() {
        (
            "SELECT attname::text FROM pg_attribute WHERE attrelid = 'kills'::regclass AND attnum > 0 AND NOT attisdropped",
            "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'kills'::regclass AND tgfoid = 'kill_may_not_change'::regproc",
        )
    } else {
        (
            "SELECT name FROM pragma_table_info('kills')",
            "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND sql LIKE '%what was asked never changes%'",
        )
    };
    let guard = book.texts(guard).await.into_iter().flatten().collect::<String>();
    for column in book.texts(columns).await.into_iter().flatten() {
        let is_guarded = guard.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == column);
        assert!(is_guarded || LEARNED.contains(&column.as_str()), "{column} is not guarded: {guard}");
    }
}
