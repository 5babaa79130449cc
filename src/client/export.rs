//! `killgate export`: kills in a file, by a gateway.

use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{Context, SHA256};
use clap::Args;
use serde_json::{Value, json};

use super::{
    connection::Asking,
    exit::Exit,
    failure::Failure,
    gateway::{Gateway, encode},
    http::Answer,
    lists::query_of,
    print,
    shown::Output,
};
use crate::{
    chain::hex,
    history::{Form, Format, Wanted},
    unfinished::{self, Unfinished},
};

/// Write kills into a file, with everything on record, and check that it is whole
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    form: Form,
    /// The file, which is there once it is complete; without it standard output
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replace a file that is there already
    #[arg(long, requires = "file")]
    force: bool,
    #[command(flatten)]
    wanted: Box<Wanted>,
    #[command(flatten)]
    pub(super) asking: Asking,
}

pub(super) async fn export(args: ExportArgs) -> Result<Exit, Failure> {
    let ExportArgs { form, file, force, wanted, asking: Asking { connection, output } } = args;
    if file.is_none() && io::stdout().is_terminal() {
        return Err(Failure::wrong("an export is for a file, not for a terminal").hint("--file FILE, or > FILE"));
    }
    let beside = file.as_deref().filter(|_| form.format == Format::Csv).and_then(unfinished::manifest_of);
    let is_in_the_way = |file: &&PathBuf| fs::symlink_metadata(file).is_ok_and(|there| !force || !there.is_file());
    if let Some(file) = [&file, &beside].into_iter().flatten().find(is_in_the_way) {
        let name = file.display();
        return Err(Failure::wrong(format!("--file: {name} is there already")).hint("--force replaces a regular file"));
    }
    let mut query = query_of(&wanted)?;
    query.push(("format".to_owned(), form.format.to_string()));
    if form.format == Format::Csv {
        query.push(("rows".to_owned(), form.rows.to_string()));
        query.push(("excel".to_owned(), form.excel.to_string()));
    } else if form.out_of_place().is_some() {
        return Err(Failure::wrong("--rows and --excel go with --format csv only"));
    }
    let gateway = connection.open().await?;
    let answer = gateway.stream(&["kills", "export"], &encode(&query), &[]).await?;
    let described_by = answer.header("link").and_then(manifest_of).map(str::to_owned);
    let cannot = |file: &Path, error: &io::Error| Failure::here(format!("cannot write {}: {error}", file.display()));
    let cannot_file = |error: io::Error| cannot(file.as_deref().unwrap_or(Path::new("")), &error);
    let unfinished = file.as_deref().map(Unfinished::of).transpose().map_err(cannot_file)?;
    let out: Box<dyn io::Write> = match &unfinished {
        Some(unfinished) => Box::new(unfinished.create().map_err(cannot_file)?),
        None => Box::new(io::stdout().lock()),
    };
    let written = write(answer, out).await?;
    let (manifest, text) = match described_by {
        None => (written.check_itself()?, None),
        Some(query) => written.check(&gateway, &query).await.map(|(manifest, text)| (manifest, Some(text)))?,
    };
    let Some((file, unfinished)) = file.as_deref().zip(unfinished) else { return Ok(Exit::Done) };
    if let Some((beside, text)) = beside.zip(text) {
        // First: a table that is there has its manifest.
        unfinished::write_line(&beside, &text).map_err(|error| cannot(&beside, &error))?;
    }
    unfinished.finish().map_err(cannot_file)?;
    match output {
        Output::Json => print::json(&json!({ "file": file.display().to_string(), "manifest": manifest }).to_string())?,
        Output::Table => print::line(&format!("{} kills in {}", manifest["kills"], file.display()))?,
    }
    Ok(Exit::Done)
}

/// The query of the manifest in a `Link` of RFC 8288.
fn manifest_of(link: &str) -> Option<&str> {
    let (address, parameters) = link.strip_prefix('<')?.split_once('>')?;
    parameters.contains("rel=\"describedby\"").then(|| address.split_once('?').map_or("", |(_, query)| query))
}

/// What was written.
struct Written {
    /// Over every byte but the last line.
    but_last: Context,
    last_line: Vec<u8>,
}

async fn write(mut answer: Answer, mut out: Box<dyn io::Write>) -> Result<Written, Failure> {
    let (mut but_last, mut last_line) = (Context::new(&SHA256), Vec::new());
    let lost = |error| Failure::here(format!("the gateway {error}")).hint("the file is not complete: run it again");
    while let Some(piece) = answer.piece().await.map_err(lost)? {
        out.write_all(&piece).map_err(|error| Failure::here(format!("the file cannot be written: {error}")))?;
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            // A line break ends a line once another one has begun.
            if last_line.last() == Some(&b'\n') {
                but_last.update(&last_line);
                last_line.clear();
            }
            last_line.extend_from_slice(line);
        }
    }
    out.flush().map_err(|error| Failure::here(format!("the file cannot be written: {error}")))?;
    Ok(Written { but_last, last_line })
}

fn cut_off() -> Failure {
    Failure::here("the export was cut off, or is not what was sent").hint("run it again")
}

impl Written {
    /// Against the manifest that is its last line.
    fn check_itself(self) -> Result<Value, Failure> {
        let line: Value = serde_json::from_slice(&self.last_line).map_err(|_| cut_off())?;
        let manifest = line.get("manifest").cloned().unwrap_or(line);
        let sum = hex(self.but_last.finish().as_ref());
        if manifest.get("sha256").and_then(Value::as_str) == Some(&sum) { Ok(manifest) } else { Err(cut_off()) }
    }

    /// Against a manifest that stands beside it.
    async fn check(mut self, gateway: &Gateway, query: &str) -> Result<(Value, String), Failure> {
        let document = gateway.get(&["kills", "export", "manifest"], query).await?;
        let manifest: Value = document.value()?;
        self.but_last.update(&self.last_line);
        let sum = hex(self.but_last.finish().as_ref());
        let is_whole = manifest.get("sha256").and_then(Value::as_str) == Some(&sum);
        if is_whole { Ok((manifest, document.text)) } else { Err(cut_off()) }
    }
}
