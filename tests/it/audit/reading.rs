//! Lists are newest first, complete, and narrowed as asked.

use std::time::Duration;

use killgate::{
    audit::{Attempt, Filter},
    domain::{Kill, KillId, Outcome, Status},
};
use serde_json::json;

use super::{
    book::{Book, NOON, attempt, refused, sessions},
    on_both_engines,
};

const SECOND: Duration = Duration::from_secs(1);

on_both_engines! {
    each_filter_narrows_as_it_says,
    a_caller_who_may_see_only_its_own_sees_only_its_own,
    paging_neither_skips_nor_repeats_while_new_kills_are_written,
    sessions_are_found_across_pages,
    an_empty_record_is_an_empty_page,
}

/// The only value of a filter.
pub(super) fn one<T: From<&'static str>>(value: &'static str) -> Vec<T> {
    vec![value.into()]
}

async fn ids(book: &Book, filter: Filter) -> Vec<KillId> {
    let page = book.audit.page(&filter, 100).await.unwrap();
    assert_eq!(page.next, None);
    page.items.iter().map(|kill| kill.id).collect()
}

fn other(at: time::OffsetDateTime) -> Attempt {
    let mut other = attempt(at);
    other.kill.caller = "carol".into();
    other.kill.status = Status::Failed;
    other.kill.target =
        Some(json!({ "vendor": "dcdb", "account": "tencent-prod", "instance_id": "tdsql-1", "shard_id": "s1" }));
    other.kill.sessions = sessions(&[("3333", Outcome::Failed)]);
    other
}

async fn each_filter_narrows_as_it_says(book: &Book) {
    let first = book.begin(&attempt(NOON)).await.id;
    let second = book.begin(&other(NOON + SECOND)).await.id;
    let third = book.begin(&refused(NOON + 2 * SECOND)).await.id;
    let any = Filter::default;
    assert_eq!(ids(book, any()).await, [third, second, first]);

    assert_eq!(ids(book, Filter { vendor: one("dcdb"), ..any() }).await, [second]);
    assert_eq!(ids(book, Filter { account: one("huawei-prod"), ..any() }).await, [first]);
    assert_eq!(ids(book, Filter { target: one("orders"), ..any() }).await, [first]);
    assert_eq!(ids(book, Filter { instance_id: one("tdsql-1"), ..any() }).await, [second]);
    assert_eq!(ids(book, Filter { session_id: one("3333"), ..any() }).await, [second]);
    assert_eq!(ids(book, Filter { caller: one("bot"), ..any() }).await, [third, first]);
    assert_eq!(ids(book, Filter { status: vec![Status::Refused], ..any() }).await, [third]);
    assert_eq!(ids(book, Filter { since: Some(NOON + SECOND), ..any() }).await, [third, second]);
    assert_eq!(ids(book, Filter { until: Some(NOON + SECOND), ..any() }).await, [first]);
    let window = Filter { since: Some(NOON + SECOND), until: Some(NOON + 2 * SECOND), ..any() };
    assert_eq!(ids(book, window).await, [second]);
    let just_after = NOON + Duration::from_nanos(1);
    assert_eq!(ids(book, Filter { since: Some(just_after), ..any() }).await, [third, second]);
    assert_eq!(ids(book, Filter { until: Some(just_after), ..any() }).await, [first]);

    let both = Filter { caller: one("bot"), vendor: one("taurusdb"), ..any() };
    assert_eq!(ids(book, both).await, [first]);
    let neither = Filter { caller: one("bot"), session_id: one("3333"), ..any() };
    assert_eq!(ids(book, neither).await, Vec::<KillId>::new());
    let too_late = Filter { session_id: one("3333"), since: Some(NOON + 2 * SECOND), ..any() };
    assert_eq!(ids(book, too_late).await, Vec::<KillId>::new());
}

async fn a_caller_who_may_see_only_its_own_sees_only_its_own(book: &Book) {
    let own = book.begin(&attempt(NOON)).await.id;
    book.begin(&other(NOON + SECOND)).await;
    let only = |caller: &str| Filter { only_caller: Some(caller.into()), ..Filter::default() };
    assert_eq!(ids(book, only("bot")).await, [own]);
    assert_eq!(ids(book, Filter { caller: one("carol"), ..only("bot") }).await, Vec::<KillId>::new());
    assert_eq!(ids(book, Filter { session_id: one("3333"), ..only("bot") }).await, Vec::<KillId>::new());
}

/// Reads all pages of three, while kills are added at the top.
async fn read_through(book: &Book, mut filter: Filter) -> Vec<Kill> {
    let mut read = Vec::new();
    for n in 100..200 {
        let page = book.audit.page(&filter, 3).await.unwrap();
        assert!(page.items.len() == 3 || page.next.is_none());
        read.extend(page.items);
        let Some(next) = page.next else { return read };
        filter.place = Some(next.to_string().parse().unwrap());
        book.begin(&attempt(NOON + n * SECOND)).await;
    }
    panic!("the pages have no end");
}

async fn paging_neither_skips_nor_repeats_while_new_kills_are_written(book: &Book) {
    let mut written = Vec::new();
    for n in 0..9 {
        // Two in each millisecond: the order within it is arbitrary, but one.
        written.push(book.begin(&attempt(NOON + n / 2 * SECOND)).await);
    }
    written.sort_by_key(|kill| std::cmp::Reverse(kill.id));
    assert_eq!(read_through(book, Filter::default()).await, written);
    assert_eq!(book.audit.page(&Filter::default(), 1).await.unwrap().items.len(), 1);
}

async fn sessions_are_found_across_pages(book: &Book) {
    let mut written = Vec::new();
    for n in 0..7 {
        written.push(book.begin(&attempt(NOON + n * SECOND)).await);
        book.begin(&other(NOON + n * SECOND)).await;
    }
    written.reverse();
    let wanted = Filter { session_id: one("2222"), ..Filter::default() };
    assert_eq!(read_through(book, wanted.clone()).await, written);
    let narrowed = Filter { until: Some(NOON + 60 * SECOND), caller: one("bot"), ..wanted };
    assert_eq!(read_through(book, narrowed).await, written);
}

async fn an_empty_record_is_an_empty_page(book: &Book) {
    assert_eq!(ids(book, Filter::default()).await, Vec::<KillId>::new());
}
