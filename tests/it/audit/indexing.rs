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

use super::book::{Book, DAY, NOON, answered, attempt, refused};

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
        session: Option<u8>,
        status: Option<Status>,
        limit: u32,
    },
    /// The record is opened anew, as after a crash.
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = prop::sample::select(vec![Outcome::Killed, Outcome::Failed, Outcome::Accepted, Outcome::Unknown]);
    let status = prop::sample::select(Status::ALL.to_vec());
    let step = prop_oneof![
        5 => (0..3u8, 0..4u8, prop::bool::weighted(0.2))
            .prop_map(|(caller, session, is_refused)| Step::Begin { caller, session, is_refused }),
        5 => (any::<usize>(), outcome, any::<bool>())
            .prop_map(|(which, outcome, is_looked_after)| Step::Answer { which, outcome, is_looked_after }),
        1 => Just(Step::Claim),
        1 => Just(Step::Index),
        3 => (prop::option::of(0..3u8), prop::option::of(0..4u8), prop::option::of(status), 1..6u32)
            .prop_map(|(caller, session, status, limit)| Step::Read { caller, session, status, limit }),
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
            filter.caller.as_ref().is_none_or(|caller| *caller == kill.caller)
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
                begun.kill.caller = format!("caller-{caller}");
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
            Step::Read { caller, session, status, limit } => {
                let filter = Filter {
                    caller: caller.map(|caller| format!("caller-{caller}")),
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
