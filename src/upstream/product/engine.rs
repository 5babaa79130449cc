//! What database servers have in common that are reached by their own protocol: calls of statements, one for each session,
//! and one more that is asked until none of them is left.

use std::time::Duration;

use serde_json::Value;

use crate::{
    domain::{Order, Outcome, Session, SessionId, Target},
    upstream::{
        By, Call, Capabilities, Coordinate, Counting, Effect, Fault, FaultKind, IdRule, ListingKind, Need, Own,
        Payload, Protocol, Reply, SelectorKind, Statement, StatementResult, Statements, Takes,
    },
};

/// How long a call waits for its sessions to be gone. What dies longer is looked for later.
const GONE_WITHIN: Duration = Duration::from_millis(300);

/// What every engine can do; `most_id` is the largest id of a session.
pub(super) const fn able(product: &'static str, protocol: Protocol, most_id: u64, own: Own) -> Capabilities {
    Capabilities {
        product,
        by: By::Protocol(protocol),
        coordinates: &[NODE],
        tells_apart: &["node"],
        session_id: IdRule::Decimal { max: most_id },
        selectors: &[SelectorKind::Ids],
        max_ids_per_call: 100,
        most_ids_per_call: None,
        // Nobody counts them, and each is a few statements on the one connection.
        requests_per_second: 100,
        requests_per_minute: None,
        counting: Counting::Together,
        can_follow_up: false,
        listing: Some(ListingKind {
            needs_one_of: &[],
            most: None,
            tells: &["min_transaction_seconds", "idle_in_transaction", "blocking"],
        }),
        own,
        takes: Takes::Likeness,
        steps: 1,
        cancels: true,
    }
}

const NODE: Coordinate = Coordinate {
    name: "node",
    need: Need::Optional,
    expected: "the name of one of its account's nodes: 1 to 64 of 0-9 a-z _ -",
    example: "primary",
    check: |name| {
        let fine = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase() || matches!(b, b'_' | b'-');
        (1..=64).contains(&name.len()) && name.bytes().all(fine)
    },
};

/// Asks for those that are left until none is.
pub(super) const fn until_gone(left: String) -> Statement {
    Statement::once(left).while_rows(Duration::from_millis(1), GONE_WITHIN)
}

/// The call that ends the sessions of an order.
pub(super) fn kill(order: &Order, statements: Vec<Statement>) -> Call {
    call("kill", Effect::Kill, &order.target, statements)
}

/// The call that lists sessions.
pub(super) fn list(target: &Target, statements: Vec<Statement>) -> Call {
    call("list", Effect::Read, target, statements)
}

fn call(stage: &'static str, effect: Effect, target: &Target, statements: Vec<Statement>) -> Call {
    let node = target.node().map(str::to_owned);
    Call { stage, effect, action: stage, payload: Payload::Statements(Statements { node, statements }) }
}

/// The rows of a list.
///
/// # Errors
/// The server refused it, or the answer is something else.
pub(super) fn rows(reply: &Reply) -> Result<&[Value], Fault> {
    rows_of(reply.results()?.first(), reply)
}

/// The rows of one of its statements.
///
/// # Errors
/// The server refused it, or it was not answered.
pub(super) fn rows_of<'r>(result: Option<&'r StatementResult>, reply: &Reply) -> Result<&'r [Value], Fault> {
    match result {
        Some(StatementResult::Rows(rows)) => Ok(rows),
        Some(StatementResult::Refused { code, message }) => {
            Err(Fault::of(FaultKind::Refused, reply).saying(Some(code.clone()), Some(message.clone())))
        }
        None => Err(Fault::unreadable(reply)),
    }
}

/// Why the gateway's own connection is not ended.
pub(super) const NOT_ITSELF: &str = "not sent: it is the gateway's own connection, over which it ends others";

/// Whether a session was seen gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    Yes,
    No,
    /// The server did not say.
    Unheard,
}

/// What came back for a call of one statement for each session, one more for what is left, and others behind them.
#[derive(Debug)]
pub(super) struct Asked<'r> {
    results: &'r [StatementResult],
    killed: usize,
}

impl<'r> Asked<'r> {
    /// `behind` is how many statements there were behind those for each session.
    ///
    /// # Errors
    /// The reply is no such thing.
    pub(super) fn read(order: &Order, reply: &'r Reply, behind: usize) -> Result<Self, Fault> {
        let (results, killed) = (reply.results()?, order.selector.ids().len());
        if results.is_empty() || results.len() > killed + behind {
            return Err(Fault::unreadable(reply));
        }
        Ok(Self { results, killed })
    }

    /// The answer to the statement of that session.
    pub(super) fn killing(&self, at: usize) -> Option<&'r StatementResult> {
        self.results.get(at).filter(|_| at < self.killed)
    }

    /// The rows of one of the statements behind those; `None` where it has no answer.
    pub(super) fn behind(&self, at: usize) -> Option<&'r [Value]> {
        match self.results.get(self.killed + at)? {
            StatementResult::Rows(rows) => Some(rows),
            StatementResult::Refused { .. } => None,
        }
    }

    /// What is known of a session whose statement has no answer.
    pub(super) fn unheard(&self, at: usize, id: &SessionId) -> Session {
        if at == self.results.len() {
            Session::new(id, Outcome::Unknown).because("the answer to its statement was lost")
        } else {
            Session::new(id, Outcome::Failed).because("not sent: the connection broke off before it")
        }
    }

    /// Whether the session is among those that were left.
    pub(super) fn gone(&self, id: &SessionId) -> Gone {
        match self.behind(0) {
            Some(left) if row_of(left, id).is_none() => Gone::Yes,
            Some(_) => Gone::No,
            None => Gone::Unheard,
        }
    }
}

/// The row of that session.
pub(super) fn row_of<'r>(rows: &'r [Value], id: &SessionId) -> Option<&'r Value> {
    rows.iter().find(|row| row["id"] == *id.as_str())
}
