//! Whose calls go: told by their order, and by each caller's share of them.

use crate::dispatch::tests::*;

/// Makes that caller's kills at a place, each of some sessions; answers come when all have theirs.
fn asked(
    dispatcher: &Arc<Dispatcher<World>>,
    caller: &'static str,
    class: Class,
    kills: impl IntoIterator<Item = (u8, Vec<u8>)>,
) -> impl Future<Output = Vec<Report>> {
    join_all(kills.into_iter().map(move |(place, these)| {
        let dispatcher = Arc::clone(dispatcher);
        let entry = Entry { caller: caller.into(), ..entry(order(place, ids(these)), class) };
        async move { dispatcher.kill(entry).await.expect("it has leave for ever") }
    }))
}

/// Kills of five sessions each, as many as go in one call: none shares it with another.
fn large(place: u8, many: u8) -> impl Iterator<Item = (u8, Vec<u8>)> {
    (0..many).map(move |kill| (place, (kill * 5..kill * 5 + 5).collect()))
}

/// The places of the calls, oldest first.
fn places(world: &World) -> Vec<u8> {
    world.calls().iter().map(|call| call.order.target.coordinate("instance_id").parse().unwrap()).collect()
}

/// How many of the first calls were at other places than the first.
fn others(world: &World, first: usize) -> usize {
    places(world)[..first].iter().filter(|place| **place != 1).count()
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_much_takes_no_call_from_who_asks_for_little() {
    let world = World { latency: Duration::ZERO, ..World::new(1, []) };
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let bot = asked(&dispatcher, "bot", Class::Kill, large(1, 45));
    let dba = async {
        sleep(Duration::from_millis(10)).await;
        asked(&dispatcher, "dba", Class::Kill, [(2, vec![1]), (3, vec![1]), (4, vec![1])]).await
    };
    let (_, answers) = tokio::join!(bot, dba);
    assert!(answers.iter().all(|report| report.status == Status::Succeeded));
    assert_eq!(others(&world, 6), 3, "each has one call in a round");
}

#[tokio::test(start_paused = true)]
async fn the_next_part_of_a_large_kill_goes_behind_its_callers_others_and_takes_nothing_from_strangers() {
    let world = World { latency: Duration::ZERO, ..World::new(1, []) };
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    // As kills do: one part after another.
    let parts = async {
        for part in large(1, 4) {
            asked(&dispatcher, "bot", Class::Kill, [part]).await;
        }
    };
    let rest = asked(&dispatcher, "bot", Class::Kill, [(2, vec![1]), (3, vec![1])]);
    let stranger = asked(&dispatcher, "dba", Class::Kill, [(4, vec![1])]);
    tokio::join!(parts, rest, stranger);
    assert_eq!(places(&world), [1, 4, 2, 3, 1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_storm_at_one_target_does_not_stand_ahead_of_its_callers_others() {
    let world = World { latency: Duration::ZERO, ..World::new(1, []) };
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let storm = asked(&dispatcher, "bot", Class::Kill, large(1, 20));
    let rest = asked(&dispatcher, "bot", Class::Kill, [(2, vec![1]), (3, vec![1])]);
    tokio::join!(storm, rest);
    assert_eq!(places(&world)[..5], [1, 2, 3, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_shared_call_goes_by_the_first_right_to_it_and_costs_the_others_nothing() {
    let world = World { latency: Duration::ZERO, ..World::new(1, []) };
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let bot = asked(&dispatcher, "bot", Class::Kill, large(1, 3).chain([(2, vec![1])]));
    let dba = asked(&dispatcher, "dba", Class::Kill, [(2, vec![2])]);
    tokio::join!(bot, dba);
    assert_eq!(places(&world), [1, 2, 1, 1]);
    assert_eq!(world.sent()[1], ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn urgent_kills_go_by_rounds_too() {
    let world = World { latency: Duration::ZERO, ..World::new(1, []) };
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let waiting = asked(&dispatcher, "dba", Class::Kill, [(3, vec![1])]);
    let bot = asked(&dispatcher, "bot", Class::Urgent, large(1, 4));
    let dba = asked(&dispatcher, "dba", Class::Urgent, [(2, vec![1])]);
    tokio::join!(waiting, bot, dba);
    assert_eq!(places(&world).iter().position(|place| *place == 2), Some(1));
    assert_eq!(places(&world).last(), Some(&3));
}

#[tokio::test(start_paused = true)]
async fn urgent_kills_do_not_move_on_the_rounds_of_others() {
    let world = World { latency: Duration::ZERO, ..World::new(1, []) };
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let urgent = async {
        for part in large(9, 6) {
            asked(&dispatcher, "ops", Class::Urgent, [part]).await;
            // Others have a call meanwhile.
            tokio::time::sleep(Duration::from_millis(1500)).await;
        }
    };
    let bot = asked(&dispatcher, "bot", Class::Kill, large(1, 10));
    let dba = asked(&dispatcher, "dba", Class::Kill, [(2, vec![1])]);
    tokio::join!(urgent, bot, dba);
    let others: Vec<_> = places(&world).into_iter().filter(|place| *place != 9).collect();
    assert_eq!(others.iter().position(|place| *place == 2), Some(1), "{:?}", places(&world));
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_unsent_goes_first_of_its_caller_and_in_that_ones_next_round() {
    let world = World { latency: Duration::ZERO, ..World::new(1, [Fate::Answered, Fate::Renewed]) };
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let bot = asked(&dispatcher, "bot", Class::Kill, large(1, 4));
    let dba = asked(&dispatcher, "dba", Class::Kill, [(2, vec![1]), (3, vec![1])]);
    tokio::join!(bot, dba);
    // The second call, the dba's first, was refused: the token had run out.
    assert_eq!(places(&world).into_iter().filter(|place| *place != 1).collect::<Vec<_>>(), [2, 2, 3]);
    assert_eq!((others(&world, 2), others(&world, 4), others(&world, 6)), (1, 2, 3));
}

#[tokio::test(start_paused = true)]
async fn one_caller_has_at_most_half_of_the_places_to_wait() {
    let mut world = World { latency: Duration::ZERO, ..World::new(1, []) };
    world.limit.max_waiting = 10;
    let dispatcher = Dispatcher::start(world.clone(), Budget::sample());
    let bot = asked(&dispatcher, "bot", Class::Kill, large(1, 9));
    let rest = ["dba", "sre"].map(|caller| asked(&dispatcher, caller, Class::Kill, large(2, 3)));
    let (bot, rest) = tokio::join!(bot, join_all(rest));
    let turned_away =
        |reports: &[Report]| reports.iter().filter(|report| code(report) == Some(ProblemCode::Overloaded)).count();
    assert_eq!(turned_away(&bot), 4);
    assert_eq!(rest.iter().map(|reports| turned_away(reports)).collect::<Vec<_>>(), [0, 1]);
}
