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
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::verify::removed;
use crate::{
    audit::{Line, Removal},
    chain::{
        BlockLine, Checkpoint,
        check::{Check, Found, PATIENCE, Report, Scope, Trusted, Waits, Wrong},
        hex, leaf,
    },
    domain::{LOOKED_AFTER, Status},
    history::{Manifest, Place, Wanted},
};

/// The version of the export's format that is understood.
const FORMAT: u32 = 1;

/// What was asked for when the file was written, as whoever verifies it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichPart {
    /// Everything: a file that says it was narrowed is not what was asked for.
    All,
    /// What passes some filters. The file says which, and nobody signed that.
    Some,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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
pub fn verify(path: &Path, keys: Vec<Trusted>, checkpoints: Vec<Checkpoint>, of: WhichPart) -> io::Result<Report> {
    let ending = Ending::of(path)?;
    let filters = ending.manifest.as_ref().map(|manifest| &manifest.filters);
    let is_whole = filters.is_some_and(|filters| *filters == Wanted::default());
    // Whoever does not know what was left out cannot say that anything is missing.
    let scope = if is_whole { Scope::Copy } else { Scope::Part };
    let mut check = Check::new(scope, keys, checkpoints);
    if let Some(filters) = filters.filter(|_| !is_whole) {
        let filters = serde_json::to_string(filters)?;
        check.is_part(
            format_args!("the file says that it has only the kills that pass {filters}"),
            of == WhichPart::Some,
        );
    }
    ending.told(&mut check);
    let first = blocks(path, &mut check)?;
    let (kills, removals) = entries(path, &mut check)?;
    if let Some(manifest) = &ending.manifest {
        told(manifest, &mut check, &kills, first);
    }
    Ok(check.finish(&removals.iter().map(removed).collect::<Vec<_>>()))
}

/// The kills of a file.
#[derive(Default)]
struct Kills {
    count: u64,
    first: Option<Place>,
    last: Option<Place>,
}

impl Kills {
    fn add(&mut self, line: &Line) {
        let place = Place { id: line.id, requested_at: line.requested_at.clone() };
        self.count += 1;
        self.first.get_or_insert_with(|| place.clone());
        self.last = Some(place);
    }
}

/// How the file ends.
struct Ending {
    manifest: Option<Manifest>,
    /// SHA-256 of all before the last line.
    sha256: String,
    /// Why the last line is no manifest, where it says that it is one.
    broken: Option<String>,
    /// Whether the last line has no end.
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
        let read = serde_json::from_slice::<ManifestLine>(&last).map_err(|error| error.to_string());
        let read = read.and_then(|ManifestLine { manifest }| match manifest.filters.filter() {
            Ok(_) => Ok(manifest),
            Err(problem) => Err(format!("filters.{}: {}", problem.field.unwrap_or_default(), problem.detail)),
        });
        let (manifest, broken) = match read {
            Ok(manifest) => (Some(manifest), None),
            Err(why) => (None, Some(why).filter(|_| !is_torn && matches!(Kind::of(&last), Kind::Manifest))),
        };
        Ok(Self { manifest, sha256: hex(hash.finish().as_ref()), broken, is_torn })
    }

    fn told(&self, check: &mut Check) {
        if let Some(why) = &self.broken {
            return check.found(Wrong::Changed, format_args!("the manifest cannot be read: {why}"));
        }
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

/// Holds the manifest against what was found.
fn told(manifest: &Manifest, check: &mut Check, kills: &Kills, first: Option<i64>) {
    let (here, there) = (kills.count, manifest.kills);
    if here != there {
        let wrong = if here < there { Wrong::Missing } else { Wrong::Added };
        check.found(wrong, format_args!("the file has {here} kills, and its manifest tells of {there}"));
    }
    if (&manifest.first, &manifest.last) != (&kills.first, &kills.last) {
        check.found(Wrong::Changed, "the first and the last kill are not those that the manifest tells of");
    }
    let (last, head) = check.last_head();
    let told = manifest.blocks.as_ref().map(|blocks| (Some(blocks.first), blocks.last, blocks.head.as_str()));
    if told.unwrap_or((None, 0, "")) != (first, last, head.map(|head| hex(&head)).unwrap_or_default().as_str()) {
        check.found(Wrong::Chain, "the blocks of the file are not those that its manifest tells of");
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

/// Reads kills and removals.
fn entries(path: &Path, check: &mut Check) -> io::Result<(Kills, Vec<Removal>)> {
    let (mut lines, mut kills, mut removals) = (Lines::of(path)?, Kills::default(), Vec::new());
    while let Some(line) = lines.next_line()? {
        let bytes = line.strip_suffix(b"\n").unwrap_or(line);
        match Kind::of(bytes) {
            Kind::Kill => match serde_json::from_slice::<Line>(bytes) {
                Ok(line) => {
                    kills.add(&line);
                    // What is held against the blocks is what a reader of the file sees, to the byte.
                    match waits(&line).filter(|_| line.text().as_bytes() == bytes) {
                        Some(waits) => check.entry(&found(&line, waits)),
                        None => check.unreadable(line.id),
                    }
                }
                Err(_) => check.found(Wrong::Changed, format_args!("line {} is no kill", lines.number)),
            },
            Kind::Removal => match serde_json::from_slice(bytes).ok().and_then(known) {
                Some((removal, sealed_by)) => {
                    let (id, hash) = (removal.id, leaf(bytes));
                    let waits = Waits::Until(sealed_by);
                    check.entry(&Found { id, hash, events_at: Vec::new(), waits });
                    removals.push(removal);
                }
                None => check.found(Wrong::Changed, format_args!("line {} is no removal", lines.number)),
            },
            Kind::Block | Kind::Manifest => {}
        }
    }
    Ok((kills, removals))
}

/// The removal, and when it was sealed at the latest.
fn known(RemovalLine { removal }: RemovalLine) -> Option<(Removal, OffsetDateTime)> {
    let removed_at = OffsetDateTime::parse(&removal.removed_at, &Rfc3339).ok()?;
    Some((removal, removed_at.checked_add(PATIENCE)?))
}

fn found(line: &Line, waits: Waits) -> Found {
    Found { id: line.id, hash: line.hash(), events_at: line.events_at(), waits }
}

/// Until when the kill may wait to be sealed as it is, told by its last event; `None` where it is no kill that a gateway
/// wrote.
fn waits(line: &Line) -> Option<Waits> {
    let time = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let status = Status::parse(&line.status)?;
    time(&line.requested_at)?;
    let events = line.events.iter().map(|event| time(&event.at)).collect::<Option<Vec<_>>>()?;
    let rests = if status.is_open() { LOOKED_AFTER } else { Duration::ZERO };
    events.last()?.checked_add(rests + PATIENCE).filter(|_| line.id.get_version_num() == 7).map(Waits::Until)
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
