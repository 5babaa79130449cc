//! What one kill takes longer through the gateway than without it, when nobody else asks.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use sqlx::PgConnection;

use crate::{
    clients::{Client, kill},
    database::Database,
    gateway::{Gateway, token},
    pgbench::FLOOR,
    rate::own_target,
    report::{Report, median, millis, share},
    vendor::{Vendor, call},
};

const ROUNDS: u64 = 10;
const EACH: u64 = 60;
const VENDOR: Duration = Duration::from_millis(5);
/// Here it is not the vendor who sets the limit.
const UNLIMITED: &str = "[vendors.taurusdb]\nlook = 'off'\nrequests_per_minute = 0\nrequests_per_second = 1000\n";

/// Through the gateway, past it, and what two durable commits take, in turns.
pub(crate) async fn measure(database: &Database, report: &mut Report) -> Result<()> {
    let vendor = Vendor::start(VENDOR).await?;
    let gateway = Gateway::start(database, vendor.address, UNLIMITED).await?;
    let (mut through, mut past) = (Client::connect(gateway.address).await?, Client::connect(vendor.address).await?);
    let mut connection = database.connect().await?;
    sqlx::query(FLOOR).execute(&mut connection).await?;
    let (token, target) = (token("chatops-bot")?, own_target(0));
    let mut times = Times::default();
    database.settle().await?;
    for round in 0..ROUNDS {
        // The first of each kind finds its statements unplanned and its connections unmade.
        for at in 0..=EACH {
            let seen = time(&mut through, &kill(&token, &target, round * EACH + at)).await?;
            times.through.extend((at > 0).then_some(seen));
        }
        for at in 0..=EACH {
            let seen = time(&mut past, &call(&[round * EACH + at])).await?;
            times.past.extend((at > 0).then_some(seen));
        }
        for at in 0..=EACH {
            let seen = commits(&mut connection, Duration::ZERO).await?;
            times.commits.extend((at > 0).then_some(seen));
        }
        for at in 0..=EACH {
            let seen = commits(&mut connection, VENDOR).await?;
            times.apart.extend((at > 0).then_some(seen));
        }
    }
    report.latency(&times);
    Ok(())
}

#[derive(Debug, Default)]
struct Times {
    through: Vec<Duration>,
    past: Vec<Duration>,
    commits: Vec<Duration>,
    /// The same with the vendor's time between the two, which does not count.
    apart: Vec<Duration>,
}

async fn time(client: &mut Client, request: &[u8]) -> Result<Duration> {
    let started = Instant::now();
    let reply = client.exchange(request).await?;
    if reply.status != 200 {
        bail!("HTTP {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    }
    Ok(started.elapsed())
}

/// The same two statements that pgbench runs, on the same plain table: a row is inserted, then it gets its outcome, so long
/// after. What a machine takes for either depends on whether it was idle before.
async fn commits(connection: &mut PgConnection, pause: Duration) -> Result<Duration> {
    let started = Instant::now();
    let id: (uuid::Uuid,) = sqlx::query_as(INSERT).fetch_one(&mut *connection).await?;
    let inserted = started.elapsed();
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    let started = Instant::now();
    sqlx::query(UPDATE).bind(id.0).execute(&mut *connection).await?;
    Ok(inserted + started.elapsed())
}

const INSERT: &str = r#"
    INSERT INTO floor (id, status, caller, reason, target, selector, dry_run, gateway, requested_at)
    VALUES ((lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
            || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid,
        'pending', 'chatops-bot', 'INC-4711 runaway report',
        '{"vendor":"taurusdb","account":"huawei","instance_id":"a41cbc5c9bd344b1a60d3b7a1d0b8b4ein07","node_id":"f6b1c6d8a27e4c0d9d8bcb2a7d9a3e51no07"}',
        '{"ids":["2075425"]}', false, 'bench', now())
    RETURNING id"#;

const UPDATE: &str =
    "UPDATE floor SET status = 'succeeded', completed_at = now(), upstream_http_status = 200 WHERE id = $1";

impl Report {
    fn latency(&mut self, Times { through, past, commits, apart }: &Times) {
        self.title(&format!("One caller, a vendor that takes 5 ms ({} kills each)", through.len()));
        let at = |times: &[Duration], part| share(times, part).unwrap_or_default();
        let both = |times: &[Duration]| format!("p50 {}, p99 {}", millis(at(times, 0.5)), millis(at(times, 0.99)));
        self.figure("through killgate", &both(through));
        self.figure("the vendor asked directly", &both(past));
        self.figure("two durable commits (INSERT and UPDATE of a plain row)", &both(commits));
        self.figure("the same two with the vendor's 5 ms between them", &both(apart));
        let added = |part| at(through, part).saturating_sub(at(past, part));
        self.figure("added by killgate", &format!("p50 {}, p99 {}", millis(added(0.5)), millis(added(0.99))));
        let pair = median(commits).unwrap_or_default().as_secs_f64();
        let ratio = added(0.5).as_secs_f64() / pair;
        let apart = median(apart).unwrap_or_default().as_secs_f64();
        self.figure("added p50 / two commits with 5 ms between", &format!("{:.2} x", added(0.5).as_secs_f64() / apart));
        let what = "added p50 / two durable commits";
        self.target(what, &format!("{ratio:.2} x"), "no more than 1.5 x", ratio <= 1.5);
    }
}
