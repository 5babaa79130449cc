//! All kills that are wanted, in one file, newest first, as they stood when its first page was read.
//!
//! It is read page by page, each when it is asked for, so that it takes little memory and no long transaction however
//! long the file is and however slowly it is taken. All pages show what could be seen when it was begun and nothing
//! else: see [`crate::audit::Cursor`]. Whoever cannot read on gives an error and never a manifest.
//!
//! An NDJSON file ends with its manifest. A table is a table to its end, and its manifest stands beside it: whoever wants it
//! later has the same file made again, from the same place on, and takes the manifest of that.

mod form;
mod ids;
mod manifest;
mod sealed;
mod table;

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

use super::Wanted;
use crate::{
    audit::{Audit, AuditError, Cursor, Filter, Line, Page},
    chain::hex,
};

pub use form::{Form, Format, Rows};
pub use manifest::{Manifest, Place, SealedRange};
use sealed::Sealed;
use table::Table;

/// How large a page should be, in bytes of the file: worth a round trip, and no burden.
const PAGE: usize = 512 * 1024;
/// The first page's kills, and the most of any page. A kill may have a thousand sessions, so a page of many could be
/// large before its size is known.
const FIRST: u32 = 100;
const MOST: u32 = 500;
/// An export under way.
pub struct Export {
    audit: Audit,
    wanted: Wanted,
    filter: Filter,
    form: Form,
    table: Table,
    /// Where it begins.
    place: Cursor,
    ahead: Ahead,
    /// How many kills the next page has.
    limit: u32,
    sealed: Sealed,
    /// Over everything that was given out.
    hash: Context,
    kills: u64,
    first: Option<Place>,
    last: Option<Place>,
    /// Once everything was given out.
    manifest: Option<Manifest>,
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
        f.debug_struct("Export").field("form", &self.form).field("kills", &self.kills).finish_non_exhaustive()
    }
}

impl Export {
    /// Reads the first page, which says what is in the file, and gives nothing out yet. `filter` is what `wanted`
    /// means; where it has a place, the file is that of then.
    ///
    /// # Errors
    /// The record cannot be read.
    pub async fn begin(audit: Audit, wanted: Wanted, filter: Filter, form: Form) -> Result<Self, AuditError> {
        // The blocks first: then no kill in the file is older than its block says.
        let sealed = Sealed::by_now(&audit, wanted == Wanted::default()).await?;
        let place = match filter.place {
            Some(place) => place,
            None => audit.newest_place().await?,
        };
        let filter = Filter { place: Some(place.clone()), oldest_first: false, ..filter };
        let first = audit.lines(&filter, FIRST).await?;
        Ok(Self {
            audit,
            wanted,
            filter,
            form,
            table: Table::new(form),
            place,
            ahead: Ahead::First(first),
            limit: FIRST,
            sealed,
            hash: Context::new(&SHA256),
            kills: 0,
            first: None,
            last: None,
            manifest: None,
        })
    }

    /// The next piece of the file, which is never empty; `None` once it is complete.
    ///
    /// # Errors
    /// The record cannot be read on: what was given out so far is a part of a file and must not look like a whole one.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, AuditError> {
        loop {
            let piece = match std::mem::replace(&mut self.ahead, Ahead::Nothing) {
                Ahead::First(page) => {
                    let mut piece = if self.form.format == Format::Csv { self.table.header() } else { Vec::new() };
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
                Ahead::Manifest => self.close(),
                Ahead::Nothing => return Ok(None),
            };
            self.hash.update(&piece);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    /// Reads the file to its end and keeps nothing of it.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn into_manifest(mut self) -> Result<Manifest, AuditError> {
        while self.next().await?.is_some() {}
        self.manifest.ok_or(AuditError::Failed { operation: "export", why: "a file without an end".into() })
    }

    /// Where it begins: an export from there has the same kills, whatever was recorded since.
    #[must_use]
    pub const fn place(&self) -> &Cursor {
        &self.place
    }

    /// Kills given out so far.
    #[must_use]
    pub const fn kills(&self) -> u64 {
        self.kills
    }

    /// What was given out, once that is everything.
    #[must_use]
    pub const fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    fn write_page(&mut self, page: Page<Line>, piece: &mut Vec<u8>) {
        let before = piece.len();
        for line in &page.items {
            match self.form.format {
                Format::Ndjson => {
                    piece.extend(line.text().into_bytes());
                    piece.push(b'\n');
                }
                Format::Csv => piece.extend(self.table.rows(line)),
            }
            self.sealed.exports(line.id);
        }
        let place = |line: &Line| Place { id: line.id, requested_at: line.requested_at.clone() };
        self.first = self.first.take().or_else(|| page.items.first().map(place));
        self.last = page.items.last().map(place).or(self.last.take());
        self.kills += page.items.len() as u64;
        self.limit = next_limit(page.items.len(), piece.len() - before);
        self.ahead = if page.next.is_some() { Ahead::Page } else { Ahead::Blocks };
        self.filter.place = page.next;
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
        let lines = if self.form.format == Format::Ndjson { lines } else { Vec::new() };
        Ok(lines.into_iter().flat_map(|line| (line + "\n").into_bytes()).collect())
    }

    /// Closes the file; what it ends with, where that is anything.
    fn close(&mut self) -> Vec<u8> {
        let manifest = Manifest {
            format: manifest::FORMAT,
            kills: self.kills,
            first: self.first.take(),
            last: self.last.take(),
            filters: self.wanted.clone(),
            sha256: hex(self.hash.clone().finish().as_ref()),
            blocks: self.sealed.range(),
        };
        let end = match self.form.format {
            Format::Ndjson => manifest.line().into_bytes(),
            Format::Csv => Vec::new(),
        };
        self.manifest = Some(manifest);
        end
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
