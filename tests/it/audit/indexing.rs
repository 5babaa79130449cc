//! Log, index and answers agree at every moment, however far the index is behind: random histories, held against what was
//! done.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use killgate::{
    audit::{By, Filter, Grouping},
    domain::{Kill, KillId, Outcome, Status},
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::{
    book::{Book, DAY, NOON, answered, attempt, refused},
    on_both_engines,
};

/// What happens next; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    /// A kill of a caller, of a session among few.
    Begin {
        caller: u8,
        session: u8,
        is_refused: bool,
    },
    /// A mark, and what it was answered with.
    Answer {
        which: usize,
        outcome: Outcome,
        is_looked_after: bool,
    },
    /// Another gateway takes what is due.
    Claim,
    Index,
    /// What there is to be read with that filter, in pages of that size.
    Read {
        caller: Option<u8>,
        alias: Option<u8>,
        session: Option<u8>,
        status: Option<Status>,
        limit: u32,
    },
    /// The record is opened anew, as after a crash.
    Reopen,
}

/// Names that are written in more than one way, begin alike, or are longer than what the index has of them.
fn name(number: u8) -> String {
    match number {
        0 => "caller".to_owned(),
        1 => "caller/\"1\"\\\u{1}\n".to_owned(),
        2 => "\u{e7}aller\u{0}\u{1f980}".to_owned(),
        _ => "caller".repeat(40),
    }
}

/// A name as it is kept.
fn kept(number: u8) -> String {
    name(number).replace('\0', "\u{fffd}")
}

/// A name as it is found by.
fn found_by(number: u8) -> String {
    kept(number).chars().take(200).collect()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = prop::sample::select(vec![Outcome::Killed, Outcome::Failed, Outcome::Accepted, Outcome::Unknown]);
    let status = prop::sample::select(Status::ALL.to_vec());
    let step = prop_oneof![
        5 => (0..4u8, 0..4u8, prop::bool::weighted(0.2))
            .prop_map(|(caller, session, is_refused)| Step::Begin { caller, session, is_refused }),
        5 => (any::<usize>(), outcome, any::<bool>())
            .prop_map(|(which, outcome, is_looked_after)| Step::Answer { which, outcome, is_looked_after }),
        1 => Just(Step::Claim),
        1 => Just(Step::Index),
        3 => (prop::option::of(0..4u8), prop::option::of(0..4u8), prop::option::of(0..4u8), prop::option::of(status), 1..6u32)
            .prop_map(|(caller, alias, session, status, limit)| Step::Read { caller, alias, session, status, limit }),
        1 => Just(Step::Reopen),
    ];
    vec(step, 10..80)
}

/// What was done so far.
#[derive(Debug, Default)]
struct History {
    kills: BTreeMap<KillId, Kill>,
    /// Those that still learn.
    open: Vec<KillId>,
}

impl History {
    fn wanted(&self, filter: &Filter) -> Vec<Kill> {
        let meets = |kill: &&Kill| {
            let alias = kill.target.as_ref().and_then(|target| target["alias"].as_str()).unwrap_or_default();
            filter.caller.as_ref().is_none_or(|caller| *caller == kill.caller)
                && filter.target.as_ref().is_none_or(|wanted| *wanted == alias.chars().take(200).collect::<String>())
                && filter.status.is_none_or(|status| status == kill.status)
                && filter.session_id.as_ref().is_none_or(|id| kill.sessions.iter().any(|session| session.id == *id))
        };
        self.kills.values().rev().filter(meets).cloned().collect()
    }
}

async fn happens(book: &Book, steps: Vec<Step>) {
    let (mut history, mut audit) = (History::default(), book.audit.clone());
    for (number, step) in (0..).zip(steps) {
        let at = NOON + Duration::from_secs(number);
        match step {
            Step::Begin { caller, session, is_refused } => {
                let mut begun = if is_refused { refused(at) } else { attempt(at) };
                begun.kill.caller = kept(caller);
                if let Some(target) = &mut begun.kill.target {
                    target["alias"] = kept(session).into();
                }
                begun.kill.sessions.iter_mut().for_each(|known| known.id = format!("{session}{}", known.id));
                audit.begin(&begun, DAY).await.unwrap();
                history.kills.insert(begun.kill.id, begun.kill.clone());
                if !is_refused {
                    history.open.push(begun.kill.id);
                }
            }
            Step::Answer { which, outcome, is_looked_after } => {
                if history.open.is_empty() {
                    continue;
                }
                let at_place = which % history.open.len();
                let kill = history.kills[&history.open[at_place]].clone();
                let sessions: Vec<_> = kill.sessions.iter().map(|session| (session.id.as_str(), outcome)).collect();
                let answer = answered(&kill, &sessions);
                let look_at = is_looked_after.then_some(at);
                assert_eq!(audit.conclude(&answer, at, "answered", look_at).await, Ok(true));
                if !answer.status.is_open() || !is_looked_after {
                    history.open.remove(at_place);
                }
                history.kills.insert(answer.id, answer);
            }
            Step::Claim => {
                let later = at + Duration::from_hours(1);
                let claimed = audit.claim("there", later, Duration::from_mins(1), 100).await.unwrap();
                let claimed: BTreeSet<_> = claimed.iter().map(|open| open.kill.id).collect();
                assert!(claimed.iter().all(|id| history.open.contains(id)), "only what is open is claimed");
            }
            Step::Index => {
                audit.index().await.unwrap();
            }
            Step::Reopen => audit = book.another().await,
            Step::Read { caller, alias, session, status, limit } => {
                let filter = Filter {
                    caller: caller.map(kept),
                    target: alias.map(found_by),
                    session_id: session.map(|session| format!("{session}1111")),
                    status,
                    ..Filter::default()
                };
                let (mut read, mut next) = (Vec::new(), None);
                loop {
                    let page = audit.page(&Filter { before: next, ..filter.clone() }, limit).await.unwrap();
                    assert!(page.items.len() <= limit as usize);
                    read.extend(page.items);
                    next = page.next;
                    if next.is_none() {
                        break;
                    }
                }
                let wanted = history.wanted(&filter);
                assert_eq!(read, wanted);
                let grouping = Grouping { by: vec![By::Caller], per: None };
                let counts = audit.stats(&filter, &grouping, 100, Duration::from_mins(1)).await.unwrap().unwrap();
                assert_eq!(counts.iter().map(|count| count.kills).sum::<u64>(), wanted.len() as u64);
                assert_eq!(audit.misindexed(None, None).await, Ok(vec![]));
            }
        }
    }
    for kill in history.kills.values() {
        assert_eq!(audit.find(kill.id).await.unwrap().as_ref(), Some(kill));
    }
    while audit.index().await.unwrap() > 0 {}
    let left = book.texts("SELECT gateway FROM kill_leases").await;
    assert_eq!(left.len(), history.open.len(), "what has ended is indexed");
    assert_eq!(audit.misindexed(None, None).await, Ok(vec![]));
    assert_eq!(audit.reindex(None, None).await, Ok(0));
    assert_eq!(audit.page(&Filter::default(), 1000).await.unwrap().items, history.wanted(&Filter::default()));
}

fn hold_on(made: impl AsyncFn() -> Book) {
    let mut runner = TestRunner::new(Config { cases: 12, max_shrink_iters: 100, ..Config::default() });
    let held = runner.run(&steps(), |steps| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { happens(&made().await, steps).await });
        Ok(())
    });
    held.unwrap();
}

#[test]
fn log_index_and_answers_agree_on_postgres() {
    hold_on(Book::on_postgres);
}

#[test]
fn log_index_and_answers_agree_on_sqlite() {
    hold_on(Book::on_sqlite);
}

on_both_engines! {
    how_far_the_index_is_behind_is_told,
}

async fn how_far_the_index_is_behind_is_told(book: &Book) {
    let later = NOON + Duration::from_mins(1);
    let kill = book.begin(&attempt(NOON)).await;
    assert_eq!(book.audit.unindexed(later).await, Ok(None), "it is open");
    let answer = answered(&kill, &[("1111", Outcome::Killed)]);
    assert_eq!(book.audit.conclude(&answer, NOON, "answered", None).await, Ok(true));
    book.begin(&refused(NOON + Duration::from_secs(30))).await;
    assert_eq!(book.audit.unindexed(later).await, Ok(Some(60.0)));
    assert_eq!(book.audit.unindexed(NOON - Duration::from_secs(1)).await, Ok(Some(0.0)));
    assert_eq!(book.audit.index().await, Ok(2));
    assert_eq!(book.audit.unindexed(later).await, Ok(None));
}
