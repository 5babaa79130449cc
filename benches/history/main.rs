//! A long history: what a page costs beside the same SQL in pgbench and beside a short history, what a lone kill takes
//! beside that in the short one, and what an export takes.
//!
//! `make bench-history`. The histories are made once for a cluster and used again where they are there already.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]
#![expect(clippy::cast_precision_loss, reason = "figures need no more digits")]

#[path = "../gateway/clients.rs"]
#[expect(dead_code, reason = "the other benchmark has more use for it")]
mod clients;
#[path = "../gateway/cpu.rs"]
#[expect(dead_code, reason = "the other benchmark has more use for it")]
mod cpu;
#[path = "../gateway/database.rs"]
#[expect(dead_code, reason = "the other benchmark has more use for it")]
mod database;
mod exporting;
#[path = "../gateway/gateway.rs"]
#[expect(dead_code, reason = "the other benchmark has more use for it")]
mod gateway;
mod generate;
mod lone;
mod pages;
mod pgbench;
mod report;
#[path = "../gateway/vendor.rs"]
#[expect(dead_code, reason = "the other benchmark has more use for it")]
mod vendor;

use std::{env, time::Duration};

use anyhow::Context as _;
use killgate::audit::{Audit, Settings};

/// The months of the long history, and those of the short one that it is compared with, which has as many kills a month.
const MONTHS: (u32, u32) = (15, 3);

fn main() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
    let server = variable("KILLGATE_TEST_DATABASE_URL").context("run `make bench-history`")?;
    let number = |name, usual: u64| variable(name).map_or(Ok(usual), |text| text.parse().context(name));
    let kills = number("KILLGATE_BENCH_KILLS", 10_000_000)?;
    let exported = number("KILLGATE_BENCH_EXPORTED", 1_000_000)?.min(kills);
    let (long, short) = MONTHS;
    let short = generate::history(&server, kills * u64::from(short) / u64::from(long), short).await?;
    let long = generate::history(&server, kills, long).await?;
    lone::measure(&short, &long).await?;
    pages::measure(&short, &long).await?;
    exporting::measure(&long, exported).await
}

#[expect(clippy::disallowed_methods, reason = "a benchmark has no configuration")]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// The record as a gateway opens it, with time enough for a busy machine.
async fn open(url: &str, migrate: bool) -> anyhow::Result<Audit> {
    let timeout = Duration::from_secs(30);
    let settings = Settings { database_url: Some(url.to_owned().into()), migrate, timeout, ..Settings::default() };
    Ok(Audit::open(&settings).await?)
}
