//! `GET /kills/{id}/events`: what happens to a kill, as it happens.

use std::time::Duration;

use killgate::{
    auth::{Grant, mint},
    clock::Clock,
    config::Secret,
    sandbox::{Action, Behaviour},
};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    metric,
    stream::{Event, Stream},
};
use crate::{
    safety::{process::Served, recorded_as},
    support::{
        configuration::{BLIND, record_at},
        gateway::{
            AUDIENCE, Answer, Engine, Gateway, ISSUER, JWT_SECRET, Setup, kill_of, on_both_engines, on_one_engine,
            url_of,
        },
        patience::{eventually, in_time},
    },
};

on_both_engines! {
    an_accepted_kill_is_followed_until_it_is_settled,
    a_kill_that_another_gateway_works_on_is_followed,
    a_stream_goes_on_after_the_last_event_that_was_received,
    a_stream_of_which_everything_was_received_is_not_begun_again,
    a_kill_that_nobody_can_look_at_is_followed_until_nothing_will_come,
}

on_one_engine! {
    a_caller_follows_its_own_kills_only,
    what_is_wrong_is_told_before_the_stream_begins,
    more_streams_than_there_are_places_are_turned_away,
    one_caller_leaves_places_to_others,
    a_gateway_that_stops_ends_its_streams,
    a_stream_ends_with_its_token,
}

/// What the events are called. A mark that is older than a second is made anew before its call leaves, so on a slow machine
/// there may be more of them, as far apart.
fn names(events: &[Event]) -> Vec<&str> {
    let at = |event: &Event| OffsetDateTime::parse(event.data["at"].as_str().unwrap(), &Rfc3339).unwrap();
    let mut told: Vec<&Event> = events.iter().collect();
    told.dedup_by(|next, last| {
        let is_again = next.name == "sent" && last.name == "sent";
        is_again && at(next) - at(last) >= time::Duration::SECOND
    });
    told.into_iter().map(|event| event.name.as_str()).collect()
}

/// Asks for a kill that the vendor answers so, and does not wait for it; the id it has on record.
async fn asked(gateway: &Gateway, behaviour: Behaviour) -> String {
    gateway.clouds.misbehave(Action::TaurusdbKill, behaviour);
    let (client, token) = (gateway.client().clone(), Gateway::token("chatops-bot", "sessions:kill"));
    drop(tokio::spawn(async move {
        let body = kill_of("orders-ro", &[2_075_425]).to_string();
        let headers = [("Authorization", format!("Bearer {token}")), ("Content-Type", "application/json".to_owned())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        client.try_send(actix_web::http::Method::POST, "/sessions/kill", &headers, body).await
    }));
    gateway.clouds.arrived(Action::TaurusdbKill, 1).await;
    newest(gateway).await
}

async fn newest(gateway: &Gateway) -> String {
    gateway.read("/kills?limit=1").await.body["items"][0]["id"].as_str().unwrap().to_owned()
}

async fn an_accepted_kill_is_followed_until_it_is_settled(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    gateway.clouds.misbehave_times(1, Action::DcdbFlow, Behaviour::Deny);
    let answer = gateway.kill(&kill_of("orders-shard-1", &[1111])).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
    let mut stream = Stream::of(&gateway, answer.kill_id()).await;
    assert!(stream.head.to_ascii_lowercase().contains("content-type: text/event-stream"), "{}", stream.head);
    let mut events = stream.rest().await;
    let last = events.pop().unwrap();
    let kill = recorded_as(&gateway, answer.kill_id(), "succeeded").await;
    assert_eq!(last, Event { id: None, name: "kill".into(), data: kill });
    let mut told = names(&events);
    // A mark that has aged while the machine was busy is renewed before the call leaves.
    told.dedup();
    assert_eq!(told[..3], ["recorded", "sent", "answered"]);
    assert!(told.len() > 3 && told[3..].iter().all(|name| *name == "looked"), "{events:?}");
    for (number, event) in (1..).zip(&events) {
        assert_eq!((event.id, &event.data["seq"]), (Some(number), &number.into()), "{event:?}");
        assert!(event.data["at"].as_str().unwrap().ends_with('Z'), "{event:?}");
        assert_eq!((&event.data["kind"], event.data.get("gateway")), (&event.name.as_str().into(), None));
    }
    let answered = &events.iter().find(|event| event.name == "answered").unwrap().data;
    let settled = &events.last().unwrap().data;
    assert_eq!((&answered["status"], &answered["sessions"][0]["outcome"]), (&"accepted".into(), &"accepted".into()));
    assert_eq!(answered["upstream"]["http_status"], 200);
    // Where the flow's answer was late the list tells of it.
    let outcome = &settled["sessions"][0]["outcome"];
    assert!(settled["status"] == "succeeded" && (outcome == "killed" || outcome == "gone"), "{settled}");
}

async fn a_kill_that_another_gateway_works_on_is_followed(engine: Engine) {
    let here = Gateway::start_blind(engine).await;
    let there = Served::start(&record_at(&url_of(&here)), &here.sandbox.url, BLIND).await;
    here.clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Hold);
    there.kill_and_forget(&kill_of("orders-ro", &[2_075_425]));
    here.clouds.arrived(Action::TaurusdbKill, 1).await;
    let mut stream = Stream::of(&here, &newest(&here).await).await;
    let first = [stream.next().await.unwrap(), stream.next().await.unwrap()];
    assert_eq!(names(&first), ["recorded", "sent"]);
    assert_eq!(first[1].data["status"], "pending");
    here.clouds.behave();
    let rest = stream.rest().await;
    let mut told = names(&rest);
    told.retain(|name| *name != "sent");
    assert_eq!(told, ["answered", "kill"]);
    let last = &rest.last().unwrap().data;
    assert_eq!(*last, here.record(last["id"].as_str().unwrap()).await);
}

async fn a_stream_goes_on_after_the_last_event_that_was_received(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let answer = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    let token = Gateway::token("auditor", "kills:read");
    let from =
        async |last: &str| Stream::open(gateway.app.address(), answer.kill_id(), &token, last).await.rest().await;
    let all = from("").await;
    let mut told = names(&all);
    // As above.
    told.dedup();
    assert_eq!(told, ["recorded", "sent", "answered", "kill"]);
    assert_eq!(all.last().unwrap().data, answer.body);
    for (number, event) in (1..).zip(&all[..all.len() - 1]) {
        assert_eq!(event.id, Some(number), "{event:?}");
    }
    for (last, received) in [("Last-Event-ID: 0\r\n", 0), ("Last-Event-ID: 1\r\n", 1), ("Last-Event-ID: 2\r\n", 2)] {
        assert_eq!(from(last).await, all[received..], "{last}");
    }
}

async fn a_stream_of_which_everything_was_received_is_not_begun_again(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let token = Gateway::token("chatops-bot", "sessions:kill");
    // One that is settled, and one that nobody can look at.
    for (target, session) in [("orders-ro", 2_075_425), ("shop", 11_212)] {
        let id = gateway.kill(&kill_of(target, &[session])).await.kill_id().to_owned();
        let told = Stream::of(&gateway, &id).await.rest().await;
        let last = told.iter().filter_map(|event| event.id).max().unwrap().to_string();
        let answer = follow(&gateway, &format!("/kills/{id}/events"), &token, &[("Last-Event-ID", &last)]).await;
        assert_eq!((answer.status.as_u16(), answer.body), (204, Value::String(String::new())), "{target}");
    }
    let id = asked(&gateway, Behaviour::Hold).await;
    let mut stream = Stream::open(gateway.app.address(), &id, &token, "Last-Event-ID: 2\r\n").await;
    assert_eq!(stream.status.as_u16(), 200, "more will come of one that is open: {}", stream.head);
    gateway.clouds.behave();
    assert_eq!(names(&stream.rest().await), ["answered", "kill"]);
}

async fn follow(gateway: &Gateway, path: &str, token: &str, headers: &[(&str, &str)]) -> Answer {
    let bearer = format!("Bearer {token}");
    let mut all = vec![("Authorization", bearer.as_str())];
    all.extend_from_slice(headers);
    gateway.client().send(actix_web::http::Method::GET, path, &all, String::new()).await
}

async fn a_caller_follows_its_own_kills_only(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let id = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await.kill_id().to_owned();
    let (read, path) = (format!("/kills/{id}"), format!("/kills/{id}/events"));
    for (subject, scope, status) in [
        ("chatops-bot", "sessions:kill", 200),
        ("auditor", "kills:read", 200),
        ("somebody", "sessions:kill", 404),
        ("chatops-bot", "sessions:read", 403),
    ] {
        let token = Gateway::token(subject, scope);
        let answer = follow(&gateway, &path, &token, &[]).await;
        assert_eq!(answer.status.as_u16(), status, "{subject} {scope}: {}", answer.body);
        if status != 200 {
            let reading = gateway.client().get(&read, &token).await;
            assert_eq!((reading.status, reading.body), (answer.status, answer.body));
        }
    }
    assert_eq!(follow(&gateway, &path, "no.to.ken", &[]).await.status.as_u16(), 401);
}

async fn what_is_wrong_is_told_before_the_stream_begins(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let id = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await.kill_id().to_owned();
    let token = Gateway::token("auditor", "kills:read");
    let path = format!("/kills/{id}/events");
    for odd in ["", "x", "-1", "+1", "1.5", "99999999999"] {
        let answer = follow(&gateway, &path, &token, &[("Last-Event-ID", odd)]).await;
        crate::api::kit::assert_problem(&answer, ("get", "/kills/{id}/events"), 422, "invalid");
        assert_eq!(answer.body["field"], "Last-Event-ID");
    }
    for (path, status, code) in [
        (format!("{path}?from=1"), 400, "malformed"),
        ("/kills/01a20145-0be1-7823-a957-937f06d75d65/events".to_owned(), 404, "not_found"),
        ("/kills/nothing/events".to_owned(), 404, "not_found"),
    ] {
        let answer = follow(&gateway, &path, &token, &[]).await;
        crate::api::kit::assert_problem(&answer, ("get", "/kills/{id}/events"), status, code);
    }
}

async fn more_streams_than_there_are_places_are_turned_away(engine: Engine) {
    let env = vec![("KILLGATE__SERVER__MAX_STREAMS", "2")];
    let gateway = Gateway::start_blind_with(engine, Setup { env, ..Setup::default() }).await;
    let done = gateway.kill(&kill_of("ledger", &[10_180])).await.kill_id().to_owned();
    let id = asked(&gateway, Behaviour::Hold).await;
    let mut first = Stream::of(&gateway, &id).await;
    let _second = Stream::of(&gateway, &id).await;
    assert_eq!(metric(&gateway, "killgate_streams").await, 2);
    let token = Gateway::token("auditor", "kills:read");
    let answer = follow(&gateway, &format!("/kills/{done}/events"), &token, &[]).await;
    crate::api::kit::assert_problem(&answer, ("get", "/kills/{id}/events"), 503, "overloaded");
    assert_eq!(answer.header("retry-after"), Some("5"));
    gateway.clouds.behave();
    first.rest().await;
    let again = async || {
        let answer = follow(&gateway, &format!("/kills/{done}/events"), &token, &[]).await;
        (answer.status.as_u16() == 200).then_some(())
    };
    eventually("a place is free", again).await;
}

async fn one_caller_leaves_places_to_others(engine: Engine) {
    let env = vec![("KILLGATE__SERVER__MAX_STREAMS", "4")];
    let gateway = Gateway::start_blind_with(engine, Setup { env, ..Setup::default() }).await;
    let id = asked(&gateway, Behaviour::Hold).await;
    let mut held = vec![];
    for _ in 0..3 {
        held.push(Stream::of(&gateway, &id).await);
    }
    let (path, own) = (format!("/kills/{id}/events"), Gateway::token("chatops-bot", "sessions:kill"));
    let answer = follow(&gateway, &path, &own, &[]).await;
    crate::api::kit::assert_problem(&answer, ("get", "/kills/{id}/events"), 503, "overloaded");
    let token = Gateway::token("auditor", "kills:read");
    let other = Stream::open(gateway.app.address(), &id, &token, "").await;
    assert_eq!(other.status.as_u16(), 200, "{}", other.head);
    gateway.clouds.behave();
    held[0].rest().await;
    let again = async || (follow(&gateway, &path, &own, &[]).await.status.as_u16() == 200).then_some(());
    eventually("a place of one's own is free", again).await;
}

async fn a_gateway_that_stops_ends_its_streams(engine: Engine) {
    let env = vec![("KILLGATE__SERVER__SHUTDOWN_GRACE_MS", "600000")];
    let gateway = Gateway::start_blind_with(engine, Setup { env, ..Setup::default() }).await;
    let id = asked(&gateway, Behaviour::Hold).await;
    let mut stream = Stream::of(&gateway, &id).await;
    let first = [stream.next().await.unwrap(), stream.next().await.unwrap()];
    assert_eq!(names(&first), ["recorded", "sent"]);
    let clouds = gateway.clouds.clone();
    let stopping = tokio::spawn(gateway.stop());
    // The kill itself is waited for, and what comes of it is not told here any more.
    assert_eq!(stream.rest().await, []);
    clouds.behave();
    in_time(stopping).await.unwrap();
}

async fn a_stream_ends_with_its_token(engine: Engine) {
    let env = vec![("KILLGATE__AUTH__LEEWAY_S", "0")];
    let clock = Clock::manual(Clock::system().now());
    let setup = Setup { env, clock: Some(clock.clone()), ..Setup::default() };
    let gateway = Gateway::start_blind_with(engine, setup).await;
    let id = asked(&gateway, Behaviour::Hang).await;
    let grant = Grant {
        issuer: ISSUER,
        audience: AUDIENCE,
        subject: "chatops-bot",
        scope: "sessions:kill",
        ttl: Duration::from_secs(2),
        extra: serde_json::Map::new(),
    };
    let token = mint(&grant, &Secret::from(JWT_SECRET.to_owned()), &clock).unwrap();
    let mut stream = Stream::open(gateway.app.address(), &id, &token, "").await;
    assert_eq!(stream.status.as_u16(), 200, "{}", stream.head);
    assert_eq!(names(&stream.rest().await), ["recorded", "sent"]);
    let kill: Value = gateway.record(&id).await;
    assert_eq!(kill["status"], "pending", "the kill goes on");
}

async fn a_kill_that_nobody_can_look_at_is_followed_until_nothing_will_come(engine: Engine) {
    let gateway = Gateway::start_blind(engine).await;
    let answer = gateway.kill(&kill_of("shop", &[11_212])).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.body);
    let events = Stream::of(&gateway, answer.kill_id()).await.rest().await;
    // A mark that is older than a second when the call leaves is made anew.
    let mut told = names(&events);
    told.dedup();
    assert_eq!(told, ["recorded", "sent", "answered", "kill"]);
    assert_eq!(events.last().unwrap().data, answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_with_nothing_to_tell_gives_signs_of_life() {
    let gateway = Gateway::start_blind(Engine::Sqlite).await;
    let id = asked(&gateway, Behaviour::Hang).await;
    let mut stream = Stream::of(&gateway, &id).await;
    for _ in 0..2 {
        stream.next().await.unwrap();
    }
    assert_eq!(stream.block().await.as_deref(), Some(":"));
}
