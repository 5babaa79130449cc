//! Writing answers to standard output, and asides to standard error.

use std::io::{self, Write as _};

use super::{
    failure::Failure,
    shown::{Screen, Table, safe_json},
};
use crate::domain::legible;

/// Text that is safe already.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        // Whoever reads has seen enough, as `head` has.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::here(format!("standard output cannot be written: {error}"))),
    }
}

pub(super) fn line(line: &str) -> Result<(), Failure> {
    text(&format!("{}\n", legible(line)))
}

/// JSON of anywhere, on a line.
pub(super) fn json(json: &str) -> Result<(), Failure> {
    text(&format!("{}\n", safe_json(json.trim_end())))
}

pub(super) fn table(table: &Table) -> Result<(), Failure> {
    text(&table.lines(Screen::stdout()))
}

/// A line beside the answer.
pub(super) fn aside(line: &str) {
    beside(&format!("{}\n", legible(line)));
}

/// Text beside the answer that is safe already. Where nobody can be told what is done is done all the same.
pub(super) fn beside(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
