//! The one way a call takes: recognised, authenticated, counted, perhaps spoiled, worked off, written down.

use std::time::Duration;

use tokio::sync::watch;

use super::{
    Action, Behaviour, Verdict,
    answer::{Answer, Refusal},
    cloud::{self, Cloud},
    log::{Incoming, Received},
    state::State,
    wire::{self, Frame, Interim, Writing},
};

/// How an answer is delivered.
#[derive(Debug)]
pub(super) enum Delivery {
    Plain,
    After(Duration),
    /// Once that hears something.
    Held(watch::Receiver<()>),
    Never,
    /// The connection closes without a byte.
    Closed,
    /// Half of the body, then the connection closes.
    Half,
    /// After interim answers, or those only.
    Interim(Interim),
    /// These bytes, and then the connection closes, or is left as it is.
    Raw {
        bytes: Vec<u8>,
        closes: bool,
    },
}

/// An operation and what its path names; texts are empty where it names nothing.
#[derive(Debug)]
pub(super) struct Route<'a> {
    pub(super) action: Action,
    pub(super) project: &'a str,
    pub(super) instance: &'a str,
    pub(super) node: &'a str,
}

/// Takes a call in and says what goes back.
pub(super) fn receive(state: &mut State, incoming: Incoming) -> (Answer, Delivery) {
    let cloud = cloud::of(&incoming);
    let (action, (answer, delivery)) = match cloud.route(&incoming) {
        Ok(route) => (Some(route.action), serve(cloud, state, &incoming, &route)),
        Err(refusal) => (None, (refusal.answer(cloud, None, incoming.at), Delivery::Plain)),
    };
    state.log.push(Received {
        arrived: incoming.arrived,
        at: incoming.at,
        cloud: cloud.name(),
        vendor: action.map_or("", Action::vendor),
        action,
        method: incoming.method,
        path: incoming.path,
        query: incoming.query,
        headers: incoming.headers,
        body: incoming.body,
        verdict: answer.verdict,
        status: answer.status,
        code: answer.code.clone(),
        killed: answer.killed.clone(),
    });
    state.arrivals.send_replace(());
    (answer, delivery)
}

fn serve(cloud: &dyn Cloud, state: &mut State, incoming: &Incoming, route: &Route) -> (Answer, Delivery) {
    let action = route.action;
    let refused = |refusal: Refusal| refusal.answer(cloud, Some(action), incoming.at);
    let admitted = cloud.admit(state, incoming, route).and_then(|()| {
        let call = cloud.counts(state, action);
        state.limits.count(call, incoming.arrived).map_err(|(seen, limit)| cloud.over_the_limit(seen, limit))
    });
    if let Err(refusal) = admitted {
        return (refused(refusal), Delivery::Plain);
    }

    let Some(behaviour) = state.plans.take(action, [route.instance, route.node]) else {
        return (cloud.work(state, incoming, route, None).unwrap_or_else(refused), Delivery::Plain);
    };
    let held = state.plans.cleared();
    let mut work = |lie| cloud.work(state, incoming, route, lie).unwrap_or_else(refused);
    let (mut answer, delivery) = match behaviour {
        Behaviour::Slow(time) => (work(None), Delivery::After(time)),
        Behaviour::Hold => (work(None), Delivery::Held(held)),
        Behaviour::Hang => (work(None), Delivery::Never),
        Behaviour::Drop => (work(None), Delivery::Closed),
        Behaviour::DropBefore => (Answer::bytes(0, None, vec![]), Delivery::Closed),
        Behaviour::Truncate => (work(None), Delivery::Half),
        Behaviour::Garble => (garbled(work(None)), Delivery::Plain),
        Behaviour::Lie(lie) => (work(Some(&lie)), Delivery::Plain),
        Behaviour::Throttle => return (refused(cloud.throttled(action)), Delivery::Plain),
        Behaviour::Deny => return (refused(cloud.denied(action, NOT_PERMITTED)), Delivery::Plain),
        Behaviour::DenyInForeignWriting => {
            return (Writing::Foreign.write(refused(cloud.denied(action, NOT_PERMITTED))), Delivery::Plain);
        }
        Behaviour::ThrottleUntil(seconds) => {
            let at = wire::http_date(incoming.at + Duration::from_secs(seconds.into()));
            return (refused(cloud.throttled(action)).header("Retry-After", at), Delivery::Plain);
        }
        Behaviour::Interim(interim) => (work(None), Delivery::Interim(interim)),
        Behaviour::Frame(frame) => {
            let answer = work(None);
            let bytes = frame.bytes(&answer);
            (answer, Delivery::Raw { bytes, closes: frame != Frame::WithAnother })
        }
        Behaviour::Writing(writing) => (writing.write(work(None)), Delivery::Plain),
        Behaviour::Status(canned) => {
            let body = canned.body.replace("{request_id}", &crate::clock::id_at(incoming.at).to_string());
            let mut answer = Answer::bytes(canned.status, Some(&canned.content_type), body.into_bytes());
            answer.headers = canned.headers.into_iter().collect();
            (answer, Delivery::Plain)
        }
    };
    answer.verdict = Verdict::Misbehaved;
    (answer, delivery)
}

fn garbled(answer: Answer) -> Answer {
    let page = b"<html><head><title>Welcome</title></head><body>It works!</body></html>";
    Answer { killed: answer.killed, ..Answer::bytes(200, Some("text/html"), page.to_vec()) }
}

const NOT_PERMITTED: &str = "You are not authorized to perform this operation.";
