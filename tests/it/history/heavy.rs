//! A page is bounded by what its kills hold as well as by their number, and the pages are the whole list all the same.

use std::time::Duration;

use killgate::{
    audit::{Audit, Cursor, Filter},
    domain::{Kill, KillId, Outcome},
};
use serde_json::json;

use super::{aged, on_both_engines};
use crate::{
    audit::book::{NOON, attempt, refused, sessions},
    support::gateway::{Engine, Gateway},
};

on_both_engines! {
    pages_of_any_size_neither_skip_nor_repeat_a_kill,
    a_page_of_kills_that_name_many_sessions_is_short,
}

/// As many sessions, or names of some, as make a page of their own.
const HEAVY: usize = 2000;

/// Records kills of so many sessions; answers their ids, newest first.
async fn fill(audit: &Audit, sizes: &[usize]) -> Vec<KillId> {
    let mut ids = vec![];
    for (n, size) in (0..).zip(sizes) {
        let mut attempt = attempt(NOON + n * Duration::from_secs(1));
        let named: Vec<String> = (0..*size).map(|id| id.to_string()).collect();
        attempt.kill.sessions = sessions(&named.iter().map(|id| (id.as_str(), Outcome::Unknown)).collect::<Vec<_>>());
        ids.push(aged::recorded(audit, &attempt).await.id);
    }
    ids.reverse();
    ids
}

/// Follows the cursors from page to page as a client does.
async fn all<T>(
    mut page: impl AsyncFnMut(Filter) -> (Vec<T>, Option<Cursor>),
    mut each: impl FnMut(&[T], bool),
) -> Vec<T> {
    let (mut items, mut filter) = (vec![], Filter::default());
    loop {
        let (page, next) = page(filter.clone()).await;
        each(&page, next.is_some());
        items.extend(page);
        let Some(cursor) = next else { return items };
        filter.place = Some(cursor.to_string().parse().unwrap());
    }
}

async fn pages_of_any_size_neither_skip_nor_repeat_a_kill(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    let mut sizes = vec![0, 1, HEAVY - 1, 0, HEAVY, 1, HEAVY + 1, HEAVY + 1, 0, 0, 700, 700, 599, 700, 1, 1];
    sizes.extend((0..24).map(|n| n * n * 37 % 1100));
    let ids = fill(audit, &sizes).await;
    for limit in [1, 2, 3, 7, 40, 500] {
        let each = |kills: &[Kill], more: bool| {
            let sizes: Vec<usize> = kills.iter().map(|kill| kill.sessions.len()).collect();
            let (last, others) = sizes.split_last().expect("a page has a kill");
            let ahead: usize = others.iter().sum();
            assert!(ahead < HEAVY, "{limit}: {sizes:?}");
            let is_full = kills.len() == limit as usize || ahead + last >= HEAVY;
            assert!(is_full || !more, "{limit}: {sizes:?}");
        };
        let page = async |filter| {
            let page = audit.page(&filter, limit).await.unwrap();
            (page.items, page.next)
        };
        let read: Vec<KillId> = all(page, each).await.iter().map(|kill| kill.id).collect();
        assert_eq!(read, ids, "{limit}");
        let lines = async |filter| {
            let page = audit.lines(&filter, limit).await.unwrap();
            (page.items, page.next)
        };
        let read: Vec<KillId> = all(lines, |_, _| {}).await.iter().map(|line| line.id).collect();
        assert_eq!(read, ids, "{limit}");
    }
    let answer = gateway.read("/kills?limit=500").await;
    let items = answer.body["items"].as_array().unwrap();
    assert!(items.len() < ids.len() && answer.body["next_cursor"].is_string(), "{} kills", items.len());
    assert!(answer.header("link").is_some());
    let session = gateway.read("/kills?limit=500&session_id=0").await;
    assert!(session.body["next_cursor"].is_string());
}

async fn a_page_of_kills_that_name_many_sessions_is_short(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    let ids: Vec<String> = (0..1000).map(|n| format!("{n:064}")).collect();
    for n in 0..10 {
        let mut attempt = refused(NOON + n * Duration::from_secs(1));
        attempt.kill.select = Some(json!({ "ids": ids }));
        aged::recorded(audit, &attempt).await;
    }
    let page = audit.page(&Filter::default(), 500).await.unwrap();
    assert!((2..9).contains(&page.items.len()) && page.next.is_some(), "{}", page.items.len());
}
