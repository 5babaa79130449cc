//! What it takes to end one session of a PostgreSQL server and see it gone, beside `psql` and beside the statement alone.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

use crate::{
    clients::Client,
    database::Database,
    gateway::{Gateway, token},
    report::{Report, millis, share},
};

const ROUNDS: u32 = 10;
const EACH: u32 = 20;

/// Through the gateway, by `psql`, and by the statement on a connection that is open, in turns. The record and the sessions
/// are on the same server.
pub(crate) async fn measure(database: &Database, report: &mut Report) -> Result<()> {
    let options: PgConnectOptions = database.url.parse()?;
    let gateway = Gateway::start(database, "127.0.0.1:9".parse()?, &account(&database.url)?).await?;
    let mut client = Client::connect(gateway.address).await?;
    let mut direct = database.connect().await?;
    let token = token("dba")?;
    let mut times = Times::default();
    for _ in 0..ROUNDS {
        for at in 0..=EACH {
            let (_session, id) = session(&options).await?;
            let request = request(&token, id);
            let started = Instant::now();
            let reply = client.exchange(&request).await?;
            let took = started.elapsed();
            let body = String::from_utf8_lossy(&reply.body);
            if reply.status != 200 || !body.contains("\"killed\"") {
                bail!("HTTP {}: {body}", reply.status);
            }
            times.gateway.extend((at > 0).then_some(took));
        }
        for at in 0..=EACH {
            let (_session, id) = session(&options).await?;
            let started = Instant::now();
            let sql = format!("select pg_terminate_backend({id})");
            let ended =
                Command::new("psql").args(["-X", "-q", "-c", &sql, &database.url]).stdout(Stdio::null()).status();
            if !ended.context("psql")?.success() {
                bail!("psql could not end session {id}");
            }
            times.psql.extend((at > 0).then_some(started.elapsed()));
        }
        for at in 0..=EACH {
            let (_session, id) = session(&options).await?;
            let started = Instant::now();
            sqlx::query("SELECT pg_terminate_backend($1)").bind(id).execute(&mut direct).await?;
            times.statement.extend((at > 0).then_some(started.elapsed()));
        }
    }
    report.engine(&times);
    Ok(())
}

#[derive(Debug, Default)]
struct Times {
    gateway: Vec<Duration>,
    psql: Vec<Duration>,
    statement: Vec<Duration>,
}

/// A session to be ended.
async fn session(options: &PgConnectOptions) -> Result<(PgConnection, i32)> {
    let mut session = PgConnection::connect_with(options).await?;
    let id = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut session).await?;
    Ok((session, id))
}

fn account(url: &str) -> Result<String> {
    let url: url::Url = url.parse()?;
    let (user, password) = (url.username(), url.password().unwrap_or_default());
    let (host, port) = (url.host_str().context("a host")?, url.port().unwrap_or(5432));
    Ok(format!(
        "[accounts.pg]\nengine = 'postgresql'\nusername = '{user}'\npassword = '{password}'\ntls = 'off'\n\
         allow_plain = true\nnodes.server = '{host}:{port}'\nvendors.postgresql.requests_per_second = 10000\n\
         [targets.pg]\nvendor = 'postgresql'\naccount = 'pg'\n"
    ))
}

fn request(token: &str, id: i32) -> Vec<u8> {
    let body = format!(r#"{{"target":"pg","select":{{"ids":[{id}]}},"reason":"bench"}}"#);
    format!(
        "POST /sessions/kill HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nPrefer: wait=10\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

impl Report {
    fn engine(&mut self, Times { gateway, psql, statement }: &Times) {
        self.title(&format!("One session of a PostgreSQL server, ended and seen gone ({} each)", gateway.len()));
        let at = |times: &[Duration], part| share(times, part).unwrap_or_default();
        let both = |times: &[Duration]| format!("p50 {}, p99 {}", millis(at(times, 0.5)), millis(at(times, 0.99)));
        self.figure("psql -c \"select pg_terminate_backend(..)\"", &both(psql));
        self.figure("that statement on an open connection, the signal sent", &both(statement));
        let p50 = at(gateway, 0.5);
        let met = p50 < Duration::from_millis(15);
        self.target("through killgate: looked at, recorded, seen gone", &both(gateway), "p50 under 15 ms", met);
    }
}
