//! MariaDB by its own protocol: `information_schema.processlist`, `KILL`, `KILL QUERY ID`.
//!
//! See [`my`]. A session that dies is listed as `Killed` until it is gone. Statements have numbers of their own, by which
//! they are cancelled. Facts: the manual's `KILL`, "Information Schema PROCESSLIST Table" and "INNODB_LOCK_WAITS", and
//! measurements on 10.11 and 11.8.

use super::{
    engine,
    my::{self, Beside, Dialect},
};
use crate::{
    domain::{Order, Target, VendorName},
    upstream::{Call, Capabilities, Fault, Known, ListFilter, Next, Page, Protocol, Reply, Statement, Step, Vendor},
};

/// See the module.
#[derive(Debug)]
pub(super) struct MariaDb;

// Ids fit 32 bits since 10.2.
static CAPABILITIES: Capabilities = engine::able("MariaDB", Protocol::MariaDb, 4_294_967_295, my::OWN);

const DIALECT: Dialect = Dialect {
    sessions: "information_schema.processlist",
    find: |condition| format!("(SELECT ID FROM information_schema.processlist WHERE {condition})"),
    statement: |number| {
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| {
            let is_same = format!("COMMAND <> 'Sleep' AND QUERY_ID = {number}");
            (is_same, format!("SET @q := IF(@k = 0, 0, {number}); {{kill_query_id}}(@q)"))
        })
    },
    hides: None,
};

/// `INFO` has question marks for letters that are not of its three bytes. `TIME` and `TIME_MS` differ where a session has
/// set its own time.
const LIST: &str = concat!(
    "SELECT ID AS id, ID = CONNECTION_ID() AS is_own, ",
    my::started!(),
    ", USER AS user, HOST AS host, DB AS db, COMMAND AS command, \
STATE AS state, FLOOR(TIME_MS / 1000) AS seconds, INFO_BINARY AS statement, IF(COMMAND = 'Sleep', NULL, QUERY_ID) AS statement_id \
FROM information_schema.processlist"
);

/// The sessions of the transactions that one waits for, 0 for one that is prepared and has no session.
const WAITS: &str = " LEFT JOIN (SELECT w.requesting_trx_id AS waiter, \
GROUP_CONCAT(DISTINCT b.trx_mysql_thread_id SEPARATOR ' ') AS blockers \
FROM information_schema.innodb_lock_waits w JOIN information_schema.innodb_trx b ON b.trx_id = w.blocking_trx_id \
GROUP BY w.requesting_trx_id) w ON w.waiter = t.trx_id";

impl Vendor for MariaDb {
    fn name(&self) -> VendorName {
        VendorName("mariadb")
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
        let mut statements = vec![Statement::once(LIST.to_owned())];
        statements.extend(my::transactions(", w.blockers", WAITS));
        Some(engine::list(target, statements))
    }

    fn page(&self, _: &Target, _: usize, reply: &Reply) -> Result<Page, Fault> {
        let beside = Beside::read(reply.results()?.get(3), reply)?;
        let sessions = engine::rows(reply)?.iter().map(|row| beside.session(row));
        let sessions = sessions.collect::<Option<_>>().ok_or_else(|| Fault::unreadable(reply))?;
        Ok(Page::Sessions { sessions, next: Next::End, total: None })
    }
}
