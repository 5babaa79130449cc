//! How fast killgate is, beside what it is to be compared with: measured in one run, on one machine, on one durable
//! Postgres. `make bench` starts that Postgres; `docs/performance.md` says what the figures mean.
//!
//! The gateway is the program itself, as a child process with its log thrown away. Whoever asks and whoever is asked
//! (callers and vendors) live in this process and share the machine with it. `cargo bench -- storm` measures the
//! storm alone; the names are `storm`, `fleet`, `rate`, `sealing`, `latency`, `engine` and `memory`.

#![expect(clippy::print_stdout, reason = "figures are what a benchmark is for")]

mod clients;
mod cpu;
mod database;
mod engine;
mod fleet;
mod gateway;
mod latency;
mod memory;
mod pgbench;
mod rate;
mod record;
mod report;
mod sealing;
mod storm;
mod vendor;

use std::process::ExitCode;

use anyhow::Result;

use database::Database;
use report::Report;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let measured = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(measure(&wanted)));
    match measured {
        Ok(report) => {
            println!("{}", report.summary());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Everything, or what is named.
async fn measure(wanted: &[String]) -> Result<Report> {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name);
    let server = database::server()?;
    // What is missing is told before minutes have gone by.
    let pgbench = pgbench::find()?;
    let mut report = Report::default();
    report.text(&database::describe(&server).await?);
    if is_wanted("storm") {
        storm::measure(&Database::fresh(&server).await?, &mut report).await?;
    }
    if is_wanted("fleet") {
        fleet::measure(&Database::fresh(&server).await?, &mut report).await?;
    }
    if is_wanted("rate") {
        rate::measure(&Database::fresh(&server).await?, &pgbench, &mut report).await?;
    }
    if is_wanted("sealing") {
        let (sealed, plain) = (Database::fresh(&server).await?, Database::fresh(&server).await?);
        sealing::measure(&sealed, &plain, &mut report).await?;
    }
    if is_wanted("latency") {
        latency::measure(&Database::fresh(&server).await?, &mut report).await?;
    }
    if is_wanted("engine") {
        engine::measure(&Database::fresh(&server).await?, &mut report).await?;
    }
    if is_wanted("memory") {
        memory::measure(&Database::fresh(&server).await?, &mut report).await?;
    }
    Ok(report)
}
