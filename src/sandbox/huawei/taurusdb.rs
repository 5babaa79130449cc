//! TaurusDB: the threads of one node. Ids are JSON integers.

use serde_json::{Value, json};

use super::{cut, dbs, death, failed, has_tag, reconnect, recycle};
use crate::sandbox::{
    Lie, Place, Session,
    answer::{Answer, Refusal},
    fields::{Members, Query},
    handler::Route,
    log::Incoming,
    state::{State, World},
};

/// An instance with its nodes, the first of which is the primary.
pub(super) fn instance(state: &State, incoming: &Incoming, route: &Route) -> Result<Answer, Refusal> {
    Query::parse(&incoming.query).finish().map_err(dbs)?;
    let tables = state.world.tables.iter().filter(|table| table.place.instance_id == route.instance);
    let nodes: Vec<_> = tables.filter_map(|table| table.place.node_id.as_deref()).enumerate().map(node).collect();
    if !has_tag(route.instance, "in07") {
        return Err(Refusal::new(400, "DBS.280404", "The instance ID or node ID format is incorrect."));
    }
    if nodes.is_empty() {
        return Err(no_such_instance());
    }
    let instance = json!({"id": route.instance, "name": "taurusdb", "status": "normal", "nodes": nodes});
    Ok(Answer::json(200, &json!({ "instance": instance })))
}

fn node((number, id): (usize, &str)) -> Value {
    let kind = if number == 0 { "master" } else { "slave" };
    json!({"id": id, "name": format!("taurusdb_node{number}"), "type": kind, "status": "ACTIVE", "port": 3306})
}

fn no_such_instance() -> Refusal {
    Refusal::new(404, "DBS.200002", "The DB instance does not exist.")
}

pub(super) fn kill(
    state: &mut State,
    incoming: &Incoming,
    route: &Route,
    lie: Option<&Lie>,
) -> Result<Answer, Refusal> {
    let mut body = Members::parse(&incoming.body).map_err(dbs)?;
    let ids = body.integers("processes").map_err(dbs)?;
    body.finish().map_err(dbs)?;
    let place = place(&state.world, route.instance, route.node)?;

    let table = state.world.table_mut(&place).ok_or_else(failed)?;
    // The engine's own threads are skipped and appear in neither list.
    let (mut there, mut absent) = (vec![], vec![]);
    for id in ids {
        match table.find(id) {
            Some(session) if session.internal => {}
            Some(_) => there.push(id),
            None => absent.push(id),
        }
    }
    let killed = death(lie).map(|death| table.kill(&there, death)).unwrap_or_default();
    reconnect(lie, table, &killed);
    let body = match lie {
        Some(Lie::KillsButSaysFailed) => {
            absent.splice(0..0, there);
            json!({"processes_killed": [], "processes_not_found": absent})
        }
        Some(Lie::LeavesOut) => {
            json!({"processes_killed": there.get(1..).unwrap_or_default(), "processes_not_found": absent})
        }
        _ => json!({"processes_killed": there, "processes_not_found": absent}),
    };
    Ok(Answer::json(200, &body).killed(killed))
}

pub(super) fn processes(
    state: &mut State,
    incoming: &Incoming,
    route: &Route,
    lie: Option<&Lie>,
) -> Result<Answer, Refusal> {
    let mut query = Query::parse(&incoming.query);
    let (offset, limit) = query.page().map_err(dbs)?;
    query.finish().map_err(dbs)?;
    let place = place(&state.world, route.instance, route.node)?;

    let table = state.world.table_mut(&place).ok_or_else(failed)?;
    let rows = table.listed();
    let total = rows.len();
    let rows: Vec<_> = rows.into_iter().skip(offset).take(cut(lie, limit)).collect();
    recycle(lie, table, &rows);
    let row = |row: &Session| {
        json!({
            "id": row.id, "user": row.user, "host": row.host, "db": row.database, "command": row.command,
            "time": row.seconds, "state": row.state, "info": row.statement,
        })
    };
    Ok(Answer::json(200, &json!({"processes": rows.iter().map(row).collect::<Vec<_>>(), "total_count": total})))
}

/// Finds the node of an instance.
pub(super) fn place(world: &World, instance: &str, node: &str) -> Result<Place, Refusal> {
    if !has_tag(instance, "in07") || !has_tag(node, "no07") {
        return Err(Refusal::new(400, "DBS.280404", "The instance ID or node ID format is incorrect."));
    }
    if !world.tables.iter().any(|table| table.place.instance_id == instance) {
        return Err(no_such_instance());
    }
    let place = Place::taurusdb(instance, node);
    let found = world.table(&place).is_some();
    let elsewhere = || Refusal::new(400, "DBS.212005", "The node does not belong to the instance.");
    found.then_some(place).ok_or_else(elsewhere)
}
