//! DAS: the processes of an RDS for MySQL instance. Ids are JSON strings, and a kill answers with nothing.

use serde_json::json;

use super::{cut, death, failed, reconnect, recycle};
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
    let code = match &bad {
        Bad::Missing(name) | Bad::Wrong { name, .. } => match *name {
            "offset" => "DAS.200103",
            "limit" => "DAS.200104",
            "database" => "DAS.200108",
            "db_user_id" => "DAS.200112",
            _ => "DAS.200100",
        },
        _ => "DAS.200100",
    };
    Refusal::new(400, code, bad.into_message())
}

/// What a kill or a list asks for. How the vendor combines the criteria of a kill is not known; here they widen
/// it, which is the dangerous reading. Those of a list narrow it.
struct Criteria {
    db_user: String,
    ids: Vec<u64>,
    user: Option<String>,
    database: Option<String>,
}

impl Criteria {
    fn of_kill(body: &[u8]) -> Result<Self, Bad> {
        let mut body = Members::parse(body)?;
        let db_user = body.required_text("db_user_id")?;
        let ids = body.texts("process_ids")?.unwrap_or_default();
        let (user, database) = (body.text("user")?, body.text("database")?);
        body.finish()?;
        if ids.is_empty() && user.is_none() && database.is_none() {
            return Err(Bad::Missing("process_ids, user or database"));
        }
        let ids: Option<Vec<u64>> = ids.iter().map(|text| process_id(text)).collect();
        let wrong = Bad::Wrong { name: "process_ids", expected: "decimal numbers from 0 to 2147483647" };
        Ok(Self { db_user, ids: ids.ok_or(wrong)?, user, database })
    }

    fn of_list(query: &mut Query) -> Result<Self, Bad> {
        let db_user = query.required_text("db_user_id")?;
        let (user, database) = (query.text("user")?, query.text("database")?);
        if user.is_none() && database.is_none() {
            return Err(Bad::Missing("user or database"));
        }
        Ok(Self { db_user, ids: vec![], user, database })
    }

    fn any_meets(&self, row: &Session) -> bool {
        self.ids.contains(&row.id)
            || self.user.as_ref() == Some(&row.user)
            || self.database.as_ref() == Some(&row.database)
    }

    fn all_meet(&self, row: &Session) -> bool {
        self.user.as_ref().is_none_or(|user| row.user == *user)
            && self.database.as_ref().is_none_or(|database| row.database == *database)
    }
}

fn process_id(text: &str) -> Option<u64> {
    let number = text.parse().ok().filter(|number| *number <= 0x7fff_ffff)?;
    text.bytes().all(|b| b.is_ascii_digit()).then_some(number)
}

pub(super) fn kill(
    state: &mut State,
    incoming: &Incoming,
    route: &Route,
    lie: Option<&Lie>,
) -> Result<Answer, Refusal> {
    let criteria = Criteria::of_kill(&incoming.body).map_err(das)?;
    let place = place(&state.world, route.instance, &criteria.db_user)?;
    let table = state.world.table_mut(&place).ok_or_else(failed)?;
    let meant: Vec<u64> = table.listed().iter().filter(|row| criteria.any_meets(row)).map(|row| row.id).collect();
    let killed = death(lie).map(|death| table.kill(&meant, death)).unwrap_or_default();
    reconnect(lie, table, &killed);
    Ok(killed_as(lie, DasBody::Empty).killed(killed))
}

/// What a kill answers that usually answers so.
pub(super) fn killed_as(lie: Option<&Lie>, usually: DasBody) -> Answer {
    let body = match lie {
        Some(Lie::KillsButSaysFailed) => {
            return Answer::json(500, &json!({"error_code": "DAS.200001", "error_msg": "Internal server error."}));
        }
        Some(Lie::DasBody(body)) => *body,
        _ => usually,
    };
    Answer::bytes(200, Some("application/json"), body.bytes().to_vec())
}

pub(super) fn processes(
    state: &mut State,
    incoming: &Incoming,
    route: &Route,
    lie: Option<&Lie>,
) -> Result<Answer, Refusal> {
    let mut query = Query::parse(&incoming.query);
    let criteria = Criteria::of_list(&mut query).map_err(das)?;
    query.text("node_id").map_err(das)?;
    let (offset, limit) = query.page().map_err(das)?;
    query.finish().map_err(das)?;
    let place = place(&state.world, route.instance, &criteria.db_user)?;

    let table = state.world.table_mut(&place).ok_or_else(failed)?;
    let mut rows = table.listed();
    rows.retain(|row| criteria.all_meet(row));
    let count = rows.len();
    let rows: Vec<_> = rows.into_iter().skip(offset).take(cut(lie, limit)).collect();
    recycle(lie, table, &rows);
    let row = |row: &Session| {
        json!({
            "id": row.id.to_string(), "user": row.user, "host": row.host, "database": row.database,
            "command": row.command, "time": row.seconds.to_string(), "state": row.state, "sql": row.statement,
            "trx_executed_time": "0",
        })
    };
    Ok(Answer::json(200, &json!({"processes": rows.iter().map(row).collect::<Vec<_>>(), "count": count})))
}

fn place(world: &World, instance: &str, db_user: &str) -> Result<Place, Refusal> {
    let tagged = instance.len() == 36 && instance.bytes().all(|b| b.is_ascii_alphanumeric());
    let place = Place::das(instance);
    if !tagged || instance.get(32..34) != Some("in") || world.table(&place).is_none() {
        return Err(Refusal::new(400, "DAS.200114", "The instance ID is invalid."));
    }
    let known = world.db_users.iter().any(|(at, handle)| at == instance && handle == db_user);
    let unknown = || Refusal::new(400, "DAS.200112", "The database user ID is invalid.");
    known.then_some(place).ok_or_else(unknown)
}
