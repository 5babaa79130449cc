//! DBbrain: threads of a MySQL instance, ended in two steps of one action. What its lists show is text.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Product, Service, answer, bad, refuse};
use crate::{
    clock,
    sandbox::{
        Action, Lie, Place, Session,
        answer::{Answer, Refusal},
        behaviour::{cut, death, reconnect, recycle},
        fields::{Bad, Members},
        log::Incoming,
        state::{Prepared, State, World},
    },
};

const VENDOR: &str = "dbbrain";
/// How long what was prepared can be committed.
const COMMITTED_WITHIN: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct DbBrain;

impl Product for DbBrain {
    fn service(&self) -> &Service {
        &Service { vendor: VENDOR, name: "dbbrain", version: "2021-05-27" }
    }

    /// The step of a kill is in its body.
    fn recognise(&self, action: &str, incoming: &Incoming) -> Option<Action> {
        match action {
            "KillMySqlThreads" => {
                let stage = Members::parse(&incoming.body).ok().and_then(|mut body| body.text("Stage").ok()?);
                Some(if stage.as_deref() == Some("Commit") { Action::DbbrainKill } else { Action::DbbrainPrepare })
            }
            "DescribeMySqlProcessList" => Some(Action::DbbrainProcesses),
            _ => None,
        }
    }

    fn work(
        &self,
        state: &mut State,
        incoming: &Incoming,
        action: Action,
        lie: Option<&Lie>,
    ) -> Result<Answer, Refusal> {
        let mut body = Members::parse(&incoming.body).map_err(bad)?;
        let place = place(&state.world, &mut body)?;
        match action {
            Action::DbbrainPrepare => prepare(state, incoming, place, body),
            Action::DbbrainKill => commit(state, incoming, &place, body, lie),
            _ => processes(state, incoming, &place, body, lie),
        }
    }
}

fn prepare(state: &mut State, incoming: &Incoming, place: Place, mut body: Members) -> Result<Answer, Refusal> {
    if body.required_text("Stage").map_err(bad)? != "Prepare" {
        return Err(bad(Bad::Wrong { name: "Stage", expected: "Prepare or Commit" }));
    }
    let mut ids = body.integers("Threads").map_err(bad)?;
    let checks = body.flag("RecordHistory").map_err(bad)?.unwrap_or(true);
    body.finish().map_err(bad)?;
    let is_there = |id: &u64| state.world.table(&place).is_some_and(|table| table.find(*id).is_some());
    // One that is not there calls the kill off.
    if checks && !ids.iter().all(is_there) {
        ids.clear();
    }
    let id = clock::id_at(incoming.at).to_string();
    state.prepared.push(Prepared { id: id.clone(), place, ids, since: Instant::now() });
    Ok(answer(json!({"SqlExecId": id, "Threads": []}), incoming.at))
}

/// Ends what was prepared. Whether it may be done twice is nowhere stated, so it can be done again.
fn commit(
    state: &mut State,
    incoming: &Incoming,
    place: &Place,
    mut body: Members,
    lie: Option<&Lie>,
) -> Result<Answer, Refusal> {
    body.required_text("Stage").map_err(bad)?;
    let id = body.required_text("SqlExecId").map_err(bad)?;
    body.finish().map_err(bad)?;
    let prepared = state.prepared.iter().find(|prepared| prepared.id == id && prepared.place == *place);
    let prepared = prepared.ok_or_else(|| refuse("FailedOperation", "The SqlExecId does not exist."))?;
    let is_late = prepared.since.elapsed() > COMMITTED_WITHIN;
    let ids = if is_late { vec![] } else { prepared.ids.clone() };
    let Some(table) = state.world.table_mut(place) else {
        return Err(refuse("InternalError", "The database could not be asked."));
    };
    let there: Vec<u64> = ids.iter().copied().filter(|id| table.find(*id).is_some_and(|row| !row.internal)).collect();
    let killed = death(lie).map(|death| table.kill(&there, death)).unwrap_or_default();
    reconnect(lie, table, &killed);
    let told = match lie {
        Some(Lie::KillsButSaysFailed) => {
            let failed = json!({"Error": {"Code": "FailedOperation", "Message": "The threads were not killed."}});
            return Ok(answer(failed, incoming.at).killed(killed));
        }
        Some(Lie::LeavesOut) => there.get(1..).unwrap_or_default(),
        _ => &there,
    };
    Ok(answer(json!({"SqlExecId": id, "Threads": told}), incoming.at).killed(killed))
}

fn processes(
    state: &mut State,
    incoming: &Incoming,
    place: &Place,
    mut body: Members,
    lie: Option<&Lie>,
) -> Result<Answer, Refusal> {
    if state.international {
        return Err(refuse("InvalidAction", "The action DescribeMySqlProcessList is invalid or not found."));
    }
    let limit = body.integer_in("Limit", 1..=1000, 20).map_err(bad)?;
    body.finish().map_err(bad)?;
    let Some(table) = state.world.table_mut(place) else {
        return Err(refuse("InternalError", "The database could not be asked."));
    };
    let rows: Vec<_> = table.listed().into_iter().take(cut(lie, limit)).collect();
    recycle(lie, table, &rows);
    let row = |row: &Session| {
        json!({
            "ID": row.id.to_string(), "User": row.user, "Host": row.host, "DB": row.database, "State": row.state,
            "Command": row.command, "Time": row.seconds.to_string(), "Info": row.statement, "SqlType": null,
        })
    };
    Ok(answer(json!({"ProcessList": rows.iter().map(row).collect::<Vec<_>>()}), incoming.at))
}

/// Reads which instance of which product is meant.
fn place(world: &World, body: &mut Members) -> Result<Place, Refusal> {
    let instance = body.required_text("InstanceId").map_err(bad)?;
    let product = body.text("Product").map_err(bad)?;
    let of_instance = if instance.starts_with("cynosdbmysql-") { "cynosdb" } else { "mysql" };
    if product.as_deref().unwrap_or("mysql") != of_instance {
        return Err(refuse("InvalidParameterValue", "The product does not fit the instance."));
    }
    let place = Place::of(VENDOR, &instance);
    let unknown = || refuse("ResourceNotFound", "The instance is not found.");
    world.table(&place).is_some().then_some(place).ok_or_else(unknown)
}
