//! RDS for MySQL: an intelligent kill of a whole instance. Its answer is empty.

use serde_json::json;

use super::{death, failed, has_tag, intelligent};
use crate::sandbox::{
    Lie, Place,
    answer::{Answer, Refusal},
    fields::{Bad, Members, Query},
    handler::Route,
    log::Incoming,
    state::{State, World},
};

pub(super) fn kill(
    state: &mut State,
    incoming: &Incoming,
    route: &Route,
    lie: Option<&Lie>,
) -> Result<Answer, Refusal> {
    let mut body = Members::parse(&incoming.body).map_err(dbs)?;
    if body.flag("auto_add_sql_limit_rule").map_err(dbs)? == Some(true) {
        return Err(dbs(Bad::Wrong { name: "auto_add_sql_limit_rule", expected: "false in this world" }));
    }
    body.finish().map_err(dbs)?;
    let place = place(&state.world, route.instance)?;
    let table = state.world.table_mut(&place).ok_or_else(failed)?;
    let ids = intelligent::picks(table);
    let killed = death(lie).map(|death| table.kill(&ids, death)).unwrap_or_default();
    let answer = match lie {
        Some(Lie::KillsButSaysFailed) => {
            Answer::json(500, &json!({"error_code": "DBS.200412", "error_msg": "Internal server error."}))
        }
        _ => Answer::bytes(200, Some("application/json"), vec![]),
    };
    Ok(answer.killed(killed))
}

pub(super) fn preview(state: &State, incoming: &Incoming, route: &Route) -> Result<Answer, Refusal> {
    Query::parse(&incoming.query).finish().map_err(dbs)?;
    let place = place(&state.world, route.instance)?;
    let table = state.world.table(&place).ok_or_else(failed)?;
    Ok(Answer::json(200, &json!({"statistics": intelligent::statistics(table, "raw_sql_text")})))
}

fn dbs(bad: Bad) -> Refusal {
    Refusal::new(400, "DBS.280001", bad.into_message())
}

fn place(world: &World, instance: &str) -> Result<Place, Refusal> {
    let place = Place::of("rds", instance);
    let is_there = has_tag(instance, "in01") && world.table(&place).is_some();
    let unknown = || Refusal::new(404, "DBS.200011", "The DB instance does not exist.");
    is_there.then_some(place).ok_or_else(unknown)
}
