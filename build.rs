//! Tells a release build of which commit it is, and when it was made.
//!
//! `KILLGATE_COMMIT` and `SOURCE_DATE_EPOCH` go before what git and the clock say, so that the same sources give the same
//! program anywhere. Other builds say neither: they would be made anew with each commit.

use std::{env, process::Command, time::SystemTime};

fn main() {
    for name in ["KILLGATE_COMMIT", "SOURCE_DATE_EPOCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let is_release = variable("PROFILE").as_deref() == Some("release");
    let commit = variable("KILLGATE_COMMIT").or_else(|| is_release.then(commit).flatten());
    let built_at = variable("SOURCE_DATE_EPOCH").or_else(|| is_release.then(now));
    println!("cargo::rustc-env=KILLGATE_BUILD_COMMIT={}", commit.unwrap_or_default());
    println!("cargo::rustc-env=KILLGATE_BUILD_SECONDS={}", built_at.unwrap_or_default());
}

fn variable(name: &str) -> Option<String> {
    env::var_os(name)?.into_string().ok().filter(|value| !value.is_empty())
}

/// The commit that is checked out, and a `+` where files differ from it; `None` without git.
fn commit() -> Option<String> {
    let head = git(&["rev-parse", "--short=12", "HEAD"])?;
    println!("cargo::rerun-if-changed={}", git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { head } else { format!("{head}+") })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[expect(clippy::disallowed_methods, reason = "a build has no clock of the gateway")]
fn now() -> String {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs().to_string()
}
