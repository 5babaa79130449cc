//! `killgate audit …`: the record's evidence.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use secrecy::ExposeSecret as _;
use time::{Date, Month};

use crate::{
    app,
    audit::{self, Audit, Verification},
    chain::{
        Checkpoint, SealKey,
        check::{Report, Trusted, Wrong},
        hex, unhex,
    },
    clock::Clock,
    config::{Config, Database},
    domain::plain_text,
    evidence::{self, WhichPart},
};

/// The least time that one statement may take where nobody waits for an answer.
const UNHURRIED: Duration = Duration::from_mins(1);

/// Prints a fresh private key; the public half goes to standard error, so that the key alone can be kept in a file.
///
/// # Errors
/// A machine without randomness.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the command's answer")]
pub fn keygen() -> anyhow::Result<()> {
    let key = SealKey::generate()?;
    print!("{}", key.pem()?.expose_secret());
    eprintln!("public key: {}", hex(&key.public()));
    Ok(())
}

/// Checks the record and tells what was found; answers the exit status that says so.
///
/// # Errors
/// It could not be checked.
pub async fn verify(config: &Config, mut keys: Vec<Trusted>, checkpoints: Option<&Path>) -> anyhow::Result<u8> {
    if keys.is_empty() {
        keys.extend(config.seal.key.as_ref().map(|key| Trusted::always(key.public())));
    }
    ensure!(!keys.is_empty(), "--key: required where no seal.key is set");
    let (checkpoints, others) = read(checkpoints)?;
    if let Database::Sqlite(path) = &config.audit.database {
        ensure!(path.exists(), "audit.sqlite_path: {} is not there", path.display());
    }
    let settings = app::audit_settings(config);
    let timeout = settings.timeout.max(UNHURRIED);
    let audit = Audit::open(&audit::Settings { migrate: false, timeout, ..settings }).await?;
    let report = evidence::verify(&audit, keys, checkpoints).await.map(|report| with_others(report, &others));
    if let Ok(report) = &report {
        note(&audit, report).await;
    }
    audit.close().await;
    Ok(tell(&report?))
}

/// Leaves word in the record of what was found. Whoever may only read has found it all the same.
#[expect(clippy::print_stderr, reason = "beside the command's answer")]
async fn note(audit: &Audit, report: &Report) {
    let Report { blocks, verified, .. } = *report;
    let found = Verification { at: Clock::system().now(), status: report.status(), blocks, verified };
    if let Err(error) = audit.note_verification(found).await {
        eprintln!("what was found is not noted in the record: {error}");
    }
}

/// The same for an export, with nothing but the files; `of` says what was asked for.
///
/// # Errors
/// It could not be checked.
pub fn verify_export(
    export: &Path,
    keys: Vec<Trusted>,
    checkpoints: Option<&Path>,
    of: WhichPart,
) -> anyhow::Result<u8> {
    let (checkpoints, others) = read(checkpoints)?;
    let report =
        evidence::verify_export(export, keys, checkpoints, of).with_context(|| export.display().to_string())?;
    Ok(tell(&with_others(report, &others)))
}

fn read(checkpoints: Option<&Path>) -> anyhow::Result<(Vec<Checkpoint>, Vec<usize>)> {
    let Some(path) = checkpoints else { return Ok(Default::default()) };
    let read = evidence::read_checkpoints(path).with_context(|| path.display().to_string())?;
    ensure!(!read.0.is_empty(), "{}: there is no checkpoint in it", path.display());
    Ok(read)
}

/// With the lines of the checkpoints' file that are none.
fn with_others(mut report: Report, others: &[usize]) -> Report {
    if let [first, ..] = others {
        let many = others.len();
        report.found(
            Wrong::Checkpoint,
            format_args!("{many} lines of the file are no checkpoints, the first is line {first}"),
        );
    }
    report
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn tell(report: &Report) -> u8 {
    println!("{report}");
    report.status()
}

/// A public key as `killgate audit keygen` tells it; with `:..N` behind it one that is good up to block N only.
///
/// # Errors
/// It is none.
pub fn trusted_key(text: &str) -> Result<Trusted, String> {
    let wrong = || "must be a public key of 64 hexadecimal digits, or one such as KEY:..250".to_owned();
    let (key, until) = match text.trim().split_once(":..") {
        Some((key, until)) => (key, Some(until.parse().ok().filter(|until| *until >= 0).ok_or_else(wrong)?)),
        None => (text.trim(), None),
    };
    Ok(Trusted { key: unhex(key).ok_or_else(wrong)?, until })
}

/// Removes the kills of a month as a whole; a record of it stays.
///
/// # Errors
/// What keeps the month from being removed.
#[expect(clippy::print_stdout, reason = "the command's answer")]
pub async fn remove_month(config: &Config, month: Date, reason: &str) -> anyhow::Result<()> {
    let reason = plain_text(reason.trim(), 1000).map_err(|error| anyhow::anyhow!("--reason: {error}"))?;
    let kills = Audit::remove_month(&app::audit_settings(config), month, reason).await?;
    println!("removed {:04}-{:02} with {kills} kills; its record stays", month.year(), u8::from(month.month()));
    Ok(())
}

/// Makes the index anew from the log where it is not what the log says, as the owner of the tables.
///
/// # Errors
/// What keeps it from being made.
#[expect(clippy::print_stdout, reason = "the command's answer")]
pub async fn reindex(config: &Config) -> anyhow::Result<()> {
    const KILLS: u32 = 1000;
    let settings = app::audit_settings(config);
    let timeout = settings.timeout.max(UNHURRIED);
    let audit = Audit::open(&audit::Settings { migrate: false, timeout, ..settings }).await?;
    let (mut after, mut wrong) = (None, 0);
    loop {
        let last = audit.ids(after, KILLS).await?.last().copied();
        wrong += audit.reindex(after, last).await?;
        if last.is_none() {
            break;
        }
        after = last;
    }
    audit.close().await;
    println!("{wrong} rows of the index were wrong, missing or of no kill, and are made anew");
    Ok(())
}

/// The first day of a month that is written as `YYYY-MM`.
///
/// # Errors
/// It is not written so.
pub fn month(text: &str) -> Result<Date, String> {
    let read = || {
        let (year, month) = text.split_once('-')?;
        let is_plain = year.len() == 4 && month.len() == 2 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let month: u8 = month.parse().ok().filter(|_| is_plain)?;
        Date::from_calendar_date(year.parse().ok()?, Month::try_from(month).ok()?, 1).ok()
    };
    read().ok_or_else(|| "must be a month such as 2026-03".to_owned())
}
