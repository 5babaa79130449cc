//! GaussDB: sessions of one component on one node. Ids are JSON strings.

use serde_json::{Map, Value, json};

use super::{cut, dbs, death, failed, has_tag, reconnect, recycle, texts};
use crate::sandbox::{
    Lie, Place, Session,
    answer::{Answer, Refusal},
    fields::{Bad, Members},
    handler::Route,
    log::Incoming,
    state::{State, World},
};

/// The most sessions that one list shows.
const MOST: usize = 200;

/// Members of a listed session that are texts and empty here.
const EMPTY: [&str; 19] = [
    "wait",
    "wait_event",
    "wait_status",
    "query_id",
    "trans_num",
    "rollback_num",
    "sql_num",
    "transaction_time_cost",
    "trace_id",
    "global_session_id",
    "top_transaction_id",
    "current_transaction_id",
    "xlog_quantity_pretty",
    "lwt_id",
    "lock_mode",
    "lock_tag",
    "parent_session_id",
    "smp_id",
    "unique_sql_id",
];

/// What a kill asks for.
struct Kill {
    node: String,
    component: String,
    ids: Vec<String>,
    /// Redundant with the path, and refused where it says otherwise.
    instance: Option<String>,
}

impl Kill {
    fn read(body: &[u8]) -> Result<Self, Bad> {
        let mut body = Members::parse(body)?;
        let kill = Self {
            node: body.required_text("node_id")?,
            component: body.required_text("component_id")?,
            ids: body.texts("session_ids")?.ok_or(Bad::Missing("session_ids"))?,
            instance: body.text("instance_id")?,
        };
        body.finish().map(|()| kill)
    }
}

pub(super) fn kill(
    state: &mut State,
    incoming: &Incoming,
    route: &Route,
    lie: Option<&Lie>,
) -> Result<Answer, Refusal> {
    let asked = Kill::read(&incoming.body).map_err(dbs)?;
    if asked.instance.is_some_and(|instance| instance != route.instance) {
        return Err(Refusal::new(400, "DBS.280404", "The instance ID in the body is not the one in the path."));
    }
    let place = place(&state.world, route.instance, &asked.node, &asked.component)?;

    let ids = asked.ids.iter().filter_map(|id| id.parse().ok());
    let table = state.world.table_mut(&place).ok_or_else(failed)?;
    let there: Vec<u64> = ids.filter(|id| table.find(*id).is_some()).collect();
    let killed = death(lie).map(|death| table.kill(&there, death)).unwrap_or_default();
    reconnect(lie, table, &killed);
    let body = match lie {
        Some(Lie::KillsButSaysFailed) => json!({"session_ids": [], "success": false}),
        Some(Lie::LeavesOut) => json!({"session_ids": texts(there.get(1..).unwrap_or_default()), "success": true}),
        _ => json!({"session_ids": texts(&there), "success": true}),
    };
    Ok(Answer::json(200, &body).killed(killed))
}

/// What a list asks for.
struct Wanted {
    node: String,
    component: String,
    database: Option<String>,
    client: Option<String>,
    user: Option<String>,
}

impl Wanted {
    fn read(body: &[u8]) -> Result<Self, Bad> {
        let mut body = Members::parse(body)?;
        let (node, component) = (body.required_text("node_id")?, body.required_text("component_id")?);
        let mut filter = body.object("query_info")?.unwrap_or_default();
        body.finish()?;
        let (database, client) = (filter.text("database_name")?, filter.text("client_ip")?);
        let user = filter.text("user_name")?;
        filter.finish().map(|()| Self { node, component, database, client, user })
    }

    fn lets(&self, row: &Session) -> bool {
        let is = |wanted: &Option<String>, held: &str| wanted.as_ref().is_none_or(|wanted| wanted == held);
        let ip = row.host.split(':').next().unwrap_or_default();
        is(&self.database, &row.database) && is(&self.client, ip) && is(&self.user, &row.user)
    }
}

pub(super) fn sessions(
    state: &mut State,
    incoming: &Incoming,
    route: &Route,
    lie: Option<&Lie>,
) -> Result<Answer, Refusal> {
    let wanted = Wanted::read(&incoming.body).map_err(dbs)?;
    let place = place(&state.world, route.instance, &wanted.node, &wanted.component)?;
    let table = state.world.table_mut(&place).ok_or_else(failed)?;
    let rows: Vec<_> = table.listed().into_iter().filter(|row| wanted.lets(row)).take(cut(lie, MOST)).collect();
    let now = incoming.at.unix_timestamp();
    let answer: Vec<_> = rows.iter().map(|row| listed(row, &wanted.component, table.began(row.id, now), now)).collect();
    recycle(lie, table, &rows);
    Ok(Answer::json(200, &json!({"sessions": answer})))
}

fn listed(row: &Session, component: &str, started: i64, now: i64) -> Value {
    // The session is at least as old as its statement.
    let age = (now - started).max(i64::try_from(row.seconds).unwrap_or(i64::MAX));
    let (ip, port) = row.host.split_once(':').unwrap_or((&row.host, ""));
    let mut members: Map<String, Value> = EMPTY.iter().map(|name| ((*name).to_owned(), "".into())).collect();
    // Whoever takes the changes of the server has another name for it here.
    let is_replication = row.command.starts_with("Binlog Dump");
    let (thread, application) =
        if is_replication { ("WalSender", "WalSender to Standby[dn_6002]") } else { ("worker", "app") };
    let texts = [
        ("thread_name", thread.to_owned()),
        ("application_name", application.to_owned()),
        ("session_id", row.id.to_string()),
        ("pid", (140_000_000_000 + row.id).to_string()),
        ("database_name", row.database.clone()),
        ("client_ip", ip.to_owned()),
        ("client_port", port.to_owned()),
        ("user_name", row.user.clone()),
        ("state", row.state.clone()),
        ("query_runtime", row.seconds.to_string()),
        ("exec_time", age.to_string()),
        ("query", row.statement.clone()),
        ("component_name", component.to_owned()),
        ("block_session", row.blocked_by.map(|id| id.to_string()).unwrap_or_default()),
    ];
    members.extend(texts.map(|(name, text)| (name.to_owned(), text.into())));
    members.extend(["back_end_start", "transaction_start", "query_start"].map(|name| (name.into(), started.into())));
    members.into()
}

/// Finds the component on the node of an instance.
fn place(world: &World, instance: &str, node: &str, component: &str) -> Result<Place, Refusal> {
    if !has_tag(instance, "in14") || !has_tag(node, "no14") {
        return Err(Refusal::new(400, "DBS.280404", "The instance ID or node ID format is incorrect."));
    }
    let number = component.strip_prefix("cn_").or_else(|| component.strip_prefix("dn_")).unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Refusal::new(400, "DBS.280667", "The component ID is incorrect."));
    }
    let of_instance = || world.tables.iter().filter(|table| table.place.instance_id == instance);
    if of_instance().next().is_none() {
        return Err(Refusal::new(404, "DBS.200002", "The DB instance does not exist."));
    }
    if !of_instance().any(|table| table.place.node_id.as_deref() == Some(node)) {
        return Err(Refusal::new(400, "DBS.212005", "The node does not belong to the instance."));
    }
    let place = Place::gaussdb(instance, node, component);
    let found = world.table(&place).is_some();
    let elsewhere = || Refusal::new(400, "DBS.280676", "The component does not exist on the node.");
    found.then_some(place).ok_or_else(elsewhere)
}
