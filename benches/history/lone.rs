//! A lone kill: what it takes in a record of many months beside one of few.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{
    generate::History,
    report::{Times, ratio},
};
use crate::{
    clients::{Client, kill},
    database::Database,
    gateway::{Gateway, token},
    vendor::Vendor,
};

const ROUNDS: u64 = 20;
const EACH: u64 = 60;
/// No worse than so many times itself in the short record.
const BESIDE_SHORT: f64 = 1.1;
/// Here it is not the vendor who sets the limit.
const UNLIMITED: &str = "[vendors.taurusdb]\nlook = 'off'\nrequests_per_minute = 0\nrequests_per_second = 1000\n";
const TARGET: &str = r#"{"vendor":"taurusdb","account":"huawei","instance_id":"a41cbc5c9bd344b1a60d3b7a1d0b8b4ein07","node_id":"f6b1c6d8a27e4c0d9d8bcb2a7d9a3e51no07"}"#;

/// A gateway for each record, the two in turns: a caller, and a vendor that answers at once.
pub(crate) async fn measure(short: &History, long: &History) -> anyhow::Result<()> {
    let vendor = Vendor::start(Duration::ZERO).await?;
    let token = token("chatops-bot")?;
    let mut gateways = Vec::new();
    for history in [short, long] {
        let database = Database { url: history.url.clone() };
        gateways.push(Gateway::start(&database, vendor.address, UNLIMITED).await?);
    }
    let mut times = [Times::default(), Times::default()];
    for round in 0..ROUNDS {
        for (gateway, times) in gateways.iter().zip(&mut times) {
            let mut caller = Client::connect(gateway.address).await?;
            // The first of each round finds caches cold and connections unmade.
            let mut seen = Vec::new();
            for id in 0..=EACH {
                let request = kill(&token, TARGET, round * EACH + id);
                let started = Instant::now();
                let reply = caller.exchange(&request).await?;
                ensure!(reply.status == 200, "HTTP {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
                seen.push(started.elapsed().as_secs_f64() * 1000.0);
            }
            times.add(seen.split_off(1));
        }
    }
    println!("\na lone kill, in milliseconds, p50 and p99 of {}", ROUNDS * EACH);
    for (history, times) in [short, long].iter().zip(&times) {
        println!("{:>9} kills of {:>2} months {:>15}", history.kills, history.months, times.told());
    }
    println!("the long record to the short one, p50: {}", ratio(times[1].p50(), times[0].p50(), BESIDE_SHORT));
    Ok(())
}
