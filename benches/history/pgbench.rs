//! The same SQL, run by pgbench.

use std::{fs, process::Command};

use anyhow::{Context as _, ensure};

/// A statement with `$1` and so on, and the values in that order.
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) values: Vec<String>,
}

/// Runs it so often on one connection; answers milliseconds, in their order, but for the first time.
pub(crate) async fn run(url: &str, statement: &Statement, times: usize) -> anyhow::Result<Vec<f64>> {
    let directory = tempfile::tempdir()?;
    let mut sql = statement.sql.clone();
    let mut command = Command::new("pgbench");
    // The highest first: $1 is also the beginning of $10.
    for (n, value) in statement.values.iter().enumerate().rev() {
        sql = sql.replace(&format!("${}", n + 1), &format!(":v{}", n + 1));
        command.args(["-D", &format!("v{}={value}", n + 1)]);
    }
    ensure!(!sql.contains('$'), "a value is missing: {sql}");
    let (script, log) = (directory.path().join("page.sql"), directory.path().join("log"));
    fs::write(&script, format!("{};\n", sql.replace('\n', " ")))?;
    // As the record has it.
    command.env("PGOPTIONS", "-c jit=off");
    command.args(["-n", "-M", "prepared", "-c", "1", "-t", &times.to_string(), "--log", "--log-prefix"]);
    command.arg(&log).arg("-f").arg(&script).arg(url);
    let done = tokio::task::spawn_blocking(move || command.output()).await?.context("pgbench")?;
    ensure!(done.status.success(), "pgbench: {}", String::from_utf8_lossy(&done.stderr));
    let mut written = fs::read_dir(directory.path())?.filter_map(Result::ok).map(|entry| entry.path());
    let log = written.find(|path| *path != script).context("pgbench wrote no log")?;
    // The client does nothing else, so one begins where the last one ended. The time that pgbench itself tells of each
    // is 0 where it did not have to wait for the answer.
    let ended = |line: &str| {
        let mut numbers = line.split(' ').skip(4).map(str::parse::<f64>);
        Some(numbers.next()?.ok()? * 1000.0 + numbers.next()?.ok()? / 1000.0)
    };
    let ends = fs::read_to_string(log)?;
    let ends: Option<Vec<f64>> = ends.lines().map(ended).collect();
    let ends = ends.context("a log that is not pgbench's")?;
    Ok(ends.windows(2).map(|pair| pair[1] - pair[0]).collect())
}
