//! DAS by instance: the processes of RDS for MySQL and for PostgreSQL. A kill names each process with its user, and what
//! it answers says nothing of any.

use serde_json::{Value, json};

use super::{cut, das::killed_as, death, failed, has_tag, reconnect, recycle};
use crate::sandbox::{
    Lie, Place, Session,
    answer::{Answer, Refusal},
    behaviour::DasBody,
    fields::{Bad, Members, Query},
    handler::Route,
    log::Incoming,
    state::{State, World},
};

fn das(bad: Bad) -> Refusal {
    Refusal::new(400, "DAS.200100", bad.into_message())
}

/// What a call of an instance is told of its engine: by its path, its tag and its parameter, which have to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    MySql,
    PostgreSql,
}

impl Engine {
    fn of(instance: &str) -> Option<Self> {
        match instance {
            _ if has_tag(instance, "in01") => Some(Self::MySql),
            _ if has_tag(instance, "in03") => Some(Self::PostgreSql),
            _ => None,
        }
    }

    /// Reads `engine_type`, in whatever case.
    fn named(word: &str) -> Result<Self, Bad> {
        match word.to_ascii_lowercase().as_str() {
            "mysql" => Ok(Self::MySql),
            "postgresql" => Ok(Self::PostgreSql),
            _ => Err(Bad::Wrong { name: "engine_type", expected: "mysql or postgresql" }),
        }
    }
}

/// The processes that a kill names.
fn processes_of(body: &mut Members) -> Result<Vec<(u64, String)>, Bad> {
    let wrong = || Bad::Wrong { name: "processes", expected: "an array of objects with id and user" };
    let items = body.list("processes")?.ok_or(Bad::Missing("processes"))?;
    let process = |item: Value| {
        let Value::Object(members) = item else { return Err(wrong()) };
        let mut members = Members::from(members);
        let id = members.integer("id")?.ok_or(Bad::Missing("processes.id"))?;
        let user = members.required_text("user")?;
        members.finish()?;
        Ok((id, user))
    };
    items.into_iter().map(process).collect()
}

/// Ends those processes whose user is the one that was named: what becomes of others is nowhere stated, so they live on.
pub(super) fn kill(
    state: &mut State,
    incoming: &Incoming,
    route: &Route,
    lie: Option<&Lie>,
) -> Result<Answer, Refusal> {
    let mut body = Members::parse(&incoming.body).map_err(das)?;
    let engine = body.required_text("engine_type").map_err(das)?;
    let engine = Engine::named(&engine).map_err(das)?;
    let named = processes_of(&mut body).map_err(das)?;
    body.finish().map_err(das)?;
    let place = place(&state.world, route.instance, engine)?;

    let table = state.world.table_mut(&place).ok_or_else(failed)?;
    let is_meant = |(id, user): &(u64, String)| table.find(*id).is_some_and(|row| row.user == *user && !row.internal);
    let meant: Vec<u64> = named.iter().filter(|process| is_meant(process)).map(|(id, _)| *id).collect();
    let killed = death(lie).map(|death| table.kill(&meant, death)).unwrap_or_default();
    reconnect(lie, table, &killed);
    Ok(killed_as(lie, DasBody::EmptyString).killed(killed))
}

pub(super) fn processes(
    state: &mut State,
    incoming: &Incoming,
    route: &Route,
    lie: Option<&Lie>,
) -> Result<Answer, Refusal> {
    let mut query = Query::parse(&incoming.query);
    let engine = match query.text("engine_type").map_err(das)? {
        // Of the path of PostgreSQL it is no parameter.
        Some(_) if is_of_postgresql(incoming) => return Err(das(Bad::Unknown("engine_type".to_owned()))),
        Some(word) => Engine::named(&word).map_err(das)?,
        None if is_of_postgresql(incoming) => Engine::PostgreSql,
        None => return Err(das(Bad::Missing("engine_type"))),
    };
    if engine == Engine::PostgreSql {
        for name in ["show_all", "hide_sys"] {
            query.text(name).map_err(das)?;
        }
    }
    let number = query.number("cur_page", 1..=100_000, Some(1)).map_err(das)?;
    let size = query.number("per_page", 0..=100, Some(10)).map_err(das)?;
    query.finish().map_err(das)?;
    let place = place(&state.world, route.instance, engine)?;

    let table = state.world.table_mut(&place).ok_or_else(failed)?;
    let rows = table.listed();
    let total = rows.len();
    let size = usize::try_from(size).unwrap_or(100);
    let first = usize::try_from(number - 1).unwrap_or(usize::MAX).saturating_mul(size);
    let rows: Vec<_> = rows.into_iter().skip(first).take(cut(lie, size)).collect();
    recycle(lie, table, &rows);
    let row = |row: &Session| {
        json!({
            "id": row.id.to_string(), "user": row.user, "host": row.host, "db": row.database, "command": row.command,
            "time": row.seconds.to_string(), "state": row.state, "info": row.statement, "trx_duration": "0",
        })
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    Ok(Answer::json(
        200,
        &match engine {
            Engine::MySql => json!({"data_sync_time": 0, "total": total, "data": rows, "user_info_list": []}),
            Engine::PostgreSql => {
                json!({"total": total, "process_info_list": rows, "idle_session": 0, "active_session": total})
            }
        },
    ))
}

fn is_of_postgresql(incoming: &Incoming) -> bool {
    incoming.path.contains("/pg/")
}

fn place(world: &World, instance: &str, engine: Engine) -> Result<Place, Refusal> {
    let place = Place::of("dasrds", instance);
    let is_there = Engine::of(instance) == Some(engine) && world.table(&place).is_some();
    let unknown = || Refusal::new(400, "DAS.200114", "The instance ID is invalid.");
    is_there.then_some(place).ok_or_else(unknown)
}
