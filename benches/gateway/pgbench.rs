//! The least that a service with a record before the act can do, by Postgres' own benchmark: insert the kill's row, commit,
//! update it with its outcome, commit. On a plain table with nothing but a primary key.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use url::Url;

use crate::database::Database;

/// What a service without the gateway's promises would write.
pub(crate) const FLOOR: &str = "
    CREATE TABLE IF NOT EXISTS floor (
        id uuid PRIMARY KEY, status text NOT NULL, caller text NOT NULL, reason text, target jsonb, selector jsonb,
        request text, dry_run boolean NOT NULL, client_address text, request_id text, gateway text NOT NULL,
        requested_at timestamptz NOT NULL, completed_at timestamptz, upstream_http_status integer,
        upstream_request_id text
    ) WITH (fillfactor = 70)";

/// What the gateway knows of a kill, into that table. The id is made as the gateway makes it: time first, so that rows of one
/// time lie together.
const PAIR: &str = r#"
INSERT INTO floor (id, status, caller, reason, target, selector, request, dry_run, client_address, request_id, gateway,
    requested_at)
VALUES ((lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
        || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid,
    'pending', 'caller-' || :client_id, 'INC-4711 runaway report',
    '{"vendor":"taurusdb","account":"huawei","instance_id":"a41cbc5c9bd344b1a60d3b7a1d0b8b4ein07","node_id":"f6b1c6d8a27e4c0d9d8bcb2a7d9a3e51no07"}',
    '{"ids":["2075425"]}',
    '{"reason":"INC-4711 runaway report","select":{"ids":["2075425"]},"target":{"instance_id":"a41cbc5c9bd344b1a60d3b7a1d0b8b4ein07","node_id":"f6b1c6d8a27e4c0d9d8bcb2a7d9a3e51no07","vendor":"taurusdb"}}',
    false, '127.0.0.1', '01a201450be1782393a9', '01a20145-0be1-7823-a957-937f06d75d65', now())
RETURNING id \gset
UPDATE floor SET status = 'succeeded', completed_at = now(), upstream_http_status = 200,
    upstream_request_id = '01a201450be5741c8e617ec0e410eb4a'
WHERE id = :id;
"#;

/// Finds `pgbench`.
///
/// # Errors
/// It is not installed.
pub(crate) fn find() -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin/pgbench")))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    let found = found.pop().unwrap_or_else(|| "pgbench".into());
    let runs = Command::new(&found).arg("--version").output().is_ok_and(|output| output.status.success());
    if !runs {
        bail!("pgbench is missing: install Postgres' client programs (on Debian the package postgresql has them)");
    }
    Ok(found)
}

/// How many pairs a second that many clients get done.
///
/// # Errors
/// What pgbench complains about.
pub(crate) async fn pairs_per_second(
    pgbench: &PathBuf,
    database: &Database,
    clients: u64,
    time: Duration,
) -> Result<f64> {
    sqlx::query(FLOOR).execute(&mut database.connect().await?).await?;
    let home = tempfile::tempdir()?;
    let script = home.path().join("pair.sql");
    fs::write(&script, PAIR)?;
    let url: Url = database.url.parse().context("the database's URL")?;
    let output = Command::new(pgbench)
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .arg(format!("--client={clients}"))
        .arg(format!("--time={}", time.as_secs().max(1)))
        .arg(format!("--file={}", script.display()))
        .arg(format!("--host={}", url.host_str().unwrap_or("127.0.0.1")))
        .arg(format!("--port={}", url.port().unwrap_or(5432)))
        .arg(format!("--username={}", url.username()))
        .arg(url.path().trim_start_matches('/'))
        .env("PGPASSWORD", url.password().unwrap_or_default())
        .output()?;
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    match rate {
        Some(rate) if output.status.success() => Ok(rate),
        // It says no rate where its clients were not connected in time.
        _ => bail!("pgbench: {complained}{said}"),
    }
}
