//! `KillSession` of the TDSQL products: sessions of one node, ended by an asynchronous flow. Ids are JSON integers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use time::{format_description::BorrowedFormatItem, macros::format_description};

use super::{Product, Service, answer, bad, refuse};
use crate::sandbox::{
    Action, Lie, Place, Session,
    answer::{Answer, Refusal},
    behaviour::{cut, death_by_task, reconnect, recycle},
    fields::{Bad, Members},
    log::Incoming,
    state::{Flow, State, World},
};

const SECONDS: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");

/// Answers one action.
type Answering = fn(&State, &Incoming) -> Result<Answer, Refusal>;

/// What one of the products has of its own.
pub(super) struct KillSession {
    pub(super) service: Service,
    pub(super) kill: Action,
    pub(super) flow: Action,
    pub(super) processes: Action,
    /// What tells an instance's nodes, under its name.
    pub(super) detail: (Action, &'static str, Answering),
    pub(super) place: Find,
}

impl Product for KillSession {
    fn service(&self) -> &Service {
        &self.service
    }

    fn recognise(&self, action: &str, _: &Incoming) -> Option<Action> {
        let (detail, name, _) = self.detail;
        match action {
            "KillSession" => Some(self.kill),
            "DescribeFlow" => Some(self.flow),
            "DescribeProcessList" => Some(self.processes),
            _ => (action == name).then_some(detail),
        }
    }

    fn work(
        &self,
        state: &mut State,
        incoming: &Incoming,
        action: Action,
        lie: Option<&Lie>,
    ) -> Result<Answer, Refusal> {
        match action {
            _ if action == self.kill => kill(state, incoming, self.place, lie),
            _ if action == self.flow => flow(state, incoming, self.service.vendor, lie),
            _ if action == self.processes => processes(state, incoming, self.place, lie),
            _ => (self.detail.2)(state, incoming),
        }
    }
}

/// Reads what names a place and finds its node: the one named, or the primary.
pub(super) type Find = fn(&World, &mut Members, Option<&str>) -> Result<Place, Refusal>;

fn kill(state: &mut State, incoming: &Incoming, find: Find, lie: Option<&Lie>) -> Result<Answer, Refusal> {
    let mut body = Members::parse(&incoming.body).map_err(bad)?;
    let node = body.text("NodeId").map_err(bad)?;
    if state.international && node.is_some() {
        return Err(bad(Bad::Unknown("NodeId".to_owned())));
    }
    let ids = body.integers("SessionId").map_err(bad)?;
    let place = find(&state.world, &mut body, node.as_deref())?;
    body.finish().map_err(bad)?;

    let (death, runs) = death_by_task(lie, state.times.flow);
    let killed = match (state.world.table_mut(&place), death) {
        (Some(table), Some(death)) => {
            let killed = table.kill(&ids, death);
            reconnect(lie, table, &killed);
            killed
        }
        _ => vec![],
    };
    // Large, so that whoever reads it as a floating-point number gets another one.
    let id = state.flows.last().map_or(9_007_199_254_740_993, |flow| flow.id + 2);
    let succeeds = !matches!(lie, Some(Lie::FlowFails | Lie::KillsButSaysFailed));
    // A forgotten flow keeps its id and cannot be asked for under it.
    let told = if lie == Some(&Lie::FlowForgotten) { id + 1 } else { id };
    state.flows.push(Flow { id, vendor: place.vendor, ends: Instant::now() + runs, succeeds });
    Ok(answer(json!({"TaskId": told}), incoming.at).killed(killed))
}

fn flow(state: &State, incoming: &Incoming, vendor: &str, lie: Option<&Lie>) -> Result<Answer, Refusal> {
    let mut body = Members::parse(&incoming.body).map_err(bad)?;
    let id = body.integer("FlowId").map_err(bad)?;
    let id = id.ok_or_else(|| bad(Bad::Missing("FlowId")))?;
    body.finish().map_err(bad)?;
    let known = state
        .flows
        .iter()
        .find(|flow| (flow.id, flow.vendor) == (id, vendor))
        .filter(|_| lie != Some(&Lie::FlowForgotten));
    let flow = known.ok_or_else(|| refuse("InvalidParameter.FlowNotFound", "The flow is not found."))?;
    let status = match lie {
        Some(Lie::FlowFails) => 1,
        Some(Lie::FlowRuns(_)) => 2,
        _ if flow.ends > Instant::now() => 2,
        _ => u8::from(!flow.succeeds),
    };
    Ok(answer(json!({"Status": status}), incoming.at))
}

fn processes(state: &mut State, incoming: &Incoming, find: Find, lie: Option<&Lie>) -> Result<Answer, Refusal> {
    if state.international {
        return Err(refuse("InvalidAction", "The action DescribeProcessList is invalid or not found."));
    }
    let mut body = Members::parse(&incoming.body).map_err(bad)?;
    let node = body.required_text("NodeId").map_err(bad)?;
    let offset = body.integer_in("Offset", 0..=1_000_000, 0).map_err(bad)?;
    let limit = body.integer_in("Limit", 1..=100, 20).map_err(bad)?;
    let filters = filters(&mut body).map_err(bad)?;
    let place = find(&state.world, &mut body, Some(&node))?;
    body.finish().map_err(bad)?;

    let Some(table) = state.world.table_mut(&place) else {
        return Err(refuse("InternalError.OperateDatabaseFailed", "The database could not be asked."));
    };
    let rows = table.listed().into_iter().filter(|row| filters.iter().all(|filter| filter.lets(row)));
    let rows: Vec<_> = rows.skip(offset).take(cut(lie, limit)).collect();
    recycle(lie, table, &rows);
    let row = |row: &Session| {
        let started = incoming.at - Duration::from_secs(row.seconds);
        json!({
            "Id": row.id, "User": row.user, "Host": row.host, "Db": row.database, "Command": row.command,
            "Time": row.seconds, "ProcessStartTime": started.format(SECONDS).unwrap_or_default(),
            "State": row.state, "Info": row.statement.chars().take(1024).collect::<String>(),
        })
    };
    Ok(answer(json!({"ProcessList": rows.iter().map(row).collect::<Vec<_>>()}), incoming.at))
}

/// Rows of which a field has one of the values.
struct Filter {
    name: String,
    values: Vec<String>,
}

impl Filter {
    fn lets(&self, row: &Session) -> bool {
        self.values.iter().any(|value| match self.name.as_str() {
            "id" => row.id.to_string() == *value,
            "user" => row.user == *value,
            "state" => row.state == *value,
            "db" => row.database == *value,
            "command" => row.command == *value,
            "host" => row.host.starts_with(value),
            "info" => row.statement.starts_with(value),
            _ => value.parse().is_ok_and(|seconds: u64| row.seconds > seconds),
        })
    }
}

fn filters(body: &mut Members) -> Result<Vec<Filter>, Bad> {
    let wrong = Bad::Wrong { name: "Filters", expected: "at most 10 filters with a known Name and 1 to 50 Values" };
    let Some(items) = body.list("Filters")? else { return Ok(vec![]) };
    if items.len() > 10 {
        return Err(wrong);
    }
    let mut filters = vec![];
    for item in items {
        let Value::Object(item) = item else { return Err(wrong) };
        let mut item = Members::from(item);
        let name = item.required_text("Name")?;
        let values = item.texts("Values")?.ok_or(Bad::Missing("Values"))?;
        item.finish()?;
        let known = ["id", "user", "state", "db", "command", "host", "info", "time"].contains(&name.as_str());
        let single = name != "time" || values.len() == 1;
        if !known || !single || values.len() > 50 {
            return Err(wrong);
        }
        filters.push(Filter { name, values });
    }
    Ok(filters)
}
