//! The window in Postgres and the one in the process decide alike.

use killgate::{
    audit::{Ask, Audit, Rate, Settings, Slot},
    dispatch::rate::window::Window,
};
use proptest::{prelude::*, test_runner::TestRunner};
use sqlx::{Connection, PgConnection};

use crate::support::{patience::PATIENCE, postgres::Database};

/// A clock that stands where it is set, found before the real one.
const CLOCK: [&str; 3] = [
    "CREATE SCHEMA standing",
    "CREATE FUNCTION standing.clock_timestamp() RETURNS timestamptz LANGUAGE sql
        RETURN to_timestamp(current_setting('standing.now')::numeric / 1000000)",
    "SET search_path = standing, pg_catalog, public",
];

/// A database with the window, and the clock that stands.
async fn database() -> (Database, PgConnection) {
    let database = Database::fresh().await;
    let settings = Settings { database_url: Some(database.url().into()), timeout: PATIENCE, ..Settings::default() };
    Audit::migrate(&settings).await.unwrap();
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    for statement in CLOCK {
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }
    (database, connection)
}

async fn take(connection: &mut PgConnection, budget: &str, now: i64, ask: Ask) -> Slot {
    take_after(connection, budget, now, ask, None).await.0
}

/// What was heard the last time, and how long ago that was asked for and heard.
type Before = Option<(i64, i64, i64)>;

async fn take_after(connection: &mut PgConnection, budget: &str, now: i64, ask: Ask, before: Before) -> (Slot, i64) {
    let set = sqlx::query("SELECT set_config('standing.now', $1, false)").bind(now.to_string());
    set.execute(&mut *connection).await.unwrap();
    let taken = sqlx::query_as(
        "SELECT taken, wait, remaining, heard FROM take_turns($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(budget)
    .bind(i16::from(ask.class))
    .bind(ask.most.map(|most| i32::try_from(most).unwrap()))
    .bind(i32::try_from(ask.many).unwrap())
    .bind(ask.patience)
    .bind(ask.span)
    .bind(ask.longer.map(|longer| longer.most.map(|most| i32::try_from(most).unwrap())))
    .bind(ask.longer.map(|longer| longer.span))
    .bind(before.map(|(at, ..)| at))
    .bind(before.map(|(_, since, _)| since))
    .bind(before.map(|(.., since_least)| since_least));
    let (taken, wait, left, heard): (i32, i64, i32, i64) = taken.fetch_one(connection).await.unwrap();
    (Slot { taken: u32::try_from(taken).unwrap(), wait, left: u32::try_from(left).unwrap() }, heard)
}

/// Microseconds since the ask before, and the ask.
fn asks() -> impl Strategy<Value = Vec<(i64, Ask)>> {
    const SPAN: i64 = 1_080_000;
    let pause = prop_oneof![2 => Just(0), 3 => 0..SPAN / 4, 1 => 0..SPAN * 2];
    let patience = prop_oneof![1 => Just(0), 1 => 0..SPAN, 3 => Just(60_000_000)];
    // A budget that is slowed down, and recovers, gives fewer turns for a while.
    let most = prop_oneof![4 => Just([6, 5, 2]), 1 => Just([3, 2, 1]), 1 => Just([0, 0, 0])];
    // And a large one keeps its moments in grains.
    let most = (most, any::<bool>()).prop_map(|(most, large)| if large { most.map(|turns| turns * 50) } else { most });
    let many = prop_oneof![2 => Just(1), 1 => 0..8_u32, 1 => 0..200_u32];
    let ask = (pause, 0_u8..3, most, many, patience).prop_map(|(pause, class, most, many, patience)| {
        (pause, Ask { class, most, many, patience, span: SPAN, longer: None })
    });
    // Some vendors count over a longer span as well.
    let longer = prop_oneof![1 => Just(None), 1 => Just(Some(Rate { most: [9, 7, 3], span: 4 * SPAN }))];
    (prop::collection::vec(ask, 1..80), longer)
        .prop_map(|(asks, longer)| asks.into_iter().map(|(pause, ask)| (pause, Ask { longer, ..ask })).collect())
}

#[test]
fn the_shared_window_and_the_one_in_the_process_decide_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_database, mut connection) = runtime.block_on(database());
    let mut case = 0;
    let connection = std::cell::RefCell::new(&mut connection);
    let case = std::cell::RefCell::new(&mut case);
    let alike = TestRunner::new(ProptestConfig { cases: 60, ..ProptestConfig::default() }).run(&asks(), |asks| {
        let (mut connection, mut case) = (connection.borrow_mut(), case.borrow_mut());
        **case += 1;
        let (budget, mut window, mut now) = (format!("budget-{case}"), Window::default(), 1_700_000_000_000_000);
        for (pause, ask) in asks {
            now += pause;
            let shared = runtime.block_on(take(&mut connection, &budget, now, ask));
            let own = window.take(now, ask);
            prop_assert_eq!((shared.taken, shared.wait), (own.taken, own.wait));
            // While far fewer were taken than there may be, those that count no more are not looked for.
            let (is_short, all) = (|slot: Slot| slot.left < ask.most[0] / 2, ask.most[0]);
            prop_assert!(shared.left <= own.left && is_short(shared) == is_short(own), "{shared:?} {own:?} of {all}");
        }
        Ok(())
    });
    alike.unwrap();
}

#[tokio::test]
async fn a_step_of_the_clock_is_taken_out_of_the_windows_time_once_for_all_gateways() {
    const NOON: i64 = 1_700_000_000_000_000;
    const HOUR: i64 = 3_600_000_000;
    let (_database, mut connection) = database().await;
    let ask = Ask { class: 0, most: [2; 3], many: 1, patience: 60_000_000, span: 1_100_000, longer: None };
    for (budget, step) in [("forward", 1_200_000), ("by an hour", HOUR), ("back", -2 * HOUR)] {
        let connection = &mut connection;
        // Two gateways take what there is; a tenth of a second later the clock has been stepped.
        let (first, heard) = take_after(connection, budget, NOON, ask, None).await;
        let (second, other) = take_after(connection, budget, NOON, ask, None).await;
        assert_eq!((first.wait, second.wait), (0, 0), "{budget}");
        let now = NOON + 100_000 + step;
        let (third, _) = take_after(connection, budget, now, ask, Some((heard, 100_000, 99_000))).await;
        assert!((999_000..=1_001_000).contains(&third.wait), "{budget}: {third:?}");
        let (fourth, _) = take_after(connection, budget, now, ask, Some((other, 100_000, 99_000))).await;
        assert!((999_000..=1_001_000).contains(&fourth.wait), "{budget}: {fourth:?}");
        // One that has heard nothing yet is told by the same time.
        let (fifth, _) = take_after(connection, budget, now, ask, None).await;
        assert!(fifth.wait > 2_000_000, "{budget}: {fifth:?}");
    }
    // An ask that was long on its way is no step.
    let (_, heard) = take_after(&mut connection, "slow", NOON, ask, None).await;
    let (_, late) = take_after(&mut connection, "slow", NOON + 400_000, ask, Some((heard, 10_000, 9_000))).await;
    assert_eq!(late - heard, 400_000);
}
