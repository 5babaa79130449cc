//! Resident memory: at rest, and under a thousand connections each of which made a kill.

use std::time::Duration;

use anyhow::Result;

use crate::{
    clients::{all_at_once, kill},
    database::Database,
    gateway::{Gateway, token},
    rate::own_target,
    report::Report,
    vendor::Vendor,
};

const CONNECTIONS: u64 = 1000;
const UNLIMITED: &str = "[vendors.taurusdb]\nrequests_per_second = 1000\n";

/// Of a gateway that did nothing before.
pub(crate) async fn measure(database: &Database, report: &mut Report) -> Result<()> {
    let vendor = Vendor::start(Duration::ZERO).await?;
    let gateway = Gateway::start(database, vendor.address, UNLIMITED).await?;
    let (at_rest, _) = gateway.memory()?;
    let token = token("chatops-bot")?;
    let requests = (0..CONNECTIONS).map(|id| kill(&token, &own_target(id % 16), id)).collect();
    let (_, connections) = all_at_once(gateway.address, requests, 200).await?;
    let (now, most) = gateway.memory()?;
    drop(connections);
    let mebibytes = |kibibytes: u64| format!("{}.{} MiB", kibibytes / 1024, kibibytes % 1024 * 10 / 1024);
    report.title("Resident memory of the gateway");
    report.figure("at rest", &mebibytes(at_rest));
    report.figure("the most while 1,000 kills were asked for at once", &mebibytes(most));
    let what = "with 1,000 connections open, each of which made a kill";
    report.target(what, &mebibytes(now), "under 40 MiB", now < 40 * 1024);
    Ok(())
}
