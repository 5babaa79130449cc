//! Huawei Data Admin Service by instance, for RDS for MySQL and for PostgreSQL: `POST …/instances/{id}/kill-process`.
//!
//! Unlike [`das`](super::das) it needs no account registered with DAS, and its lists no user. A kill names the user of each
//! process beside its id, so nobody is ended who was not looked at. The documented successes are `""` and a count, and a
//! count says how many and not which: both are read as accepted, and none killed is unknown until the list tells. The
//! vendor calls these operations a public beta: their shapes may move. Nowhere stated: which words `engine_type` takes
//! (the kill's sample has `postgresql`, the list's page `MySQL`), what a process of MySQL's list looks like (here: as one
//! of PostgreSQL's), and how old a list may be that has a `data_sync_time`.

use actix_web::http::Method;
use serde_json::{Value, json};

use crate::domain::{Order, Outcome, Target, VendorName};

use crate::upstream::{
    Answer, By, Call, Capabilities, Coordinate, Counting, Effect, Fault, FaultKind, IdRule, Known, ListFilter,
    ListingKind, Own, Page, Reply, SelectorKind, Step, Takes, Vendor,
    cloud::huawei::{self, Numbered},
    json,
    process::Row,
};

/// See the module.
#[derive(Debug)]
pub(super) struct DasRds;

static CAPABILITIES: Capabilities = Capabilities {
    product: "Huawei Cloud DAS by instance, for RDS for MySQL and PostgreSQL",
    by: By::Cloud(&huawei::Huawei),
    coordinates: &[INSTANCE],
    tells_apart: &["instance_id"],
    session_id: IdRule::Decimal { max: i64::MAX as u64 },
    selectors: &[SelectorKind::Ids],
    // No maximum is published; the console ends 20 at a time.
    max_ids_per_call: 20,
    most_ids_per_call: None,
    // No rate is published; DAS throttles with HTTP 400 and DAS.200002.
    requests_per_second: 5,
    requests_per_minute: None,
    counting: Counting::Together,
    can_follow_up: false,
    listing: Some(ListingKind { needs_one_of: &[], most: None, tells: &[] }),
    own: Own { users: OWN_USERS, commands: OWN_COMMANDS, applications: &[] },
    takes: Takes::LikenessAlways,
    steps: 1,
    cancels: false,
};

/// "Built-in accounts" of RDS for MySQL and "system accounts" of RDS for PostgreSQL in the user guides, and MySQL's own.
const OWN_USERS: &[&str] = &[
    "rdsAdmin",
    "rdsRepl",
    "rdsMetric",
    "rdsBackup",
    "rdsProxy",
    "rdsUser",
    "dsc_readonly",
    "mysql.*",
    "system user",
    "event_scheduler",
];
/// MySQL's replication and its own threads, and PostgreSQL's sender.
const OWN_COMMANDS: &[&str] =
    &["Binlog Dump*", "Register Slave", "Register Replica", "Daemon", "walsender*", "streaming*"];

/// Every member of a process is a text.
const PROCESS: Row = Row {
    id: "id",
    user: "user",
    host: "host",
    database: "db",
    command: Some("command"),
    seconds: "time",
    state: "state",
    statement: "info",
};

const INSTANCE: Coordinate = huawei::required(
    "instance_id",
    "36 letters or digits ending in `in01` (RDS for MySQL) or `in03` (RDS for PostgreSQL)",
    "3c8fb6f7aa9e4b1e8f4f0a1c2d3e4f50in03",
    |text| huawei::tagged(text, MYSQL) || huawei::tagged(text, POSTGRESQL),
);
/// How the ids of each engine's instances end.
const MYSQL: &str = "in01";
const POSTGRESQL: &str = "in03";

impl Vendor for DasRds {
    fn name(&self) -> VendorName {
        VendorName("dasrds")
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn open(&self, order: &Order) -> Call {
        let process = |id| {
            // Only sessions that were looked at get here, and those of nobody are spared.
            let user = order.likeness.get(id).and_then(|seen| seen.user.as_deref());
            json!({ "id": id.0.parse::<i64>().ok(), "user": user.unwrap_or_default() })
        };
        let processes: Vec<Value> = order.selector.ids().iter().map(process).collect();
        let engine = if is_mysql(&order.target) { "mysql" } else { "postgresql" };
        let body = json!({ "engine_type": engine, "processes": processes });
        Call::json("kill", Effect::Kill, "kill-process", Method::POST, path(&order.target, "kill-process"), &body)
    }

    fn follow_up(&self, _: &Order, _: &Known) -> Option<Call> {
        None // No task; the list tells.
    }

    fn next(&self, order: &Order, _: &Known, reply: &Reply) -> Result<Step, Fault> {
        huawei::answer(reply, |http| {
            if !huawei::is_taken(&http.body)? {
                return Some(Err(Fault::of(FaultKind::Refused, reply)));
            }
            let outcome = match count(&http.body) {
                Some(0) => Outcome::Unknown,
                Some(count) if count > order.selector.ids().len() => return None,
                _ => Outcome::Accepted,
            };
            Some(Ok(Step::Done(Answer::all(order, outcome).request(http.request_id.clone()))))
        })
    }

    /// The vendor's own filters may be patterns or exact, which is nowhere stated, so none is handed on.
    fn list(&self, target: &Target, _: &ListFilter, row: usize) -> Option<Call> {
        let page = Numbered::holding(row).query();
        if is_mysql(target) {
            let query = [("engine_type", "MySQL".to_owned())].into_iter().chain(page).collect();
            return Some(Call::get("list", "query-process-list", path(target, "query-process-list"), query));
        }
        let all = [("show_all", "true".to_owned()), ("hide_sys", "false".to_owned())];
        let query = all.into_iter().chain(page).collect();
        Some(Call::get("list", "pg/query-process-list", path(target, "pg/query-process-list"), query))
    }

    fn page(&self, target: &Target, row: usize, reply: &Reply) -> Result<Page, Fault> {
        let rows = if is_mysql(target) { "data" } else { "process_info_list" };
        Numbered::holding(row).read(reply, &PROCESS, rows, "total")
    }
}

fn is_mysql(target: &Target) -> bool {
    target.coordinate("instance_id").ends_with(MYSQL)
}

fn path(target: &Target, operation: &str) -> String {
    format!("/v3/{{project_id}}/instances/{}/{operation}", target.coordinate("instance_id"))
}

/// How many processes a success says were killed, where it says that.
fn count(body: &[u8]) -> Option<usize> {
    json::read(body)?.get("count")?.as_u64().map(|count| usize::try_from(count).unwrap_or(usize::MAX))
}
