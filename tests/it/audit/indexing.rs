//! Log, index and answers agree at every moment, however far the index is behind: random histories, held against what was
//! done.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use killgate::{
    audit::{By, Filter, Grouping, Name},
    domain::{Identity, Kill, KillId, Outcome, Session, Status},
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
        filter: Box<Filter>,
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

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop::sample::select(vec![Outcome::Killed, Outcome::Failed, Outcome::Accepted, Outcome::Unknown])
}

/// None mostly, else one or two.
fn few<T: Clone + std::fmt::Debug>(of: impl Strategy<Value = T> + 'static) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![4 => Just(vec![]), 1 => vec(of, 1..3)]
}

fn names() -> impl Strategy<Value = Name> {
    (0..4u8, any::<bool>()).prop_map(|(number, begins)| {
        if begins { Name::Begins(kept(number).chars().take(8).collect()) } else { Name::Is(found_by(number)) }
    })
}

fn filters() -> impl Strategy<Value = Filter> {
    let status = prop::sample::select(Status::ALL.to_vec());
    let person = prop::sample::select(vec!["alice@example.com", "nobody"]).prop_map(str::to_owned);
    let callers = names().prop_map(|name| match name {
        // The index has the whole of it.
        Name::Is(name) if name.chars().count() == 200 => Name::Is(kept(3)),
        name => name,
    });
    let lists = (few((0..4u8).prop_map(found_by)), few(outcomes()), prop::option::weighted(0.2, any::<bool>()));
    (few(callers), few(names()), few(0..4u8), few(status), few(person), lists, any::<bool>()).prop_map(
        |(caller, target, sessions, status, on_behalf_of, (user, outcome, ever_unknown), oldest_first)| Filter {
            caller,
            target,
            session_id: sessions.into_iter().map(|session| format!("{session}1111")).collect(),
            status,
            on_behalf_of,
            user,
            outcome,
            ever_unknown,
            oldest_first,
            ..Filter::default()
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..4u8, 0..4u8, prop::bool::weighted(0.2))
            .prop_map(|(caller, session, is_refused)| Step::Begin { caller, session, is_refused }),
        5 => (any::<usize>(), outcomes(), any::<bool>())
            .prop_map(|(which, outcome, is_looked_after)| Step::Answer { which, outcome, is_looked_after }),
        1 => Just(Step::Claim),
        1 => Just(Step::Index),
        4 => (filters().prop_map(Box::new), 1..6u32).prop_map(|(filter, limit)| Step::Read { filter, limit }),
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
    ever_unknown: BTreeSet<KillId>,
}

/// Whether that is one of them, where there are any.
fn is_any<T>(wanted: &[T], is: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(is)
}

fn user_of(session: &Session) -> Option<String> {
    let user = session.identity.as_ref()?.user.as_ref()?;
    Some(user.chars().take(200).collect())
}

impl History {
    fn wanted(&self, filter: &Filter) -> Vec<Kill> {
        let fits = |name: &Name, given: Option<&str>| match name {
            Name::Is(name) => given == Some(name),
            Name::Begins(beginning) => given.is_some_and(|given| given.starts_with(beginning)),
        };
        let meets = |kill: &&Kill| {
            let alias = kill.target.as_ref().and_then(|target| target["alias"].as_str());
            let alias: Option<String> = alias.map(|alias| alias.chars().take(200).collect());
            let any_session = |is: &dyn Fn(&Session) -> bool| kill.sessions.iter().any(is);
            is_any(&filter.caller, |name| fits(name, Some(&kill.caller)))
                && is_any(&filter.target, |name| fits(name, alias.as_deref()))
                && is_any(&filter.on_behalf_of, |person| kill.on_behalf_of.as_ref() == Some(person))
                && is_any(&filter.status, |status| *status == kill.status)
                && is_any(&filter.session_id, |id| any_session(&|session| session.id == *id))
                && is_any(&filter.outcome, |outcome| any_session(&|session| session.outcome == *outcome))
                && is_any(&filter.user, |user| any_session(&|session| user_of(session).as_ref() == Some(user)))
                && filter.ever_unknown.is_none_or(|was| was == self.ever_unknown.contains(&kill.id))
        };
        let mut wanted: Vec<Kill> = self.kills.values().filter(meets).cloned().collect();
        if !filter.oldest_first {
            wanted.reverse();
        }
        wanted
    }
}

/// How many of them there are by user and outcome, each once for each of its own.
fn counted(kills: &[Kill]) -> BTreeMap<Vec<Option<String>>, u64> {
    let mut counts = BTreeMap::new();
    for kill in kills {
        let mut users: BTreeSet<_> = kill.sessions.iter().filter_map(user_of).map(Some).collect();
        let outcome = |session: &Session| Some(session.outcome.as_str().to_owned());
        let mut outcomes: BTreeSet<_> = kill.sessions.iter().map(outcome).collect();
        for values in [&mut users, &mut outcomes] {
            if values.is_empty() {
                values.insert(None);
            }
        }
        for user in &users {
            for outcome in &outcomes {
                *counts.entry(vec![user.clone(), outcome.clone()]).or_default() += 1;
            }
        }
    }
    counts
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
                let mut answer = answered(&kill, &sessions);
                for (place, (session, known)) in answer.sessions.iter_mut().zip(&kill.sessions).enumerate() {
                    let user = u8::try_from((which + place) % 6).unwrap();
                    let seen = Identity { user: Some(kept(user)), ..Identity::default() };
                    session.identity = known.identity.clone().or(Some(seen).filter(|_| user < 4));
                }
                if answer.status == Status::Unknown {
                    history.ever_unknown.insert(answer.id);
                }
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
            Step::Read { filter, limit } => {
                let (mut read, mut next) = (Vec::new(), None);
                loop {
                    let page = audit.page(&Filter { place: next, ..Filter::clone(&filter) }, limit).await.unwrap();
                    assert!(page.items.len() <= limit as usize);
                    read.extend(page.items);
                    next = page.next;
                    if next.is_none() {
                        break;
                    }
                }
                let wanted = history.wanted(&filter);
                assert_eq!(read, wanted);
                let grouping = Grouping { by: [By::Caller].into(), per: None };
                let counts = audit.stats(&filter, &grouping, 100, Duration::from_mins(1)).await.unwrap().unwrap();
                assert_eq!(counts.iter().map(|count| count.kills).sum::<u64>(), wanted.len() as u64);
                let grouping = Grouping { by: [By::User, By::Outcome].into(), per: None };
                let counts = audit.stats(&filter, &grouping, 100, Duration::from_mins(1)).await.unwrap().unwrap();
                let counts: BTreeMap<_, _> = counts.into_iter().map(|count| (count.by, count.kills)).collect();
                assert_eq!(counts, counted(&wanted));
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
