//! `killgate serve`: the gateway, and what signals tell it.

use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Duration, MissedTickBehavior, interval},
};

use super::{alone::Alone, stopped};
use crate::{
    app::App,
    clock::Clock,
    config::{Config, Database},
    systemd::Manager,
    telemetry::{self, Filter},
};

/// How often is looked whether a file that a secret stands in was written.
const FILES: Duration = Duration::from_secs(2);

/// The gateway, until it is told to stop. SIGHUP has it read its configuration again, as has a file of its secrets that was
/// written.
///
/// # Errors
/// What keeps it from serving.
pub async fn serve(
    load: impl Fn() -> anyhow::Result<Config>,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<()> {
    // From here on it ends nobody's work.
    let mut hang_up = signal(SignalKind::hangup())?;
    let config = load()?;
    let filter = telemetry::start(&config.server.log)?;
    let manager = Manager::of(variable);
    for line in config.summary() {
        tracing::info!("{line}");
    }
    if let Database::Sqlite(path) = &config.audit.database {
        tracing::warn!(path = %path.display(), "the record is an embedded SQLite file, which belongs to one gateway on one machine");
    }
    let _alone = match &config.audit.database {
        Database::Sqlite(path) => Some(Alone::with(path)?),
        Database::Postgres(_) => None,
    };
    let mut app = App::start(&config, Clock::system()).await?;
    tracing::info!(address = %app.address(), "listening");
    manager.ready();
    let mut stamps = config.origin.stamps();
    let mut files = interval(FILES);
    files.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // An hour, where nobody wants to hear it.
    let mut beats = interval(manager.beat.unwrap_or(Duration::from_hours(1)));
    let mut told = Box::pin(stopped());
    loop {
        let is_told = tokio::select! {
            stopped = &mut told => {
                stopped?;
                break;
            }
            _ = hang_up.recv() => true,
            _ = files.tick() => {
                let now = app.config().origin.stamps();
                now.iter().any(|(file, stamp)| stamps.get(file).is_some_and(|before| before != stamp))
            }
            _ = beats.tick() => {
                manager.alive();
                false
            }
        };
        if is_told {
            manager.reloading();
            // Before it is read: what is written meanwhile is read once more.
            stamps.extend(app.config().origin.stamps());
            reload(&mut app, &load, &filter);
            for (file, stamp) in app.config().origin.stamps() {
                stamps.entry(file).or_insert(stamp);
            }
            manager.ready();
        }
    }
    tracing::info!("stopping");
    manager.stopping();
    // Who is told twice does not wait.
    tokio::select! {
        () = app.drain() => {}
        told = stopped() => told?,
    }
    app.stop().await
}

fn reload(app: &mut App, load: &impl Fn() -> anyhow::Result<Config>, filter: &Filter) {
    let log_before = app.config().server.log.clone();
    let changes = load().and_then(|config| app.reload(config));
    match changes {
        Ok(changes) if changes.now.is_empty() && changes.later.is_empty() => {
            tracing::info!("the configuration was read again: nothing has changed");
        }
        Ok(changes) => {
            let (now, later) = (changes.now.join(", "), changes.later.join(", "));
            let log = &app.config().server.log;
            if log_before.filter != log.filter
                && let Err(error) = filter.set(log)
            {
                tracing::error!(error = format!("{error:#}"), "the log goes on as before");
            }
            if !now.is_empty() {
                tracing::info!(changes = now, "the configuration was read again");
            }
            if !later.is_empty() {
                tracing::warn!(sections = later, "what has changed there needs a restart, and is left as it was");
            }
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the configuration is not good; nothing has changed");
        }
    }
}
