//! What sealing costs: kills a second of a gateway that seals beside one that does not, in turns.

use std::time::{Duration, Instant};

use anyhow::Result;
use killgate::chain::SealKey;
use secrecy::ExposeSecret as _;

use crate::{
    clients::kills_per_second,
    database::Database,
    gateway::Gateway,
    rate::{UNLIMITED, own_target},
    report::{Report, median},
    vendor::Vendor,
};

/// Even, so that each of the two is as often the first one as the second one.
const ROUNDS: usize = 8;
const TIME: Duration = Duration::from_secs(4);
const CALLERS: u64 = 256;
/// What is left of the throughput at the least.
const LEFT: f64 = 0.9;

/// Each gateway on a database of its own, so that both histories are as long.
pub(crate) async fn measure(sealed: &Database, plain: &Database, report: &mut Report) -> Result<()> {
    let vendor = Vendor::start(Duration::ZERO).await?;
    let key = SealKey::generate()?.base64()?;
    let sealing = format!("{UNLIMITED}[seal]\nkey = \"{}\"\n", key.expose_secret());
    let sealing = Gateway::start(sealed, vendor.address, &sealing).await?;
    let other = Gateway::start(plain, vendor.address, UNLIMITED).await?;
    report.title(&format!("Sealing, instant vendor, {CALLERS} callers with targets of their own ({ROUNDS} rounds)"));
    let (mut with, mut without, mut waits) = (vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        for turn in 0..2 {
            let is_sealing = (round + turn) % 2 == 0;
            let (gateway, database) = if is_sealing { (&sealing, sealed) } else { (&other, plain) };
            database.settle().await?;
            let rate = kills_per_second(gateway.address, CALLERS, TIME, 200, own_target).await?;
            if is_sealing {
                with.push(rate);
                waits.push(until_all_are_sealed(sealed).await?);
            } else {
                without.push(rate);
            }
        }
    }
    let ratios: Vec<f64> = with.iter().zip(&without).map(|(with, without)| with / without).collect();
    let middle = |figures: &[f64]| median(figures).unwrap_or_default();
    report.figure("killgate, sealing", &format!("{:.0}/s", middle(&with)));
    report.figure("killgate, not sealing", &format!("{:.0}/s", middle(&without)));
    let behind = format!("{:.1} s", middle(&waits));
    report.figure("  until the last kill of a round was sealed", &behind);
    let ratio = middle(&ratios);
    report.target("throughput left while sealing", &format!("{ratio:.2} x"), "at least 0.90 x", ratio >= LEFT);
    Ok(())
}

/// Seconds until nothing waits to be sealed any more, so that nothing is sealed in another's time.
async fn until_all_are_sealed(database: &Database) -> Result<f64> {
    let mut connection = database.connect().await?;
    let started = Instant::now();
    loop {
        let waits: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM unsealed) OR EXISTS (SELECT FROM kill_leases)")
                .fetch_one(&mut connection)
                .await?;
        if !waits {
            return Ok(started.elapsed().as_secs_f64());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
