//! Three gateways on one Postgres, and one vendor account: how much of its budget is used while somebody waits.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result};
use killgate::sandbox::{Action, Clouds, Sandbox};

use crate::{
    clients::{all_at_once, connect, kill},
    database::Database,
    gateway::{Gateway, token},
    report::Report,
};

/// Kills, each on a shard of its own, so that none shares a call: fifteen seconds of calls.
const KILLS: u64 = 300;
/// Calls a second; as many go at once where nobody called before.
const LIMIT: u32 = 20;
const INSTANCE: &str = "tdsqlshard-fleet01";
/// All of the budget is for everybody here, and nobody is turned away for waiting.
const WHOLE_BUDGET: &str = "[vendors.dcdb]\nlook = 'off'\nreserved_percent = 0\nmax_wait_ms = 60000\n";

pub(crate) async fn measure(database: &Database, report: &mut Report) -> Result<()> {
    let clouds = Clouds::new();
    for place in clouds.add_dcdb_shards(INSTANCE, usize::try_from(KILLS)?) {
        clouds.put_ids(&place, [1]);
    }
    let sandbox = Sandbox::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), clouds.clone())?;
    let first = Gateway::start(database, sandbox.addr, WHOLE_BUDGET).await?;
    let second = Gateway::start(database, sandbox.addr, WHOLE_BUDGET).await?;
    let third = Gateway::start(database, sandbox.addr, WHOLE_BUDGET).await?;
    let token = token("chatops-bot")?;
    let shard = |shard| format!(r#"{{"vendor":"dcdb","instance_id":"{INSTANCE}","shard_id":"shard-test{shard:04}"}}"#);
    let requests = (1..=KILLS).map(|number| kill(&token, &shard(number), 1));
    let clients = connect(&[first.address, second.address, third.address], KILLS).await?;
    all_at_once(clients, requests, 202).await?;

    let mut arrivals: Vec<_> = clouds.calls_for(Action::DcdbKill).iter().map(|call| call.arrived).collect();
    arrivals.sort_unstable();
    let (first, last) = arrivals.first().zip(arrivals.last()).context("no call arrived")?;
    report.fleet(arrivals.len(), last.duration_since(*first), clouds.violations());
    Ok(())
}

impl Report {
    fn fleet(&mut self, calls: usize, took: Duration, violations: usize) {
        self.title("Fleet: 300 kills on 300 shards through three gateways, 20 calls a second for all of them");
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        let used = |calls: u32| f64::from(calls) / (f64::from(LIMIT) * took.as_secs_f64());
        self.figure("calls, from the first to the last", &format!("{calls} in {:.2} s", took.as_secs_f64()));
        let percent = |part: f64| format!("{:.1} %", part * 100.0);
        self.figure(
            "the same without those that go at once (90.9 % at best)",
            &percent(used(calls.saturating_sub(LIMIT))),
        );
        self.target("fleet: of the budget used", &percent(used(calls)), "at least 90 %", used(calls) >= 0.9);
        self.target("fleet: violations of the limit", &violations.to_string(), "none", violations == 0);
    }
}
