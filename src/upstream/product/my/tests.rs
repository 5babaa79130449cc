use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    domain::{Selector, Target, VendorName},
    upstream::{Content, Effect},
};

fn order(ids: &[&str], end: End) -> Order {
    let coordinates = [("node", "primary".to_owned())].into();
    let target = Target { alias: None, vendor: VendorName("mariadb"), account: "o".to_owned(), coordinates };
    let ids: Vec<_> = ids.iter().map(|id| SessionId((*id).to_owned())).collect();
    Order { end, ..Order::new(target, Selector::Ids(ids)) }
}

/// The same of which each session was seen.
fn seen(mut order: Order, statement_id: Option<&str>) -> Order {
    let like = Likeness {
        user: Some("a'b".to_owned()),
        host: Some("h:1".to_owned()),
        statement_id: statement_id.map(str::to_owned),
        server_started_at: moment(1_767_323_045),
        ..Likeness::default()
    };
    order.likeness = order.selector.ids().iter().map(|id| (id.clone(), like.clone())).collect();
    order
}

const DIALECT: Dialect = Dialect {
    sessions: "list",
    find: |condition| format!("(FIND {condition})"),
    statement: |number| Some((format!("QUERY_ID = {number}"), "CANCEL".to_owned())),
    hides: None,
};

fn texts(order: &Order) -> Vec<String> {
    let call = open(&DIALECT, order);
    call.statements().unwrap().statements.iter().map(|statement| statement.text.clone()).collect()
}

const PIN: &str = "CAST(USER AS BINARY) = x'612762' AND CAST(HOST AS BINARY) = x'683a31' \
                   AND @started BETWEEN 1767323044 AND 1767323046";

#[test]
fn who_was_seen_is_asked_for_in_the_message_that_ends_it_and_the_gateway_itself_never_is() {
    let session = texts(&seen(order(&["7"], End::Session), None));
    assert_eq!(
        session[0],
        format!("SET @k := COALESCE((FIND ID = 7 AND ID <> CONNECTION_ID() AND {PIN}), 0); {{kill}}(@k)")
    );
    assert!(session[1].ends_with(&format!("FROM list WHERE (ID = 7 AND {PIN})")), "{}", session[1]);
    let statement = texts(&seen(order(&["7"], End::Statement), Some("28")));
    let found = format!("(FIND ID = 7 AND ID <> CONNECTION_ID() AND {PIN} AND QUERY_ID = 28)");
    assert_eq!(statement[0], format!("SET @k := COALESCE({found}, 0); CANCEL"));
    let idle = texts(&seen(order(&["7"], End::Statement), None));
    assert_eq!(idle[0], "SET @k := 0; {kill_query}(@k)");
    let blind = texts(&order(&["7", "8"], End::Session));
    assert_eq!(blind[1], "SET @k := COALESCE(NULLIF(8, CONNECTION_ID()), 0); {kill}(@k)");
    assert_eq!(blind.len(), 2 + BEHIND);
}

fn answer(order: &Order, results: Vec<StatementResult>) -> Session {
    let reply = Reply { stage: "kill", effect: Effect::Kill, content: Content::Results(results) };
    match next(order, &reply).unwrap() {
        Step::Done(answer) => answer.sessions[0].clone(),
        other => panic!("{other:?}"),
    }
}

fn rows(rows: &[Value]) -> StatementResult {
    StatementResult::Rows(rows.to_vec())
}

fn refusal(code: &str) -> StatementResult {
    StatementResult::Refused { code: code.to_owned(), message: "m".to_owned() }
}

#[test]
fn what_became_of_a_session_follows_from_all_that_the_server_said() {
    let (pinned, blind) = (seen(order(&["7"], End::Session), None), order(&["7"], End::Session));
    let there = || rows(&[json!({ "id": "7", "user": "app", "command": "Sleep" })]);
    let system = || rows(&[json!({ "id": "7", "user": "event_scheduler", "command": "Daemon" })]);
    let (none, taken) = (|| rows(&[]), || rows(&[]));
    let undoing = || rows(&[json!({ "id": "7", "changed": "263287" })]);
    let told = |order: &Order, results: Vec<StatementResult>| {
        let session = answer(order, results);
        (session.outcome, session.detail.unwrap_or_default().into_owned())
    };
    let outcome = |order: &Order, results| told(order, results).0;
    assert_eq!(outcome(&pinned, vec![taken(), none(), none(), none(), none()]), Outcome::Killed);
    let (accepted, why) = told(&pinned, vec![taken(), there(), undoing(), none(), none()]);
    assert!(accepted == Outcome::Accepted && why.contains("263287"), "{why}");
    let hidden = vec![taken(), none(), none(), none(), rows(&[json!({ "own": "9" })])];
    assert_eq!(outcome(&pinned, hidden), Outcome::Accepted, "the table may leave it out");
    assert_eq!(outcome(&pinned, vec![taken(), none()]), Outcome::Accepted, "nobody said whether it may");
    let changed = vec![refusal("1094"), none(), none(), there(), none()];
    assert_eq!(outcome(&pinned, changed), Outcome::Changed);
    assert_eq!(outcome(&pinned, vec![refusal("1094"), none(), none(), none(), none()]), Outcome::NotFound);
    let dying = vec![refusal("1094"), there(), none(), there(), none()];
    assert_eq!(outcome(&pinned, dying), Outcome::Accepted);
    let listed = vec![refusal("1094"), system(), none(), system(), none()];
    assert_eq!((outcome(&pinned, listed.clone()), outcome(&blind, listed)), (Outcome::Failed, Outcome::Failed));
    assert_eq!(outcome(&blind, vec![refusal("1094"), none(), none(), none(), none()]), Outcome::NotFound);
    let own = || rows(&[json!({ "id": "7", "is_own": "1" })]);
    for end in [End::Session, End::Statement] {
        let own = vec![refusal("1094"), there(), none(), own(), none()];
        assert!(told(&order(&["7"], end), own).1.contains("own connection"));
    }
    for code in ["1095", "1227", "1370", "1305", "3854"] {
        let (outcome, why) = told(&pinned, vec![refusal(code), there(), none(), there(), none()]);
        assert!(outcome == Outcome::Failed && why.contains(code), "{why}");
    }
    let statement = seen(order(&["7"], End::Statement), Some("28"));
    assert_eq!(outcome(&statement, vec![taken(), there(), none(), none(), none()]), Outcome::Alive);
    assert_eq!(outcome(&statement, vec![refusal("1957"), none(), none(), there(), none()]), Outcome::NotFound);
}

proptest! {
    #[test]
    fn nobody_is_called_killed_who_was_not_sent_and_seen_gone(
        codes in prop::collection::vec(prop::option::of(0..4_usize), 1..8), left in any::<bool>(), hidden in any::<bool>(),
    ) {
        let order = seen(order(&["7", "8"], End::Session), None);
        let there = vec![json!({ "id": "7" }), json!({ "id": "8" })];
        let results: Vec<_> = codes.iter().enumerate().map(|(at, code)| match code {
            Some(code) => refusal(["1094", "1095", "1957", "9999"][*code]),
            None if (at == 2 && left) || (at == 5 && hidden) => rows(&there),
            None => rows(&[]),
        }).collect();
        let reply = Reply { stage: "kill", effect: Effect::Kill, content: Content::Results(results.clone()) };
        if let Ok(Step::Done(answer)) = next(&order, &reply) {
            for (at, session) in answer.sessions.iter().enumerate() {
                let empty = |at: usize| matches!(results.get(at), Some(StatementResult::Rows(rows)) if rows.is_empty());
                prop_assert!(session.outcome != Outcome::Killed || (empty(at) && empty(2) && empty(5)), "{session:?}");
            }
        }
    }
}
