//! A long history: what a page costs beside the same SQL in pgbench and beside a short history, and what an export
//! takes.
//!
//! `make bench-history`. The histories are made once for a cluster and used again where they are there already.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]
#![expect(clippy::cast_precision_loss, reason = "figures need no more digits")]

mod exporting;
mod generate;
mod pages;
mod pgbench;
mod report;

use std::{env, time::Duration};

use anyhow::Context as _;
use killgate::audit::{Audit, Settings};

/// The short history that a long one is compared with.
const SHORT: u64 = 100_000;

fn main() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
    let server = variable("KILLGATE_TEST_DATABASE_URL").context("run `make bench-history`")?;
    let number = |name, usual: u64| variable(name).map_or(Ok(usual), |text| text.parse().context(name));
    let kills = number("KILLGATE_BENCH_KILLS", 10_000_000)?;
    let exported = number("KILLGATE_BENCH_EXPORTED", 1_000_000)?.min(kills);
    let short = generate::history(&server, SHORT).await?;
    let long = generate::history(&server, kills).await?;
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
