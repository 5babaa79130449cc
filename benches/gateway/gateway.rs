//! The program itself, as a child process.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use killgate::{
    auth::{Grant, mint},
    clock::Clock,
    config::Secret,
    sandbox::demo as world,
};
use tempfile::TempDir;

use crate::{clients::Client, database::Database};

const SECRET: &str = "a-secret-that-only-the-benchmark-knows";
const ISSUER: &str = "https://sso.bench.invalid";
const AUDIENCE: &str = "killgate";

/// A gateway that serves; it ends with the value.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    child: Child,
    _home: TempDir,
}

impl Gateway {
    /// The release binary over that database, with both clouds at `vendor` and the usual settings but for `more`. No
    /// caller is limited: a few of them stand for many here.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) async fn start(database: &Database, vendor: SocketAddr, more: &str) -> Result<Self> {
        let address = free_address()?;
        let home = tempfile::tempdir()?;
        let file = home.path().join("killgate.toml");
        fs::write(&file, configuration(address, &database.url, vendor, more)?)?;
        let child = Command::new(env!("CARGO_BIN_EXE_killgate"))
            .args(["serve".as_ref(), "--config".as_ref(), file.as_os_str()])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Lines are made and written, and nobody keeps them.
            .stderr(Stdio::null())
            .spawn()
            .context("the gateway cannot be started")?;
        let mut gateway = Self { address, child, _home: home };
        gateway.ready().await?;
        Ok(gateway)
    }

    async fn ready(&mut self) -> Result<()> {
        for _ in 0..500 {
            if let Some(status) = self.child.try_wait()? {
                bail!("the gateway ended at once: {status}");
            }
            if let Ok(mut client) = Client::connect(self.address).await
                && client.get("/readyz").await.is_ok_and(|reply| reply.status == 200)
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the gateway was not ready within ten seconds")
    }

    /// What it has used of the processors so far.
    pub(crate) fn used(&self) -> Result<Duration> {
        crate::cpu::used(self.child.id())
    }

    /// Resident memory in KiB.
    pub(crate) fn memory(&self) -> Result<u64> {
        self.resident("VmRSS:")
    }

    /// The same at the most so far.
    pub(crate) fn most_memory(&self) -> Result<u64> {
        self.resident("VmHWM:")
    }

    fn resident(&self, line: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).context("/proc is needed")?;
        let told = status.lines().find_map(|told| told.strip_prefix(line));
        let kibibytes = told.and_then(|told| told.trim().trim_end_matches(" kB").parse().ok());
        kibibytes.with_context(|| format!("/proc/PID/status has no {line}"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A token for the gateway, good for an hour.
///
/// # Errors
/// It cannot be signed.
pub(crate) fn token(subject: &str) -> Result<String> {
    let ttl = Duration::from_hours(1);
    let (scope, extra) = ("sessions:kill", serde_json::Map::new());
    let grant = Grant { issuer: ISSUER, audience: AUDIENCE, subject, scope, ttl, extra };
    Ok(mint(&grant, &Secret::from(SECRET.to_owned()), &Clock::system())?)
}

/// An address that is free just now.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn configuration(listen: SocketAddr, database: &str, vendor: SocketAddr, more: &str) -> Result<String> {
    let mut text = format!(
        "[server]\nlisten = \"{listen}\"\n[audit]\ndatabase_url = \"{database}\"\n\
         [auth]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\nhs256_secret = \"{SECRET}\"\n\
         [access]\ncoordinates = [\"*\"]\n[callers]\nkills_per_second = 100000\nburst = 100000\n"
    );
    write!(
        text,
        "[accounts.huawei]\ncloud = \"huawei\"\nregion = \"{}\"\nproject_id = \"{}\"\naccess_key = \"{}\"\n\
         secret_key = \"{}\"\nendpoints.taurusdb = \"http://{vendor}\"\n",
        world::HUAWEI_REGION,
        world::HUAWEI_PROJECT_ID,
        world::HUAWEI_ACCESS_KEY,
        world::HUAWEI_SECRET_KEY,
    )?;
    write!(
        text,
        "[accounts.tencent]\ncloud = \"tencent\"\nregion = \"{}\"\nsecret_id = \"{}\"\nsecret_key = \"{}\"\n\
         endpoints.dcdb = \"http://{vendor}\"\n{more}",
        world::TENCENT_REGION,
        world::TENCENT_SECRET_ID,
        world::TENCENT_SECRET_KEY,
    )?;
    Ok(text)
}
