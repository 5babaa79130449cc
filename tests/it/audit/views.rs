//! The record as tables, for people with SQL: one damaged entry leaves the others to be seen.

use std::time::Duration;

use killgate::domain::Outcome;

use super::{
    book::{Book, NOON, answered, attempt},
    on_both_engines,
};
use crate::evidence::{free, literal};

on_both_engines! {
    a_damaged_entry_leaves_the_views_usable,
}

const DAMAGED: [&str; 17] = [
    r#"{"sessions":{"id":"1111"}}"#,
    r#"{"sessions":"1111"}"#,
    r#"{"sessions":[1,"x",null,[],{"id":{}}]}"#,
    r#"{"completed_at":"noon"}"#,
    r#"{"completed_at":1e400,"verified_at":99999999999999999999}"#,
    r#"{"completed_at":9223372036854775807,"verified_at":-9223372036854775808}"#,
    r#"{"completed_at":1.5,"verified_at":{}}"#,
    r#"{"asked":{"dry_run":"perhaps","confirms":"no"}}"#,
    r#"{"asked":{"dry_run":[],"confirms":7}}"#,
    r#"{"asked":7}"#,
    r#"{"asked":{"caller":"\u0000"}}"#,
    r#"{"asked":{"caller":"\ud800"}}"#,
    r#"{"upstream":"\u0000","sessions":[{"id":"\u0000"}]}"#,
    r#"{"asked":{"target":{"vendor":"\uDFFF\uD800"}}}"#,
    "7",
    "[]",
    r#""text""#,
];

/// All that a view shows.
async fn shown(book: &Book, view: &str) -> Vec<Option<String>> {
    let columns = if book.is_postgres() {
        format!("{view}::text")
    } else {
        let columns = format!("SELECT group_concat('quote(' || name || ')', ' || ') FROM pragma_table_info('{view}')");
        book.texts(&columns).await.remove(0).unwrap()
    };
    book.texts(&format!("SELECT {columns} FROM {view}")).await
}

async fn a_damaged_entry_leaves_the_views_usable(book: &Book) {
    let mut kills = Vec::new();
    for number in 0..2 {
        let kill = book.begin(&attempt(NOON + Duration::from_millis(number))).await;
        kills.push(kill.id);
        let done = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
        assert_eq!(book.audit.conclude(&done, NOON, "answered", None).await, Ok(true));
    }
    assert_eq!((shown(book, "kills").await.len(), shown(book, "kill_sessions").await.len()), (2, 4));
    let others = literal(book, kills[0]);
    free(book).await;
    for body in DAMAGED {
        book.raw(&format!("UPDATE kill_log SET body = '{body}' WHERE kill_id <> {others}")).await.unwrap();
        assert_eq!(shown(book, "kills").await.len(), 2, "{body}");
        assert!(shown(book, "kill_sessions").await.len() >= 2, "{body}");
        assert_eq!(shown(book, "kill_events").await.len(), 4, "{body}");
    }
}

/// Only SQLite lets an owner keep what is no JSON.
#[tokio::test]
async fn what_is_no_json_leaves_the_views_usable() {
    let book = Book::on_sqlite().await;
    let others = literal(&book, book.begin(&attempt(NOON)).await.id);
    book.begin(&attempt(NOON + Duration::from_millis(1))).await;
    free(&book).await;
    let damage =
        format!("PRAGMA ignore_check_constraints = ON; UPDATE kill_log SET body = '{{' WHERE kill_id <> {others}");
    book.raw(&damage).await.unwrap();
    assert_eq!((shown(&book, "kills").await.len(), shown(&book, "kill_sessions").await.len()), (2, 2));
}
