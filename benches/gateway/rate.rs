//! Audited kills a second, with a vendor that answers at once.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    clients::kills_per_second,
    cpu::Server,
    database::Database,
    gateway::Gateway,
    pgbench::pairs_per_second,
    record,
    report::{Report, median},
    vendor::Vendor,
};

const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_secs(3);
/// Its clients connect within that time too.
const PGBENCH_TIME: Duration = Duration::from_secs(5);

/// As many calls as may be configured: here it is not the vendor who sets the limit.
pub(crate) const UNLIMITED: &str = "[vendors.taurusdb]\nlook = 'off'\nrequests_per_minute = 0\nrequests_per_second = 10000\n\
                                    [vendors.dcdb]\nlook = 'off'\nrequests_per_second = 10000\n";

/// One target for each caller, so that kills share calls with nobody.
pub(crate) fn own_target(caller: u64) -> String {
    format!(
        r#"{{"vendor":"taurusdb","account":"huawei","instance_id":"a41cbc5c9bd344b1a60d3b7a{caller:08x}in07","node_id":"f6b1c6d8a27e4c0d9d8bcb2a7d9a3e51no07"}}"#
    )
}

/// The same at a vendor that takes kills as tasks.
fn own_shard(caller: u64) -> String {
    format!(
        r#"{{"vendor":"dcdb","account":"tencent","instance_id":"tdsqlshard-{caller:08x}","shard_id":"shard-{caller:08x}"}}"#
    )
}

/// One target for all, as in an incident.
pub(crate) fn one_target(_: u64) -> String {
    own_target(0)
}

/// Side by side, several times over, so that whatever else the machine does meets all of them.
pub(crate) async fn measure(database: &Database, pgbench: &PathBuf, report: &mut Report) -> Result<()> {
    let vendor = Vendor::start(Duration::ZERO).await?;
    let gateway = Gateway::start(database, vendor.address, UNLIMITED).await?;
    let server = Server::of(database).await?;
    for callers in [32, 256] {
        report.title(&format!("Audited kills a second, instant vendor, {callers} callers (median of {ROUNDS})"));
        let mut rounds = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            database.settle().await?;
            let before = vendor.calls();
            let one = kills_per_second(gateway.address, callers, TIME, 200, one_target).await?;
            let calls = vendor.calls() - before;
            let cost = Cost::begin(&gateway, server, database).await?;
            let own = kills_per_second(gateway.address, callers, TIME, 200, own_target).await?;
            let own_cpu = cost.of_a_kill(&gateway, server, database).await?;
            let cost = Cost::begin(&gateway, server, database).await?;
            let started = Instant::now();
            kills_per_second(gateway.address, callers, TIME, 202, own_shard).await?;
            let settled = settled(database).await? - cost.kills;
            #[expect(clippy::cast_precision_loss, reason = "some ten thousand kills")]
            let settled = settled as f64 / started.elapsed().as_secs_f64();
            let settled_cpu = cost.of_a_kill(&gateway, server, database).await?;
            let used = server.used()?;
            let pairs = pairs_per_second(pgbench, database, callers, PGBENCH_TIME).await?;
            let pair_cpu = server.used()?.saturating_sub(used).as_secs_f64() / (pairs * PGBENCH_TIME.as_secs_f64());
            let record = record::kills_per_second(database, callers, TIME).await?;
            rounds.push(Round { one, own, settled, pairs, record, calls, own_cpu, settled_cpu, pair_cpu });
        }
        report.rate(callers, &rounds);
    }
    Ok(())
}

/// What was used of the processors before some kills, and how many kills there were.
struct Cost {
    gateway: Duration,
    server: Duration,
    kills: i64,
}

/// Processor seconds.
#[derive(Debug, Clone, Copy)]
struct Cpu {
    gateway: f64,
    server: f64,
}

impl Cpu {
    const fn all(self) -> f64 {
        self.gateway + self.server
    }
}

impl Cost {
    async fn begin(gateway: &Gateway, server: Server, database: &Database) -> Result<Self> {
        let kills = settled(database).await?;
        Ok(Self { gateway: gateway.used()?, server: server.used()?, kills })
    }

    /// Seconds for each kill since, those of the index and of looks included.
    async fn of_a_kill(&self, gateway: &Gateway, server: Server, database: &Database) -> Result<Cpu> {
        let kills = settled(database).await? - self.kills;
        #[expect(clippy::cast_precision_loss, reason = "some ten thousand kills")]
        let each = |used: Duration, before| used.saturating_sub(before).as_secs_f64() / kills as f64;
        Ok(Cpu { gateway: each(gateway.used()?, self.gateway), server: each(server.used()?, self.server) })
    }
}

/// How many kills there are, once all are settled and indexed.
async fn settled(database: &Database) -> Result<i64> {
    let mut connection = database.connect().await?;
    loop {
        let open: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM kill_leases)").fetch_one(&mut connection).await?;
        if !open {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(sqlx::query_scalar("SELECT count(*) FROM kill_index").fetch_one(&mut connection).await?)
}

/// Kills a second: all on one target, each caller on its own, those of tasks that were settled, pairs of statements by
/// pgbench, and the record alone.
#[derive(Debug)]
struct Round {
    one: f64,
    own: f64,
    settled: f64,
    pairs: f64,
    record: f64,
    /// Calls that the kills on one target took.
    calls: u64,
    /// Processor time of the gateway and of Postgres, seconds a kill; of Postgres alone, a pair.
    own_cpu: Cpu,
    settled_cpu: Cpu,
    pair_cpu: f64,
}

impl Report {
    fn rate(&mut self, callers: u64, rounds: &[Round]) {
        let middle = |of: fn(&Round) -> f64| median(&rounds.iter().map(of).collect::<Vec<_>>()).unwrap_or_default();
        let kills = |figure: f64| format!("{figure:.0}/s");
        let micros = |figure: f64| format!("{:.0} us", figure * 1e6);
        self.figure("killgate, all callers on one target", &kills(middle(|round| round.one)));
        let calls = rounds.iter().map(|round| round.calls).min().unwrap_or_default();
        self.figure("  calls that the vendor saw for these, at least", &calls.to_string());
        self.figure("killgate, each caller on a target of its own", &kills(middle(|round| round.own)));
        self.figure("killgate, own targets, tasks, until all are settled", &kills(middle(|round| round.settled)));
        self.figure("pgbench, INSERT and UPDATE of a plain row", &kills(middle(|round| round.pairs)));
        self.figure("the record alone: all that is written of a kill", &kills(middle(|round| round.record)));
        let both = |gateway, server| format!("{} gateway, {} Postgres", micros(gateway), micros(server));
        let (gateway, server) = (middle(|round| round.own_cpu.gateway), middle(|round| round.own_cpu.server));
        self.figure("processor time of a kill, own targets", &both(gateway, server));
        let (gateway, server) = (middle(|round| round.settled_cpu.gateway), middle(|round| round.settled_cpu.server));
        self.figure("processor time of a kill that is a task", &both(gateway, server));
        self.figure("processor time of a pair, Postgres alone", &micros(middle(|round| round.pair_cpu)));
        for (name, ratio, wanted, is_most) in [
            ("one target / pgbench", middle(|round| round.one / round.pairs), None, false),
            ("own targets / pgbench", middle(|round| round.own / round.pairs), Some(0.8), false),
            ("tasks, settled / pgbench", middle(|round| round.settled / round.pairs), Some(0.5), false),
            (
                "processor time, own targets / pgbench",
                middle(|round| round.own_cpu.all() / round.pair_cpu),
                Some(2.5),
                true,
            ),
            (
                "processor time, tasks / pgbench",
                middle(|round| round.settled_cpu.all() / round.pair_cpu),
                Some(2.5),
                true,
            ),
        ] {
            let (what, seen) = (format!("{callers} callers, {name}"), format!("{ratio:.2} x"));
            match wanted.filter(|_| callers == 32) {
                Some(most) if is_most => self.target(&what, &seen, &format!("at most {most:.1} x"), ratio <= most),
                Some(least) => self.target(&what, &seen, &format!("at least {least:.1} x"), ratio >= least),
                None => self.figure(&what, &seen),
            }
        }
    }
}
