//! A dispatcher over a vendor account without a network, in time that passes only when all wait.

mod expected;
mod fairness;
mod merging;
mod world;

use futures_util::future::join_all;

use crate::{
    dispatch::*,
    domain::{Match, Outcome, ProblemCode, Selector, SessionId, Status},
    upstream::{Fault, FaultKind, Replay},
};
use world::{Fate, World, ids, order};

const PATIENT: Duration = Duration::from_mins(1);

/// Sees a kill of those ids through.
fn kill(
    dispatcher: &Arc<Dispatcher<World>>,
    place: u8,
    these: &[u8],
    class: Class,
) -> impl Future<Output = Report> + use<> {
    let (dispatcher, order) = (Arc::clone(dispatcher), order(place, ids(these.iter().copied())));
    async move { dispatcher.kill(entry(order, class)).await.expect("it has leave for ever") }
}

/// What enters with all the patience and leave that there is.
fn entry(order: Order, class: Class) -> Entry {
    let (until, leave) = (Instant::now() + PATIENT, world::DAWN + time::Duration::DAY);
    Entry {
        caller: "somebody".into(),
        order,
        class,
        until,
        leave,
        again: false,
        in_company: false,
        trace: <_>::default(),
    }
}

fn code(report: &Report) -> Option<ProblemCode> {
    report.problem.as_ref().map(|problem| problem.code)
}

#[tokio::test(start_paused = true)]
async fn a_lone_kill_goes_at_once_and_those_that_wait_share_a_call_with_each_id_once() {
    let world = World::new(1, []);
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let started = Instant::now();
    kill(&dispatcher, 1, &[1], Class::Kill).await;
    assert_eq!(world.calls()[0].at - started, Duration::from_millis(1), "the way to the window and back");

    let [first, second] = [kill(&dispatcher, 1, &[2, 3], Class::Kill), kill(&dispatcher, 1, &[3, 4], Class::Kill)];
    let (first, second) = tokio::join!(first, second);
    assert_eq!(world.sent()[1..], [["2", "3", "4"]]);
    assert_eq!(first.sessions[1], second.sessions[0]);
    assert_eq!((first.sessions.len(), second.sessions.len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn urgent_kills_go_first_and_have_a_share_that_others_do_not_use() {
    let world = World::new(10, []);
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let others = join_all((0..20).map(|place| kill(&dispatcher, place, &[1], Class::Kill)));
    let urgent = async {
        sleep(Duration::from_millis(500)).await;
        let asked = Instant::now();
        assert_eq!(world.calls().len(), 8, "a fifth of ten is kept");
        join_all((20..23).map(|place| kill(&dispatcher, place, &[1], Class::Urgent))).await;
        let calls = world.calls();
        assert!(calls[8].at - asked < Duration::from_millis(10) && calls[9].at - asked < Duration::from_millis(10));
        let places: Vec<_> = calls[8..11].iter().map(|call| call.order.target.coordinate("instance_id")).collect();
        assert_eq!(places, ["20", "21", "22"], "the third goes with the first permit that comes");
    };
    let (others, ()) = tokio::join!(others, urgent);
    assert!(others.iter().all(|report| report.status == Status::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn an_urgent_kill_takes_those_along_that_wait_for_the_same_target() {
    let world = World::new(1, []);
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    kill(&dispatcher, 1, &[1], Class::Kill).await;
    let waiting = [kill(&dispatcher, 1, &[1], Class::Kill), kill(&dispatcher, 2, &[2], Class::Kill)];
    join_all(waiting.into_iter().chain([kill(&dispatcher, 2, &[3], Class::Urgent)])).await;
    assert_eq!(world.sent()[1..], [vec!["2", "3"], vec!["1"]]);
}

#[tokio::test(start_paused = true)]
async fn urgent_kills_are_not_turned_away_because_others_wait() {
    let mut world = World::new(1, []);
    world.limit.max_waiting = 1;
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let [first, second] = [1, 2].map(|place| kill(&dispatcher, place, &[1], Class::Kill));
    let (first, second, urgent) = tokio::join!(first, second, kill(&dispatcher, 3, &[3], Class::Urgent));
    assert_eq!((code(&first), code(&second), code(&urgent)), (None, Some(ProblemCode::Overloaded), None));
}

#[tokio::test(start_paused = true)]
async fn when_the_vendor_wants_a_pause_those_who_cannot_wait_are_told_at_once() {
    let world = World::new(10, [Fate::Throttled(Some(Duration::from_secs(90)))]);
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let started = Instant::now();
    let throttled = kill(&dispatcher, 1, &[1], Class::Kill).await;
    let later = kill(&dispatcher, 1, &[2], Class::Urgent).await;
    assert_eq!(code(&throttled), Some(ProblemCode::UpstreamThrottled));
    assert_eq!((code(&later), world.calls().len()), (Some(ProblemCode::RateLimited), 1));
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_left_alone_costs_no_permit_and_no_time() {
    let world = World { resting: Some(Rest::Endpoint(Duration::from_secs(3))), ..World::new(1, []) };
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let started = Instant::now();
    let down = join_all((0..5).map(|place| kill(&dispatcher, place, &[1], Class::Kill))).await;
    assert!(down.iter().all(|report| code(report) == Some(ProblemCode::UpstreamFailed)));
    assert!(started.elapsed().is_zero() && world.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_task_dies_leaves_its_kills_unknown_and_the_dispatcher_alive() {
    let world = World::new(10, []);
    let dispatcher = Dispatcher::start(world, Budget::sample());
    // The account cannot read this id and panics.
    let selector = Selector::Ids(vec![SessionId("not a number".to_owned())]);
    let died = dispatcher.kill(entry(order(1, selector), Class::Kill)).await.unwrap();
    assert_eq!((died.status, died.sessions[0].outcome), (Status::Unknown, Outcome::Unknown));
    assert_eq!(kill(&dispatcher, 1, &[1], Class::Kill).await.problem, None);
}

#[tokio::test(start_paused = true)]
async fn a_kill_whose_leave_ran_out_is_sent_back_and_goes_first_when_it_comes_again() {
    let world = World::new(1, []);
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    kill(&dispatcher, 1, &[1], Class::Kill).await;
    let overdue = Entry { leave: world.now(), ..entry(order(2, ids([2])), Class::Kill) };
    let (sent_back, other) = tokio::join!(dispatcher.kill(overdue), kill(&dispatcher, 3, &[3], Class::Kill));
    assert_eq!((sent_back, other.problem), (None, None), "its permit is of use to another");
    let again = Entry { again: true, ..entry(order(2, ids([2])), Class::Kill) };
    let others = [kill(&dispatcher, 4, &[4], Class::Kill), kill(&dispatcher, 5, &[5], Class::Kill)];
    let (_, again) = tokio::join!(join_all(others), dispatcher.kill(again));
    assert_eq!(again.unwrap().problem, None);
    assert_eq!(world.sent()[2..], [["2"], ["4"], ["5"]]);
}

#[tokio::test(start_paused = true)]
async fn kills_that_come_again_share_calls() {
    let world = World::new(1, []);
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    kill(&dispatcher, 9, &[9], Class::Kill).await;
    let again = |id| Entry { again: true, ..entry(order(1, ids([id])), Class::Kill) };
    let all = join_all((1..=5).map(|id| dispatcher.kill(again(id)))).await;
    assert!(all.into_iter().flatten().all(|report| report.problem.is_none()));
    assert_eq!(world.sent().len(), 2, "{:?}", world.sent());
}

#[tokio::test(start_paused = true)]
async fn a_kill_is_sent_again_once_after_a_renewal() {
    let world = World::new(10, [Fate::Renewed, Fate::Answered, Fate::Renewed, Fate::Renewed]);
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    assert_eq!(code(&kill(&dispatcher, 1, &[1], Class::Kill).await), None);
    assert_eq!(code(&kill(&dispatcher, 1, &[2], Class::Kill).await), Some(ProblemCode::UpstreamDenied));
    assert_eq!(world.sent(), [["1"], ["1"], ["2"], ["2"]]);
}
