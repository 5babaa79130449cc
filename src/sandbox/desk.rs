//! The one way a call takes: recognised, authenticated, counted, perhaps spoiled, worked off, written down.

use std::time::Duration;

use tokio::sync::watch;

use super::{
    Action, Behaviour, Lie, Verdict,
    answer::{Answer, Refusal},
    huawei,
    log::{Incoming, Received},
    state::State,
    tencent,
    wire::{self, Frame, Interim, Writing},
};
use crate::upstream::Cloud;

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
    let cloud = if incoming.path == "/" { Cloud::Tencent } else { Cloud::Huawei };
    let (action, (answer, delivery)) = match route(cloud, &incoming) {
        Ok(route) => (Some(route.action), serve(state, &incoming, &route)),
        Err(refusal) => (None, (refusal.answer(cloud, None, incoming.at), Delivery::Plain)),
    };
    state.log.push(Received {
        arrived: incoming.arrived,
        at: incoming.at,
        cloud: cloud.as_str(),
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

fn route(cloud: Cloud, incoming: &Incoming) -> Result<Route<'_>, Refusal> {
    match cloud {
        Cloud::Huawei => huawei::route(incoming),
        Cloud::Tencent => tencent::route(incoming),
    }
}

fn serve(state: &mut State, incoming: &Incoming, route: &Route) -> (Answer, Delivery) {
    let action = route.action;
    let refused = |refusal: Refusal| refusal.answer(action.cloud(), Some(action), incoming.at);
    let admitted = match action.cloud() {
        Cloud::Huawei => huawei::admit(state, incoming, route),
        Cloud::Tencent => tencent::admit(state, incoming),
    };
    let admitted = admitted.and_then(|()| {
        state.limits.count(action, incoming.arrived).map_err(|(seen, limit)| over_the_limit(action, seen, limit))
    });
    if let Err(refusal) = admitted {
        return (refused(refusal), Delivery::Plain);
    }

    let Some(behaviour) = state.plans.take(action) else {
        return (work(state, incoming, route, None).unwrap_or_else(refused), Delivery::Plain);
    };
    let held = state.plans.cleared();
    let mut work = |lie| work(state, incoming, route, lie).unwrap_or_else(refused);
    let (mut answer, delivery) = match behaviour {
        Behaviour::Slow(time) => (work(None), Delivery::After(time)),
        Behaviour::Hold => (work(None), Delivery::Held(held)),
        Behaviour::Hang => (work(None), Delivery::Never),
        Behaviour::Drop => (work(None), Delivery::Closed),
        Behaviour::DropBefore => (Answer::bytes(0, None, vec![]), Delivery::Closed),
        Behaviour::Truncate => (work(None), Delivery::Half),
        Behaviour::Garble => (garbled(work(None)), Delivery::Plain),
        Behaviour::Lie(lie) => (work(Some(&lie)), Delivery::Plain),
        Behaviour::Throttle => return (refused(throttled(action)), Delivery::Plain),
        Behaviour::Deny => return (refused(denied(action)), Delivery::Plain),
        Behaviour::DenyInForeignWriting => {
            return (Writing::Foreign.write(refused(denied(action))), Delivery::Plain);
        }
        Behaviour::ThrottleUntil(seconds) => {
            let at = wire::http_date(incoming.at + Duration::from_secs(seconds.into()));
            return (refused(throttled(action)).header("Retry-After", at), Delivery::Plain);
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

fn work(state: &mut State, incoming: &Incoming, route: &Route, lie: Option<&Lie>) -> Result<Answer, Refusal> {
    match route.action.cloud() {
        Cloud::Huawei => huawei::work(state, incoming, route, lie),
        Cloud::Tencent => tencent::work(state, incoming, route.action, lie),
    }
}

fn garbled(answer: Answer) -> Answer {
    let page = b"<html><head><title>Welcome</title></head><body>It works!</body></html>";
    Answer { killed: answer.killed, ..Answer::bytes(200, Some("text/html"), page.to_vec()) }
}

fn over_the_limit(action: Action, seen: usize, limit: usize) -> Refusal {
    match action.cloud() {
        Cloud::Tencent => Refusal::throttled(
            200,
            "RequestLimitExceeded",
            format!("Your current request times equals to `{seen}` in a second, which exceeds the limit `{limit}`."),
        ),
        Cloud::Huawei => Refusal::throttled(
            429,
            "APIGW.0308",
            format!(
                "The throttling threshold has been reached: policy user over ratelimit,limit:{limit},time:1 second"
            ),
        ),
    }
}

fn throttled(action: Action) -> Refusal {
    match action {
        Action::DasKill | Action::DasProcesses => {
            Refusal::throttled(400, "DAS.200002", "Too many requests. Try again later.")
        }
        Action::IamToken => Refusal::throttled(429, "IAM.0012", "Request throttled: 60 calls per 60 seconds."),
        other => over_the_limit(other, 21, 20),
    }
}

fn denied(action: Action) -> Refusal {
    let text = "You are not authorized to perform this operation.";
    match action.vendor() {
        "gaussdb" => Refusal::denied(400, "DBS.216003", text),
        "taurusdb" => Refusal::denied(403, "DBS.200010", text),
        "das" => Refusal::denied(403, "APIGW.0302", text),
        "iam" => Refusal::denied(403, "IAM.0002", text),
        _ => Refusal::denied(200, "UnauthorizedOperation.PermissionDenied", text),
    }
}
