//! What MySQL and MariaDB have in common: how a session is ended and seen gone, and what InnoDB tells of transactions.
//!
//! Within one run of its server a session's id is its own, and after a restart the same small numbers come again; so a
//! session is its id, its user, its client's address, with the port where it has one, and the start of its server, which
//! every connection keeps as `@started` (it belongs to one run). All are asked for in the message that ends it, whose
//! second statement ends what the first has found, or number 0, which is nobody. `KILL` says that a mark was set; one more
//! statement asks until the session is gone. Facts: measurements on MySQL 9.7 and MariaDB 10.11 and 11.8, and both manuals'
//! `KILL`, `SHOW PROCESSLIST` and `INNODB_TRX`.

use std::{collections::HashMap, fmt::Write as _, time::Duration};

use serde_json::Value;
use time::OffsetDateTime;

use super::engine::{self, Asked, Gone, row_of};
use crate::{
    domain::{End, Likeness, LiveSession, Order, Outcome, Session, SessionId},
    upstream::{Answer, Call, Fault, FaultKind, Own, Reply, Statement, StatementResult, Step, When},
};

/// How one of the two finds its sessions.
#[derive(Debug)]
pub(super) struct Dialect {
    /// The table of sessions that shows each to its end.
    pub(super) sessions: &'static str,
    /// The id of the session for which a condition holds, as a term; null or 0 where there is none.
    pub(super) find: fn(&str) -> String,
    /// What holds of a session as long as it runs the statement with that mark, and what cancels it there.
    pub(super) statement: fn(&str) -> Option<(String, String)>,
    /// Gives rows where the table may leave sessions out.
    pub(super) hides: Option<&'static str>,
}

/// When the server started, in seconds of Unix time: as the gateway's connection keeps it from its login on.
macro_rules! started {
    () => {
        "@started AS server_started"
    };
}
pub(super) use started;

/// What the gateway's own connection is listed as.
pub(super) const ITSELF: &str = "killgate";

/// Accounts of the servers themselves, and those that providers keep for themselves: Amazon RDS, Google Cloud SQL, Azure.
pub(super) const OWN: Own = Own {
    users: &[
        "system user",
        "event_scheduler",
        "unauthenticated user",
        "mysql.sys",
        "mysql.session",
        "mysql.infoschema",
        "mariadb.sys",
        "rdsadmin",
        "rdsrepladmin",
        "rdsproxyadmin",
        "cloudsqladmin",
        "cloudsqlagent",
        "cloudsqlreplica",
        "cloudsqlimportexport",
        "azure_superuser",
    ],
    // As of MySQL's servers at clouds, a replica's threads on MariaDB, and itself.
    commands: &["Binlog Dump*", "Register Slave", "Register Replica", "Daemon", "Slave*", ITSELF],
    applications: &[],
};

/// How long what `INNODB_TRX` told counts: it is a copy that is renewed only when nobody has read it for 0.1 s.
pub(super) const TRANSACTIONS_GOOD_FOR: Duration = Duration::from_millis(150);

/// How long a call waits for its statements to end: they undo what they did, and nobody looks for them later.
const CANCELLED_WITHIN: Duration = Duration::from_secs(3);

/// How long it is waited for a new copy, and for how long in all where others read it all the time.
const RENEWED_AFTER: Duration = Duration::from_millis(120);
const RENEWED_WITHIN: Duration = Duration::from_millis(600);

/// How long it counts that no session was left out of the table: their number only grows.
const HIDES_GOOD_FOR: Duration = Duration::from_secs(1);

/// Not there, not of this kind, not owned; `PROCESS` is missing, or another right.
const NO_SESSION: &str = "1094";
const NO_STATEMENT: &str = "1957";
const NOT_OWNED: &str = "1095";
const NO_PROCESS: &str = "1227";
/// A statement has a letter that the table has none for.
const NOT_CONVERTED: &str = "3854";
const NO_RIGHT: [&str; 4] = [NOT_OWNED, NO_PROCESS, "1142", "1370"];

/// The statement took too long, or somebody cancelled it: the mark may have been set.
const BROKEN_OFF: [&str; 3] = ["1317", "1969", "3024"];

/// What is asked behind the statements that kill: who is left, who of them rolls back, whose ids are there at all, and
/// whether anybody is hidden.
const BEHIND: usize = 4;
const UNDOING: usize = 1;
const PRESENT: usize = 2;
const HIDDEN: usize = 3;

pub(super) fn open(dialect: &Dialect, order: &Order) -> Call {
    let ids = order.selector.ids();
    let each = ids.iter().map(SessionId::as_str).collect::<Vec<_>>().join(", ");
    let mut statements: Vec<_> = ids.iter().map(|id| Statement::once(kill(dialect, order, id))).collect();
    let sessions = dialect.sessions;
    let undoing = format!(
        "SELECT trx_mysql_thread_id AS id, trx_rows_modified AS changed FROM information_schema.innodb_trx \
         WHERE trx_state = 'ROLLING BACK' AND trx_mysql_thread_id IN ({each})"
    );
    let present = format!("SELECT ID AS id, ID = CONNECTION_ID() AS is_own FROM {sessions} WHERE ID IN ({each})");
    let left = left(dialect, order);
    let gone = match order.end {
        End::Session => engine::until_gone(left),
        End::Statement => Statement::once(left).while_rows(Duration::from_millis(1), CANCELLED_WITHIN),
    };
    let hides = dialect.hides.unwrap_or("SELECT 1 FROM DUAL WHERE 1 = 0");
    statements.extend([
        gone,
        Statement::once(undoing).only(When::AfterRows),
        Statement::once(present).only(When::AfterRefusal),
        Statement::once(hides.to_owned()).good_for(HIDES_GOOD_FOR),
    ]);
    engine::kill(order, statements)
}

/// Ends one session, or what it runs, if it is the one that was seen and not the gateway's own.
fn kill(dialect: &Dialect, order: &Order, id: &SessionId) -> String {
    let like = order.likeness.get(id);
    let session = format!("ID = {id} AND ID <> CONNECTION_ID(){}", like.map_or_else(String::new, same));
    let found = |condition: &str| (dialect.find)(condition);
    match (order.end, like, like.and_then(|like| like.statement_id.as_deref()).map(dialect.statement)) {
        (End::Session, None, _) => {
            format!("SET @k := COALESCE(NULLIF({id}, CONNECTION_ID()), 0); {{kill}}(@k)")
        }
        (End::Session, Some(_), _) => format!("SET @k := COALESCE({}, 0); {{kill}}(@k)", found(&session)),
        (End::Statement, None, _) => {
            let running = format!("{session} AND COMMAND <> 'Sleep'");
            format!("SET @k := COALESCE({}, 0); {{kill_query}}(@k)", found(&running))
        }
        (End::Statement, Some(_), Some(Some((is_same, cancel)))) => {
            format!("SET @k := COALESCE({}, 0); {cancel}", found(&format!("{session} AND {is_same}")))
        }
        // It ran nothing when it was seen, and what it runs by now is something else.
        (End::Statement, Some(_), _) => "SET @k := 0; {kill_query}(@k)".to_owned(),
    }
}

/// Those that are still there, or still run what is to be cancelled.
fn left(dialect: &Dialect, order: &Order) -> String {
    let one = |id: &SessionId| {
        let like = order.likeness.get(id);
        let statement = like.and_then(|like| (dialect.statement)(like.statement_id.as_deref()?));
        let runs = match (order.end, like, statement) {
            (End::Session, ..) => String::new(),
            (End::Statement, _, Some((is_same, _))) => format!(" AND {is_same}"),
            (End::Statement, Some(_), None) => " AND 1 = 0".to_owned(),
            (End::Statement, None, None) => " AND COMMAND <> 'Sleep'".to_owned(),
        };
        format!("(ID = {id}{}{runs})", like.map_or_else(String::new, same))
    };
    let each = order.selector.ids().iter().map(one).collect::<Vec<_>>().join(" OR ");
    format!("SELECT ID AS id, USER AS user, COMMAND AS command FROM {} WHERE {each}", dialect.sessions)
}

/// What holds of the session that was seen and of no other. Names are compared by their bytes: as text, other letters and
/// blanks would be the same.
fn same(like: &Likeness) -> String {
    let is = |column: &str, seen: &Option<String>| {
        let Some(seen) = seen else { return String::new() };
        let mut text = format!(" AND CAST({column} AS BINARY) = x'");
        for byte in seen.bytes() {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text + "'"
    };
    let mut text = is("USER", &like.user) + &is("HOST", &like.host);
    if let Some(started) = like.server_started_at {
        let seconds = started.unix_timestamp();
        // Writing to a String cannot fail. It is as exact as `is_same_start`.
        let _ = write!(text, " AND @started BETWEEN {} AND {}", seconds - 1, seconds + 1);
    }
    text
}

pub(super) fn next(order: &Order, reply: &Reply) -> Result<Step, Fault> {
    let asked = Asked::read(order, reply, BEHIND)?;
    let sessions = order.selector.ids().iter().enumerate().map(|(at, id)| match asked.killing(at) {
        None => asked.unheard(at, id),
        Some(StatementResult::Rows(_)) => marked(order.end, id, &asked),
        Some(StatementResult::Refused { code, .. }) => refused(order, id, code, &asked),
    });
    Ok(Step::Done(Answer::each(sessions.collect())))
}

/// What became of a session whose statement was taken.
fn marked(end: End, id: &SessionId, asked: &Asked<'_>) -> Session {
    let told = |outcome, why: String| Session::new(id, outcome).because(why);
    let gone = match asked.gone(id) {
        // It may be among those that are hidden.
        Gone::Yes if !asked.behind(HIDDEN).is_some_and(<[Value]>::is_empty) => Gone::Unheard,
        gone => gone,
    };
    let rest = undoing(id, asked).unwrap_or_default();
    match (end, gone) {
        (End::Session, Gone::Yes) => Session::new(id, Outcome::Killed).because("seen gone"),
        (End::Session, _) => told(Outcome::Accepted, format!("it is marked to be ended, and still there{rest}")),
        (End::Statement, Gone::Yes) => told(Outcome::Killed, "its statement was seen to have ended".to_owned()),
        (End::Statement, Gone::No) => {
            told(Outcome::Alive, format!("its statement is marked to be ended, and goes on{rest}"))
        }
        (End::Statement, Gone::Unheard) => Session::new(id, Outcome::Unknown),
    }
}

/// That it rolls back, where the server says so.
fn undoing(id: &SessionId, asked: &Asked<'_>) -> Option<String> {
    let row = row_of(asked.behind(UNDOING)?, id)?;
    Some(format!(": it {}", rolling_back(row)))
}

fn rolling_back(row: &Value) -> String {
    format!("is rolling back, with {} rows to undo", row["changed"].as_str().unwrap_or("some"))
}

/// What a refusal of one session's statement means: this one surely did nothing, unless it was broken off.
fn refused(order: &Order, id: &SessionId, code: &str, asked: &Asked<'_>) -> Session {
    let told = |outcome, why: String| Session::new(id, outcome).because(why);
    if NO_RIGHT.contains(&code) {
        let why = "the server does not let this account end it: it may be of an account with more rights";
        return told(Outcome::Failed, format!("{why} ({code})"));
    }
    if BROKEN_OFF.contains(&code) {
        let why = "the server broke off the statement that was to end it".to_owned();
        return told(Outcome::Unknown, why);
    }
    if ![NO_SESSION, NO_STATEMENT].contains(&code) {
        return told(Outcome::Failed, format!("the server answered {code}"));
    }
    let present = asked.behind(PRESENT).and_then(|rows| row_of(rows, id));
    if present.is_some_and(|row| row["is_own"] == "1") {
        return told(Outcome::Failed, engine::NOT_ITSELF.to_owned());
    }
    if order.end == End::Statement {
        return told(Outcome::NotFound, "its statement had ended before".to_owned());
    }
    let left = asked.behind(0).and_then(|rows| row_of(rows, id));
    if let Some(left) = left {
        let is_own = |name: &str| ["system user", "event_scheduler"].contains(&left[name].as_str().unwrap_or_default());
        return match undoing(id, asked) {
            Some(rest) => told(Outcome::Accepted, format!("it was being ended already{rest}")),
            // What was idle when it was marked is not found by a second `KILL`, and listed as before to its end.
            None if order.likeness.contains_key(id) && !is_own("user") => {
                told(Outcome::Accepted, "it was being ended already".to_owned())
            }
            None => told(Outcome::Failed, "the server has no such session to be ended by this account".to_owned()),
        };
    }
    match present {
        Some(_) if order.likeness.contains_key(id) => {
            told(Outcome::Changed, "its id is another session's by now".to_owned())
        }
        Some(_) | None => told(Outcome::NotFound, "not there when it was to be ended".to_owned()),
    }
}

/// Asks for open transactions: the third of these has them. Among them must be this one, which has just begun, or what was
/// read is an old copy; it is waited a little for a new one.
pub(super) fn transactions(columns: &str, joined: &str) -> [Statement; 4] {
    let old = "SELECT 1 FROM DUAL WHERE NOT EXISTS (SELECT * FROM information_schema.innodb_trx \
               WHERE trx_mysql_thread_id = CONNECTION_ID() AND trx_started >= NOW() - INTERVAL 2 SECOND)";
    let open = format!(
        "SELECT t.trx_mysql_thread_id AS id, t.trx_state AS state, t.trx_rows_modified AS changed, \
         TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) AS seconds, t.trx_mysql_thread_id = CONNECTION_ID() AS is_own{columns} \
         FROM information_schema.innodb_trx t{joined}"
    );
    [
        Statement::once("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY".to_owned()),
        Statement::once(old.to_owned()).while_rows(RENEWED_AFTER, RENEWED_WITHIN).good_for(TRANSACTIONS_GOOD_FOR),
        Statement::once(open).good_for(TRANSACTIONS_GOOD_FOR),
        Statement::once("COMMIT".to_owned()),
    ]
}

/// What is known of sessions beside their list.
#[derive(Debug, Default)]
pub(super) struct Beside<'r> {
    transactions: HashMap<&'r str, &'r Value>,
    pub(super) blockers: HashMap<&'r str, Vec<SessionId>>,
    pub(super) seconds: HashMap<&'r str, u64>,
}

impl<'r> Beside<'r> {
    /// What the answer to [`transactions`] tells.
    ///
    /// # Errors
    /// There is none: without the right to see them the list, too, would have nobody's sessions but one's own.
    pub(super) fn read(result: Option<&'r StatementResult>, reply: &Reply) -> Result<Self, Fault> {
        let rows = match result {
            Some(StatementResult::Refused { code, .. }) if NO_RIGHT.contains(&code.as_str()) => {
                let why = "the account lacks the privilege PROCESS, so it sees no sessions but its own";
                return Err(Fault::of(FaultKind::Denied, reply).saying(Some(code.clone()), Some(why.to_owned())));
            }
            // Somebody's statement cannot be told, and the right to see it is there.
            Some(StatementResult::Refused { code, .. }) if code == NOT_CONVERTED => return Ok(Self::default()),
            result => engine::rows_of(result, reply)?,
        };
        let own = rows.iter().find(|row| row["is_own"] == "1");
        let is_fresh = own.and_then(|own| number(own, "seconds")).is_some_and(|age| age <= 2);
        let told = |row: &'r Value| Some((row["id"].as_str()?, row)).filter(|_| is_fresh && row["is_own"] != "1");
        let transactions: HashMap<_, _> = rows.iter().filter_map(told).collect();
        let blockers = |(id, row): (&&'r str, &&'r Value)| {
            let blockers = row["blockers"].as_str()?.split(' ').map(|id| SessionId(id.to_owned()));
            Some((*id, blockers.collect()))
        };
        let blockers = transactions.iter().filter_map(blockers).collect();
        Ok(Self { transactions, blockers, seconds: HashMap::new() })
    }

    /// A session of the list.
    pub(super) fn session(&self, row: &Value) -> Option<LiveSession> {
        let text = |name: &str| row[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let id = row["id"].as_str()?;
        let transaction = self.transactions.get(id);
        let undoing = transaction.filter(|transaction| transaction["state"] == "ROLLING BACK");
        Some(LiveSession {
            user: text("user"),
            host: text("host"),
            database: text("db"),
            command: if row["is_own"] == "1" { Some(ITSELF.to_owned()) } else { text("command") },
            state: undoing.map(|row| rolling_back(row)).or_else(|| text("state")),
            seconds: self.seconds.get(id).copied().or_else(|| number(row, "seconds")),
            statement: text("statement"),
            transaction_seconds: transaction.and_then(|row| number(row, "seconds")),
            blocked_by: self.blockers.get(id).cloned().unwrap_or_default(),
            statement_id: text("statement_id"),
            server_started_at: row["server_started"].as_str().and_then(|text| moment(text.parse().ok()?)),
            ..LiveSession::new(SessionId(id.to_owned()))
        })
    }
}

/// A moment of the server's clock; `None` where it is none.
fn moment(seconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}

/// A whole number of a row, without what is behind its point.
pub(super) fn number(row: &Value, name: &str) -> Option<u64> {
    row[name].as_str()?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
