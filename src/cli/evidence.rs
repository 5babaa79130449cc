//! `killgate audit …`: the record's evidence.

use anyhow::ensure;
use secrecy::ExposeSecret as _;
use time::{Date, Month};

use crate::{
    app,
    audit::Audit,
    config::Config,
    seal::{SealKey, hex},
};

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

/// Removes the kills of a month as a whole; a record of it stays.
///
/// # Errors
/// What keeps the month from being removed.
#[expect(clippy::print_stdout, reason = "the command's answer")]
pub async fn remove_month(config: &Config, month: Date, reason: &str) -> anyhow::Result<()> {
    ensure!((1..=1000).contains(&reason.trim().chars().count()), "--reason: must be a text of 1 to 1000 characters");
    let kills = Audit::remove_month(&app::audit_settings(config), month, reason.trim()).await?;
    println!("removed {:04}-{:02} with {kills} kills; its record stays", month.year(), u8::from(month.month()));
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
