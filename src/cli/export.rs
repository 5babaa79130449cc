//! `killgate audit export`: all kills that are wanted, in a file.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    app,
    audit::{Audit, Grouping, Settings},
    config::{Config, Database},
    history::{Export, Format, Wanted},
};

/// What an export may take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    Nothing,
    /// A regular file; never a device, a directory or a link, which somebody else may mean by that name.
    File,
}

impl Replace {
    fn check(self, output: &Path) -> anyhow::Result<()> {
        let name = output.display();
        match fs::symlink_metadata(output) {
            Ok(there) if !there.is_file() => bail!("--output: {name} is not a regular file"),
            Ok(_) if self == Self::Nothing => bail!("--output: {name} is there already; --force replaces it"),
            // Where nothing is there and nothing can be, whoever writes is told.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Writes the file under another name and gives it its own once it is complete; answers what is in it.
///
/// # Errors
/// A path that must not be replaced, a filter that cannot be, a record that cannot be read to its end, a file that cannot be written. Then there is no
/// file of that name, or the one that was there before.
pub async fn export(
    config: &Config,
    format: Format,
    output: &Path,
    replace: Replace,
    wanted: Wanted,
) -> anyhow::Result<String> {
    replace.check(output)?;
    let filter = wanted.filter().map_err(|problem| {
        let field = problem.field.unwrap_or_default().replace('_', "-");
        anyhow::anyhow!("--{field}: {}", problem.detail)
    })?;
    if let Database::Sqlite(path) = &config.audit.database
        && !path.exists()
    {
        bail!("there is no record at {}", path.display());
    }
    let settings = Settings { migrate: false, ..app::audit_settings(config) };
    let audit = Audit::open(&settings).await.context("audit.database_url")?;
    let progress = progress(&audit, &filter).await;
    let export = Export::begin(audit.clone(), wanted, filter, format).await?;
    let unfinished = Unfinished::beside(output)?;
    let written = tokio::select! {
        written = write(export, &unfinished.0, &progress) => written,
        stopped = super::stopped() => stopped.and_then(|()| bail!("stopped before the file was complete")),
    };
    progress.finish_and_clear();
    audit.close().await;
    let kills = written?;
    replace.check(output)?;
    fs::rename(&unfinished.0, output).with_context(|| format!("cannot write {}", output.display()))?;
    Ok(format!("{kills} kills in {}", output.display()))
}

async fn write(mut export: Export, path: &Path, progress: &ProgressBar) -> anyhow::Result<u64> {
    let failed = || format!("cannot write {}", path.display());
    // Whoever may read the record may read this, and nobody else.
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).with_context(failed)?;
    while let Some(piece) = export.next().await? {
        file.write_all(&piece).with_context(failed)?;
        progress.set_position(export.kills());
    }
    file.sync_all().with_context(failed)?;
    Ok(export.kills())
}

/// How long to count for the sake of a bar.
const COUNTING: Duration = Duration::from_secs(2);

/// On standard error, and only where that is a terminal. Without knowing how many there are it only counts.
async fn progress(audit: &Audit, filter: &crate::audit::Filter) -> ProgressBar {
    let progress = ProgressBar::no_length();
    if progress.is_hidden() {
        return progress;
    }
    let counted = audit.stats(filter, &Grouping::default(), 1, COUNTING).await.ok().flatten();
    let template = match counted.map(|counts| counts.first().map_or(0, |count| count.kills)) {
        Some(kills) => {
            progress.set_length(kills);
            "{wide_bar} {human_pos}/{human_len} kills, {eta} left"
        }
        None => "{spinner} {human_pos} kills in {elapsed}",
    };
    // A template that cannot be read leaves the usual one.
    if let Ok(style) = ProgressStyle::with_template(template) {
        progress.set_style(style);
    }
    progress
}

/// A file that is not complete; removed with the value where it was not given its name.
struct Unfinished(PathBuf);

impl Unfinished {
    fn beside(output: &Path) -> anyhow::Result<Self> {
        let mut name = output.file_name().context("--output: must be the name of a file")?.to_owned();
        name.push(format!(".{}.part", std::process::id()));
        Ok(Self(output.with_file_name(name)))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Gone already where it was renamed.
        let _ = fs::remove_file(&self.0);
    }
}
