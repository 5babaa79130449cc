//! Whatever is asked, no call ever has a protected session in it, or one outside what was confirmed.

use std::collections::BTreeSet;

use killgate::sandbox::{Action, Clouds, Received, Session};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::{Value, json};

use super::{kill_by, place};
use crate::support::gateway::{Engine, Gateway, Setup, targets};

const ALIAS: [&str; 4] = ["ledger", "shop", "orders-ro", "orders-shard-1"];
const KILLS: [Action; 5] =
    [Action::GaussdbKill, Action::DasKill, Action::TaurusdbKill, Action::DcdbKill, Action::IntelligentKill];
const USERS: [&str; 4] = ["app", "report", "etl", "guarded"];

/// What happens between a preview and the kill that follows it.
#[derive(Debug, Clone)]
enum Change {
    Ends(u64),
    /// The id is another's from then on.
    Recycled(u64, usize),
    Comes(u64, usize),
}

/// One request and what is made of it.
#[derive(Debug, Clone)]
struct Scene {
    alias: usize,
    by_coordinates: bool,
    select: Value,
    changes: Vec<Change>,
    /// Whether it is previewed, and whether its confirm goes with it.
    preview: bool,
    confirm: bool,
    /// The kill asks for something else than the preview did.
    swapped: Option<Value>,
}

/// The sessions of a place: 1 to 24, whose users take turns.
fn number() -> impl Strategy<Value = u64> {
    1_u64..30
}

fn select() -> impl Strategy<Value = Value> {
    let user = prop::option::of(prop::sample::select(USERS.to_vec()));
    let ids = prop::collection::btree_map(number(), user, 1..12).prop_map(|ids| {
        let given = |(number, user): (u64, Option<&str>)| match user {
            Some(user) => json!({ "id": number, "user": user }),
            None => json!(number.to_string()),
        };
        json!({ "ids": ids.into_iter().map(given).collect::<Vec<_>>() })
    });
    let of_one = (prop::collection::btree_set(number(), 1..8), prop::sample::select(USERS.to_vec())).prop_map(
        |(ids, user)| json!({ "ids": ids.iter().map(|id| json!({ "id": id, "user": user })).collect::<Vec<_>>() }),
    );
    let user = prop::sample::select(USERS.to_vec());
    let by_match = (user, prop::option::of(1..9_usize), any::<bool>()).prop_map(|(user, limit, by_user)| {
        let mut criteria = if by_user { json!({ "user": user }) } else { json!({ "database": "orders" }) };
        if let Some(limit) = limit {
            criteria["limit"] = limit.into();
        }
        json!({ "match": criteria })
    });
    prop_oneof![3 => ids, 2 => of_one, 4 => by_match, 1 => Just(json!({ "intelligent": true }))]
}

fn scene() -> impl Strategy<Value = Scene> {
    let change = prop_oneof![
        number().prop_map(Change::Ends),
        (number(), 0..USERS.len()).prop_map(|(id, user)| Change::Recycled(id, user)),
        (number(), 0..USERS.len()).prop_map(|(id, user)| Change::Comes(id, user)),
    ];
    let asked = (0..ALIAS.len(), any::<bool>(), select(), prop::option::weighted(0.1, select()));
    (asked, prop::collection::vec(change, 0..6), any::<bool>(), prop::bool::weighted(0.8)).prop_map(
        |((alias, by_coordinates, select, swapped), changes, preview, confirm)| Scene {
            alias,
            by_coordinates,
            select,
            changes,
            preview,
            confirm,
            swapped,
        },
    )
}

fn session(number: u64, user: &str, generation: u64) -> Session {
    let mut session = Session::new(number, user).running("select 1", 60 + number);
    session.host = format!("10.9.{generation}.{number}:4{number:04}");
    session
}

fn stage(clouds: &Clouds, alias: &str) {
    for living in clouds.sessions(&place(alias)) {
        clouds.remove(&place(alias), living.id);
    }
    for (number, user) in (1..25).zip(USERS.iter().cycle()) {
        clouds.put(&place(alias), &session(number, user, 0));
    }
}

fn happen(clouds: &Clouds, alias: &str, change: &Change) {
    let there = |id: u64| clouds.alive(&place(alias)).contains(&id);
    match *change {
        Change::Ends(id) => clouds.remove(&place(alias), id),
        Change::Recycled(id, user) => {
            clouds.remove(&place(alias), id);
            clouds.put(&place(alias), &session(id, USERS[user], 1));
        }
        Change::Comes(id, user) if !there(id) => clouds.put(&place(alias), &session(id, USERS[user], 2)),
        Change::Comes(..) => {}
    }
}

/// The ids that a vendor was asked to end; `None` where it was asked in its own way.
fn sent(body: &[u8]) -> Option<BTreeSet<u64>> {
    let body: Value = serde_json::from_slice(body).unwrap();
    let ids =
        ["session_ids", "process_ids", "processes", "SessionId"].into_iter().find_map(|name| body[name].as_array());
    let number = |id: &Value| id.as_u64().or_else(|| id.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{body}"));
    ids.map(|ids| ids.iter().map(number).collect())
}

/// The kills that vendors were asked for, without the first so many calls.
fn kills(clouds: &Clouds, after: usize) -> Vec<Vec<u8>> {
    let is_kill = |call: &Received| call.action.is_some_and(|action| KILLS.contains(&action));
    clouds.calls().into_iter().skip(after).filter(is_kill).map(|call| call.body).collect()
}

/// The sessions that a preview would have ended: id and client.
fn alive(preview: &Value) -> Vec<(u64, Value)> {
    let sessions = preview["sessions"].as_array().unwrap().iter().filter(|session| session["outcome"] == "alive");
    let of = |it: &Value| (it["id"].as_str().unwrap().parse().unwrap(), it["identity"]["host"].clone());
    sessions.map(of).collect()
}

/// Plays a scene and answers how many sessions were sent with a confirm.
async fn play(gateway: &Gateway, scene: &Scene, is_guarded: bool) -> usize {
    let (clouds, alias) = (&gateway.clouds, ALIAS[scene.alias]);
    stage(clouds, alias);
    let mut body = kill_by(alias, scene.select.clone());
    if scene.by_coordinates {
        body["target"] = targets().into_iter().find(|(name, _)| *name == alias).unwrap().1;
    }
    let mut shown = None;
    if scene.preview {
        let before = clouds.count();
        let mut dry = body.clone();
        dry["dry_run"] = true.into();
        let preview = gateway.kill(&dry).await.body;
        assert!(kills(clouds, before).is_empty(), "a preview ends nothing: {scene:?}");
        if scene.confirm && preview["confirm"].is_string() {
            shown = Some(alive(&preview));
            body["confirm"] = preview["confirm"].clone();
        }
    }
    for change in &scene.changes {
        happen(clouds, alias, change);
    }
    if let Some(swapped) = &scene.swapped {
        body["select"] = swapped.clone();
    }
    let (living, before) = (clouds.sessions(&place(alias)), clouds.count());
    let answer = gateway.kill(&body).await.body;
    let mut many = 0;
    for call in kills(clouds, before) {
        let Some(ids) = sent(&call) else {
            let picks = body["select"]["intelligent"] == true;
            assert!(!is_guarded && (picks || shown.is_none()), "in the vendor's own way: {scene:?} {answer}");
            continue;
        };
        for id in ids {
            let session = living.iter().find(|session| session.id == id);
            if is_guarded {
                let session = session.unwrap_or_else(|| panic!("{id} was not there: {scene:?} {answer}"));
                assert_ne!(session.user, "guarded", "{scene:?} {answer}");
            }
            if let Some(shown) = &shown {
                let one = session.map(|session| (id, json!(session.host)));
                assert!(one.is_some_and(|one| shown.contains(&one)), "{id} was not confirmed: {scene:?} {answer}");
                many += 1;
            }
        }
    }
    many
}

/// Plays so many scenes at a gateway with these rules.
async fn never(more: &str, is_guarded: bool) {
    const SCENES: usize = 250;
    let quick = "[vendors.dcdb]\nrequests_per_second = 1000\n";
    let setup = Setup { more: format!("{quick}{more}"), ..Setup::default() };
    let gateway = Gateway::start_with(Engine::Sqlite, setup).await;
    gateway.clouds.limit_dcdb(1000);
    let (mut runner, mut many) = (TestRunner::default(), 0);
    for _ in 0..SCENES {
        let scene = scene().new_tree(&mut runner).unwrap().current();
        many += play(&gateway, &scene, is_guarded).await;
    }
    assert!(many > SCENES / 5, "hardly anything was confirmed: {many}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_outside_what_was_confirmed_is_ever_sent() {
    never("[confirm]\nabove = 3\n", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_protected_session_is_ever_sent() {
    never("[[protect]]\nusers = ['guarded']\n", true).await;
}
