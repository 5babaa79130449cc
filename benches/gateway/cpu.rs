//! What processor time a kill takes, of the gateway and of Postgres.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

use crate::database::Database;

/// How long a tick of /proc is: `getconf CLK_TCK` says 100 on every Linux there is.
const TICK: Duration = Duration::from_millis(10);

/// The processes of a Postgres server, by the one that is the parent of all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    parent: u32,
}

impl Server {
    /// The server of that database, which must be on this machine.
    ///
    /// # Errors
    /// It is not.
    pub(crate) async fn of(database: &Database) -> Result<Self> {
        let mut connection = database.connect().await?;
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
        let backend = Process::read(u32::try_from(pid)?).context("Postgres must be on this machine")?;
        Ok(Self { parent: backend.parent })
    }

    /// What it has used so far, those included that have ended.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn used(self) -> Result<Duration> {
        let parent = Process::read(self.parent)?;
        let children = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let children = children.filter_map(|pid| Process::read(pid).ok()).filter(|child| child.parent == self.parent);
        Ok(children.map(|child| child.own).sum::<Duration>() + parent.own + parent.of_ended)
    }
}

/// What a process has used so far.
///
/// # Errors
/// It is gone.
pub(crate) fn used(pid: u32) -> Result<Duration> {
    Ok(Process::read(pid)?.own)
}

struct Process {
    parent: u32,
    own: Duration,
    /// Of its children that have ended.
    of_ended: Duration,
}

impl Process {
    /// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
    fn read(pid: u32) -> Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let rest = text.rsplit_once(')').context("a name in brackets")?.1;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |at: usize| -> Result<u32> { Ok(fields.get(at).context("a field")?.parse()?) };
        // Counted from the state, which is the third of all.
        let (own, of_ended) = (number(11)? + number(12)?, number(13)? + number(14)?);
        Ok(Self { parent: number(1)?, own: TICK * own, of_ended: TICK * of_ended })
    }
}
