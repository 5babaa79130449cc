//! All kills that are wanted, in one file, newest first, as they stood when its first page was read.
//!
//! It is read page by page, each when it is asked for, so that it takes little memory and no long transaction however
//! long the file is and however slowly it is taken. What the first page could see every later one shows and nothing
//! else: see [`crate::audit::Cursor`]. A file that has its manifest is complete; whoever cannot read on gives an error
//! and never a manifest.

mod ids;
mod manifest;
mod sealed;
mod table;

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{Context, SHA256};

use super::Wanted;
use crate::{
    audit::{Audit, AuditError, Filter, Line, Page},
    chain::hex,
};

pub use manifest::{Manifest, Place, SealedRange};
use sealed::Sealed;

/// How large a page should be, in bytes of the file: worth a round trip, and no burden.
const PAGE: usize = 512 * 1024;
/// The first page's kills, and the most of any page. A kill may have a thousand sessions, so a page of many could be
/// large before its size is known.
const FIRST: u32 = 100;
const MOST: u32 = 500;
/// Tells a spreadsheet that the file is UTF-8.
const MARK: &str = "\u{feff}";

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line: a kill with everything on record, a sealed block, or the manifest.
    Ndjson,
    /// One kill a row, for spreadsheets.
    Csv,
}

impl Format {
    pub const ALL: [Self; 2] = [Self::Ndjson, Self::Csv];

    /// The word in requests, and the end of a file's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    /// The format of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == word)
    }

    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::parse(word).ok_or("must be ndjson or csv")
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An export under way.
pub struct Export {
    audit: Audit,
    wanted: Wanted,
    filter: Filter,
    format: Format,
    /// Whether a mark of UTF-8 comes first.
    is_marked: bool,
    ahead: Ahead,
    /// How many kills the next page has.
    limit: u32,
    sealed: Sealed,
    /// Over everything that was given out.
    hash: Context,
    kills: u64,
    first: Option<Place>,
    last: Option<Place>,
    /// Whether the manifest was given out.
    closed: bool,
}

/// What comes next.
enum Ahead {
    /// A page that was read already.
    First(Page<Line>),
    /// The page that the filter's cursor is at.
    Page,
    Blocks,
    Manifest,
    Nothing,
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("format", &self.format).field("kills", &self.kills).finish_non_exhaustive()
    }
}

impl Export {
    /// Reads the first page, which says what is in the file, and gives nothing out yet. `filter` is what `wanted`
    /// means.
    ///
    /// # Errors
    /// The record cannot be read.
    pub async fn begin(audit: Audit, wanted: Wanted, filter: Filter, format: Format) -> Result<Self, AuditError> {
        // The blocks first: then no kill in the file is older than its block says.
        let sealed = Sealed::by_now(&audit, wanted == Wanted::default()).await?;
        let first = audit.lines(&filter, FIRST).await?;
        Ok(Self {
            audit,
            wanted,
            filter,
            format,
            is_marked: false,
            ahead: Ahead::First(first),
            limit: FIRST,
            sealed,
            hash: Context::new(&SHA256),
            kills: 0,
            first: None,
            last: None,
            closed: false,
        })
    }

    /// The next piece of the file, which is never empty; `None` once it is complete, its manifest included.
    ///
    /// # Errors
    /// The record cannot be read on: what was given out so far is a part of a file and must not look like a whole one.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, AuditError> {
        loop {
            let piece = match std::mem::replace(&mut self.ahead, Ahead::Nothing) {
                Ahead::First(page) => {
                    let mut piece = if self.is_marked { MARK.as_bytes().to_vec() } else { Vec::new() };
                    if self.format == Format::Csv {
                        piece.extend(table::header());
                    }
                    self.write_page(page, &mut piece);
                    piece
                }
                Ahead::Page => {
                    let page = self.audit.lines(&self.filter, self.limit).await?;
                    let mut piece = Vec::with_capacity(PAGE);
                    self.write_page(page, &mut piece);
                    piece
                }
                Ahead::Blocks => self.write_blocks().await?,
                Ahead::Manifest => self.manifest(),
                Ahead::Nothing => return Ok(None),
            };
            self.hash.update(&piece);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    /// Begins the file with a mark of UTF-8, where that is wanted; before anything of it is given out.
    #[must_use]
    pub fn for_excel(mut self, wanted: bool) -> Self {
        self.is_marked = wanted;
        self
    }

    /// Kills given out so far.
    #[must_use]
    pub const fn kills(&self) -> u64 {
        self.kills
    }

    /// Whether everything was given out, the manifest included.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.closed
    }

    fn write_page(&mut self, page: Page<Line>, piece: &mut Vec<u8>) {
        let before = piece.len();
        for line in &page.items {
            match self.format {
                Format::Ndjson => {
                    piece.extend(line.text().into_bytes());
                    piece.push(b'\n');
                }
                Format::Csv => piece.extend(table::row(line)),
            }
            self.sealed.exports(line.id);
        }
        let place = |line: &Line| Place { id: line.id, requested_at: line.requested_at.clone() };
        self.first = self.first.take().or_else(|| page.items.first().map(place));
        self.last = page.items.last().map(place).or(self.last.take());
        self.kills += page.items.len() as u64;
        self.limit = next_limit(page.items.len(), piece.len() - before);
        self.ahead = if page.next.is_some() { Ahead::Page } else { Ahead::Blocks };
        self.filter.before = page.next;
    }

    /// A table has no room for blocks, but its manifest names them.
    async fn write_blocks(&mut self) -> Result<Vec<u8>, AuditError> {
        let lines = if let Some(blocks) = self.sealed.next(&self.audit).await? {
            self.ahead = Ahead::Blocks;
            blocks
        } else {
            let removals = self.sealed.removals(&self.audit).await?;
            self.ahead = Ahead::Manifest;
            removals
        };
        let lines = if self.format == Format::Ndjson { lines } else { Vec::new() };
        Ok(lines.into_iter().flat_map(|line| (line + "\n").into_bytes()).collect())
    }

    fn manifest(&mut self) -> Vec<u8> {
        self.closed = true;
        let manifest = Manifest {
            format: manifest::FORMAT,
            kills: self.kills,
            first: self.first.take(),
            last: self.last.take(),
            filters: self.wanted.clone(),
            sha256: hex(self.hash.clone().finish().as_ref()),
            blocks: self.sealed.range(),
        };
        match self.format {
            Format::Ndjson => manifest.line().into_bytes(),
            Format::Csv => table::closing(&manifest),
        }
    }
}

/// How many kills of that size make a page.
fn next_limit(kills: usize, bytes: usize) -> u32 {
    let fitting = PAGE * kills / bytes.max(1);
    u32::try_from(fitting).unwrap_or(MOST).clamp(1, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_as_many_kills_as_fit() {
        assert_eq!(next_limit(100, 100 * 1024), MOST);
        assert_eq!(next_limit(100, 100 * 16 * 1024), 32);
        assert_eq!(next_limit(1, 10 * PAGE), 1);
        assert_eq!(next_limit(0, 0), 1);
    }
}
