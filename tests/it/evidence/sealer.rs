//! Who may seal, on top of what, and how long it takes until somebody does.

use killgate::{
    audit::Sealing,
    chain::{SealKey, check::VERIFIED, hex},
    clock::Clock,
};
use secrecy::ExposeSecret as _;
use sqlx::{Connection as _, PgConnection, QueryBuilder};

use super::{Sealed, indexed, on_both_engines, settled};
use crate::audit::book::Book;

on_both_engines! {
    a_block_is_the_next_one,
    nothing_is_sealed_on_top_of_a_block_that_nobody_signed,
    another_key_goes_on_with_the_chain,
    how_long_the_oldest_entry_waits_is_told,
}

/// Puts in a block of that number and total that names the key and is not signed with it.
async fn forged(book: &Book, key: &SealKey, number: i64, total: i64) -> Result<u64, String> {
    let (bytes, entry, now) = if book.is_postgres() {
        ("decode(repeat('00', {}), 'hex')", "'{019cbfff-0000-7000-8000-000000000000}'", "now()")
    } else {
        ("zeroblob({})", "zeroblob(16)", "0")
    };
    let (hash, signature) = (bytes.replace("{}", "32"), bytes.replace("{}", "64"));
    let key = hex(&key.public());
    let key = if book.is_postgres() { format!("decode('{key}', 'hex')") } else { format!("x'{key}'") };
    let sql = format!(
        "INSERT INTO blocks (number, sealed_at, entries, leaves, total, listing, root, previous, public_key, \
         signature) VALUES ({number}, {now}, {entry}, {hash}, {total}, {hash}, {hash}, {hash}, {key}, \
         {signature})"
    );
    book.raw(&sql).await
}

async fn a_block_is_the_next_one(book: &Book) {
    let Sealed { key, .. } = Sealed::fill(book).await;
    for (number, total) in [(5, 11), (i64::MAX, 11), (4, 10), (4, i64::MAX)] {
        let refused = forged(book, &key, number, total).await.unwrap_err();
        assert!(refused.contains("a block is the next one"), "{number}, {total}: {refused}");
    }
    assert!(forged(book, &key, 3, 11).await.is_err(), "that block is there");
}

async fn nothing_is_sealed_on_top_of_a_block_that_nobody_signed(book: &Book) {
    let sealed = Sealed::fill(book).await;
    settled(book, 20).await;
    assert_eq!(forged(book, &sealed.key, 4, 11).await, Ok(1));
    indexed(book).await;
    let refused = book.audit.seal(&sealed.key, Clock::system().now(), 10).await.unwrap_err();
    assert!(refused.to_string().contains("signature of block 4"), "{refused}");
    assert_eq!(book.audit.heads(0, 10).await.unwrap().len(), 4);
    sealed.tamper("DELETE FROM blocks WHERE number = 4").await;
    sealed.seal().await;
    assert_eq!(sealed.verify().await.status(), VERIFIED);
}

async fn another_key_goes_on_with_the_chain(book: &Book) {
    Sealed::fill(book).await;
    settled(book, 20).await;
    indexed(book).await;
    let key = SealKey::generate().unwrap();
    let sealing = book.audit.seal(&key, Clock::system().now(), 10).await;
    assert_eq!(sealing, Ok(Sealing::Sealed { block: 4, entries: 1 }));
}

async fn how_long_the_oldest_entry_waits_is_told(book: &Book) {
    let sealed = Sealed::fill(book).await;
    assert_eq!(book.audit.waits_for(10).await, Ok(None));
    settled(book, 20).await;
    book.audit.index().await.unwrap();
    assert!(book.audit.waits_for(10).await.unwrap().is_some());
    let earlier = if book.is_postgres() { "interval '2 hours'" } else { "7200000" };
    book.raw(&format!("UPDATE unsealed SET since = since - {earlier}")).await.unwrap();
    let waits = book.audit.waits_for(10).await.unwrap().unwrap();
    assert!((7200..8000).contains(&waits), "{waits}");
    sealed.seal().await;
    assert_eq!(book.audit.waits_for(10).await, Ok(None));
}

#[tokio::test]
async fn only_who_may_seal_keeps_others_from_sealing() {
    let book = Book::on_postgres().await;
    book.audit.begin_sealing().await.unwrap();
    settled(&book, 1).await;
    let key = SealKey::generate().unwrap();
    let url = book.settings.database_url.as_ref().unwrap().expose_secret();
    let mut other = PgConnection::connect(url).await.unwrap();
    let run = async |connection: &mut PgConnection, sql: &str| {
        QueryBuilder::<sqlx::Postgres>::new(sql).build().execute(connection).await.unwrap();
    };
    // What everybody may do who may connect.
    run(&mut other, "BEGIN").await;
    run(&mut other, "SELECT pg_advisory_xact_lock((x'6b67'::bigint << 32) | 'blocks'::regclass::oid::bigint)").await;
    indexed(&book).await;
    let sealing = book.audit.seal(&key, Clock::system().now(), 10).await;
    assert_eq!(sealing, Ok(Sealing::Sealed { block: 1, entries: 1 }));
    run(&mut other, "ROLLBACK").await;
    // What takes a right.
    settled(&book, 2).await;
    indexed(&book).await;
    run(&mut other, "BEGIN").await;
    run(&mut other, "SELECT turn FROM sealing FOR UPDATE").await;
    assert_eq!(book.audit.seal(&key, Clock::system().now(), 10).await, Ok(Sealing::Elsewhere));
    run(&mut other, "ROLLBACK").await;
    other.close().await.unwrap();
    let stranger = "SELECT has_any_column_privilege('pg_monitor', 'sealing', 'SELECT, UPDATE')::text";
    assert_eq!(book.texts(stranger).await, [Some("false".to_owned())]);
}
