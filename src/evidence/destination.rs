//! Carrying checkpoints to where the record's owner cannot reach them.
//!
//! Each destination has a publisher that goes from block to block in the record itself, whoever sealed it. So nothing is
//! lost when a delivery fails or a gateway dies; some may be delivered more than once.

use std::{io, path::PathBuf, time::Duration};

use tokio::sync::watch;
use url::Url;

use super::{
    checkpoints::Tail,
    sealer::{Dependencies, Running, waits},
};
use crate::{
    chain::Checkpoint,
    upstream::transport::{Request, Transport},
};

/// Longest time for one delivery.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Least time between a delivery that failed and the next try.
const PAUSE: Duration = Duration::from_secs(10);
/// How many checkpoints are read at once.
const AT_ONCE: u32 = 100;

/// Where checkpoints go.
#[derive(Debug)]
pub(super) enum Destination {
    File(PathBuf),
    Url(Url, Transport),
}

/// Carries checkpoints to one destination.
#[derive(Debug)]
pub(super) struct Publisher {
    dependencies: Dependencies,
    destination: Destination,
    /// How far it has come; `None` before it knows where to begin.
    tail: Option<Tail>,
}

impl Publisher {
    pub(super) fn new(dependencies: Dependencies, destination: Destination) -> Self {
        dependencies.delivered.begins(destination.kind(), None);
        Self { dependencies, destination, tail: None }
    }

    pub(super) async fn run(mut self, mut running: watch::Receiver<Running>) {
        let mut pause = self.dependencies.every;
        while waits(pause, &mut running, Running::Nothing).await {
            pause = if self.round().await { self.dependencies.every } else { PAUSE.max(self.dependencies.every) };
        }
        self.round().await;
    }

    /// Delivers all there is; false if anything failed.
    async fn round(&mut self) -> bool {
        let delivered = self.deliver().await;
        self.dependencies.delivered.fails(self.destination.kind(), delivered.is_err());
        match delivered {
            Ok(()) => true,
            Err(why) => {
                self.dependencies.metrics.checkpoint_failure();
                tracing::warn!(destination = self.destination.name(), why, "checkpoints could not be delivered yet");
                false
            }
        }
    }

    async fn deliver(&mut self) -> Result<(), String> {
        if self.tail.is_none() {
            let tail = self.begin().await?;
            self.dependencies
                .delivered
                .begins(self.destination.kind(), tail.last.as_ref().map(|last| last.head.number));
            self.tail = Some(tail);
        }
        loop {
            let last = self.tail.as_ref().and_then(|tail| tail.last.as_ref());
            let after = last.map_or(0, |last| last.head.number);
            let heads = self.dependencies.audit.heads(after, AT_ONCE).await.map_err(|error| error.to_string())?;
            let Some(next) = heads.first() else { return Ok(()) };
            if last.is_some_and(|last| last.head.hash() != next.head.previous) {
                self.contradicts(next.head.number);
            }
            let taken = self.take(heads).await;
            let last = self.tail.as_ref().and_then(|tail| tail.last.as_ref());
            if let Some(last) = last.filter(|last| last.head.number > after) {
                let now = self.dependencies.clock.now();
                self.dependencies.delivered.has(self.destination.kind(), last.head.number, now);
            }
            taken?;
        }
    }

    /// Where to begin: after the last checkpoint of a file; at the newest block otherwise, since each head stands for
    /// all before it.
    async fn begin(&self) -> Result<Tail, String> {
        let heads = async |after| self.dependencies.audit.heads(after, 1).await.map_err(|error| error.to_string());
        match &self.destination {
            Destination::File(path) => {
                let path = path.clone();
                let tail = blocking(move || Tail::of(&path)).await?;
                if let Some(last) = &tail.last
                    && heads(last.head.number - 1).await?.first() != Some(last)
                {
                    self.contradicts(last.head.number);
                }
                Ok(tail)
            }
            Destination::Url(..) => {
                let newest = self.dependencies.audit.last_head().await.map_err(|error| error.to_string())?;
                let number = newest.map_or(0, |newest| newest.head.number);
                let last = if number > 1 { heads(number - 2).await?.pop() } else { None };
                Ok(Tail::after(last))
            }
        }
    }

    /// Takes these checkpoints, which follow what it has. What it has is then known again, or asked for anew.
    async fn take(&mut self, heads: Vec<Checkpoint>) -> Result<(), String> {
        match &self.destination {
            Destination::File(path) => {
                let (path, mut tail) = (path.clone(), self.tail.take().unwrap_or_default());
                self.tail = Some(blocking(move || tail.append(&path, &heads).map(|()| tail)).await?);
            }
            Destination::Url(url, transport) => {
                for head in heads {
                    post(url, transport, &head).await?;
                    self.tail = Some(Tail::after(Some(head)));
                }
            }
        }
        Ok(())
    }

    fn contradicts(&self, number: i64) {
        self.dependencies.metrics.checkpoint_failure();
        tracing::error!(
            destination = self.destination.name(),
            block = number,
            "the record's blocks are not those that were checkpointed: run killgate audit verify"
        );
    }
}

impl Destination {
    /// What it is, in a word.
    const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Url(..) => "url",
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "seal.checkpoint_file",
            Self::Url(..) => "seal.checkpoint_url",
        }
    }
}

async fn post(url: &Url, transport: &Transport, head: &Checkpoint) -> Result<(), String> {
    let request = Request::json(url.clone(), head.text(), TIMEOUT);
    let response = transport.deliver(request).await.map_err(|error| error.to_string())?;
    let status = response.status;
    if status.is_success() { Ok(()) } else { Err(format!("HTTP {}", status.as_u16())) }
}

/// Does what waits for a disk where nobody else has to wait along.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| "the gateway is stopping".to_owned())?;
    done.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => error.to_string(),
        kind => kind.to_string(),
    })
}
