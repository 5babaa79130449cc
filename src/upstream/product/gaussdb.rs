//! Huawei GaussDB (openGauss kernel): `POST …/instances/{id}/kill-session`.
//!
//! Ids are texts that are local to a component. The reply lists what was killed and nothing else, so what is
//! left out of it is reported as failed until a look settles it. Sessions are listed with `POST …/real-time-session`,
//! which only reads.

use actix_web::http::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::domain::{LiveSession, Order, Outcome, Session, SessionId, Target, VendorName};

use crate::upstream::{
    Answer, By, Call, Capabilities, Coordinate, Counting, Effect, Fault, FaultKind, IdRule, Known, ListFilter,
    ListingKind, NOT_REPORTED, Next, Own, Page, Reply, SelectorKind, Step, Takes, Vendor,
    cloud::huawei,
    json,
    process::{self, Row},
};

/// See the module.
#[derive(Debug)]
pub(super) struct GaussDb;

static CAPABILITIES: Capabilities = Capabilities {
    product: "Huawei Cloud GaussDB",
    by: By::Cloud(&huawei::Huawei),
    coordinates: &[INSTANCE, NODE, COMPONENT],
    // Components are numbered within an instance. The node goes with the component and proves nothing by itself.
    tells_apart: &["instance_id", "component_id"],
    session_id: IdRule::Token,
    selectors: &[SelectorKind::Ids],
    // No maximum is published; the vendor's console and its list call stop at 200.
    max_ids_per_call: 200,
    most_ids_per_call: None,
    // No rate is published; write policies as low as 10 a minute were reported for a sister service.
    requests_per_second: 5,
    // "60 calls a minute for each user" in the guide of the RDS family (2026), whose gateway these calls share a policy
    // with; that it is the same figure is our reading.
    requests_per_minute: Some(60),
    counting: Counting::Together,
    can_follow_up: false,
    listing: Some(ListingKind {
        needs_one_of: &[],
        most: Some(MOST_LISTED),
        tells: &["min_transaction_seconds", "idle_in_transaction", "blocking"],
    }),
    own: Own { users: OWN_USERS, commands: OWN_THREADS, applications: OWN_APPLICATIONS },
    takes: Takes::Ids,
    steps: 1,
    cancels: false,
};

/// "System accounts for DB instances" in the product description (2025).
const OWN_USERS: &[&str] = &["rdsAdmin", "rdsBackup", "rdsRepl", "rdsMetric"];
/// Threads of replication. No page of the product tells their names; the openGauss kernel, whose source is public (2024), calls
/// those that send and receive changes so.
const OWN_THREADS: &[&str] = &["WalSender*", "WalReceiver*", "DataSender*", "DataReceiver*", "Archiver*"];
/// Replication whoever's it is: the kernel sets these names itself ("WalSender to Standby[dn_6002]"), and its tools theirs.
const OWN_APPLICATIONS: &[&str] =
    &["WalSender to *", "walreceiver*", "gs_basebackup*", "pg_basebackup*", "gs_probackup*", "pg_recvlogical*"];

/// The user guide: at most 200 records come back, and there are no pages.
const MOST_LISTED: usize = 200;

/// Every member is a text but for the times. `exec_time` is how long the session has lived, `query_runtime` how long its
/// statement has run.
const SESSION: Row = Row {
    id: "session_id",
    user: "user_name",
    host: "client_ip",
    database: "database_name",
    command: Some("thread_name"),
    seconds: "query_runtime",
    state: "state",
    statement: "query",
};

const INSTANCE: Coordinate = huawei::required(
    "instance_id",
    "36 letters or digits ending in `in14`",
    "3d39c18788b54a919bab633874c159dfin14",
    |text| huawei::tagged(text, "in14"),
);
const NODE: Coordinate = huawei::required(
    "node_id",
    "36 letters or digits ending in `no14`",
    "52c25e148a4a48c293b66ca95565719cno14",
    |text| huawei::tagged(text, "no14"),
);
const COMPONENT: Coordinate =
    huawei::required("component_id", "a CN or DN of that node, such as `cn_5001` or `dn_6001`", "cn_5001", |text| {
        let (kind, number) = text.split_once('_').unwrap_or_default();
        let digits = (1..=10).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        // In one spelling only: whoever guards a component guards it by its name.
        let is_plain = number == "0" || !number.starts_with('0');
        matches!(kind, "cn" | "dn") && digits && is_plain
    });

impl Vendor for GaussDb {
    fn name(&self) -> VendorName {
        VendorName("gaussdb")
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn open(&self, order: &Order) -> Call {
        let target = &order.target;
        let path = format!("/v3/{{project_id}}/instances/{}/kill-session", target.coordinate("instance_id"));
        let body = json!({
            "node_id": target.coordinate("node_id"),
            "component_id": target.coordinate("component_id"),
            "session_ids": order.selector.ids(),
        });
        Call::json("kill", Effect::Kill, "kill-session", Method::POST, path, &body)
    }

    fn follow_up(&self, _: &Order, _: &Known) -> Option<Call> {
        None // The vendor keeps neither a history nor a task of this operation.
    }

    fn next(&self, order: &Order, _: &Known, reply: &Reply) -> Result<Step, Fault> {
        let answer = huawei::answer(reply, |http| {
            let body = json::read(&http.body)?;
            let success = body["success"].as_bool()?;
            let killed = match &body["session_ids"] {
                Value::Null if !success => vec![],
                ids => json::ids(ids)?,
            };
            if !success && killed.is_empty() {
                return Some(Err(Fault::of(FaultKind::Refused, reply)));
            }
            let sessions = order.selector.ids().iter().map(|id| {
                if killed.contains(&id.0) {
                    Session::new(id, Outcome::Killed)
                } else {
                    Session::new(id, Outcome::Failed).because(NOT_REPORTED)
                }
            });
            Some(Ok(Step::Done(Answer::each(sessions.collect()).request(http.request_id.clone()))))
        });
        answer.map_err(of_product)
    }

    fn list(&self, target: &Target, filter: &ListFilter, _: usize) -> Option<Call> {
        let path = format!("/v3/{{project_id}}/instances/{}/real-time-session", target.coordinate("instance_id"));
        let mut body = json!({
            "node_id": target.coordinate("node_id"),
            "component_id": target.coordinate("component_id"),
        });
        // A list that is cut off shows more of what is wanted where the vendor leaves out the rest.
        for (name, value) in [("user_name", &filter.user), ("database_name", &filter.database)] {
            if let Some(value) = value {
                body["query_info"][name] = json!(value);
            }
        }
        Some(Call::json("list", Effect::Read, "real-time-session", Method::POST, path, &body))
    }

    fn page(&self, _: &Target, _: usize, reply: &Reply) -> Result<Page, Fault> {
        let page = huawei::read(reply, |body| {
            // Left out is none, where nothing else is said instead.
            let rows = match body.as_object()?.get("sessions") {
                None if body.as_object()?.is_empty() => &[],
                rows => json::rows(rows?)?,
            };
            let sessions: Vec<_> = rows.iter().map(session).collect::<Option<_>>()?;
            let next = if sessions.len() < MOST_LISTED { Next::End } else { Next::Cut };
            Some(Page::Sessions { sessions, next, total: None })
        });
        page.map_err(of_product)
    }
}

/// What a code means in this product's own table, where a sister product's says something else.
fn of_product(fault: Fault) -> Fault {
    match (fault.kind, fault.code.as_deref()) {
        // The instance is there, and has no node in order.
        (FaultKind::TargetNotFound, Some("DBS.200408")) => Fault { kind: FaultKind::TargetBusy, ..fault },
        _ => fault,
    }
}

/// How long the session has been at its statement. An idle one has none, however old its last one is, and no statement
/// runs longer than its session: such a number is in another unit than seconds, which no page states.
fn at_statement(session: &LiveSession, row: &Value) -> Option<u64> {
    let is_idle = session.state.as_deref().is_some_and(|state| state.eq_ignore_ascii_case("idle"));
    let age = process::seconds(&row["exec_time"]);
    session.seconds.filter(|seconds| !is_idle && age.is_none_or(|age| *seconds <= age + 1))
}

fn session(row: &Value) -> Option<LiveSession> {
    let session = SESSION.read(row)?;
    let seconds = at_statement(&session, row);
    // The vendor puts the port into a member of its own, and less than 1 where there is none.
    let port = json::id(&row["client_port"]).filter(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let host = session.host.map(|ip| port.map_or_else(|| ip.clone(), |port| format!("{ip}:{port}")));
    let blocker = json::id(&row["block_session"]).filter(|id| id != "0");
    Some(LiveSession {
        host,
        seconds,
        started_at: row["back_end_start"].as_i64().and_then(moment),
        transaction_seconds: in_transaction(row),
        application: json::text(&row["application_name"]),
        blocked_by: blocker.and_then(|id| IdRule::Token.parse(&id)).map(SessionId).into_iter().collect(),
        ..session
    })
}

/// How long its transaction has been open, by the server's own clock: it tells how old the session is, and when both began.
fn in_transaction(row: &Value) -> Option<u64> {
    let began = |name: &str| row[name].as_i64().and_then(moment);
    let before = began("transaction_start")? - began("back_end_start")?;
    process::seconds(&row["exec_time"])?.checked_sub(u64::try_from(before.whole_seconds()).ok()?)
}

/// A time since 1970, of which no page says whether it is in seconds or in milliseconds: told apart by its size.
fn moment(number: i64) -> Option<OffsetDateTime> {
    let seconds = if number.abs() < 100_000_000_000 { number } else { number / 1000 };
    OffsetDateTime::from_unix_timestamp(seconds).ok().filter(|_| seconds > 0)
}
