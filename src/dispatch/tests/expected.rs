//! Permits that are taken before their kills come.

use super::*;

/// The way to the window and back, and more than that.
const A_WHILE: Duration = Duration::from_millis(3);
/// Longer than a permit lasts.
const TOO_LONG: Duration = Duration::from_millis(60);

#[tokio::test(start_paused = true)]
async fn a_kill_that_was_expected_finds_its_permit_and_goes_at_once() {
    let world = World::new(10, []);
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let expected = dispatcher.expect(&order(1, ids([1])).target, Class::Kill);
    sleep(A_WHILE).await;
    drop(expected);
    let entered = Instant::now();
    kill(&dispatcher, 1, &[1], Class::Kill).await;
    assert_eq!(world.calls()[0].at, entered);
    assert_eq!(world.permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_kill_that_comes_before_its_permit_goes_with_it() {
    let world = World::new(10, []);
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let started = Instant::now();
    let expected = dispatcher.expect(&order(1, ids([1])).target, Class::Kill);
    tokio::task::yield_now().await;
    drop(expected);
    kill(&dispatcher, 1, &[1], Class::Kill).await;
    assert_eq!(world.calls()[0].at - started, world.round_trip);
    assert_eq!(world.permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_kill_that_finds_its_permit_and_may_not_go_yet_is_not_forgotten() {
    let world = World { latency: Duration::from_secs(20), ..World::new(10, []) };
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let start = |id: u8| {
        let dispatcher = Arc::clone(&dispatcher);
        tokio::spawn(async move { kill(&dispatcher, 1, &[id], Class::Kill).await });
    };
    for id in [1, 2] {
        start(id);
        sleep(A_WHILE).await;
    }
    assert!(dispatcher.expect(&order(1, ids([3])).target, Class::Kill).is_none(), "it waits for an answer in any case");
    let _never_comes = dispatcher.expect(&order(2, ids([4])).target, Class::Kill);
    sleep(A_WHILE).await;
    let entered = Instant::now();
    start(3);
    sleep(Duration::from_secs(1)).await;
    let left = world.calls().get(2).map(|call| call.at - entered);
    assert!(left.is_some_and(|waited| waited <= Duration::from_millis(110)), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn many_that_are_expected_at_one_target_ask_once() {
    let world = World::new(100, []);
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let expect = |place| dispatcher.expect(&order(place, ids([1])).target, Class::Kill);
    let (first, second, other) = (expect(1), expect(1), expect(2));
    sleep(A_WHILE).await;
    assert!(first.is_some() && second.is_none() && other.is_some());
    assert_eq!(world.permits(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_permit_whose_kill_never_comes_serves_another_one() {
    let world = World::new(10, []);
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let expected = dispatcher.expect(&order(1, ids([1])).target, Class::Kill);
    sleep(A_WHILE).await;
    drop(expected);
    kill(&dispatcher, 2, &[2], Class::Kill).await;
    assert_eq!((world.permits(), world.sent()), (1, vec![vec!["2".to_owned()]]));
}

#[tokio::test(start_paused = true)]
async fn where_kills_come_too_late_for_their_permits_none_are_taken_ahead_for_a_while() {
    let world = World::new(10, []);
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let target = order(1, ids([1])).target;
    let expected = dispatcher.expect(&target, Class::Kill);
    sleep(TOO_LONG).await;
    drop(expected);
    kill(&dispatcher, 1, &[1], Class::Kill).await;
    assert_eq!((world.permits(), world.calls().len()), (2, 1), "the first was of no use any more");
    assert!(dispatcher.expect(&target, Class::Kill).is_none());
    sleep(Duration::from_secs(11)).await;
    assert!(dispatcher.expect(&target, Class::Kill).is_some());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_again_and_again_for_what_is_expected_of_a_spent_budget() {
    let world = World::new(1, []);
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    kill(&dispatcher, 1, &[1], Class::Kill).await;
    let expected = dispatcher.expect(&order(2, ids([2])).target, Class::Kill);
    sleep(A_WHILE).await;
    drop(expected);
    kill(&dispatcher, 2, &[2], Class::Kill).await;
    assert_eq!(world.asks(), 3, "one that found nothing, and one for each call");
    assert_eq!(world.calls()[1].at - world.calls()[0].at, SPAN);
}
