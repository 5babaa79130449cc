//! Whatever arrives and whatever the vendor does: one answer for each kill, and nothing sent again that may have run.

use std::collections::BTreeSet;

use proptest::{prelude::*, sample::subsequence, test_runner::TestCaseResult};

use crate::dispatch::tests::{world::Call, *};

/// A kill that is asked for.
#[derive(Debug, Clone)]
struct Arrival {
    /// Milliseconds after the one before.
    after: u64,
    caller: &'static str,
    order: Order,
    class: Class,
    patience: Duration,
}

/// A kill that was answered.
#[derive(Debug)]
struct Answered {
    order: Order,
    asked: Instant,
    until: Instant,
    at: Instant,
    report: Report,
}

impl Answered {
    /// The number of the call that answered it.
    fn call(&self) -> Option<usize> {
        Some(self.report.upstream.request_id.as_ref()?.parse().unwrap())
    }
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let some_ids = subsequence((1_u8..=9).collect::<Vec<_>>(), 1..=4).prop_map(ids);
    let by_user = || Match::of_user("app");
    let selector = prop_oneof![
        8 => some_ids,
        1 => Just(Selector::Intelligent),
        1 => Just(Selector::Match(Box::new(by_user()))),
    ];
    let class = prop_oneof![4 => Just(Class::Kill), 1 => Just(Class::Urgent)];
    let after = prop_oneof![3 => Just(0), 1 => 0_u64..700];
    let caller = prop_oneof![Just("bot"), Just("dba")];
    (after, caller, 0_u8..3, selector, class, 0_u64..6000).prop_map(
        |(after, caller, place, selector, class, patience)| Arrival {
            after,
            caller,
            order: order(place, selector),
            class,
            patience: Duration::from_millis(patience),
        },
    )
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Answered),
        1 => Just(Fate::Throttled(None)),
        1 => (0_u64..3).prop_map(|seconds| Fate::Throttled(Some(Duration::from_secs(seconds)))),
        1 => Just(Fate::Denied),
        1 => Just(Fate::ServerError),
        2 => Just(Fate::Lost),
        2 => Just(Fate::NotConnected),
        1 => Just(Fate::TooLate),
        1 => Just(Fate::Renewed),
    ]
}

/// A vendor account with any limit and speed, any habits, and a window of permits that may be far away.
fn account() -> impl Strategy<Value = Account> {
    let bad = subsequence((1_u8..=9).collect::<Vec<_>>(), 0..=2).prop_map(BTreeSet::from_iter);
    let max_waiting = prop_oneof![4 => Just(1000), 1 => 1_usize..6];
    let round_trip = prop_oneof![4 => 0_u64..40, 1 => 40_u64..80];
    let fates = prop::collection::vec(fate(), 0..25);
    (1_u32..12, 1_u64..600, round_trip, bad, fates, max_waiting).prop_map(
        |(rate, latency, round_trip, bad, fates, max_waiting)| {
            let [latency, round_trip] = [latency, round_trip].map(Duration::from_millis);
            Account { rate, latency, round_trip, bad, fates, max_waiting }
        },
    )
}

/// What a [`World`] is made of once there is a runtime.
#[derive(Debug, Clone)]
struct Account {
    rate: u32,
    latency: Duration,
    round_trip: Duration,
    bad: BTreeSet<u8>,
    fates: Vec<Fate>,
    max_waiting: usize,
}

impl Account {
    fn open(self) -> World {
        let Self { rate, latency, round_trip, bad, fates, max_waiting } = self;
        let mut world = World { latency, round_trip, bad, ..World::new(rate, fates) };
        world.limit.max_waiting = max_waiting;
        world
    }
}

/// Lets it all happen; time passes only when everybody waits.
fn play(account: Account, arrivals: Vec<Arrival>) -> (World, Vec<Answered>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = account.open();
        let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
        let mut kills = vec![];
        for Arrival { after, caller, order, class, patience } in arrivals {
            sleep(Duration::from_millis(after)).await;
            let dispatcher = Arc::clone(&dispatcher);
            kills.push(tokio::spawn(async move {
                let (asked, until) = (Instant::now(), Instant::now() + patience);
                let entry = Entry { caller: caller.into(), until, ..entry(order.clone(), class) };
                let report = dispatcher.kill(entry).await.expect("it has leave");
                Answered { order, asked, until, at: Instant::now(), report }
            }));
        }
        let all = timeout_at(Instant::now() + Duration::from_hours(1), join_all(kills)).await;
        let all = all.expect("every kill is answered").into_iter().map(Result::unwrap).collect();
        (world, all)
    })
}

/// What a kill is told is what became of its sessions.
fn is_told_the_truth(kill: &Answered, calls: &[Call], latency: Duration) -> TestCaseResult {
    let own: Vec<_> = kill.order.selector.ids().iter().map(SessionId::as_str).collect();
    let told: Vec<_> = kill.report.sessions.iter().map(|session| session.id.as_str()).collect();
    prop_assert_eq!(&told, &own);
    let Some(number) = kill.call() else {
        // Nobody was asked.
        let code = kill.report.problem.as_ref().map(|problem| problem.code);
        prop_assert!(matches!(code, Some(ProblemCode::RateLimited | ProblemCode::Overloaded)), "{code:?}");
        prop_assert!(kill.report.sessions.iter().all(|session| session.outcome == Outcome::Failed));
        // Unless it was under way at that time, in a call that did nothing: then it may still get the next permit.
        let refused = calls.iter().filter(|call| !call.may_have_acted() && call.order.target == kill.order.target);
        let back = refused.map(|call| call.at + latency).filter(|back| *back <= kill.at).max();
        let at_last = (kill.until + GRACE).max(back.map_or(kill.until, |back| back + SPAN + GRACE));
        prop_assert!(kill.at <= at_last, "told {:?} late", kill.at - at_last);
        return Ok(());
    };
    let call = &calls[number];
    prop_assert!(call.order.target.is_named_like(&kill.order.target) && call.at >= kill.asked);
    for (id, session) in kill.order.selector.ids().iter().zip(&kill.report.sessions) {
        prop_assert_eq!(session.outcome, call.outcome(number, id));
    }
    if own.is_empty() {
        prop_assert_eq!(&call.order, &kill.order, "goes alone");
    }
    Ok(())
}

/// A call carried what was asked for by those whom it answered, and nothing else.
fn is_accounted_for(number: usize, call: &Call, world: &World, kills: &[Answered]) -> TestCaseResult {
    let mut sent: Vec<_> = call.order.selector.ids().iter().collect();
    prop_assert!(sent.len() <= world.limit.max_ids_per_call);
    let of_it: Vec<_> = kills.iter().filter(|kill| kill.call() == Some(number)).collect();
    let asked: BTreeSet<_> = of_it.iter().flat_map(|kill| kill.order.selector.ids()).collect();
    sent.sort();
    if call.is_final() {
        // Were it for a kill that another call has answered or will answer, an id would be sent twice.
        prop_assert_eq!(sent, asked.into_iter().collect::<Vec<_>>());
        prop_assert!(!of_it.is_empty());
    }
    prop_assert!(!call.order.selector.ids().is_empty() || of_it.len() <= 1, "match and intelligent go alone");
    Ok(())
}

proptest! {
    #[test]
    fn every_kill_gets_one_true_answer_and_nothing_is_sent_again_that_may_have_run(
        account in account(),
        arrivals in prop::collection::vec(arrival(), 1..60),
    ) {
        let (world, kills) = play(account, arrivals);
        let calls = world.calls();
        for kill in &kills {
            is_told_the_truth(kill, &calls, world.latency)?;
        }
        for (number, call) in calls.iter().enumerate() {
            is_accounted_for(number, call, &world, &kills)?;
            let within = calls.iter().filter(|other| other.at >= call.at && other.at < call.at + Duration::from_secs(1));
            prop_assert!(within.count() <= world.limit.requests_per_second.get() as usize);
        }
    }
}
