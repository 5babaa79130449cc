//! The record of deliveries: written with the kill, claimed by one at a time, dropped when nobody makes them.

use std::time::Duration;

use futures_util::future::join_all;
use killgate::{
    audit::{Attempt, Begun, Delivery, Unwanted},
    domain::{Kill, Outcome},
};
use time::OffsetDateTime;

use crate::audit::{
    book::{Book, DAY, NOON, answered, attempt, keyed, refused},
    on_both_engines,
};

on_both_engines! {
    a_kill_is_to_be_told_once_nothing_more_is_learned_of_it,
    no_delivery_is_claimed_twice_at_a_time,
    whoever_lost_its_claim_changes_nothing,
    an_attempt_that_is_a_repetition_is_told_once,
    deliveries_that_nobody_makes_are_dropped,
    a_kill_that_cannot_be_read_keeps_no_other_from_being_told,
}

const LEASE: Duration = Duration::from_secs(30);

fn told(attempt: Attempt) -> Attempt {
    Attempt { webhooks: vec!["portal".into(), "helpdesk".into()], ..attempt }
}

async fn claimed(book: &Book, webhook: &str, now: OffsetDateTime) -> Vec<Delivery> {
    book.audit.claim_deliveries(webhook, now, now + LEASE, 10).await.unwrap()
}

async fn settle(book: &Book, kill: &Kill) -> Kill {
    let done = answered(kill, &[("1111", Outcome::Killed), ("2222", Outcome::NotFound)]);
    let at = NOON + Duration::from_secs(1);
    assert_eq!(book.audit.conclude(&done, at, "answered", None).await, Ok(true));
    done
}

async fn a_kill_is_to_be_told_once_nothing_more_is_learned_of_it(book: &Book) {
    let (open, lost) = (book.begin(&told(attempt(NOON))).await, book.begin(&told(attempt(NOON))).await);
    let refused = book.begin(&told(refused(NOON))).await;
    book.begin(&attempt(NOON)).await;
    let [delivery] = claimed(book, "portal", NOON).await.try_into().unwrap();
    assert_eq!(delivery, Delivery { kill: refused, at: NOON, tries: 1 });

    let unknown = answered(&lost, &[("1111", Outcome::Unknown), ("2222", Outcome::Unknown)]);
    let look = NOON + Duration::from_secs(5);
    assert_eq!(book.audit.conclude(&unknown, NOON, "answered", Some(look)).await, Ok(true));
    assert_eq!(claimed(book, "portal", NOON).await, []);
    // Nobody looks any more: that is how it stays.
    assert_eq!(book.audit.conclude(&unknown, look, "looked", None).await, Ok(true));
    let [delivery] = claimed(book, "portal", NOON).await.try_into().unwrap();
    assert_eq!((delivery.kill, delivery.at), (unknown, look));

    let done = settle(book, &open).await;
    let [delivery] = claimed(book, "portal", NOON).await.try_into().unwrap();
    assert_eq!((delivery.kill, delivery.at), (done, NOON + Duration::from_secs(1)));
    assert_eq!(claimed(book, "helpdesk", NOON).await.len(), 3, "each webhook is told by itself");
    assert_eq!(claimed(book, "nobody", NOON).await, []);
}

async fn no_delivery_is_claimed_twice_at_a_time(book: &Book) {
    for _ in 0..20 {
        book.begin(&told(refused(NOON))).await;
    }
    let mut others = vec![];
    for _ in 0..4 {
        others.push(book.another().await);
    }
    let claims = others.iter().map(|audit| audit.claim_deliveries("portal", NOON, NOON + LEASE, 5));
    let mut kills: Vec<_> = join_all(claims).await.into_iter().flat_map(Result::unwrap).collect();
    kills.extend(claimed(book, "portal", NOON).await);
    kills.extend(claimed(book, "portal", NOON).await);
    let mut ids: Vec<_> = kills.iter().map(|delivery| delivery.kill.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), kills.len()), (20, 20));
}

async fn whoever_lost_its_claim_changes_nothing(book: &Book) {
    let kill = book.begin(&told(refused(NOON))).await;
    let [first] = claimed(book, "portal", NOON).await.try_into().unwrap();
    assert_eq!(claimed(book, "portal", NOON).await, []);
    let later = NOON + LEASE;
    let [second] = claimed(book, "portal", later).await.try_into().unwrap();
    assert_eq!((first.tries, second.tries), (1, 2));
    assert_eq!(book.audit.delivered("portal", kill.id, first.tries).await, Ok(false));
    assert_eq!(book.audit.deliver_later("portal", kill.id, first.tries, NOON).await, Ok(false));
    assert_eq!(claimed(book, "portal", later).await, []);
    assert_eq!(book.audit.deliver_later("portal", kill.id, second.tries, later + DAY).await, Ok(true));
    assert_eq!(claimed(book, "portal", later + LEASE).await, []);
    let [third] = claimed(book, "portal", later + DAY).await.try_into().unwrap();
    assert_eq!(book.audit.delivered("portal", kill.id, third.tries).await, Ok(true));
    assert_eq!(claimed(book, "portal", later + DAY + DAY).await, []);
}

async fn an_attempt_that_is_a_repetition_is_told_once(book: &Book) {
    let first = told(keyed(NOON, "key", 1));
    assert_eq!(book.audit.begin(&first, DAY).await, Ok(Begun::New));
    let again = book.audit.begin(&told(keyed(NOON, "key", 1)), DAY).await;
    assert!(matches!(again, Ok(Begun::Existing { same_request: true, .. })), "{again:?}");
    settle(book, &first.kill).await;
    assert_eq!(claimed(book, "portal", NOON).await.len(), 1);
}

async fn deliveries_that_nobody_makes_are_dropped(book: &Book) {
    let kill = book.begin(&told(refused(NOON))).await;
    let mut unwanted = Unwanted { webhooks: vec!["portal".into()], unknown_since: NOON - LEASE, overdue_since: None };
    assert_eq!(book.audit.drop_deliveries(&unwanted).await, Ok(vec![]));
    unwanted.unknown_since = NOON;
    assert_eq!(book.audit.drop_deliveries(&unwanted).await, Ok(vec![("helpdesk".to_owned(), kill.id)]));
    unwanted.overdue_since = Some(NOON - LEASE);
    assert_eq!(book.audit.drop_deliveries(&unwanted).await, Ok(vec![]));
    unwanted.overdue_since = Some(NOON);
    assert_eq!(book.audit.drop_deliveries(&unwanted).await, Ok(vec![("portal".to_owned(), kill.id)]));
    unwanted.webhooks.clear();
    assert_eq!(book.audit.drop_deliveries(&unwanted).await, Ok(vec![]));
}

async fn a_kill_that_cannot_be_read_keeps_no_other_from_being_told(book: &Book) {
    let mut odd = told(refused(NOON));
    odd.kill.upstream.http_status = Some(200);
    let (odd, fine) = (book.begin(&odd).await, book.begin(&told(refused(NOON))).await);
    crate::evidence::free(book).await;
    let (id, body) = (crate::evidence::literal(book, odd.id), book.body("upstream.http_status", "-1"));
    book.raw(&format!("UPDATE kill_log SET {body} WHERE kill_id = {id}")).await.unwrap();
    let [delivery] = claimed(book, "portal", NOON).await.try_into().unwrap();
    assert_eq!(delivery.kill, fine);
}
