//! MySQL by its own protocol: `performance_schema.processlist`, `KILL`, `KILL QUERY`.
//!
//! See [`my`]. That table shows a session until it is gone, and nothing in it says that it dies; `SHOW PROCESSLIST` leaves
//! out those that still roll back, and `information_schema.processlist` fails as a whole while anybody runs a statement with
//! a letter of four bytes; so does `INNODB_TRX` where that is in a transaction. Where the performance schema is off, or had no room for every session, `SHOW PROCESSLIST` is all
//! there is. Facts: the 8.4 manual's "KILL Statement", "Accessing the Process List" and "The processlist Table", and
//! measurements on 9.7.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{
    engine,
    my::{self, Beside, Dialect},
};
use crate::{
    domain::{LiveSession, Order, SessionId, Target, VendorName},
    upstream::{
        Call, Capabilities, Fault, Known, ListFilter, Next, Page, Protocol, Reply, Statement, StatementResult, Step,
        Vendor, When,
    },
};

/// See the module.
#[derive(Debug)]
pub(super) struct MySql;

// A larger id is cut to 32 bits and ends another session.
static CAPABILITIES: Capabilities = engine::able("MySQL", Protocol::MySql, 4_294_967_295, my::OWN);

/// Whether the performance schema is off, or had no room for every session.
macro_rules! hides {
    () => {
        "(@@performance_schema = 0 OR (SELECT VARIABLE_VALUE FROM performance_schema.global_status \
         WHERE VARIABLE_NAME = 'Performance_schema_thread_instances_lost') > 0)"
    };
}

const DIALECT: Dialect = Dialect {
    sessions: "performance_schema.processlist",
    find: |condition| {
        let of = |schema: &str| format!("(SELECT ID FROM {schema}.processlist WHERE {condition})");
        let (hides, usual, other) = (hides!(), of("performance_schema"), of("information_schema"));
        format!("COALESCE({usual}, IF({hides}, {other}, 0))")
    },
    statement: |statement_id| {
        // Whole seconds are told, and a second may end while they are read.
        let (hash, began) = statement_id.split_once(' ')?;
        let fine = hash.bytes().all(|byte| byte.is_ascii_hexdigit()) && began.bytes().all(|byte| byte.is_ascii_digit());
        fine.then(|| {
            let is_same = format!(
                "COMMAND <> 'Sleep' AND SHA2(INFO, 224) = '{hash}' AND ABS(UNIX_TIMESTAMP() - TIME - {began}) <= 1"
            );
            (is_same, "{kill_query}(@k)".to_owned())
        })
    },
    hides: Some(HIDES),
};

const HIDES: &str = concat!("SELECT CONNECTION_ID() AS own, ", my::started!(), " FROM DUAL WHERE ", hides!());

/// A session that has set its own time may say that it is older than its server. A statement is told from others by its text
/// and the second in which it began.
const LIST: &str = concat!(
    "SELECT ID AS id, ID = CONNECTION_ID() AS is_own, ",
    my::started!(),
    ", USER AS user, HOST AS host, DB AS db, COMMAND AS command, \
STATE AS state, IF(TIME BETWEEN 0 AND \
(SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME = 'Uptime'), TIME, NULL) AS seconds, \
INFO AS statement, IF(COMMAND = 'Sleep', NULL, CONCAT(SHA2(INFO, 224), ' ', UNIX_TIMESTAMP() - TIME)) AS statement_id \
FROM performance_schema.processlist"
);

const LIST_WHERE_HIDDEN: &str = "SHOW FULL PROCESSLIST";

/// Who waits for whom, 0 for a transaction that is prepared and has no session. It needs a right of its own. Before 8.0.40,
/// 8.4.3 and 9.1 reading this could make InnoDB stand still, so there it is not read.
const WAITS: &str = "\
SELECT DISTINCT r.PROCESSLIST_ID AS id, COALESCE(b.PROCESSLIST_ID, 0) AS blocker \
FROM performance_schema.data_lock_waits w JOIN performance_schema.threads r ON r.THREAD_ID = w.REQUESTING_THREAD_ID \
LEFT JOIN performance_schema.threads b ON b.THREAD_ID = w.BLOCKING_THREAD_ID \
WHERE SUBSTRING_INDEX(VERSION(), '.', 1) * 10000 + SUBSTRING_INDEX(SUBSTRING_INDEX(VERSION(), '.', 2), '.', -1) * 100 \
+ SUBSTRING_INDEX(SUBSTRING_INDEX(SUBSTRING_INDEX(VERSION(), '-', 1), '.', 3), '.', -1) >= 80040 \
AND VERSION() NOT LIKE '8.1.%' AND VERSION() NOT LIKE '8.2.%' AND VERSION() NOT LIKE '8.3.%' \
AND VERSION() NOT LIKE '9.0.%' AND SUBSTRING_INDEX(VERSION(), '-', 1) NOT IN ('8.4.0', '8.4.1', '8.4.2')";

/// For how long each session has been doing what it does, by a clock that no session can set: of one that is idle, since the
/// end of its last statement. It needs a right of its own.
const TIMES: &str = "\
SELECT t.PROCESSLIST_ID AS id, \
FLOOR(CASE WHEN s.END_EVENT_ID IS NULL THEN s.TIMER_WAIT ELSE o.last + 0e0 - s.TIMER_END END / 1e12) AS seconds \
FROM performance_schema.events_statements_current s JOIN performance_schema.threads t USING (THREAD_ID) \
JOIN (SELECT MAX(TIMER_END) AS last FROM performance_schema.events_statements_current) o \
WHERE s.NESTING_EVENT_LEVEL = 0 AND t.PROCESSLIST_ID IS NOT NULL";

impl Vendor for MySql {
    fn name(&self) -> VendorName {
        VendorName("mysql")
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn open(&self, order: &Order) -> Call {
        my::open(&DIALECT, order)
    }

    fn follow_up(&self, _: &Order, _: &Known) -> Option<Call> {
        None // A list is all there is.
    }

    fn next(&self, order: &Order, _: &Known, reply: &Reply) -> Result<Step, Fault> {
        my::next(order, reply)
    }

    fn list(&self, target: &Target, _: &ListFilter, _: usize) -> Option<Call> {
        let once = |text: &str| Statement::once(text.to_owned());
        let mut statements = vec![once(LIST), once(HIDES), once(LIST_WHERE_HIDDEN).only(When::AfterRows)];
        statements.extend(my::transactions("", ""));
        statements.extend([once(WAITS).good_for(my::TRANSACTIONS_GOOD_FOR), once(TIMES)]);
        Some(engine::list(target, statements))
    }

    fn page(&self, _: &Target, _: usize, reply: &Reply) -> Result<Page, Fault> {
        let results = reply.results()?;
        let mut beside = Beside::read(results.get(5), reply)?;
        let told = |at: usize| match results.get(at) {
            Some(StatementResult::Rows(rows)) => rows.as_slice(),
            // Without the right to it, it is not told.
            _ => &[],
        };
        for row in told(7) {
            if let (Some(id), Some(blocker)) = (row["id"].as_str(), row["blocker"].as_str()) {
                beside.blockers.entry(id).or_default().push(SessionId(blocker.to_owned()));
            }
        }
        beside.seconds =
            told(8).iter().filter_map(|row| Some((row["id"].as_str()?, my::number(row, "seconds")?))).collect();
        let session = |row: &Value| beside.session(row);
        let listed = engine::rows(reply)?.iter().map(session).collect::<Option<Vec<LiveSession>>>();
        let own = engine::rows_of(results.get(1), reply)?.first().unwrap_or(&Value::Null);
        let others = engine::rows_of(results.get(2), reply)?.iter().map(|row| session(&as_listed(row, own)));
        let others = others.collect::<Option<Vec<_>>>();
        let (mut sessions, others) = listed.zip(others).ok_or_else(|| Fault::unreadable(reply))?;
        let known: HashSet<_> = sessions.iter().map(|session| session.id.clone()).collect();
        sessions.extend(others.into_iter().filter(|other| !known.contains(&other.id)));
        Ok(Page::Sessions { sessions, next: Next::End, total: None })
    }
}

/// A row of `SHOW PROCESSLIST` as one of the table's; `own` is that of [`HIDES`], of the gateway's connection.
fn as_listed(row: &Value, own: &Value) -> Value {
    let names = [
        ("id", "Id"),
        ("user", "User"),
        ("host", "Host"),
        ("db", "db"),
        ("command", "Command"),
        ("state", "State"),
        ("seconds", "Time"),
        ("statement", "Info"),
    ];
    let columns = names.into_iter().map(|(name, shown)| (name.to_owned(), row[shown].clone()));
    let is_own = if row["Id"] == own["own"] { "1" } else { "0" };
    let more = [("is_own", is_own.into()), ("server_started", own["server_started"].clone())];
    Value::Object(columns.chain(more.map(|(name, value)| (name.to_owned(), value))).collect::<Map<_, _>>())
}
