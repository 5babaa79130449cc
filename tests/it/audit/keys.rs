//! The same caller and key give the same kill, never a second one.

use std::time::Duration;

use killgate::{
    audit::Begun,
    domain::{Kill, Outcome, Status},
};

use super::{
    book::{Book, DAY, NOON, answered, keyed},
    on_both_engines,
};

on_both_engines! {
    a_key_stands_for_its_kill,
    a_key_with_another_request_is_told_apart,
    callers_do_not_share_keys,
    a_key_that_has_expired_may_be_used_again,
    of_many_at_once_exactly_one_is_new,
    a_rate_limited_kill_lets_its_key_go,
    expired_keys_are_forgotten_and_their_kills_stay,
}

fn existing(kill: &Kill, same_request: bool) -> Begun {
    Begun::Existing { kill: Box::new(kill.clone()), same_request }
}

async fn a_key_stands_for_its_kill(book: &Book) {
    let kill = book.begin(&keyed(NOON, "key", 1)).await;
    assert_eq!(book.audit.begin(&keyed(NOON, "key", 1), DAY).await, Ok(existing(&kill, true)));
    let done = answered(&kill, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
    book.audit.conclude(&done, NOON, "answered", None).await.unwrap();
    assert_eq!(book.audit.begin(&keyed(NOON, "key", 1), DAY).await, Ok(existing(&done, true)));
    assert_eq!(book.texts("SELECT idempotency_key FROM kills").await, [Some("key".to_owned())]);
}

async fn a_key_with_another_request_is_told_apart(book: &Book) {
    let kill = book.begin(&keyed(NOON, "key", 1)).await;
    assert_eq!(book.audit.begin(&keyed(NOON, "key", 2), DAY).await, Ok(existing(&kill, false)));
}

async fn callers_do_not_share_keys(book: &Book) {
    book.begin(&keyed(NOON, "key", 1)).await;
    let mut other = keyed(NOON, "key", 1);
    other.kill.caller = "somebody else".into();
    book.begin(&other).await;
}

async fn a_key_that_has_expired_may_be_used_again(book: &Book) {
    book.begin(&keyed(NOON, "key", 1)).await;
    let almost = keyed(NOON + DAY - Duration::from_millis(1), "key", 1);
    assert_ne!(book.audit.begin(&almost, DAY).await, Ok(Begun::New));
    let later = keyed(NOON + DAY, "key", 2);
    book.begin(&later).await;
    let again = keyed(NOON + DAY, "key", 2);
    assert_eq!(book.audit.begin(&again, DAY).await, Ok(existing(&later.kill, true)));
}

async fn of_many_at_once_exactly_one_is_new(book: &Book) {
    let gateways = [book.another().await, book.another().await];
    let attempts: Vec<_> = (0..12).map(|_| keyed(NOON, "key", 1)).collect();
    let begins = attempts.iter().enumerate().map(|(n, attempt)| gateways[n % 2].begin(attempt, DAY));
    let begun: Vec<Begun> = futures_util::future::try_join_all(begins).await.unwrap();
    let news: Vec<usize> = (0..12).filter(|n| begun[*n] == Begun::New).collect();
    assert_eq!(news.len(), 1, "{begun:?}");
    let winner = existing(&attempts[news[0]].kill, true);
    assert!(begun.iter().all(|begun| *begun == Begun::New || *begun == winner), "{begun:?}");
    assert_eq!(book.events().await.len(), 1);
}

async fn a_rate_limited_kill_lets_its_key_go(book: &Book) {
    let kill = book.begin(&keyed(NOON, "key", 1)).await;
    let throttled = Kill { status: Status::RateLimited, completed_at: Some(NOON), ..kill };
    assert_eq!(book.audit.conclude(&throttled, NOON, "answered", None).await, Ok(true));
    assert_eq!(book.audit.begin(&throttled_at_once(), DAY).await, Ok(Begun::New));
    book.begin(&keyed(NOON, "key", 1)).await;
    assert_ne!(book.audit.begin(&keyed(NOON, "key", 1), DAY).await, Ok(Begun::New));
}

fn throttled_at_once() -> killgate::audit::Attempt {
    let mut attempt = keyed(NOON, "key", 1);
    attempt.kill.status = Status::RateLimited;
    attempt
}

async fn expired_keys_are_forgotten_and_their_kills_stay(book: &Book) {
    let kill = book.begin(&keyed(NOON, "key", 1)).await;
    assert_eq!(book.audit.forget_keys(NOON).await, Ok(0));
    assert_eq!(book.audit.forget_keys(NOON + DAY).await, Ok(1));
    assert_eq!(book.found(&kill).await, kill);
}
