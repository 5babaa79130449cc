//! Lists that are long, cut off or out of date by the time they are read.

use killgate::sandbox::{Action, Behaviour, Clouds, Lie, Place, demo as world};

use super::{ids, listed, look, on_one_engine};
use crate::support::gateway::{Engine, Gateway};

on_one_engine! {
    every_page_of_a_long_list_is_read,
    pages_cut_short_are_read_to_the_end,
    a_list_that_is_cut_off_says_so,
    an_id_that_went_to_somebody_else_is_listed_as_theirs,
}

fn places() -> [(Place, Action, &'static str); 4] {
    [
        (
            Place::gaussdb(world::GAUSSDB_INSTANCE, world::GAUSSDB_NODE, world::GAUSSDB_COMPONENT),
            Action::GaussdbSessions,
            "target=ledger&user=app",
        ),
        (Place::das(world::DAS_INSTANCE), Action::DasProcesses, "target=shop&user=app"),
        (
            Place::taurusdb(world::TAURUSDB_INSTANCE, world::TAURUSDB_NODE),
            Action::TaurusdbProcesses,
            "target=orders-ro&user=app",
        ),
        (
            Place::dcdb(world::DCDB_INSTANCE, world::DCDB_SHARD, world::DCDB_NODE),
            Action::DcdbProcesses,
            "target=orders-shard-1&user=app",
        ),
    ]
}

/// The ids of the user's sessions, as they really are.
fn alive(clouds: &Clouds, place: &Place) -> Vec<u64> {
    clouds.sessions(place).iter().filter(|session| session.user == "app").map(|session| session.id).collect()
}

async fn every_page_of_a_long_list_is_read(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (place, action, query) in places() {
        gateway.clouds.put_ids(&place, 100_000..100_250);
        let answer = look(&gateway, query).await;
        let alive = alive(&gateway.clouds, &place);
        if action == Action::GaussdbSessions {
            assert_eq!((ids(&answer).len(), listed(&answer).1), (200, false), "{query}: no more are ever shown");
        } else {
            assert_eq!((ids(&answer), listed(&answer).1), (alive, true), "{query}");
            assert!(gateway.clouds.calls_for(action).len() >= 3, "{query}");
        }
    }
}

async fn pages_cut_short_are_read_to_the_end(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (place, action, query) in places().into_iter().skip(1) {
        gateway.clouds.misbehave(action, Behaviour::Lie(Lie::CutLists(2)));
        let answer = look(&gateway, query).await;
        assert_eq!((ids(&answer), listed(&answer).1), (alive(&gateway.clouds, &place), true), "{query}");
    }
}

async fn a_list_that_is_cut_off_says_so(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    for (_, action, query) in &places()[1..3] {
        gateway.clouds.misbehave_times(1, *action, Behaviour::Lie(Lie::CutLists(2)));
        gateway.clouds.misbehave(*action, Behaviour::Lie(Lie::CutLists(0)));
        let answer = look(&gateway, query).await;
        let (items, complete) = listed(&answer);
        assert!(items.len() < 3 && !complete, "{query}: {}", answer.body);
    }
    let (_, action, query) = &places()[3];
    gateway.clouds.misbehave_times(1, *action, Behaviour::Lie(Lie::CutLists(2)));
    gateway.clouds.misbehave(*action, Behaviour::Lie(Lie::CutLists(0)));
    let answer = look(&gateway, query).await;
    assert_eq!((listed(&answer).0.len(), listed(&answer).1), (2, false), "{query}: {}", answer.body);
}

async fn an_id_that_went_to_somebody_else_is_listed_as_theirs(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    gateway.clouds.misbehave_times(1, Action::TaurusdbProcesses, Behaviour::Lie(Lie::RecycleIds));
    let before = look(&gateway, "target=orders-ro").await;
    let after = look(&gateway, "target=orders-ro").await;
    assert_eq!(ids(&before), ids(&after));
    assert!(listed(&before).0.iter().all(|session| session["user"] != "newcomer"), "{}", before.body);
    assert!(listed(&after).0.iter().all(|session| session["user"] == "newcomer"), "{}", after.body);
}
