//! The same SQL, run by pgbench.

use std::{fs, process::Command};

use anyhow::{Context as _, ensure};

/// A statement with `$1` and so on, and the values in that order.
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) values: Vec<String>,
}

/// Runs it so often on one connection; answers milliseconds, in their order.
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
    let micros = fs::read_to_string(log)?;
    let micros = micros.lines().map(|line| line.split(' ').nth(2).and_then(|time| time.parse::<f64>().ok()));
    micros.map(|time| Ok(time.context("a log that is not pgbench's")? / 1000.0)).collect()
}
