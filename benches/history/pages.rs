//! A page of a hundred by time, caller, instance and session: through the record, and as the same SQL in pgbench.

use std::time::Instant;

use killgate::{
    audit::{Audit, Filter, Name},
    domain::KillId,
};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::{
    generate::{CALLERS, HOT_SESSION, History, INSTANCES, SESSIONS},
    open,
    pgbench::{self, Statement},
    report::{Times, ratio},
};

const PAGE: u32 = 100;
/// Sets of values of each kind of page, how often each is read, and how many of these do not count: the first ones
/// plan their statements.
const SETS: u64 = 20;
const READS: usize = 60;
const UNCOUNTED: usize = 10;
/// No worse than so many times the same SQL in pgbench, and itself on a short history.
const BESIDE_PGBENCH: f64 = 1.5;
const BESIDE_SHORT: f64 = 1.3;

/// One kind of page: what is asked for, and the values that its statement of the index takes, as texts.
struct Kind {
    name: &'static str,
    of: fn(&History, u64) -> (Filter, Vec<String>),
}

const KINDS: [Kind; 9] = [
    Kind { name: "newest", of: |_, _| (Filter::default(), vec![]) },
    Kind {
        name: "by time",
        of: |history, set| {
            let (filter, id) = until(history, set);
            (filter, vec![id])
        },
    },
    Kind {
        name: "by caller",
        of: |_, set| {
            let caller = format!("caller-{}", set * 7 % CALLERS);
            (Filter { caller: vec![Name::Is(caller.clone())], ..Filter::default() }, vec![caller])
        },
    },
    Kind {
        name: "by caller, in the past",
        of: |history, set| {
            let (caller, (filter, id)) = (format!("caller-{}", set * 7 % CALLERS), until(history, set));
            (Filter { caller: vec![Name::Is(caller.clone())], ..filter }, vec![caller, id])
        },
    },
    Kind {
        name: "by a caller of no kills",
        of: |_, _| (Filter { caller: vec!["nobody".into()], ..Filter::default() }, vec!["nobody".into()]),
    },
    Kind {
        name: "by instance",
        of: |_, set| {
            let instance = format!("instance-{}", set * 37 % INSTANCES);
            (Filter { instance_id: vec![instance.clone()], ..Filter::default() }, vec![instance])
        },
    },
    Kind {
        name: "by instance, in the past",
        of: |history, set| {
            let (instance, (filter, id)) = (format!("instance-{}", set * 37 % INSTANCES), until(history, set));
            (Filter { instance_id: vec![instance.clone()], ..filter }, vec![instance, id])
        },
    },
    Kind {
        name: "by a hot session",
        of: |_, _| {
            let limit = (PAGE + 1).to_string();
            (Filter { session_id: vec![HOT_SESSION.into()], ..Filter::default() }, vec![HOT_SESSION.into(), limit])
        },
    },
    Kind {
        name: "by a rare session",
        of: |_, set| {
            let (session, limit) = ((100_000 + set * 7919 % SESSIONS).to_string(), (PAGE + 1).to_string());
            (Filter { session_id: vec![session.clone()], ..Filter::default() }, vec![session, limit])
        },
    },
];

/// A page that begins somewhere in the past, and the id that its statement is given.
fn until(history: &History, set: u64) -> (Filter, String) {
    let at = history.at((set as f64 + 0.5) / SETS as f64);
    let at = at.replace_millisecond(at.millisecond()).unwrap_or(at);
    let id = Uuid::from_u128((at.unix_timestamp_nanos() / 1_000_000).cast_unsigned() << 80);
    (Filter { until: Some(at), ..Filter::default() }, id.to_string())
}

pub(crate) async fn measure(short: &History, long: &History) -> anyhow::Result<()> {
    let records = (open(&short.url, false).await?, open(&long.url, false).await?);
    println!(
        "\na page of {PAGE}, in milliseconds; {} kills from {} on, beside {}",
        long.kills,
        long.begins.format(&Rfc3339)?,
        short.kills
    );
    println!(
        "{:26} {:>15} {:>15} {:>15} {:>13} {:>26} {:>26}",
        "", "long p50 p99", "pgbench p50 p99", "short p50 p99", "kills on each", "to pgbench, p50", "to short, p50"
    );
    for kind in &KINDS {
        let (mut here, mut there, mut before) = (Times::default(), Times::default(), Times::default());
        let mut kills = (0, 0);
        for set in 0..SETS {
            // One after the other with the same values, so that all meet the same weather.
            let (filter, values) = (kind.of)(long, set);
            let (times, ids) = read(&records.1, &filter).await?;
            here.add(times);
            kills.0 += ids.len();
            let statements = statements(&filter, values, &ids);
            there.add(pgbench::run(&long.url, &statements, READS).await?.split_off(UNCOUNTED));
            let (times, ids) = read(&records.0, &(kind.of)(short, set).0).await?;
            before.add(times);
            kills.1 += ids.len();
        }
        println!(
            "{:26} {:>15} {:>15} {:>15} {:>13} {:>26} {:>26}",
            kind.name,
            here.told(),
            there.told(),
            before.told(),
            // Where the short history cannot fill a page, that page costs less for having less on it.
            format!("{} {}", kills.0 as u64 / SETS, kills.1 as u64 / SETS),
            ratio(here.p50(), there.p50(), BESIDE_PGBENCH),
            ratio(here.p50(), before.p50(), BESIDE_SHORT),
        );
    }
    records.0.close().await;
    records.1.close().await;
    Ok(())
}

/// The statements that a page is read with: the index is asked for its kills, and the log for their entries.
fn statements(filter: &Filter, mut values: Vec<String>, ids: &[KillId]) -> Vec<Statement> {
    let [index, entries] = Audit::page_sql(filter, PAGE);
    values.push((PAGE + 1).to_string());
    let mut statements = vec![Statement { sql: index, values }];
    // A page without kills has no entries to read.
    if let (Some(lowest), Some(highest)) = (ids.iter().min(), ids.iter().max()) {
        let all: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let values = vec![format!("{{{}}}", all.join(",")), lowest.to_string(), highest.to_string()];
        statements.push(Statement { sql: entries, values });
    }
    statements
}

/// How long each reading of the page took, in milliseconds, and the kills that are on it.
async fn read(audit: &Audit, filter: &Filter) -> anyhow::Result<(Vec<f64>, Vec<KillId>)> {
    let (mut times, mut kills) = (Vec::with_capacity(READS), Vec::new());
    for _ in 0..READS {
        let started = Instant::now();
        let page = audit.page(filter, PAGE).await?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        kills = page.items.into_iter().map(|kill| kill.id).collect();
    }
    Ok((times.split_off(UNCOUNTED), kills))
}
