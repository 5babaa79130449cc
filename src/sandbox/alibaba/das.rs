//! DAS: sessions of an instance or of a node of a cluster, ended by a task that tells a reason for each.

use std::time::Instant;

use serde_json::{Value, json};

use super::bad;
use crate::{
    clock,
    sandbox::{
        Lie, Place, Session,
        answer::{Answer, Refusal},
        behaviour::{cut, death_by_task, reconnect, recycle},
        fields::{Bad, Query},
        log::Incoming,
        state::{Gathered, KillTask, State, World},
    },
};

fn answer(data: &Value, incoming: &Incoming) -> Answer {
    let request_id = clock::id_at(incoming.at).to_string().to_ascii_uppercase();
    let body = json!({"Code": 200, "Message": "Successful", "Data": data, "RequestId": request_id, "Success": true});
    Answer::json(200, &body)
}

/// Makes a task; the sessions go when it ends.
pub(super) fn kill(
    state: &mut State,
    incoming: &Incoming,
    mut query: Query,
    lie: Option<&Lie>,
) -> Result<Answer, Refusal> {
    let place = place(&state.world, &mut query)?;
    if query.required_text("KillAllSessions").map_err(bad)? != "false" {
        return Err(bad(Bad::Wrong { name: "KillAllSessions", expected: "false in this world" }));
    }
    let ids = query.required_text("SessionIds").map_err(bad)?;
    let wrong = || bad(Bad::Wrong { name: "SessionIds", expected: "a JSON array of integers, as text" });
    let ids: Vec<u64> = serde_json::from_str(&ids).map_err(|_| wrong())?;
    if ids.is_empty() {
        return Err(wrong());
    }
    query.finish().map_err(bad)?;

    let (death, runs) = death_by_task(lie, state.times.flow);
    let table = state.world.table_mut(&place).ok_or_else(unavailable)?;
    let fails = matches!(lie, Some(Lie::FlowFails | Lie::KillsButSaysFailed));
    let reason = |id: &u64| match table.find(*id) {
        None => "SESSION_EXPIRED",
        Some(session) if session.internal => "SESSION_INTERNAL_USER_OR_COMMAND",
        Some(_) if fails => "SESSION_OTHER_ERROR",
        Some(_) => "SESSION_KILLED",
    };
    let mut told: Vec<(u64, &'static str)> = ids.iter().map(|id| (*id, reason(id))).collect();
    let meant: Vec<u64> = ids.iter().copied().filter(|id| table.find(*id).is_some_and(|row| !row.internal)).collect();
    let killed = death.map(|death| table.kill(&meant, death)).unwrap_or_default();
    reconnect(lie, table, &killed);
    if lie == Some(&Lie::LeavesOut) {
        told.remove(0);
    }
    let id = clock::id_at(incoming.at).simple().to_string();
    let forgotten = lie == Some(&Lie::FlowForgotten);
    state.kill_tasks.push(KillTask { id: id.clone(), place, told, fails, forgotten, ends: Instant::now() + runs });
    Ok(answer(&json!(id), incoming).killed(killed))
}

pub(super) fn task(state: &State, incoming: &Incoming, mut query: Query, lie: Option<&Lie>) -> Result<Answer, Refusal> {
    let place = place(&state.world, &mut query)?;
    let id = query.required_text("TaskId").map_err(bad)?;
    query.finish().map_err(bad)?;
    let known = state.kill_tasks.iter().find(|task| task.id == id && task.place == place && !task.forgotten);
    let unknown = || Refusal::new(200, "-1006002", "The task does not exist.");
    let task = known.filter(|_| lie != Some(&Lie::FlowForgotten)).ok_or_else(unknown)?;
    let runs = task.ends > Instant::now() || matches!(lie, Some(Lie::FlowRuns(_)));
    let state = match lie {
        _ if runs => "RUNNING",
        Some(Lie::FlowFails) => "FAILURE",
        _ if task.fails => "FAILURE",
        _ => "SUCCESS",
    };
    let row = |(id, reason): &(u64, &str)| json!({"Id": id, "User": "app", "Reason": reason, "TaskId": task.id});
    let rows: Vec<Value> = if runs { vec![] } else { task.told.iter().map(row).collect() };
    let killed = task.told.iter().filter(|(_, reason)| *reason == "SESSION_KILLED").count();
    let data = json!({
        "TaskId": task.id, "TaskState": state, "KillSuccessCount": killed, "KillFailCount": task.told.len() - killed,
        "IgnoredUserSessionCount": 0, "Sessions": task.told.iter().map(|(id, _)| id).collect::<Vec<_>>(),
        "Result": rows,
    });
    Ok(answer(&data, incoming))
}

/// The first call has the list gathered and gives an id; with it the list is there at the next one.
pub(super) fn sessions(
    state: &mut State,
    incoming: &Incoming,
    mut query: Query,
    lie: Option<&Lie>,
) -> Result<Answer, Refusal> {
    let place = place(&state.world, &mut query)?;
    let result = query.text("ResultId").map_err(bad)?;
    query.finish().map_err(bad)?;
    let Some(result) = result else {
        let id = format!("async__{}", clock::id_at(incoming.at).simple());
        state.gathered.push(Gathered { id: id.clone(), place });
        return Ok(answer(
            &json!({"IsFinish": false, "State": "RUNNING", "ResultId": id, "Complete": false}),
            incoming,
        ));
    };
    let is_known = state.gathered.iter().any(|gathered| gathered.id == result && gathered.place == place);
    let table = state.world.table_mut(&place).filter(|_| is_known);
    let unknown = || Refusal::new(200, "-1006002", "The result does not exist.");
    let table = table.ok_or_else(unknown)?;
    let all = table.listed();
    let total = all.len();
    let rows: Vec<_> = all.into_iter().take(cut(lie, usize::MAX)).collect();
    recycle(lie, table, &rows);
    let row = |row: &Session| {
        json!({
            "SessionId": row.id, "User": row.user, "Client": row.host, "UserClientAlias": "", "DbName": row.database,
            "Command": row.command, "Time": row.seconds, "State": row.state, "SqlText": row.statement,
            "TrxDuration": 0, "TrxId": "",
        })
    };
    let list: Vec<_> = rows.iter().map(row).collect();
    let data = json!({
        "IsFinish": true, "State": "SUCCESS", "ResultId": result, "Complete": true,
        "SessionData": {"TotalSessionCount": total, "ActiveSessionCount": 0, "SessionList": list},
    });
    Ok(answer(&data, incoming))
}

fn unavailable() -> Refusal {
    Refusal::new(503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server.")
}

/// Reads which instance, or which node of a cluster, is meant.
fn place(world: &World, query: &mut Query) -> Result<Place, Refusal> {
    let instance = query.required_text("InstanceId").map_err(bad)?;
    let node = query.text("NodeId").map_err(bad)?;
    if instance.starts_with("pc-") != node.is_some() {
        return Err(Refusal::new(400, "InvalidParams", "NodeId is for nodes of PolarDB clusters."));
    }
    let place = Place { node_id: node, ..Place::of("alidas", &instance) };
    let unknown = || Refusal::new(200, "-1001001", "The instance does not exist.");
    world.table(&place).is_some().then_some(place).ok_or_else(unknown)
}
