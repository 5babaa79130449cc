//! Log lines: one a kill and one a failed request, for people or as JSON, on standard error.
//!
//! What may stand in a line is decided where it is written: ids, names, statuses and codes; never a header, a
//! body, a query or a secret.

use std::fmt;

use anyhow::Context as _;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, util::SubscriberInitExt as _};

use crate::config::{Log, LogFormat};

/// Changes what is logged while it goes on.
pub struct Filter(Box<dyn Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error> + Send + Sync>);

impl Filter {
    /// Logs what that configuration says, in the form that it began with.
    ///
    /// # Errors
    /// A filter that cannot be read.
    pub fn set(&self, log: &Log) -> anyhow::Result<()> {
        (self.0)(filter(log)?).context("server.log.filter")
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter")
    }
}

/// Starts logging to standard error.
///
/// # Errors
/// A filter that cannot be read, or logging that was started before.
pub fn start(log: &Log) -> anyhow::Result<Filter> {
    let (subscriber, filter) = reloadable(log, std::io::stderr)?;
    subscriber.try_init().context("logging was started before")?;
    Ok(filter)
}

fn filter(log: &Log) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(&log.filter).context("server.log.filter")
}

/// What writes log lines to `writer`.
///
/// # Errors
/// A filter that cannot be read.
pub fn subscriber<W>(log: &Log, writer: W) -> anyhow::Result<Box<dyn tracing::Subscriber + Send + Sync>>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    reloadable(log, writer).map(|(subscriber, _)| subscriber)
}

type Subscriber = Box<dyn tracing::Subscriber + Send + Sync>;

fn reloadable<W>(log: &Log, writer: W) -> anyhow::Result<(Subscriber, Filter)>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // What cannot be written is not told on standard error either: that is mostly what cannot be written, and whoever
    // insists there panics.
    let lines = tracing_subscriber::fmt().log_internal_errors(false).with_env_filter(filter(log)?).with_writer(writer);
    Ok(match log.format {
        LogFormat::Human => {
            let lines = lines.with_target(false).with_ansi(false).with_filter_reloading();
            let handle = lines.reload_handle();
            (Box::new(lines.finish()), Filter(Box::new(move |filter| handle.reload(filter))))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            (Box::new(lines.finish()), Filter(Box::new(move |filter| handle.reload(filter))))
        }
    })
}
