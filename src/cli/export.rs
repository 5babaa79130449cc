//! `killgate audit export`: all kills that are wanted, in a file.

use std::{fs, io::Write as _, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    app,
    audit::{Audit, Grouping, Settings},
    config::{Config, Database},
    history::{Export, Form, Format, Manifest, Wanted},
    unfinished::{self, Unfinished},
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

/// Writes the file under another name and gives it its own once it is complete; answers what is in it. The manifest of a
/// table stands beside it, as `FILE.manifest.json`.
///
/// # Errors
/// A path that must not be replaced, a filter that cannot be, a record that cannot be read to its end, a file that cannot be written. Then there is no
/// file of that name, or the one that was there before.
pub async fn export(
    config: &Config,
    form: Form,
    output: &Path,
    replace: Replace,
    wanted: Wanted,
) -> anyhow::Result<String> {
    let beside = (form.format == Format::Csv).then(|| unfinished::manifest_of(output));
    let beside = beside.map(|beside| beside.context("--output: must be the name of a file")).transpose()?;
    let files = || [Some(output), beside.as_deref()].into_iter().flatten();
    files().try_for_each(|file| replace.check(file))?;
    let filter = wanted.filter().map_err(|problem| {
        let field = problem.field.unwrap_or_default();
        let predicate = problem.detail.strip_prefix(&field).unwrap_or(&problem.detail).trim_start();
        anyhow::anyhow!("--{}: {predicate}", field.replace('_', "-"))
    })?;
    if let Some(name) = form.out_of_place() {
        bail!("--{name}: goes with --format csv only");
    }
    if let Database::Sqlite(path) = &config.audit.database
        && !path.exists()
    {
        bail!("there is no record at {}", path.display());
    }
    let settings = Settings { migrate: false, ..app::audit_settings(config) };
    let audit = Audit::open(&settings).await.context("audit.database_url")?;
    let progress = progress(&audit, &filter).await;
    let export = Export::begin(audit.clone(), wanted, filter, form).await?;
    let unfinished = Unfinished::of(output).with_context(|| cannot_write(output))?;
    let written = tokio::select! {
        written = write(export, &unfinished, output, &progress) => written,
        stopped = super::stopped() => stopped.and_then(|()| bail!("stopped before the file was complete")),
    };
    progress.finish_and_clear();
    audit.close().await;
    let manifest = written?;
    files().try_for_each(|file| replace.check(file))?;
    if let Some(beside) = &beside {
        // First: a table that is there has its manifest.
        unfinished::write_line(beside, &manifest.text()).with_context(|| cannot_write(beside))?;
    }
    unfinished.finish().with_context(|| cannot_write(output))?;
    Ok(format!("{} kills in {}", manifest.kills, output.display()))
}

async fn write(
    mut export: Export,
    unfinished: &Unfinished<'_>,
    path: &Path,
    progress: &ProgressBar,
) -> anyhow::Result<Manifest> {
    let mut file = unfinished.create().with_context(|| cannot_write(path))?;
    while let Some(piece) = export.next().await? {
        file.write_all(&piece).with_context(|| cannot_write(path))?;
        progress.set_position(export.kills());
    }
    file.sync_all().with_context(|| cannot_write(path))?;
    export.manifest().cloned().context("the export has no end")
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
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
