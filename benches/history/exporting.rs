//! An export: how long it takes, and how much memory is resident at the most.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use time::format_description::well_known::Rfc3339;

use super::{generate::History, report::met};

/// Resident at the most, in MiB.
const MEMORY: u64 = 100;
const SECRET: &str = "a-secret-for-measurements-only-0001";

pub(crate) async fn measure(history: &History, kills: u64) -> anyhow::Result<()> {
    let (history, since) = (history.url.clone(), history.at(1.0 - kills as f64 / history.kills as f64));
    let since = since.format(&Rfc3339)?;
    tokio::task::spawn_blocking(move || {
        println!("\nan export of about {kills} kills");
        for format in ["ndjson", "csv"] {
            by_command(&history, &since, format)?;
        }
        by_gateway(&history, &since)
    })
    .await?
}

fn killgate(url: &str, directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_killgate"));
    command.current_dir(directory).env("DATABASE_URL", url).env("KILLGATE__AUDIT__TIMEOUT_MS", "30000");
    command
}

fn by_command(url: &str, since: &str, format: &str) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let arguments = ["audit", "export", "--output", "kills", "--since", since, "--format", format];
    let started = Instant::now();
    let mut child = killgate(url, directory.path()).args(arguments).stdout(Stdio::null()).spawn()?;
    let mut most = 0;
    let ended = loop {
        most = most.max(resident(&child));
        match child.try_wait()? {
            Some(ended) => break ended,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    ensure!(ended.success(), "the export failed");
    let bytes = fs::metadata(directory.path().join("kills"))?.len();
    told(&format!("killgate audit export, {format}"), started, bytes, most);
    Ok(())
}

/// The same file from a gateway, which is a process of its own.
fn by_gateway(url: &str, since: &str) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let configuration =
        format!("[server]\nlisten = '127.0.0.1:0'\n[auth]\nissuer = 'x'\naudience = 'x'\nhs256_secret = '{SECRET}'\n");
    fs::write(directory.path().join("killgate.toml"), configuration)?;
    let token = killgate(url, directory.path()).args(["token", "--sub", "x", "--scope", "kills:export"]).output()?;
    let token = String::from_utf8(token.stdout)?;
    let mut gateway = killgate(url, directory.path()).arg("serve").stderr(Stdio::piped()).spawn()?;
    let export = take(&mut gateway, since, token.trim());
    let most = resident(&gateway);
    gateway.kill()?;
    gateway.wait()?;
    let (started, bytes) = export?;
    told("GET /kills/export, the gateway", started, bytes, most);
    Ok(())
}

/// Reads all of it; answers when it was begun and how many bytes it has.
fn take(gateway: &mut Child, since: &str, token: &str) -> anyhow::Result<(Instant, u64)> {
    let mut log = BufReader::new(gateway.stderr.take().context("a log")?);
    let address = loop {
        let mut line = String::new();
        ensure!(log.read_line(&mut line)? > 0, "the gateway ended");
        if let Some((_, address)) = line.trim().split_once("listening address=") {
            break address.to_owned();
        }
    };
    // Nobody reads the rest of its log, which is short.
    let mut connection = TcpStream::connect(address)?;
    let started = Instant::now();
    let since = since.replace('+', "%2B");
    write!(
        connection,
        "GET /kills/export?since={since} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\n\r\n"
    )?;
    let (mut bytes, mut end, mut buffer) = (0, Vec::new(), vec![0; 64 * 1024]);
    loop {
        match connection.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                bytes += read as u64;
                end.extend_from_slice(&buffer[..read]);
                let surplus = end.len().saturating_sub(4096);
                end.drain(..surplus);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let end = String::from_utf8_lossy(&end).into_owned();
    if !end.contains("{\"manifest\":") || !end.ends_with("0\r\n\r\n") {
        bail!("the export was cut off");
    }
    Ok((started, bytes))
}

/// The most that was ever resident of a process, in KiB; 0 once it has ended.
fn resident(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn told(what: &str, started: Instant, bytes: u64, kib: u64) {
    let (seconds, mib) = (started.elapsed().as_secs_f64(), bytes as f64 / 1_048_576.0);
    let most = kib / 1024;
    println!("{what:32} {seconds:>7.1} s {mib:>9.0} MiB, resident {most} MiB (of {MEMORY}) {}", met(most <= MEMORY));
}
