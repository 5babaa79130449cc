//! PostgreSQL by its own protocol: `pg_stat_activity`, `pg_terminate_backend`, `pg_cancel_backend`.
//!
//! A session is its process id and the microsecond in which it began; the id alone comes again. Both are asked for in the
//! statement that ends it, so that no other session can be meant. That statement says that a signal was sent and not that
//! the session is gone, so one more asks for it until it is. Facts: the manual's chapters "System Administration Functions"
//! and "The Cumulative Statistics System" (13 to 18), and measurements on 15, 17 and 18.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::engine::{self, Asked, Gone};
use crate::{
    domain::{End, Likeness, LiveSession, Order, Outcome, Session, SessionId, Target, VendorName},
    upstream::{
        Answer, Call, Capabilities, Fault, FaultKind, Known, ListFilter, Next, Own, Page, Protocol, Reply, Statement,
        StatementResult, Step, Vendor,
    },
};

/// See the module.
#[derive(Debug)]
pub(super) struct PostgreSql;

// A process id is an `int4`, and none is 0; a server's own process that is listed is ended by nobody.
static CAPABILITIES: Capabilities = engine::able(
    "PostgreSQL",
    Protocol::Postgres,
    2_147_483_647,
    Own { users: OWN_USERS, commands: OWN_COMMANDS, applications: &[] },
);

/// Accounts that providers keep for themselves: Amazon RDS, Google Cloud SQL, Azure.
const OWN_USERS: &[&str] =
    &["rdsadmin", "cloudsqladmin", "cloudsqlagent", "cloudsqlreplica", "cloudsqlimportexport", "azuresu"];

/// What `backend_type` says of replication, and [`ITSELF`]. All other kinds of processes that are no client's are listed
/// without a user.
const OWN_COMMANDS: &[&str] = &["walsender", ITSELF];

/// What the gateway's own connections are listed as.
const ITSELF: &str = "killgate";

/// One row for each session and each process. `query` is in the encoding of its session's database, and nothing may
/// convert it: the server would refuse the whole list for one session's letters. Parallel workers are parts of a session:
/// whoever ends one ends another session's statement.
const LIST: &str = "\
SELECT s.pid AS id, coalesce(s.usename::text, 'oid ' || s.usesysid::text) AS \"user\", s.datname AS database, \
host(s.client_addr) AS address, s.client_port AS port, s.application_name AS application, s.backend_type AS kind, \
s.usesysid = (SELECT oid FROM pg_roles WHERE rolname = current_user) AND s.application_name = 'killgate' AS is_own, \
s.state, s.wait_event_type, \
to_char(s.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS started_at, \
to_char(s.query_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS statement_at, \
floor(extract(epoch FROM clock_timestamp() - CASE WHEN s.state = 'active' THEN s.query_start ELSE s.state_change END)) \
AS seconds, \
floor(extract(epoch FROM clock_timestamp() - s.xact_start)) AS transaction_seconds, \
CASE WHEN s.wait_event_type = 'Lock' THEN array_to_string(pg_blocking_pids(s.pid), ' ') END AS blocked_by, \
pg_has_role(current_user, 'pg_read_all_stats', 'usage') AS sees_all, s.query AS statement \
FROM pg_stat_activity s WHERE s.backend_type IS DISTINCT FROM 'parallel worker'";

impl Vendor for PostgreSql {
    fn name(&self) -> VendorName {
        VendorName("postgresql")
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn open(&self, order: &Order) -> Call {
        let ids = order.selector.ids();
        let mut statements: Vec<_> = ids.iter().map(|id| Statement::once(kill(order, id))).collect();
        statements.push(engine::until_gone(left(order)));
        engine::kill(order, statements)
    }

    fn follow_up(&self, _: &Order, _: &Known) -> Option<Call> {
        None // A list is all there is.
    }

    fn next(&self, order: &Order, _: &Known, reply: &Reply) -> Result<Step, Fault> {
        let asked = Asked::read(order, reply, 1)?;
        let sessions = order.selector.ids().iter().enumerate().map(|(at, id)| {
            let Some(result) = asked.killing(at) else { return asked.unheard(at, id) };
            match result {
                StatementResult::Rows(rows) => answered(order.end, id, rows.first(), asked.gone(id)),
                StatementResult::Refused { code, .. } => refused(id, code),
            }
        });
        Ok(Step::Done(Answer::each(sessions.collect())))
    }

    fn list(&self, target: &Target, _: &ListFilter, _: usize) -> Option<Call> {
        Some(engine::list(target, vec![Statement::once(LIST.to_owned())]))
    }

    fn page(&self, _: &Target, _: usize, reply: &Reply) -> Result<Page, Fault> {
        let rows = engine::rows(reply)?;
        if rows.iter().any(|row| row["sees_all"] == "f") {
            let why =
                "the account's role is no member of pg_read_all_stats, so it does not see whose sessions these are";
            return Err(Fault::of(FaultKind::Denied, reply).saying(Some(NO_RIGHT.to_owned()), Some(why.to_owned())));
        }
        let sessions = rows.iter().map(session).collect::<Option<_>>().ok_or_else(|| Fault::unreadable(reply))?;
        Ok(Page::Sessions { sessions, next: Next::End, total: None })
    }
}

/// `insufficient_privilege`: the session is a superuser's or another role's that the account's own may not touch.
const NO_RIGHT: &str = "42501";

const OWN: &str = "(pid = pg_backend_pid())";

/// Ends one session, or what it runs, if it is the one that was seen: `own` says that it is the gateway's own connection,
/// whose end would lose the answers to all that is behind it, `same` whether it is the one, `sent` whether a signal went
/// out. No row: there is no such process.
fn kill(order: &Order, id: &SessionId) -> String {
    let function = match order.end {
        End::Session => "pg_terminate_backend",
        End::Statement => "pg_cancel_backend",
    };
    let Some(is_same) = order.likeness.get(id).map(|like| same(order.end, like)) else {
        // A parallel worker is a part of another session.
        let is_there = match order.end {
            End::Session => "leader_pid IS NULL",
            End::Statement => "leader_pid IS NULL AND state = 'active'",
        };
        return format!(
            "SELECT {OWN} AS own, true AS same, CASE WHEN NOT {OWN} THEN {function}(pid) END AS sent \
             FROM pg_stat_get_activity({id}) WHERE {is_there}"
        );
    };
    // A function that acts is called in the branch alone.
    format!(
        "SELECT {OWN} AS own, {is_same} AS same, CASE WHEN NOT {OWN} AND {is_same} THEN {function}(pid) END AS sent \
         FROM pg_stat_get_activity({id})"
    )
}

/// Those that are still there.
fn left(order: &Order) -> String {
    let is_running = if order.end == End::Statement { " AND state = 'active'" } else { "" };
    let one = |id: &SessionId| {
        let like = order.likeness.get(id).map(|like| same(order.end, like));
        let is_same = like.map_or_else(String::new, |is_same| format!(" AND {is_same}"));
        format!("pid = {id}{is_running}{is_same}")
    };
    let mut text = "SELECT pid AS id FROM pg_stat_get_activity(NULL) WHERE false".to_owned();
    for id in order.selector.ids() {
        // Writing to a String cannot fail.
        let _ = write!(text, " OR ({})", one(id));
    }
    text
}

/// What holds of the session that was seen and of no other; of one whose start is not known nothing does.
fn same(end: End, like: &Likeness) -> String {
    let nobody = || "false".to_owned();
    let Some(started) = like.started_at.and_then(|started| started.format(&Rfc3339).ok()) else { return nobody() };
    let session = format!("backend_start = timestamptz '{started}'");
    let is_time = |text: &&String| text.bytes().all(|b| b.is_ascii_digit() || b"-:.TZ".contains(&b));
    match (end, like.statement_id.as_ref().filter(is_time)) {
        (End::Session, _) => session,
        // It ran nothing when it was seen, and what it runs by now is something else.
        (End::Statement, None) => nobody(),
        (End::Statement, Some(began)) => {
            format!("({session} AND state = 'active' AND query_start = timestamptz '{began}')")
        }
    }
}

/// What became of a session whose statement was answered.
fn answered(end: End, id: &SessionId, row: Option<&Value>, gone: Gone) -> Session {
    let told = |outcome, why: &'static str| Session::new(id, outcome).because(why);
    let Some(row) = row else { return told(Outcome::NotFound, "not there when it was to be ended") };
    let is_true = |name: &str| row[name] == "t";
    if is_true("own") {
        return told(Outcome::Failed, engine::NOT_ITSELF);
    }
    match (end, is_true("same"), is_true("sent"), gone) {
        (End::Session, false, ..) => told(Outcome::Changed, "its id is another session's by now"),
        (End::Statement, false, ..) => told(Outcome::NotFound, "its statement had ended before"),
        (End::Session, true, true, Gone::Yes) => told(Outcome::Killed, "seen gone"),
        (End::Statement, true, true, Gone::Yes) => told(Outcome::Killed, "its statement was seen to have ended"),
        (_, true, false, Gone::Yes) => told(Outcome::NotFound, "it had ended by itself when it was to be ended"),
        (_, true, false, _) => told(Outcome::Failed, "the server has no such process to be ended by anybody"),
        (End::Session, true, true, _) => told(Outcome::Accepted, "the signal was sent, and it is still there"),
        (End::Statement, true, true, Gone::No) => {
            told(Outcome::Alive, "the signal was sent, and its statement goes on")
        }
        (End::Statement, true, true, Gone::Unheard) => Session::new(id, Outcome::Unknown),
    }
}

/// `query_canceled`: the statement took too long, or somebody cancelled it; the signal may have been sent.
const CANCELLED: &str = "57014";

/// What a refusal of one session's statement means: it surely did nothing, unless it was broken off.
fn refused(id: &SessionId, code: &str) -> Session {
    if code == CANCELLED {
        return Session::new(id, Outcome::Unknown).because("the server broke off the statement that was to end it");
    }
    let why = match code {
        NO_RIGHT => "the server does not let this account end it: it may be a superuser's (42501)".to_owned(),
        code => format!("the server answered {code}"),
    };
    Session::new(id, Outcome::Failed).because(why)
}

fn session(row: &Value) -> Option<LiveSession> {
    let text = |name: &str| row[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let number = |name: &str| row[name].as_str()?.parse::<i64>().ok()?.try_into().ok();
    let kind = text("kind");
    let is_client = matches!(kind.as_deref(), Some("client backend" | "walsender"));
    let port = text("port").filter(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let host = text("address").map(|ip| port.map_or_else(|| ip.clone(), |port| format!("{}:{port}", bracketed(&ip))));
    let state = text("state");
    Some(LiveSession {
        user: text("user").filter(|_| is_client),
        database: text("database"),
        host,
        command: if row["is_own"] == "t" { Some(ITSELF.to_owned()) } else { kind },
        seconds: number("seconds"),
        // Of an idle session it is the last one, which is over.
        statement: text("statement").filter(|_| state.as_deref() != Some("idle")),
        started_at: row["started_at"].as_str().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok()),
        transaction_seconds: number("transaction_seconds"),
        blocked_by: blocked_by(text("blocked_by").as_deref().unwrap_or_default()),
        application: text("application"),
        statement_id: text("statement_at").filter(|_| state.as_deref() == Some("active")),
        state,
        ..LiveSession::new(SessionId(text("id")?))
    })
}

/// Each once: a session that works in parallel stands there several times.
fn blocked_by(ids: &str) -> Vec<SessionId> {
    let ids: BTreeSet<&str> = ids.split_whitespace().collect();
    ids.into_iter().map(|id| SessionId(id.to_owned())).collect()
}

/// An address as it stands before a port.
fn bracketed(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use time::macros::datetime;

    use super::*;
    use crate::{
        domain::{Selector, Status},
        upstream::{Content, Effect},
    };

    fn order(ids: &[&str], end: End) -> Order {
        let coordinates = [("node", "primary".to_owned())].into();
        let target = Target { alias: None, vendor: VendorName("postgresql"), account: "o".to_owned(), coordinates };
        let ids: Vec<_> = ids.iter().map(|id| SessionId((*id).to_owned())).collect();
        Order { end, ..Order::new(target, Selector::Ids(ids)) }
    }

    fn texts(order: &Order) -> Vec<String> {
        let call = PostgreSql.open(order);
        call.statements().unwrap().statements.iter().map(|statement| statement.text.clone()).collect()
    }

    fn next(order: &Order, results: Vec<StatementResult>) -> Result<Answer, Fault> {
        let reply = Reply { stage: "kill", effect: Effect::Kill, content: Content::Results(results) };
        let now = datetime!(2026-01-02 03:04:05 UTC);
        match PostgreSql.next(order, &Known { task_id: None, sent_at: now, now }, &reply)? {
            Step::Done(answer) => Ok(answer),
            step => panic!("{step:?}"),
        }
    }

    #[test]
    fn the_statement_that_kills_asks_for_the_session_that_was_seen_to_the_microsecond() {
        let mut order = order(&["4711"], End::Session);
        assert_eq!(
            texts(&order)[0],
            "SELECT (pid = pg_backend_pid()) AS own, true AS same, \
             CASE WHEN NOT (pid = pg_backend_pid()) THEN pg_terminate_backend(pid) END AS sent \
             FROM pg_stat_get_activity(4711) WHERE leader_pid IS NULL"
        );
        let started_at = Some(datetime!(2026-01-02 03:04:05.678901 UTC));
        order.likeness = [(SessionId("4711".into()), Likeness { started_at, ..Likeness::default() })].into();
        let is_same = "backend_start = timestamptz '2026-01-02T03:04:05.678901Z'";
        assert_eq!(
            texts(&order),
            [
                format!(
                    "SELECT (pid = pg_backend_pid()) AS own, {is_same} AS same, CASE WHEN NOT (pid = pg_backend_pid()) \
                     AND {is_same} THEN pg_terminate_backend(pid) END AS sent FROM pg_stat_get_activity(4711)"
                ),
                format!("SELECT pid AS id FROM pg_stat_get_activity(NULL) WHERE false OR (pid = 4711 AND {is_same})"),
            ]
        );
    }

    #[test]
    fn of_what_was_not_answered_one_is_unknown_and_the_rest_was_not_sent() {
        let order = order(&["1", "2", "3"], End::Session);
        let sent = StatementResult::Rows(vec![json!({"same": "t", "sent": "t"})]);
        let told = |answer: &Answer| answer.sessions.iter().map(|session| session.outcome).collect::<Vec<_>>();
        let answer = next(&order, vec![sent.clone()]).unwrap();
        assert_eq!(told(&answer), [Outcome::Accepted, Outcome::Unknown, Outcome::Failed]);
        assert_eq!(answer.status, Status::Unknown);
        let refused = StatementResult::Refused { code: "42501".into(), message: "permission denied".into() };
        let left = StatementResult::Rows(vec![json!({"id": "1"})]);
        let answer = next(&order, vec![sent.clone(), refused, StatementResult::Rows(vec![]), left]).unwrap();
        assert_eq!(told(&answer), [Outcome::Accepted, Outcome::Failed, Outcome::NotFound]);
        let gone = StatementResult::Rows(vec![]);
        let answer = next(&order, vec![sent.clone(), sent.clone(), sent, gone]).unwrap();
        assert_eq!((told(&answer), answer.status), (vec![Outcome::Killed; 3], Status::Succeeded));
    }

    #[test]
    fn a_list_of_whoever_may_not_see_all_is_no_list() {
        let row = json!({"id": "7", "kind": "client backend", "sees_all": "f", "is_own": "f"});
        let content = Content::Results(vec![StatementResult::Rows(vec![row])]);
        let target = order(&["7"], End::Session).target;
        let fault = PostgreSql.page(&target, 0, &Reply { stage: "list", effect: Effect::Read, content }).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Denied);
    }

    proptest! {
        #[test]
        fn whatever_comes_back_each_id_has_one_outcome_and_none_is_killed_that_was_not_sent(
            results in prop::collection::vec(prop_oneof![
                Just(StatementResult::Rows(vec![])),
                (any::<bool>(), any::<bool>(), "[0-9]{0,2}").prop_map(|(same, sent, id)| {
                    let letter = |is| if is { "t" } else { "f" };
                    StatementResult::Rows(vec![json!({"same": letter(same), "sent": letter(sent), "id": id})])
                }),
                Just(StatementResult::Rows(vec![json!(null), json!([1]), json!({"same": 7})])),
                "[0-9A-Z]{5}".prop_map(|code| StatementResult::Refused { code, message: String::new() }),
            ], 0..5),
            cancels in any::<bool>(),
        ) {
            let order = order(&["1", "2"], if cancels { End::Statement } else { End::Session });
            if let Ok(answer) = next(&order, results.clone()) {
                let told: Vec<_> = answer.sessions.iter().map(|session| session.id.as_str()).collect();
                prop_assert_eq!(told, ["1", "2"]);
                for (at, session) in answer.sessions.iter().enumerate() {
                    let was_sent = matches!(
                        results.get(at), Some(StatementResult::Rows(rows)) if rows.first().is_some_and(|row| row["same"] == "t" && row["sent"] == "t")
                    );
                    prop_assert!(session.outcome != Outcome::Killed || was_sent, "{session:?}");
                }
            }
        }
    }
}
