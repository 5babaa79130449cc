//! Nothing is left open, and no two gateways settle the same kill.

use std::{collections::HashSet, time::Duration};

use killgate::domain::{Outcome, Status};

use super::{
    book::{Book, NOON, answered, attempt, refused},
    on_both_engines,
};

const LEASE: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_mins(1);

on_both_engines! {
    a_pending_kill_may_be_taken_after_its_deadline,
    a_claimed_kill_is_left_alone_until_the_lease_is_over,
    an_open_kill_is_looked_at_when_it_is_due,
    a_kill_with_nothing_to_look_for_is_left_alone,
    a_pending_kill_keeps_its_deadline_whatever_is_learned,
    two_gateways_never_claim_the_same_kill,
    a_kill_is_either_taken_over_or_sent,
    a_kill_that_cannot_be_read_keeps_no_other_from_being_settled,
}

async fn a_pending_kill_may_be_taken_after_its_deadline(book: &Book) {
    let attempt = attempt(NOON);
    let kill = book.begin(&attempt).await;
    book.begin(&refused(NOON + MINUTE)).await;
    let too_early = attempt.deadline - Duration::from_millis(1);
    assert_eq!(book.audit.claim("there", too_early, LEASE, 10).await, Ok(vec![]));
    let open = book.audit.claim("there", attempt.deadline, LEASE, 10).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!((&open[0].kill, open[0].sent_at, open[0].dry_run), (&kill, None, false));
    assert_eq!(open[0].request, attempt.request);
    book.audit.conclude(&answered(&kill, &[]), NOON, "taken_over", None).await.unwrap();
    assert_eq!(book.events().await[1], "2 taken_over succeeded there");
    assert_eq!(book.audit.claim("there", NOON + MINUTE, LEASE, 10).await, Ok(vec![]));
}

async fn a_claimed_kill_is_left_alone_until_the_lease_is_over(book: &Book) {
    book.begin(&attempt(NOON)).await;
    let now = NOON + MINUTE;
    assert_eq!(book.audit.claim("there", now, LEASE, 10).await.unwrap().len(), 1);
    assert_eq!(book.audit.claim("elsewhere", now, LEASE, 10).await, Ok(vec![]));
    assert_eq!(book.audit.claim("elsewhere", now + LEASE, LEASE, 10).await.unwrap().len(), 1);
}

async fn an_open_kill_is_looked_at_when_it_is_due(book: &Book) {
    let kill = book.begin(&attempt(NOON)).await;
    for (outcome, status) in [(Outcome::Accepted, Status::Accepted), (Outcome::Unknown, Status::Unknown)] {
        let open = answered(&kill, &[("1111", outcome)]);
        assert_eq!(open.status, status);
        assert_eq!(book.audit.conclude(&open, NOON, "answered", Some(NOON + MINUTE)).await, Ok(true));
        assert_eq!(book.audit.claim("there", NOON + MINUTE / 2, LEASE, 10).await, Ok(vec![]));
        let due = book.audit.claim("there", NOON + MINUTE, LEASE, 10).await.unwrap();
        assert_eq!(due[0].kill.status, status);
    }
}

async fn a_kill_with_nothing_to_look_for_is_left_alone(book: &Book) {
    let kill = book.begin(&attempt(NOON)).await;
    let lost = answered(&kill, &[("1111", Outcome::Unknown)]);
    book.audit.conclude(&lost, NOON, "answered", None).await.unwrap();
    assert_eq!(book.audit.claim("there", NOON + MINUTE, LEASE, 10).await, Ok(vec![]));
    let found_out = answered(&kill, &[("1111", Outcome::Killed)]);
    assert_eq!(book.audit.conclude(&found_out, NOON, "looked", None).await, Ok(false), "it is closed");
    assert_eq!(book.found(&kill).await.status, Status::Unknown);
}

async fn a_pending_kill_keeps_its_deadline_whatever_is_learned(book: &Book) {
    let kill = book.begin(&attempt(NOON)).await;
    book.audit.conclude(&kill, NOON, "answered", None).await.unwrap();
    assert_eq!(book.audit.claim("there", NOON + MINUTE, LEASE, 10).await.unwrap().len(), 1);
}

async fn two_gateways_never_claim_the_same_kill(book: &Book) {
    for n in 0..20 {
        book.begin(&attempt(NOON + Duration::from_millis(n))).await;
    }
    let (here, there) = (book.another().await, book.another().await);
    let mut claimed = Vec::new();
    for _ in 0..6 {
        let both =
            tokio::join!(here.claim("here", NOON + MINUTE, LEASE, 2), there.claim("there", NOON + MINUTE, LEASE, 2));
        claimed.extend(both.0.unwrap().into_iter().chain(both.1.unwrap()).map(|open| open.kill.id));
    }
    let different: HashSet<_> = claimed.iter().collect();
    assert_eq!((claimed.len(), different.len()), (20, 20));
}

async fn a_kill_is_either_taken_over_or_sent(book: &Book) {
    let (here, there) = (book.another().await, book.another().await);
    for n in 0..20 {
        let kill = book.begin(&attempt(NOON + Duration::from_millis(n))).await;
        let (sent, taken) =
            tokio::join!(here.mark_sent(kill.id, "here", NOON, NOON), there.claim("there", NOON + MINUTE, LEASE, 10));
        let taken = taken.unwrap();
        if let Some(open) = taken.first() {
            assert_eq!(open.sent_at.is_some(), sent.unwrap(), "whoever takes it knows whether it was sent");
        } else {
            assert_eq!(sent, Ok(true));
        }
        book.audit.conclude(&answered(&kill, &[]), NOON, "answered", None).await.unwrap();
    }
}

async fn a_kill_that_cannot_be_read_keeps_no_other_from_being_settled(book: &Book) {
    book.begin(&attempt(NOON)).await;
    // As a gateway of a later version may have written it.
    crate::evidence::free(book).await;
    let word = r#"{"code":"a_later_word","detail":"why"}"#;
    assert_eq!(book.raw(&format!("UPDATE kill_log SET {}", book.body("problem", word))).await, Ok(1));
    let ours = book.begin(&attempt(NOON)).await;
    let open = book.audit.claim("there", NOON + MINUTE, LEASE, 10).await.unwrap();
    assert_eq!(open.iter().map(|open| open.kill.id).collect::<Vec<_>>(), [ours.id]);
}
