//! Log lines: one a kill and one a failed request, for people or as JSON, on standard error.
//!
//! What may stand in a line is decided where it is written: ids, names, statuses and codes; never a header, a
//! body, a query or a secret.

use anyhow::Context as _;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, util::SubscriberInitExt as _};

use crate::config::{Log, LogFormat};

/// Starts logging to standard error.
///
/// # Errors
/// A filter that cannot be read, or logging that was started before.
pub fn start(log: &Log) -> anyhow::Result<()> {
    subscriber(log, std::io::stderr)?.try_init().context("logging was started before")
}

/// What writes log lines to `writer`.
///
/// # Errors
/// A filter that cannot be read.
pub fn subscriber<W>(log: &Log, writer: W) -> anyhow::Result<Box<dyn tracing::Subscriber + Send + Sync>>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&log.filter).context("server.log.filter")?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match log.format {
        LogFormat::Human => Box::new(lines.with_target(false).with_ansi(false).finish()),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).finish()),
    })
}
