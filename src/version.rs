//! Which killgate this is.

use std::sync::LazyLock;

use time::{OffsetDateTime, macros::format_description};

/// The version of the release.
pub const NUMBER: &str = env!("CARGO_PKG_VERSION");

/// The commit that a release was built of, with a `+` where files differed from it; empty where that is not known.
pub const COMMIT: &str = env!("KILLGATE_BUILD_COMMIT");

static FULL: LazyLock<String> = LazyLock::new(|| full(COMMIT, env!("KILLGATE_BUILD_SECONDS")));

/// The version with its commit and the day that it was built on, as `killgate --version` tells it.
#[must_use]
pub fn version() -> &'static str {
    &FULL
}

/// `seconds` is Unix time in decimal; what is not that is left out.
fn full(commit: &str, seconds: &str) -> String {
    let day = seconds.parse().ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let day = day.and_then(|at| at.date().format(format_description!("[year]-[month]-[day]")).ok());
    match (commit, day) {
        ("", None) => format!("{NUMBER} (no release)"),
        ("", Some(day)) => format!("{NUMBER} ({day})"),
        (commit, None) => format!("{NUMBER} ({commit})"),
        (commit, Some(day)) => format!("{NUMBER} ({commit} {day})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_tells_commit_and_day() {
        assert_eq!(full("0123456789ab", "1796000000"), format!("{NUMBER} (0123456789ab 2026-11-30)"));
        assert_eq!(full("0123456789ab+", ""), format!("{NUMBER} (0123456789ab+)"));
        assert_eq!(full("", "1796000000"), format!("{NUMBER} (2026-11-30)"));
        assert_eq!(full("", "soon"), format!("{NUMBER} (no release)"));
    }
}
