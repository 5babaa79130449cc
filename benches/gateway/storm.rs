//! A storm: a thousand kills of one session each on one DCDB shard, all at once, where twenty calls a second are
//! allowed and each takes 50 ms. Each kill is looked at first, on a list of ten pages, and once more all go blind.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use killgate::sandbox::{Action, Behaviour, Clouds, Sandbox};
use tokio::task::JoinSet;

use crate::{
    clients::{Client, all_at_once, connect, kill},
    database::Database,
    gateway::{Gateway, token},
    report::{Report, median},
    vendor::{Vendor, call},
};

const KILLS: u64 = 1000;
const CALL: Duration = Duration::from_millis(50);
const ROUNDS: usize = 3;
/// A limiter without shared calls takes its time for each kill, so fewer say as much.
const NAIVE_KILLS: u64 = 100;
const NAIVE_PAUSE: Duration = Duration::from_millis(50);
const INSTANCE: &str = "tdsqlshard-storm01";

/// Through the gateway on strict clouds, with looks and without, through a limiter that sends one call for each kill, and in
/// one call.
pub(crate) async fn measure(database: &Database, report: &mut Report) -> Result<()> {
    let looked = storms(database, "").await?;
    let blind = storms(database, "[vendors.dcdb]\nlook = 'off'\n").await?;
    let (naive, direct) = (naive().await?, direct().await?);
    report.storm(&looked, &blind, naive, direct);
    Ok(())
}

/// What was seen of one kind of storms.
#[derive(Debug)]
struct Storms {
    seconds: Vec<f64>,
    /// Kill calls of each round.
    calls: Vec<usize>,
    /// List calls of each round.
    lists: Vec<usize>,
    violations: usize,
}

async fn storms(database: &Database, more: &str) -> Result<Storms> {
    let clouds = Clouds::new();
    let places = clouds.add_dcdb_shards(INSTANCE, ROUNDS);
    for place in &places {
        clouds.put_ids(place, 1..=KILLS);
    }
    clouds.misbehave(Action::DcdbKill, Behaviour::Slow(CALL));
    let sandbox = Sandbox::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), clouds.clone())?;
    let gateway = Gateway::start(database, sandbox.addr, more).await?;
    database.settle().await?;
    let (mut seconds, mut calls, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let target = format!(r#"{{"vendor":"dcdb","instance_id":"{INSTANCE}","shard_id":"shard-test{round:04}"}}"#);
        let token = token("chatops-bot")?;
        let requests: Vec<_> = (1..=KILLS).map(|id| kill(&token, &target, id)).collect();
        let clients = connect(&[gateway.address], KILLS).await?;
        let before = clouds.calls_for(Action::DcdbKill).len();
        let lists_before = clouds.calls_for(Action::DcdbProcesses).len();
        seconds.push(all_at_once(clients, requests, 202).await?.0.as_secs_f64());
        calls.push(clouds.calls_for(Action::DcdbKill).len() - before);
        lists.push(clouds.calls_for(Action::DcdbProcesses).len() - lists_before);
        // The next storm comes to an idle budget.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let killed: usize = clouds.calls_for(Action::DcdbKill).iter().map(|call| call.killed.len()).sum();
    if killed != usize::try_from(KILLS)? * ROUNDS {
        bail!("{killed} sessions were killed");
    }
    Ok(Storms { seconds, calls, lists, violations: clouds.violations() })
}

/// How long the kills take where each is a call of its own and calls leave twenty times a second.
async fn naive() -> Result<f64> {
    let vendor = Vendor::start(CALL).await?;
    let started = Instant::now();
    let mut ticks = tokio::time::interval(NAIVE_PAUSE);
    let mut kills = JoinSet::new();
    for id in 0..NAIVE_KILLS {
        ticks.tick().await;
        let address = vendor.address;
        kills.spawn(async move { Client::connect(address).await?.exchange(&call(&[id])).await });
    }
    for answered in kills.join_all().await {
        answered?;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// How long one call with all ids takes, which nobody can make who does not know them all beforehand.
async fn direct() -> Result<f64> {
    let vendor = Vendor::start(CALL).await?;
    let mut client = Client::connect(vendor.address).await?;
    let ids: Vec<u64> = (1..=KILLS).collect();
    let started = Instant::now();
    client.exchange(&call(&ids)).await?;
    Ok(started.elapsed().as_secs_f64())
}

impl Report {
    fn storm(&mut self, looked: &Storms, blind: &Storms, naive: f64, direct: f64) {
        self.title("Storm: 1,000 kills at once on one DCDB shard, 20 calls a second, 50 ms a call");
        let took = median(&looked.seconds).unwrap_or_default();
        for (how, Storms { seconds, calls, lists, violations }) in [("looked at first", looked), ("blind", blind)] {
            let all: Vec<String> = seconds.iter().map(|took| format!("{took:.2} s")).collect();
            self.figure(&format!("{how}, each round until all were answered"), &all.join(", "));
            self.figure(&format!("{how}, calls of each round; pages of lists"), &format!("{calls:?}; {lists:?}"));
            self.figure(&format!("{how}, calls beyond the limit, as the clouds count"), &violations.to_string());
        }
        let scaled = naive * f64::from(u32::try_from(KILLS / NAIVE_KILLS).unwrap_or(1));
        let what = format!("one call a kill at 20/s ({NAIVE_KILLS} kills measured in {naive:.2} s, scaled)");
        self.figure(&what, &format!("{scaled:.1} s"));
        self.figure("one direct call with all 1,000 ids", &format!("{direct:.2} s"));
        self.figure("one call a kill / killgate", &format!("{:.0} x", scaled / took));
        for (how, storms, least) in [("looked at", looked, 1.5), ("blind", blind, 1.0)] {
            let took = median(&storms.seconds).unwrap_or_default();
            let most = storms.calls.iter().max().copied().unwrap_or_default();
            let what = |of: &str| format!("storm, {how}: {of}");
            let seconds = format!("{took:.2} s");
            self.target(&what("seconds until all are answered"), &seconds, &format!("under {least} s"), took < least);
            self.target(&what("calls, the most of any round"), &most.to_string(), "at most 20", most <= 20);
            let violations = storms.violations;
            self.target(&what("violations of the limit"), &violations.to_string(), "none", violations == 0);
        }
    }
}
