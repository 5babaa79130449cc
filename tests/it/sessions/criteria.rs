//! Choosing among live sessions.

use killgate::sandbox::{Action, Session, demo as world};

use super::{ids, listed, look, on_one_engine};
use crate::support::gateway::{Engine, Gateway};

on_one_engine! {
    all_criteria_given_must_hold,
    the_vendor_leaves_out_what_it_can,
}

async fn all_criteria_given_must_hold(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let all = ids(&look(&gateway, "target=orders-ro").await);
    assert_eq!(all, (2_075_425..2_075_441).collect::<Vec<_>>());
    for (criteria, expected) in [
        ("user=etl", vec![2_075_427, 2_075_435]),
        ("user=ETL", vec![]),
        ("database=warehouse&user=report", vec![2_075_432, 2_075_440]),
        ("command=sleep", vec![2_075_428, 2_075_436]),
        ("state=Idle%20in%20transaction&min_seconds=953", vec![2_075_428, 2_075_436]),
        ("state=idle", vec![]),
        ("host=10.0.51.175", vec![2_075_425]),
        ("host=10.0.51.175:55425", vec![2_075_425]),
        ("min_seconds=1000&user=report", vec![2_075_425, 2_075_433]),
        ("statement=from%20orders_daily", vec![2_075_432, 2_075_440]),
        ("statement=from%20orders_daily&user=etl", vec![]),
        ("user=report&order=longest", vec![2_075_433, 2_075_425, 2_075_432, 2_075_440]),
        ("user=report&order=longest&limit=1", vec![2_075_433]),
        ("user=report&order=newest&limit=2", vec![2_075_432, 2_075_440]),
        ("limit=3", all[..3].to_vec()),
    ] {
        let answer = look(&gateway, &format!("target=orders-ro&{criteria}")).await;
        assert_eq!((ids(&answer), listed(&answer).1), (expected, true), "{criteria}: {}", answer.body);
    }
}

async fn the_vendor_leaves_out_what_it_can(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let place =
        killgate::sandbox::Place::gaussdb(world::GAUSSDB_INSTANCE, world::GAUSSDB_NODE, world::GAUSSDB_COMPONENT);
    gateway.clouds.put_ids(&place, 1..=300);
    gateway.clouds.put(&place, &Session::new(400, "needle"));
    let answer = look(&gateway, "target=ledger&user=needle").await;
    assert_eq!((ids(&answer), listed(&answer).1), (vec![400], true), "it is behind the first 200");
    let answer = look(&gateway, "target=ledger&command=query").await;
    assert_eq!((ids(&answer), listed(&answer).1), (vec![], false), "GaussDB tells no command, and its list is cut");
    let sent = |action| gateway.clouds.calls_for(action).iter().map(|call| call.query.clone()).collect::<Vec<_>>();
    look(&gateway, "target=shop&user=report&database=warehouse").await;
    assert!(sent(Action::DasProcesses)[0].contains("database=warehouse"), "{:?}", sent(Action::DasProcesses));
}
