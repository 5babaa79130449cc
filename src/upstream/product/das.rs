//! Huawei Data Admin Service, for RDS for MySQL: `DELETE …/instances/{id}/process` with a body.
//!
//! The documented success is an empty 200 that says nothing about any process, so it is read as accepted and
//! never as killed. Whether several criteria narrow or widen the kill is nowhere stated; exactly one is sent.
//! Processes are listed in pages, and only those of a user or in a database.

use actix_web::http::Method;
use serde_json::{Map, Value};

use crate::domain::{AnyOf, Glob, Order, Outcome, Selector, Target, VendorName};

use crate::upstream::{
    Answer, By, Call, Capabilities, Coordinate, Counting, Effect, Fault, FaultKind, IdRule, Known, ListFilter,
    ListingKind, Own, Page, Reply, SelectorKind, Step, Takes, Vendor, cloud::huawei, process::Row,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Das;

static CAPABILITIES: Capabilities = Capabilities {
    product: "Huawei Cloud DAS, for RDS for MySQL",
    by: By::Cloud(&huawei::Huawei),
    coordinates: &[INSTANCE, DB_USER],
    // A `db_user_id` is a handle on the instance, and there can be many.
    tells_apart: &["instance_id"],
    session_id: IdRule::Decimal { max: 2_147_483_647 },
    selectors: &[SelectorKind::Ids, SelectorKind::MatchOneOf(&["user", "database"])],
    // No maximum is published; a sibling operation allows 20 at a time.
    max_ids_per_call: 100,
    most_ids_per_call: None,
    // No rate is published; DAS throttles with HTTP 400 and DAS.200002.
    requests_per_second: 5,
    requests_per_minute: None,
    counting: Counting::Together,
    can_follow_up: false,
    listing: Some(ListingKind { needs_one_of: &["user", "database"], most: None, tells: &[] }),
    own: Own { users: OWN_USERS, commands: Own::MYSQL_COMMANDS, applications: &[] },
    takes: Takes::Ids,
    steps: 1,
    cancels: false,
};

/// "Built-in accounts" of RDS for MySQL in the user guide (2024), and MySQL's own.
const OWN_USERS: &[&str] =
    &["rdsAdmin", "rdsRepl", "rdsMetric", "rdsBackup", "dsc_readonly", "mysql.*", "system user", "event_scheduler"];

/// Every member of a process is a text.
const PROCESS: Row = Row {
    id: "id",
    user: "user",
    host: "host",
    database: "database",
    command: Some("command"),
    seconds: "time",
    state: "state",
    statement: "sql",
};

const INSTANCE: Coordinate = huawei::required(
    "instance_id",
    "36 letters or digits ending in `in` and two digits, such as `in01`",
    "da304cd5bbb944de828759bc7be3d3fein01",
    huawei::any_instance,
);
/// Not a database user's name: the handle that DAS gave out when the account was registered with it.
const DB_USER: Coordinate = huawei::required(
    "db_user_id",
    "the UUID under which the database account is registered with DAS",
    "2c250598-1e3c-4d31-bc19-be1d866247e6",
    |text| text.len() == 36 && uuid::Uuid::try_parse(text).is_ok(),
);

impl Vendor for Das {
    fn name(&self) -> VendorName {
        VendorName("das")
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn open(&self, order: &Order) -> Call {
        let target = &order.target;
        let path = format!("/v3/{{project_id}}/instances/{}/process", target.coordinate("instance_id"));
        let mut body = Map::new();
        body.insert("db_user_id".to_owned(), target.coordinate("db_user_id").into());
        match &order.selector {
            Selector::Ids(ids) => body.insert("process_ids".to_owned(), serde_json::json!(ids)),
            Selector::Match(wanted) => {
                let only = |of: &Option<AnyOf<Glob>>| of.as_ref().and_then(AnyOf::only).map(Value::from);
                match only(&wanted.criteria.user) {
                    Some(user) => body.insert("user".to_owned(), user),
                    None => body.insert("database".to_owned(), only(&wanted.criteria.database).unwrap_or_default()),
                }
            }
            // Not among the capabilities; without a criterion the vendor refuses the call.
            Selector::Intelligent => None,
        };
        Call::json("kill", Effect::Kill, "process", Method::DELETE, path, &body)
    }

    fn follow_up(&self, _: &Order, _: &Known) -> Option<Call> {
        None // No task; the list of processes wants a user or a database.
    }

    fn next(&self, order: &Order, _: &Known, reply: &Reply) -> Result<Step, Fault> {
        huawei::answer(reply, |http| {
            let answer = Answer::all(order, Outcome::Accepted).request(http.request_id.clone());
            let refused = || Fault::of(FaultKind::Refused, reply);
            Some(if huawei::is_taken(&http.body)? { Ok(Step::Done(answer)) } else { Err(refused()) })
        })
    }

    fn list(&self, target: &Target, filter: &ListFilter, row: usize) -> Option<Call> {
        let path = format!("/v3/{{project_id}}/instances/{}/processes", target.coordinate("instance_id"));
        let mut query = vec![("db_user_id", target.coordinate("db_user_id").to_owned())];
        query.extend(filter.user.clone().map(|user| ("user", user)));
        query.extend(filter.database.clone().map(|database| ("database", database)));
        query.extend(huawei::page_from(row));
        Some(Call::get("list", "processes", path, query))
    }

    fn page(&self, _: &Target, row: usize, reply: &Reply) -> Result<Page, Fault> {
        let mut page = huawei::page(reply, row, &PROCESS, "processes", "count")?;
        if let Page::Sessions { sessions, .. } = &mut page {
            // The sample of the vendor's own definition (2026) writes two dashes for no database.
            for session in sessions {
                session.database = session.database.take().filter(|name| name != "--");
            }
        }
        Ok(page)
    }
}
