//! Checks an export against its own blocks, the expected key and outside checkpoints, with nothing but the files.
//!
//! The file is read twice, a line at a time: first the blocks, which stand behind the kills, then everything else. The
//! exact bytes of a line are what was sealed.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::Path,
};

use aws_lc_rs::digest::{Context, SHA256};
use serde::Deserialize;
use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::verify::removed;
use crate::{
    audit::{Line, Removal},
    domain::Status,
    seal::{
        BlockLine, Checkpoint, PublicKey,
        check::{Check, Found, Report, Scope, Waits, Wrong},
        hex, leaf,
    },
};

/// The version of the export's format that is understood.
const FORMAT: u32 = 1;

/// The last line: what the file should hold.
#[derive(Debug, Clone, Deserialize)]
struct Manifest {
    format: u32,
    kills: u64,
    #[serde(default)]
    filters: Map<String, Value>,
    sha256: String,
    blocks: Option<Blocks>,
}

#[derive(Debug, Clone, Deserialize)]
struct Blocks {
    first: i64,
    last: i64,
    head: String,
}

#[derive(Deserialize)]
struct ManifestLine {
    manifest: Manifest,
}

#[derive(Deserialize)]
struct RemovalLine {
    removal: Removal,
}

/// What a line is.
enum Kind {
    Kill,
    Block,
    Removal,
    Manifest,
}

impl Kind {
    fn of(line: &[u8]) -> Self {
        let begins = |with: &str| line.starts_with(with.as_bytes());
        if begins(r#"{"block":"#) {
            Self::Block
        } else if begins(r#"{"removal":"#) {
            Self::Removal
        } else if begins(r#"{"manifest":"#) {
            Self::Manifest
        } else {
            Self::Kill
        }
    }
}

/// Checks an export.
///
/// # Errors
/// The file cannot be read.
pub fn verify(path: &Path, keys: Vec<PublicKey>, checkpoints: Vec<Checkpoint>) -> io::Result<Report> {
    let ending = Ending::of(path)?;
    let filters = ending.manifest.as_ref().map(|manifest| &manifest.filters);
    let narrows = |filters: &Map<String, Value>| filters.values().any(|value| !value.is_null());
    // Whoever does not know what was left out cannot say that anything is missing.
    let scope = if filters.is_none_or(narrows) { Scope::Part } else { Scope::Copy };
    let mut check = Check::new(scope, keys, checkpoints);
    ending.told(&mut check);
    let first = blocks(path, &mut check)?;
    let (kills, removals) = entries(path, &mut check)?;
    if let Some(manifest) = &ending.manifest {
        manifest.told(&mut check, kills, first);
    }
    Ok(check.finish(&removals.iter().map(removed).collect::<Vec<_>>()))
}

/// How the file ends.
struct Ending {
    manifest: Option<Manifest>,
    /// SHA-256 of all before the last line.
    sha256: String,
    /// The last line, where it is none of the kinds and has no end.
    is_torn: bool,
}

impl Ending {
    fn of(path: &Path) -> io::Result<Self> {
        let mut lines = Lines::of(path)?;
        let (mut hash, mut last) = (Context::new(&SHA256), Vec::new());
        while let Some(line) = lines.next_line()? {
            hash.update(&last);
            line.clone_into(&mut last);
        }
        let is_torn = !last.ends_with(b"\n");
        let read = serde_json::from_slice::<ManifestLine>(&last).ok().map(|line| line.manifest);
        Ok(Self { manifest: read, sha256: hex(hash.finish().as_ref()), is_torn })
    }

    fn told(&self, check: &mut Check) {
        match &self.manifest {
            None => {
                let end = if self.is_torn { "in the middle of a line" } else { "before its manifest" };
                check.found(Wrong::Missing, format_args!("the file was cut off {end}"));
            }
            Some(manifest) if manifest.format != FORMAT => {
                check.found(Wrong::Changed, format_args!("the manifest has the unknown format {}", manifest.format));
            }
            Some(manifest) if manifest.sha256 != self.sha256 => {
                check.found(Wrong::Changed, "the file is not what its manifest was written for (sha256)");
            }
            Some(_) => {}
        }
    }
}

impl Manifest {
    fn told(&self, check: &mut Check, kills: u64, first: Option<i64>) {
        if self.kills != kills {
            let what = format_args!("the file has {kills} kills, and its manifest tells of {}", self.kills);
            let wrong = if kills < self.kills { Wrong::Missing } else { Wrong::Added };
            check.found(wrong, what);
        }
        let (last, head) = check.last_head();
        let told = self.blocks.as_ref().map(|blocks| (Some(blocks.first), blocks.last, blocks.head.as_str()));
        if told.unwrap_or((None, 0, "")) != (first, last, head.map(|head| hex(&head)).unwrap_or_default().as_str()) {
            check.found(Wrong::Chain, "the blocks of the file are not those that its manifest tells of");
        }
    }
}

/// Reads the blocks; answers the number of the first.
fn blocks(path: &Path, check: &mut Check) -> io::Result<Option<i64>> {
    let (mut lines, mut first) = (Lines::of(path)?, None);
    while let Some(line) = lines.next_line()? {
        if !matches!(Kind::of(line), Kind::Block) {
            continue;
        }
        let block = serde_json::from_slice::<BlockLine>(line).map_err(|_| "it is no block");
        match block.and_then(|line| line.read()) {
            Ok(block) => {
                first = first.or(Some(block.head.number));
                check.block(&block);
            }
            Err(what) => check.found(Wrong::Chain, format_args!("line {}: {what}", lines.number)),
        }
    }
    Ok(first)
}

/// Reads kills and removals; answers how many kills there are.
fn entries(path: &Path, check: &mut Check) -> io::Result<(u64, Vec<Removal>)> {
    let (mut lines, mut kills, mut removals) = (Lines::of(path)?, 0, Vec::new());
    while let Some(line) = lines.next_line()? {
        let bytes = line.strip_suffix(b"\n").unwrap_or(line);
        match Kind::of(bytes) {
            Kind::Kill => {
                kills += 1;
                match serde_json::from_slice::<Line>(bytes) {
                    // What is held against the blocks is what a reader of the file sees, to the byte.
                    Ok(line) if line.text().as_bytes() == bytes => check.entry(&found(&line)),
                    Ok(line) => check.unreadable(line.id),
                    Err(_) => {
                        kills -= 1;
                        check.found(Wrong::Changed, format_args!("line {} is no kill", lines.number));
                    }
                }
            }
            Kind::Removal => {
                if let Ok(RemovalLine { removal }) = serde_json::from_slice(bytes) {
                    let (id, hash) = (removal.id, leaf(bytes));
                    let waits = Waits::Unknown { settled_at: None };
                    check.entry(&Found { id, hash, events: 0, opening: &removal, waits });
                    removals.push(removal);
                } else {
                    check.found(Wrong::Changed, format_args!("line {} is no removal", lines.number));
                }
            }
            Kind::Block | Kind::Manifest => {}
        }
    }
    Ok((kills, removals))
}

fn found(line: &Line) -> Found<'_, Line> {
    let is_settled = Status::parse(&line.status).is_none_or(|status| !status.is_open());
    let last = line.events.last().and_then(|event| OffsetDateTime::parse(&event.at, &Rfc3339).ok());
    let waits = Waits::Unknown { settled_at: last.filter(|_| is_settled) };
    Found { id: line.id, hash: line.hash(), events: line.version(), opening: line, waits }
}

/// The lines of a file, with their line breaks, one at a time.
struct Lines {
    file: BufReader<File>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufReader::with_capacity(256 * 1024, File::open(path)?), line: Vec::new(), number: 0 })
    }

    fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        self.number += 1;
        let read = self.file.read_until(b'\n', &mut self.line)?;
        Ok((read > 0).then_some(self.line.as_slice()))
    }
}
