//! TDSQL for MySQL/MariaDB: an instance has nodes, one of which is the primary.

use serde_json::json;

use super::{Product, answer, bad, killsession, node, of_nodes, refuse};
use crate::sandbox::{
    Action, Lie, Place,
    answer::{Answer, Refusal},
    fields::Members,
    log::Incoming,
    session::Table,
    state::{State, World},
};

const VENDOR: &str = "tdsql";

pub(super) static PRODUCT: Product =
    Product { vendor: VENDOR, service: "mariadb", version: "2017-03-12", recognise, work };

fn recognise(action: &str, _: &Incoming) -> Option<Action> {
    match action {
        "KillSession" => Some(Action::TdsqlKill),
        "DescribeFlow" => Some(Action::TdsqlFlow),
        "DescribeProcessList" => Some(Action::TdsqlProcesses),
        "DescribeDBInstanceDetail" => Some(Action::TdsqlDetail),
        _ => None,
    }
}

fn work(state: &mut State, incoming: &Incoming, action: Action, lie: Option<&Lie>) -> Result<Answer, Refusal> {
    match action {
        Action::TdsqlKill => killsession::kill(state, incoming, place, lie),
        Action::TdsqlFlow => killsession::flow(state, incoming, VENDOR, lie),
        Action::TdsqlProcesses => killsession::processes(state, incoming, place, lie),
        _ => detail(state, incoming),
    }
}

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
