//! Who is told of a kill, what, and how often.

use std::{collections::BTreeSet, time::Duration};

use killgate::{
    clock::Clock,
    config::Database,
    sandbox::{Action, Behaviour},
};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use super::metric;
use crate::{
    safety::recorded_as,
    support::{
        gateway::{Engine, Gateway, Setup, kill_of, on_both_engines, on_one_engine, targets},
        patience::eventually,
        receiver::{Post, Receiver, Reply},
    },
};

on_both_engines! {
    a_kill_is_told_as_it_is_read_under_a_signature,
    what_was_refused_twice_is_told_a_third_time_and_the_same,
    every_attempt_at_what_its_caller_may_name_is_told_and_no_preview,
    an_attempt_that_names_nothing_its_caller_may_name_is_not_told,
    a_webhook_is_told_of_its_callers_and_accounts_only,
    an_open_kill_is_told_once_it_is_settled,
    a_kill_that_nobody_can_look_at_is_told_as_it_stays,
}

on_one_engine! {
    a_receiver_that_wants_no_more_is_left_alone,
    a_redirect_is_not_followed,
    a_receiver_that_names_a_date_is_not_tried_before,
    a_receiver_that_answers_as_simple_servers_do_has_taken_it,
    a_receiver_that_hangs_slows_neither_kills_nor_others,
}

const DELIVERED: &str = "killgate_webhook_deliveries_total{webhook=\"portal\",result=\"delivered\"}";
const FAILED: &str = "killgate_webhook_deliveries_total{webhook=\"portal\",result=\"failed\"}";
const GIVEN_UP: &str = "killgate_webhook_deliveries_total{webhook=\"portal\",result=\"given_up\"}";

async fn gateway(engine: Engine, more: String) -> Gateway {
    Gateway::start_blind_with(engine, Setup { more, ..Setup::default() }).await
}

/// The same on a clock that stands.
async fn gateway_on_a_clock(engine: Engine, more: String) -> (Gateway, Clock) {
    let clock = Clock::manual(Clock::system().now());
    let setup = Setup { more, clock: Some(clock.clone()), ..Setup::default() };
    (Gateway::start_blind_with(engine, setup).await, clock)
}

/// So many posts, each after a pause that is longer than any before it.
async fn posts_after_pauses(gateway: &Gateway, clock: &Clock, portal: &Receiver, count: u64) -> Vec<Post> {
    for failed in 1..count {
        counted(gateway, FAILED, failed).await;
        clock.set(clock.now() + Duration::from_mins(1));
    }
    portal.got(usize::try_from(count).unwrap()).await
}

/// Waits until the gateway counts so many.
async fn counted(gateway: &Gateway, name: &str, count: u64) {
    let is_so = async || (metric(gateway, name).await >= count).then_some(());
    eventually(&format!("{count} of {name}"), is_so).await;
    assert_eq!(metric(gateway, name).await, count);
}

fn ids(posts: &[Post]) -> BTreeSet<String> {
    posts.iter().map(|post| post.json()["data"]["id"].as_str().unwrap().to_owned()).collect()
}

async fn a_kill_is_told_as_it_is_read_under_a_signature(engine: Engine) {
    let portal = Receiver::replying([]).await;
    let gateway = gateway(engine, portal.section("portal")).await;
    let answer = gateway.kill(&kill_of("orders-ro", &[2_075_425, 99])).await;
    let [post] = portal.got(1).await.try_into().unwrap();
    post.verify();
    let told = post.json();
    let kill = gateway.record(answer.kill_id()).await;
    assert_eq!((&told["type"], &told["data"]), (&json!("kill.completed"), &kill));
    assert_eq!((&answer.body, &told["timestamp"]), (&kill, &kill["completed_at"]));
    assert_eq!(post.headers["content-type"], "application/json");
    let at: i64 = post.headers["webhook-timestamp"].parse().unwrap();
    assert!((0..300).contains(&(Clock::system().now().unix_timestamp() - at)), "{at}");
    assert!(!post.id().contains('.') && post.id().contains(answer.kill_id()), "{}", post.id());
    counted(&gateway, DELIVERED, 1).await;
}

async fn a_receiver_that_names_a_date_is_not_tried_before(engine: Engine) {
    // By itself it would be tried again after two seconds or so.
    let portal = Receiver::replying([Reply::Later(6)]).await;
    let gateway = gateway(engine, portal.section("portal")).await;
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    let posts = portal.got(2).await;
    let at = |post: &Post| post.headers["webhook-timestamp"].parse::<i64>().unwrap();
    assert!(at(&posts[1]) - at(&posts[0]) >= 5, "{} {}", at(&posts[0]), at(&posts[1]));
}

async fn a_receiver_that_answers_as_simple_servers_do_has_taken_it(engine: Engine) {
    let portal = Receiver::always(Reply::Curt).await;
    let gateway = gateway(engine, portal.section("portal")).await;
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    counted(&gateway, DELIVERED, 1).await;
    assert_eq!(portal.posts().len(), 1);
}

async fn what_was_refused_twice_is_told_a_third_time_and_the_same(engine: Engine) {
    let portal = Receiver::replying([Reply::Status(500), Reply::Status(429)]).await;
    let (gateway, clock) = gateway_on_a_clock(engine, portal.section("portal")).await;
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    let posts = posts_after_pauses(&gateway, &clock, &portal, 3).await;
    for post in &posts {
        post.verify();
        assert_eq!((post.id(), &post.body), (posts[0].id(), &posts[0].body));
    }
    let at = |post: &Post| post.headers["webhook-timestamp"].parse::<i64>().unwrap();
    assert!(at(&posts[0]) < at(&posts[2]), "each try has its own time");
    counted(&gateway, DELIVERED, 1).await;
    counted(&gateway, FAILED, 2).await;
    assert_eq!(portal.posts().len(), 3);
}

async fn every_attempt_at_what_its_caller_may_name_is_told_and_no_preview(engine: Engine) {
    let portal = Receiver::replying([]).await;
    let more = portal.section("portal") + "[callers]\nkills_per_second = 1\nburst = 1\n";
    let gateway = gateway(engine, more).await;
    let mut preview = kill_of("orders-ro", &[2_075_425]);
    preview["dry_run"] = true.into();
    let ask = async |caller: &str, scope: &str, body: &Value| {
        let token = Gateway::token(caller, scope);
        gateway.client().post("/sessions/kill", &token, &[], body.to_string()).await
    };
    assert_eq!(ask("anna", "sessions:kill", &preview).await.body["status"], "preview");
    let mut told = BTreeSet::new();
    let (plain, mut blind, mut invalid) = (kill_of("orders-ro", &[2_075_425]), preview.clone(), preview.clone());
    (blind["dry_run"], blind["look"]) = (false.into(), false.into());
    (invalid["dry_run"], invalid["reason"]) = (false.into(), "".into());
    // Both at once: a moment later the second might be done too.
    let (one, other) = tokio::join!(ask("bot", "sessions:kill", &plain), ask("bot", "sessions:kill", &plain));
    told.extend([one, other].map(|answer| answer.kill_id().to_owned()));
    for (caller, body) in [("carl", &blind), ("dora", &invalid)] {
        told.insert(ask(caller, "sessions:kill", body).await.kill_id().to_owned());
    }
    let posts = portal.got(4).await;
    assert_eq!(ids(&posts), told);
    let statuses: BTreeSet<_> = posts.iter().map(Post::status).collect();
    assert_eq!(statuses, ["succeeded", "rate_limited", "refused", "failed"].map(str::to_owned).into());
    counted(&gateway, DELIVERED, 4).await;
}

async fn an_attempt_that_names_nothing_its_caller_may_name_is_not_told(engine: Engine) {
    // What it is told stays on record.
    let portal = Receiver::always(Reply::Hang).await;
    let more = portal.section("portal")
        + "[access]\ncoordinates = [\"dba\"]\n[targets.own]\nvendor = \"das\"\naccount = \"huawei-test\"\n\
           instance_id = \"da304cd5bbb944de828759bc7be3d3ffin01\"\ndb_user_id = \"2c250598-1e3c-4d31-bc19-be1d866247e7\"\ncallers = [\"dba\"]\n";
    let gateway = gateway(engine, more).await;
    let ask = async |scope: &str, body: String| {
        let token = Gateway::token("bot", scope);
        gateway.client().post("/sessions/kill", &token, &[], body).await
    };
    let (_, in_full) = targets().into_iter().find(|(alias, _)| *alias == "ledger").unwrap();
    for (scope, body) in [
        ("kills:read", kill_of("orders-ro", &[2_075_425]).to_string()),
        ("sessions:kill", kill_of("nowhere", &[1]).to_string()),
        ("sessions:kill", kill_of("own", &[1]).to_string()),
        ("sessions:kill", kill_of(in_full, &[1]).to_string()),
        ("sessions:kill", r#"{"target":{"vendor":"das","account":"huawei-test"}}"#.to_owned()),
        ("sessions:kill", r#"{"target":7}"#.to_owned()),
        ("sessions:kill", "no JSON".to_owned()),
    ] {
        let answer = ask(scope, body).await;
        assert!(answer.status.is_client_error(), "{}", answer.body);
        assert_eq!(deliveries(&gateway).await, 0, "{}", answer.body);
    }
}

/// How many deliveries are on record.
async fn deliveries(gateway: &Gateway) -> i64 {
    let count = "SELECT count(*) FROM webhook_deliveries";
    match &gateway.config.audit.database {
        Database::Postgres(url) => {
            let mut connection = PgConnection::connect(url.expose()).await.unwrap();
            sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap()
        }
        Database::Sqlite(path) => {
            let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
            sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap()
        }
    }
}

async fn a_webhook_is_told_of_its_callers_and_accounts_only(engine: Engine) {
    let (portal, tencent) = (Receiver::replying([]).await, Receiver::replying([]).await);
    let more = portal.section("portal")
        + "callers = [\"portal-*\"]\n"
        + &tencent.section("tencent")
        + "accounts = [\"tencent-*\"]\n";
    let gateway = gateway(engine, more).await;
    let ask = async |caller: &str, scope: &str, target: &str| {
        let (token, body) = (Gateway::token(caller, scope), kill_of(target, &[1111]));
        gateway.client().post("/sessions/kill", &token, &[], body.to_string()).await.kill_id().to_owned()
    };
    let portals = ask("portal-7", "sessions:kill", "orders-ro").await;
    let tencents = ask("bot", "sessions:kill", "orders-shard-1").await;
    ask("bot", "sessions:kill", "ledger").await;
    let both = ask("portal-8", "sessions:kill", "orders-shard-1").await;
    assert_eq!(ids(&portal.got(2).await), [portals, both.clone()].into());
    assert_eq!(ids(&tencent.got(2).await), [tencents, both].into());
}

async fn a_receiver_that_wants_no_more_is_left_alone(engine: Engine) {
    let portal = Receiver::replying([Reply::Status(410)]).await;
    let gateway = gateway(engine, portal.section("portal")).await;
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    counted(&gateway, GIVEN_UP, 1).await;
    gateway.kill(&kill_of("orders-ro", &[2_075_426])).await;
    counted(&gateway, DELIVERED, 1).await;
    let posts = portal.posts();
    assert_eq!(ids(&posts).len(), 2);
    assert_eq!((posts.len(), metric(&gateway, FAILED).await), (2, 0));
}

async fn a_redirect_is_not_followed(engine: Engine) {
    let elsewhere = Receiver::replying([]).await;
    let portal = Receiver::replying([Reply::Redirect(elsewhere.url().to_owned())]).await;
    let (gateway, clock) = gateway_on_a_clock(engine, portal.section("portal")).await;
    gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    posts_after_pauses(&gateway, &clock, &portal, 2).await;
    assert_eq!(elsewhere.posts().len(), 0);
}

async fn a_receiver_that_hangs_slows_neither_kills_nor_others(engine: Engine) {
    let (hanging, portal) = (Receiver::always(Reply::Hang).await, Receiver::replying([]).await);
    let gateway = gateway(engine, hanging.section("hanging") + &portal.section("portal")).await;
    for id in 0..20 {
        let answer = gateway.kill(&kill_of("ledger", &[10_180 + id])).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    }
    assert_eq!(ids(&portal.got(20).await).len(), 20);
    // As many as there are places.
    assert!((1..=8).contains(&hanging.most_at_once()), "{}", hanging.most_at_once());
}

async fn an_open_kill_is_told_once_it_is_settled(engine: Engine) {
    let portal = Receiver::replying([]).await;
    let more = portal.section("portal") + "[vendors.gaussdb]\ntimeout_ms = 1500\n";
    let gateway = gateway(engine, more).await;
    let accepted = gateway.kill(&kill_of("orders-shard-1", &[1111])).await;
    assert_eq!(accepted.status.as_u16(), 202, "{}", accepted.body);
    gateway.clouds.misbehave_times(1, Action::GaussdbKill, Behaviour::Drop);
    let lost = gateway.kill(&kill_of("ledger", &[10_180])).await;
    assert_eq!(lost.status.as_u16(), 504, "{}", lost.body);
    let posts = portal.got(2).await;
    for post in &posts {
        let told = &post.json()["data"];
        assert_eq!(*told, recorded_as(&gateway, told["id"].as_str().unwrap(), "succeeded").await);
    }
    counted(&gateway, DELIVERED, 2).await;
    assert_eq!((ids(&posts).len(), portal.posts().len()), (2, 2));
}

async fn a_kill_that_nobody_can_look_at_is_told_as_it_stays(engine: Engine) {
    let portal = Receiver::replying([]).await;
    let gateway = gateway(engine, portal.section("portal")).await;
    gateway.clouds.misbehave_times(1, Action::DasKill, Behaviour::Slow(Duration::from_millis(50)));
    let answer = gateway.kill(&kill_of("shop", &[11_212])).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
    let [post] = portal.got(1).await.try_into().unwrap();
    assert_eq!((post.status().as_str(), &post.json()["data"]), ("accepted", &answer.body));
}
