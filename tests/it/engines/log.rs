//! A server's own log, to be held against the record: whom a command ended, and what the gateway asked for.

use serde_json::Value;
use sqlx::{Executor as _, PgConnection};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::support::{
    postgres::Cluster,
    servers::{PgServer, until},
};

/// A session as its server, its client and the record know it. Ids come again, and so do ports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Login {
    pub(super) id: String,
    /// In seconds since 1970.
    started_at: i64,
    /// The client's.
    port: u16,
}

impl Login {
    /// The session's own.
    pub(super) async fn of(session: &mut PgConnection) -> sqlx::Result<Self> {
        let sql = "SELECT pid, floor(extract(epoch FROM backend_start))::int8, client_port
                   FROM pg_stat_get_activity(pg_backend_pid())";
        let (id, started_at, port): (i32, i64, i32) = sqlx::query_as(sql).fetch_one(session).await?;
        Ok(Self { id: id.to_string(), started_at, port: port.try_into().expect("a port") })
    }

    /// The one that a look saw; `None` where none was seen.
    pub(super) fn seen(id: &str, identity: &Value) -> Option<Self> {
        let started_at = OffsetDateTime::parse(identity["started_at"].as_str()?, &Rfc3339).ok()?.unix_timestamp();
        let port = identity["host"].as_str()?.rsplit(':').next()?.parse().ok()?;
        Some(Self { id: id.to_owned(), started_at, port })
    }
}

/// That something was logged, and when, in milliseconds since 1970.
#[derive(Debug)]
pub(super) struct Logged<T> {
    pub(super) at: i64,
    pub(super) what: T,
}

/// Has a server log what is read here.
pub(super) async fn log_all(server: &PgServer) {
    let mut owner = server.owner().await;
    let mut role = sqlx::QueryBuilder::<sqlx::Postgres>::new("ALTER ROLE ");
    role.push(&server.gateway).push(" SET log_statement = 'all'").build().execute(&mut owner).await.unwrap();
    owner.execute("ALTER SYSTEM SET log_line_prefix = '%n|%c|%r|'").await.unwrap();
    owner.execute("SELECT pg_reload_conf()").await.unwrap();
    // Whoever logs in from now on is a child of a process that has read it.
    until(&mut owner, "SELECT 1 WHERE current_setting('log_line_prefix') = '%n|%c|%r|'").await;
}

/// The sessions that somebody's command ended.
pub(super) fn ended(cluster: &Cluster) -> Vec<Logged<Login>> {
    let is_end = |text: &str| text.contains("terminating connection due to administrator command");
    read(&cluster.log(), |login, text| is_end(text).then_some(login))
}

/// A session that a statement of the gateway's was to end: its id, and when it began as the statement says it.
pub(super) type Meant = (String, String);

/// What the gateway asked to be ended.
pub(super) fn asked(cluster: &Cluster) -> Vec<Logged<Meant>> {
    let between = |text: &str, before: &str, behind: char| {
        Some(text.split_once(before)?.1.split_once(behind)?.0.to_owned()).filter(|text| !text.is_empty())
    };
    read(&cluster.log(), |_, text| {
        text.contains("pg_terminate_backend").then(|| {
            let meant = between(text, "pg_stat_get_activity(", ')').zip(between(text, "timestamptz '", '\''));
            meant.unwrap_or_else(|| panic!("no session that was seen is meant by {text}"))
        })
    })
}

fn read<T>(log: &str, what: impl Fn(Login, &str) -> Option<T>) -> Vec<Logged<T>> {
    log.lines().filter_map(|line| entry(line, &what)).collect()
}

/// Lines begin with the time, start and process id of the session in hexadecimal digits, and where its client is.
fn entry<T>(line: &str, what: impl Fn(Login, &str) -> Option<T>) -> Option<Logged<T>> {
    let [at, session, client, text] = line.splitn(4, '|').collect::<Vec<_>>().try_into().ok()?;
    let at = at.replace('.', "").parse().ok()?;
    let (started_at, id) = session.split_once('.')?;
    let hexadecimal = |digits| i64::from_str_radix(digits, 16).ok();
    let port = client.split(['(', ')']).nth(1)?.parse().ok()?;
    let login = Login { id: hexadecimal(id)?.to_string(), started_at: hexadecimal(started_at)?, port };
    Some(Logged { at, what: what(login, text)? })
}
