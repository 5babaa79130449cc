//! Plays one vector through its vendor's script and says where the two differ.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use killgate::{
    domain::{LiveSession, Order},
    upstream::{Answer, Call, Effect, Fault, HttpCall, Known, ListFilter, Listing, Step, Vendor},
};
use serde_json::Value;

use super::vector::{Expected, ExpectedAnswer, ExpectedCall, ExpectedEffect, ExpectedFault, Vector};

type Verdict = Result<(), String>;

/// Runs the vector; the text says what differs.
pub(super) fn play(vector: &Vector) -> Verdict {
    if vector.about.trim().is_empty() {
        return Err("says nothing about itself".to_owned());
    }
    if let Some(wanted) = vector.wanted() {
        return list(vector, wanted);
    }
    let (vendor, order) = vector.order()?;
    if vector.pick {
        return pick(vector, vendor, &order);
    }
    let known = vector.known();
    let first = first_call(vector, vendor, &order, &known);
    if let Expected::Nothing(nothing) = &vector.result {
        same("nothing to ask", &nothing.nothing_to_ask, &first.is_none())?;
        return same("exchanges", &0, &vector.exchanges.len());
    }
    let mut call = first.ok_or("the vendor has nothing to ask")?;

    for (at, exchange) in vector.exchanges.iter().enumerate() {
        let within = |why| format!("exchange {}: {why}", at + 1);
        same_call(&exchange.call, &call).map_err(within)?;
        let reply = exchange.reply.to(&call);
        let step = vendor.next(&order, &known, &reply);
        let Some(next) = vector.exchanges.get(at + 1) else {
            return match (&vector.result, step) {
                (_, Ok(Step::Send(more) | Step::Commit { call: more, .. } | Step::Wait { then: more, .. })) => {
                    Err(within(format!("should end here, but goes on with {more:?}")))
                }
                (Expected::Answer(expected), Ok(Step::Done(answer))) => same_answer(expected, &answer),
                (Expected::Fault(expected), Err(fault)) => {
                    same("http_status", &reply.status().map(|status| status.as_u16()), &fault.http_status)?;
                    same("the fault's stage", &call.stage, &fault.stage)?;
                    same_fault(expected, &fault, call.effect)
                }
                (expected, step) => Err(within(format!("expected {expected:?}, found {step:?}"))),
            };
        };
        call = match (step, next.after_pause) {
            (Ok(Step::Send(then)), false) => then,
            (Ok(Step::Commit { call: then, .. }), false) if call.effect == Effect::Read => then,
            (Ok(Step::Wait { pause, then }), true) => {
                let bearable = Duration::from_millis(100)..=Duration::from_secs(5);
                if !bearable.contains(&pause) {
                    return Err(within(format!("a pause of {pause:?} is not about a second")));
                }
                then
            }
            (step, pause) => return Err(within(format!("should go on (after a pause: {pause}), found {step:?}"))),
        };
    }
    Err("has no exchange".to_owned())
}

/// Asks what the database would pick: one call, one answer.
fn pick(vector: &Vector, vendor: &dyn Vendor, order: &Order) -> Verdict {
    let call = vendor.pick(&order.target);
    if let Expected::Nothing(nothing) = &vector.result {
        return same("nothing to ask", &nothing.nothing_to_ask, &call.is_none());
    }
    let call = call.ok_or("the vendor has nothing to ask")?;
    let [exchange] = vector.exchanges.as_slice() else { return Err("a pick is one exchange".to_owned()) };
    same_call(&exchange.call, &call)?;
    same("effect", &Effect::Read, &call.effect)?;
    match (&vector.result, vendor.picked(&exchange.reply.to(&call))) {
        (Expected::Picks(expected), Ok(picks)) => {
            same("picks", &expected.picks, &picks.into_iter().map(|id| id.0).collect::<Vec<_>>())
        }
        (Expected::Fault(expected), Err(fault)) => same_fault(expected, &fault, call.effect),
        (expected, found) => Err(format!("expected {expected:?}, found {found:?}")),
    }
}

/// Reads the pages of the vector's list.
fn list(vector: &Vector, filter: ListFilter) -> Verdict {
    let (vendor, target) = vector.target()?;
    let mut listing = Listing::new(vendor, target, filter);
    for (at, exchange) in vector.exchanges.iter().enumerate() {
        let within = |why| format!("exchange {}: {why}", at + 1);
        same("after a pause", &exchange.after_pause, &listing.pause().is_some()).map_err(within)?;
        let call = listing.call().ok_or_else(|| within("the list has ended".to_owned()))?;
        same_call(&exchange.call, &call).map_err(within)?;
        same("effect", &Effect::Read, &call.effect)?;
        let reply = exchange.reply.to(&call);
        match (listing.read(&reply), &vector.result) {
            (Ok(()), _) => {}
            (Err(fault), Expected::Fault(expected)) if at + 1 == vector.exchanges.len() => {
                same("http_status", &reply.status().map(|status| status.as_u16()), &fault.http_status)?;
                same("the fault's stage", &call.stage, &fault.stage)?;
                return same_fault(expected, &fault, call.effect);
            }
            (Err(fault), _) => return Err(within(format!("did not expect {fault:?}"))),
        }
    }
    if let Some(more) = listing.call() {
        return Err(format!("should end here, but goes on with {more:?}"));
    }
    let Expected::List(expected) = &vector.result else {
        return Err(format!("expected {:?}, found {listing:?}", vector.result));
    };
    let list = listing.into_list();
    let shown = |session: &LiveSession| match serde_json::to_value(session) {
        Ok(Value::Object(members)) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => panic!("{other:?}"),
    };
    same("listed", &expected.listed, &list.sessions.iter().map(shown).collect::<Vec<Value>>())?;
    same("complete", &expected.complete, &list.complete)
}

/// The call the vector begins with: a follow-up where something is remembered, else a kill.
pub(super) fn first_call(vector: &Vector, vendor: &dyn Vendor, order: &Order, known: &Known) -> Option<Call> {
    match vector.known {
        Some(_) => vendor.follow_up(order, known),
        None => Some(vendor.open(order)),
    }
}

fn same<T: PartialEq + Debug + ?Sized>(what: &str, expected: &T, found: &T) -> Verdict {
    if expected == found { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {found:?}")) }
}

fn same_call(expected: &ExpectedCall, call: &Call) -> Verdict {
    same("stage", expected.stage.as_str(), call.stage)?;
    let effect = match expected.effect {
        ExpectedEffect::Kill => Effect::Kill,
        ExpectedEffect::Read => Effect::Read,
    };
    same("effect", &effect, &call.effect)?;
    same("action", expected.action.as_str(), call.action)?;
    let call = call.http().ok_or("is no HTTP call")?;
    same("method", expected.method.as_str(), call.method.as_str())?;
    same("path", expected.path.as_str(), call.path.as_str())?;
    same_query(&expected.query, call)?;
    let headers: BTreeMap<String, String> =
        call.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    same("headers", &expected.headers, &headers)?;
    let body: Option<Value> = match call.body.as_slice() {
        [] => None,
        bytes => Some(serde_json::from_slice(bytes).map_err(|why| format!("body is not JSON: {why}"))?),
    };
    same("body", &expected.body, &body)
}

fn same_query(expected: &[(String, String)], call: &HttpCall) -> Verdict {
    let mut found: Vec<_> = call.query.iter().map(|(name, value)| (*name, value.as_str())).collect();
    found.sort_unstable();
    let mut expected: Vec<_> = expected.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    expected.sort_unstable();
    let fits = |expected: &str, found: &str| match (bound("<=", expected), bound(">=", expected)) {
        (Some(most), _) => found.parse().is_ok_and(|n: i64| n <= most),
        (_, Some(least)) => found.parse().is_ok_and(|n: i64| n >= least),
        (None, None) => expected == found,
    };
    let all_fit =
        expected.len() == found.len() && expected.iter().zip(&found).all(|(e, f)| e.0 == f.0 && fits(e.1, f.1));
    if all_fit { Ok(()) } else { Err(format!("query: expected {expected:?}, found {found:?}")) }
}

fn bound(sign: &str, text: &str) -> Option<i64> {
    text.strip_prefix(sign)?.parse().ok()
}

fn same_answer(expected: &ExpectedAnswer, answer: &Answer) -> Verdict {
    same("status", expected.status.as_str(), answer.status.as_str())?;
    same("sessions", &expected.sessions, &answer.sessions)?;
    same("task_id", &expected.task_id, &answer.task_id)?;
    same("request_id", &expected.request_id, &answer.request_id)?;
    same("evidence_url", &expected.evidence_url, &answer.evidence_url)
}

fn same_fault(expected: &ExpectedFault, fault: &Fault, effect: Effect) -> Verdict {
    same("fault", expected.fault.as_str(), fault.kind.as_str())?;
    same("code", &expected.code, &fault.code)?;
    if expected.message.is_some() {
        same("message", &expected.message, &fault.message)?;
    }
    same("request_id", &expected.request_id, &fault.request_id)?;
    same("retry_after", &expected.retry_after.map(Duration::from_secs), &fault.retry_after)?;
    match (&expected.status, expected.http, &expected.problem) {
        (Some(status), Some(http), Some(problem)) => {
            same("status", status.as_str(), fault.kind.status().as_str())?;
            same("problem", problem.as_str(), fault.kind.problem().as_str())?;
            same("http", &Some(http), &http_status_of(problem))
        }
        (None, None, None) if effect == Effect::Read => Ok(()),
        _ => Err("a failed kill says status, http and problem; a failed follow-up says none of them".to_owned()),
    }
}

/// The HTTP status that the contract gives to what a vendor's answer means.
fn http_status_of(problem: &str) -> Option<u16> {
    Some(match problem {
        "target_not_found" => 404,
        "target_busy" => 409,
        "upstream_rejected" => 422,
        "upstream_throttled" => 429,
        "upstream_failed" | "upstream_denied" => 502,
        "outcome_unknown" => 504,
        _ => return None,
    })
}
