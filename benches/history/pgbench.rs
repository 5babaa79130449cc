//! The same SQL, run by pgbench.

use std::{fs, process::Command};

use anyhow::{Context as _, ensure};

/// A statement with `$1` and so on, and the values in that order.
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) values: Vec<String>,
}

/// Runs these, one after the other, so often on one connection; answers milliseconds, in their order, of all together, but
/// for the first time.
pub(crate) async fn run(url: &str, statements: &[Statement], times: usize) -> anyhow::Result<Vec<f64>> {
    let directory = tempfile::tempdir()?;
    let mut script = String::new();
    let mut command = Command::new("pgbench");
    for (at, statement) in statements.iter().enumerate() {
        let mut sql = statement.sql.replace('\n', " ");
        // The highest first: $1 is also the beginning of $10.
        for (n, value) in statement.values.iter().enumerate().rev() {
            sql = sql.replace(&format!("${}", n + 1), &format!(":s{at}v{}", n + 1));
            command.args(["-D", &format!("s{at}v{}={value}", n + 1)]);
        }
        ensure!(!sql.contains('$'), "a value is missing: {sql}");
        script.push_str(&sql);
        script.push_str(";\n");
    }
    let (file, log) = (directory.path().join("page.sql"), directory.path().join("log"));
    fs::write(&file, script)?;
    // As the record has it.
    command.env("PGOPTIONS", "-c jit=off");
    command.args(["-n", "-M", "prepared", "-c", "1", "-t", &times.to_string(), "--log", "--log-prefix"]);
    command.arg(&log).arg("-f").arg(&file).arg(url);
    let done = tokio::task::spawn_blocking(move || command.output()).await?.context("pgbench")?;
    ensure!(done.status.success(), "pgbench: {}", String::from_utf8_lossy(&done.stderr));
    let mut written = fs::read_dir(directory.path())?.filter_map(Result::ok).map(|entry| entry.path());
    let log = written.find(|path| *path != file).context("pgbench wrote no log")?;
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
