//! Audited kills a second, with a vendor that answers at once.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;

use crate::{
    clients::kills_per_second,
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
pub(crate) const UNLIMITED: &str = "[vendors.taurusdb]\nrequests_per_minute = 0\nrequests_per_second = 10000\n";

/// One target for each caller, so that kills share calls with nobody.
pub(crate) fn own_target(caller: u64) -> String {
    format!(
        r#"{{"vendor":"taurusdb","account":"huawei","instance_id":"a41cbc5c9bd344b1a60d3b7a{caller:08x}in07","node_id":"f6b1c6d8a27e4c0d9d8bcb2a7d9a3e51no07"}}"#
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
    for callers in [32, 256] {
        report.title(&format!("Audited kills a second, instant vendor, {callers} callers (median of {ROUNDS})"));
        let mut rounds = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            database.settle().await?;
            let before = vendor.calls();
            let one = kills_per_second(gateway.address, callers, TIME, one_target).await?;
            let calls = vendor.calls() - before;
            let own = kills_per_second(gateway.address, callers, TIME, own_target).await?;
            let pairs = pairs_per_second(pgbench, database, callers, PGBENCH_TIME)?;
            let record = record::kills_per_second(database, callers, TIME).await?;
            rounds.push(Round { one, own, pairs, record, calls });
        }
        report.rate(callers, &rounds);
    }
    Ok(())
}

/// Kills a second: all on one target, each caller on its own, pairs of statements by pgbench, and the record alone.
#[derive(Debug)]
struct Round {
    one: f64,
    own: f64,
    pairs: f64,
    record: f64,
    /// Calls that the kills on one target took.
    calls: u64,
}

impl Report {
    fn rate(&mut self, callers: u64, rounds: &[Round]) {
        let middle = |of: fn(&Round) -> f64| median(&rounds.iter().map(of).collect::<Vec<_>>()).unwrap_or_default();
        let kills = |figure: f64| format!("{figure:.0}/s");
        self.figure("killgate, all callers on one target", &kills(middle(|round| round.one)));
        let calls = rounds.iter().map(|round| round.calls).min().unwrap_or_default();
        self.figure("  calls that the vendor saw for these, at least", &calls.to_string());
        self.figure("killgate, each caller on a target of its own", &kills(middle(|round| round.own)));
        self.figure("pgbench, INSERT and UPDATE of the kill's row", &kills(middle(|round| round.pairs)));
        self.figure("the record alone: all that is written of a kill", &kills(middle(|round| round.record)));
        let ratios = [
            ("one target", middle(|round| round.one / round.pairs)),
            ("own targets", middle(|round| round.own / round.pairs)),
        ];
        for (name, ratio) in ratios {
            let what = format!("{callers} callers, {name} / pgbench");
            let seen = format!("{ratio:.2} x");
            if callers == 32 {
                self.target(&what, &seen, "at least 1.0 x", ratio >= 1.0);
            } else {
                self.figure(&what, &seen);
            }
        }
    }
}
