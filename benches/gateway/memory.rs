//! Resident memory: at rest, and under a thousand connections each of which made a kill.

use std::time::Duration;

use anyhow::Result;

use crate::{
    clients::{Client, all_at_once, connect, kill},
    database::Database,
    gateway::{Gateway, token},
    rate::own_target,
    report::Report,
    vendor::Vendor,
};

const CONNECTIONS: u64 = 1000;
/// How many kills are under way together where not all are.
const TOGETHER: usize = 32;
/// Here it is not the vendor who sets the limit.
const UNLIMITED: &str = "[vendors.taurusdb]\nlook = 'off'\nrequests_per_minute = 0\nrequests_per_second = 1000\n";

/// Of gateways that did nothing before: one whose thousand callers come a few at a time, and one whose thousand callers
/// come at once.
pub(crate) async fn measure(database: &Database, report: &mut Report) -> Result<()> {
    let vendor = Vendor::start(Duration::ZERO).await?;
    let token = token("chatops-bot")?;
    let requests = || (0..CONNECTIONS).map(|id| kill(&token, &own_target(id % 16), id));
    report.title("Resident memory of the gateway");

    let gateway = Gateway::start(database, vendor.address, UNLIMITED).await?;
    report.figure("at rest", &mebibytes(gateway.memory()?));
    let mut idle = connect(&[gateway.address], CONNECTIONS).await?;
    report.figure("with 1,000 connections open that did nothing yet", &mebibytes(gateway.memory()?));
    let mut done: Vec<Client> = Vec::new();
    let mut requests_left = requests();
    while !idle.is_empty() {
        let some = idle.split_off(idle.len().saturating_sub(TOGETHER));
        let some_requests: Vec<_> = requests_left.by_ref().take(some.len()).collect();
        done.extend(all_at_once(some, some_requests, 200).await?.1);
    }
    report.memory(&format!("1,000 connections, a kill on each, {TOGETHER} at a time"), gateway.memory()?);
    drop((gateway, done));

    let gateway = Gateway::start(database, vendor.address, UNLIMITED).await?;
    let connections = connect(&[gateway.address], CONNECTIONS).await?;
    let (_, connections) = all_at_once(connections, requests(), 200).await?;
    report.memory("1,000 connections, a kill on each, all at once", gateway.memory()?);
    report.figure("the most at any time of that", &mebibytes(gateway.most_memory()?));
    drop(connections);
    Ok(())
}

fn mebibytes(kibibytes: u64) -> String {
    format!("{}.{} MiB", kibibytes / 1024, kibibytes % 1024 * 10 / 1024)
}

impl Report {
    fn memory(&mut self, what: &str, kibibytes: u64) {
        self.target(what, &mebibytes(kibibytes), "under 40 MiB", kibibytes < 40 * 1024);
    }
}
