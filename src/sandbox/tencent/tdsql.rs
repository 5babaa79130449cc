//! TDSQL for MySQL/MariaDB: an instance has nodes, one of which is the primary.

use serde_json::json;

use super::{Service, answer, bad, killsession::KillSession, node, of_nodes, refuse};
use crate::sandbox::{
    Action, Place,
    answer::{Answer, Refusal},
    fields::Members,
    log::Incoming,
    session::Table,
    state::{State, World},
};

const VENDOR: &str = "tdsql";

pub(super) static TDSQL: KillSession = KillSession {
    service: Service { vendor: VENDOR, name: "mariadb", version: "2017-03-12" },
    kill: Action::TdsqlKill,
    flow: Action::TdsqlFlow,
    processes: Action::TdsqlProcesses,
    detail: (Action::TdsqlDetail, "DescribeDBInstanceDetail", detail),
    place,
};

fn detail(state: &State, incoming: &Incoming) -> Result<Answer, Refusal> {
    let mut body = Members::parse(&incoming.body).map_err(bad)?;
    let instance = body.required_text("InstanceId").map_err(bad)?;
    body.finish().map_err(bad)?;
    let nodes = nodes(&state.world, &instance)?;
    let nodes: Vec<_> = nodes.iter().map(|table| node(&table.place, table.primary)).collect();
    Ok(answer(json!({"InstanceId": instance, "Status": 2, "NodesInfo": nodes}), incoming.at))
}

fn nodes<'w>(world: &'w World, instance: &str) -> Result<Vec<&'w Table>, Refusal> {
    let of_instance = |table: &&Table| table.place.is_beside(&Place::of(VENDOR, instance));
    let nodes: Vec<_> = world.tables.iter().filter(of_instance).collect();
    if nodes.is_empty() {
        return Err(refuse("InvalidParameterValue.IllegalInstanceId", "The instance ID is invalid."));
    }
    Ok(nodes)
}

fn place(world: &World, body: &mut Members, node: Option<&str>) -> Result<Place, Refusal> {
    let instance = body.required_text("InstanceId").map_err(bad)?;
    of_nodes(&nodes(world, &instance)?, node)
}
