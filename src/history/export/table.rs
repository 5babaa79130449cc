//! Kills as rows for spreadsheets (RFC 4180): one kill a row, its sessions in one cell.
//!
//! A caller's words end up in cells, and a spreadsheet runs a cell that begins like a formula. Such cells are given a
//! leading `'`, which makes them text.

use std::sync::LazyLock;

use csv::{Terminator, WriterBuilder};
use serde_json::Value;

use super::Manifest;
use crate::{audit::Line, upstream::TABLE};

/// What the first cell of the last row says, where every other row has a kill's id.
const CLOSING: &str = "#manifest";

/// The columns before the target's coordinates.
const BEFORE: [&str; 9] =
    ["id", "requested_at", "status", "caller", "on_behalf_of", "reason", "vendor", "account", "target"];

/// The columns after them.
const AFTER: [&str; 25] = [
    "select",
    "sessions",
    "problem_code",
    "problem_detail",
    "upstream_http_status",
    "upstream_request_id",
    "upstream_task_id",
    "upstream_evidence_url",
    "upstream_error_code",
    "upstream_error_message",
    "looked_at",
    "sent_at",
    "completed_at",
    "verified_at",
    "dry_run",
    "request",
    "client_address",
    "actor",
    "client_id",
    "token_id",
    "request_id",
    "idempotency_key",
    "confirms",
    "gateway",
    "events",
];

/// Every coordinate that any vendor has, once.
static COORDINATES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut names = Vec::new();
    for coordinate in TABLE.iter().flat_map(|vendor| vendor.capabilities().coordinates) {
        if !names.contains(&coordinate.name) {
            names.push(coordinate.name);
        }
    }
    names
});

/// The first row.
pub(super) fn header() -> Vec<u8> {
    written(BEFORE.iter().chain(COORDINATES.iter()).chain(AFTER.iter()).map(|name| (*name).to_owned()))
}

/// The row of a kill.
pub(super) fn row(line: &Line) -> Vec<u8> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let member = |of: &Option<Value>, name: &str| match of.as_ref().and_then(|of| of.get(name)) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let sessions = line.sessions.iter().map(|session| format!("{} {}", session.id, session.outcome));
    let before = [
        line.id.to_string(),
        line.requested_at.clone(),
        line.status.clone(),
        line.caller.clone(),
        text(&line.on_behalf_of),
        text(&line.reason),
        member(&line.target, "vendor"),
        member(&line.target, "account"),
        member(&line.target, "alias"),
    ];
    let coordinates = COORDINATES.iter().map(|name| member(&line.target, name));
    let after = [
        line.select.as_ref().map(Value::to_string).unwrap_or_default(),
        sessions.collect::<Vec<_>>().join("; "),
        member(&line.problem, "code"),
        member(&line.problem, "detail"),
        line.upstream.http_status.map(|status| status.to_string()).unwrap_or_default(),
        text(&line.upstream.request_id),
        text(&line.upstream.task_id),
        text(&line.upstream.evidence_url),
        text(&line.upstream.error_code),
        text(&line.upstream.error_message),
        text(&line.looked_at),
        text(&line.sent_at),
        text(&line.completed_at),
        text(&line.verified_at),
        line.dry_run.to_string(),
        text(&line.request),
        text(&line.client_address),
        text(&line.actor),
        text(&line.client_id),
        text(&line.token_id),
        text(&line.request_id),
        text(&line.idempotency_key),
        line.confirms.map(|id| id.to_string()).unwrap_or_default(),
        line.gateway.clone(),
        line.events.len().to_string(),
    ];
    let (before, after): ([String; BEFORE.len()], [String; AFTER.len()]) = (before, after);
    written(before.into_iter().chain(coordinates).chain(after).map(harmless))
}

/// The last row: as wide as every other, and no kill's.
pub(super) fn closing(manifest: &Manifest) -> Vec<u8> {
    let width = BEFORE.len() + COORDINATES.len() + AFTER.len();
    let cells = [CLOSING.to_owned(), manifest.text()];
    written(cells.into_iter().chain(std::iter::repeat_n(String::new(), width - 2)))
}

/// The cell, as no spreadsheet runs it.
fn harmless(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}

fn written(cells: impl Iterator<Item = String>) -> Vec<u8> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(cells.map(String::into_bytes)).expect("a row of its own has as many cells as it has");
    writer.into_inner().expect("a Vec takes everything")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_a_spreadsheet_would_run_is_made_text() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r=1"] {
            assert_eq!(harmless(formula.to_owned()), format!("'{formula}"));
        }
        for harmless_already in ["", "1=1", "a-b", " =1", "'=1", "{\"a\":1}"] {
            assert_eq!(harmless(harmless_already.to_owned()), harmless_already);
        }
    }

    #[test]
    fn the_columns_have_a_name_each() {
        let header = String::from_utf8(header()).unwrap();
        let mut names: Vec<_> = header.trim_end().split(',').collect();
        assert!(names.contains(&"instance_id") && names.contains(&"shard_serial_id"), "{header}");
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
