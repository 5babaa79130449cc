//! Kills as rows for spreadsheets (RFC 4180): one kill or one session a row.
//!
//! A caller's words end up in cells, and a spreadsheet runs a cell that begins like a formula. Such cells are given a
//! leading `'`, which makes them text. What a spreadsheet would take for another number than is written, such as an id of
//! sixteen digits, is given one only for those who say that it goes into one: others would read the `'`.

use std::sync::LazyLock;

use csv::{Terminator, WriterBuilder};
use serde_json::Value;

use super::{Form, Rows};
use crate::{
    audit::{Line, LineSession},
    upstream::TABLE,
};

/// Tells a spreadsheet that the file is UTF-8.
const MARK: &str = "\u{feff}";

/// The columns before the target's coordinates.
const BEFORE: [&str; 9] =
    ["id", "requested_at", "status", "caller", "on_behalf_of", "reason", "vendor", "account", "target"];

/// What stands for the sessions: of all of them, or of one.
const SESSIONS: [&str; 1] = ["sessions"];
const SESSION: [&str; 14] = [
    "session_shard",
    "session_node",
    "session_id",
    "session_outcome",
    "session_detail",
    "session_user",
    "session_database",
    "session_host",
    "session_started_at",
    "session_command",
    "session_state",
    "session_seconds",
    "session_statement_digest",
    "session_statement",
];

/// The columns after them.
const AFTER: [&str; 27] = [
    "problem_code",
    "problem_detail",
    "upstream_http_status",
    "upstream_request_id",
    "upstream_task_id",
    "upstream_evidence_url",
    "upstream_error_code",
    "upstream_error_message",
    "looked_at",
    "list_complete",
    "unlisted",
    "blind",
    "matched",
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

/// How rows are written.
pub(super) struct Table {
    rows: Rows,
    excel: bool,
}

impl Table {
    pub(super) const fn new(Form { rows, excel, .. }: Form) -> Self {
        Self { rows, excel }
    }

    /// The first row, with all that stands before it.
    pub(super) fn header(&self) -> Vec<u8> {
        let of_sessions: &[&str] = match self.rows {
            Rows::Kills => &SESSIONS,
            Rows::Sessions => &SESSION,
        };
        let names = BEFORE.iter().chain(COORDINATES.iter()).chain(&["select"]).chain(of_sessions).chain(&AFTER);
        let mark = if self.excel { MARK } else { "" };
        [mark.as_bytes(), &written(names.map(|name| (*name).to_owned()))].concat()
    }

    /// The rows of a kill.
    pub(super) fn rows(&self, line: &Line) -> Vec<u8> {
        let before: Vec<String> = before(line).into_iter().chain([json(line.select.as_ref())]).collect();
        let after = after(line);
        let row = |of_sessions: &[String]| {
            let cells = before.iter().chain(of_sessions).chain(&after);
            written(cells.map(|cell| self.harmless(cell)))
        };
        match self.rows {
            Rows::Kills => {
                let sessions =
                    line.sessions.iter().map(|session| format!("{} {}", session.whole_id(), session.outcome));
                row(&[sessions.collect::<Vec<_>>().join("; ")])
            }
            Rows::Sessions if line.sessions.is_empty() => row(&SESSION.map(|_| String::new())),
            Rows::Sessions => line.sessions.iter().flat_map(|session| row(&of(session))).collect(),
        }
    }

    /// The cell, as no spreadsheet runs it, or spoils it.
    fn harmless(&self, cell: &str) -> String {
        let is_run = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
        if is_run || self.excel && is_spoiled(cell) { format!("'{cell}") } else { cell.to_owned() }
    }
}

/// Whether a spreadsheet would take it for a number that is not written so: it keeps fifteen digits, and neither zeros at
/// the beginning nor how many there are behind the point.
fn is_spoiled(cell: &str) -> bool {
    let is_number = cell.starts_with(|c: char| c.is_ascii_digit() || c == '.') && cell.parse::<f64>().is_ok();
    let is_plain = cell.len() < 15 && cell.bytes().all(|b| b.is_ascii_digit());
    is_number && !(is_plain && (cell == "0" || !cell.starts_with('0')))
}

fn text(text: Option<&String>) -> String {
    text.cloned().unwrap_or_default()
}

fn json(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn member(of: Option<&Value>, name: &str) -> String {
    json(of.and_then(|of| of.get(name)))
}

fn before(line: &Line) -> Vec<String> {
    let target = line.target.as_ref();
    let before: [String; BEFORE.len()] = [
        line.id.to_string(),
        line.requested_at.clone(),
        line.status.clone(),
        line.caller.clone(),
        text(line.on_behalf_of.as_ref()),
        text(line.reason.as_ref()),
        member(target, "vendor"),
        member(target, "account"),
        member(target, "alias"),
    ];
    before.into_iter().chain(COORDINATES.iter().map(|name| member(target, name))).collect()
}

fn of(LineSession { shard, node, id, outcome, detail, identity }: &LineSession) -> [String; SESSION.len()] {
    let identity = |name: &str| member(identity.as_ref(), name);
    [
        text(shard.as_ref()),
        text(node.as_ref()),
        id.clone(),
        outcome.clone(),
        text(detail.as_ref()),
        identity("user"),
        identity("database"),
        identity("host"),
        identity("started_at"),
        identity("command"),
        identity("state"),
        identity("seconds"),
        identity("statement_digest"),
        identity("statement"),
    ]
}

fn after(line: &Line) -> [String; AFTER.len()] {
    let problem = line.problem.as_ref();
    [
        member(problem, "code"),
        member(problem, "detail"),
        line.upstream.http_status.map(|status| status.to_string()).unwrap_or_default(),
        text(line.upstream.request_id.as_ref()),
        text(line.upstream.task_id.as_ref()),
        text(line.upstream.evidence_url.as_ref()),
        text(line.upstream.error_code.as_ref()),
        text(line.upstream.error_message.as_ref()),
        text(line.looked_at.as_ref()),
        line.list_complete.map(|complete| complete.to_string()).unwrap_or_default(),
        unlisted(line),
        text(line.blind.as_ref()),
        line.matched.map(|many| many.to_string()).unwrap_or_default(),
        text(line.sent_at.as_ref()),
        text(line.completed_at.as_ref()),
        text(line.verified_at.as_ref()),
        line.dry_run.to_string(),
        text(line.request.as_ref()),
        text(line.client_address.as_ref()),
        text(line.actor.as_ref()),
        text(line.client_id.as_ref()),
        text(line.token_id.as_ref()),
        text(line.request_id.as_ref()),
        text(line.idempotency_key.as_ref()),
        line.confirms.map(|id| id.to_string()).unwrap_or_default(),
        line.gateway.clone(),
        line.events.len().to_string(),
    ]
}

/// The shards or nodes that the last look could not see whole, and why.
fn unlisted(line: &Line) -> String {
    let look = line.events.iter().rev().find_map(|event| event.detail.get("look"));
    let unlisted = look.and_then(|look| look.get("unlisted")?.as_array());
    let one = |place: &Value| {
        let name = member(Some(place), "shard") + &member(Some(place), "node");
        format!("{name}: {}", member(Some(place), "detail"))
    };
    unlisted.into_iter().flatten().map(one).collect::<Vec<_>>().join("; ")
}

fn written(cells: impl Iterator<Item = String>) -> Vec<u8> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(cells.map(String::into_bytes)).expect("a row of its own has as many cells as it has");
    writer.into_inner().expect("a Vec takes everything")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Table = Table { rows: Rows::Kills, excel: false };
    const EXCEL: Table = Table { rows: Rows::Sessions, excel: true };

    #[test]
    fn a_cell_that_a_spreadsheet_would_run_is_made_text() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r=1"] {
            assert_eq!(PLAIN.harmless(formula), format!("'{formula}"));
            assert_eq!(EXCEL.harmless(formula), format!("'{formula}"));
        }
        for harmless_already in ["", "1=1", "a-b", " =1", "'=1", "{\"a\":1}"] {
            assert_eq!(PLAIN.harmless(harmless_already), harmless_already);
            assert_eq!(EXCEL.harmless(harmless_already), harmless_already);
        }
    }

    #[test]
    fn a_number_that_a_spreadsheet_would_spoil_is_text_for_those_who_use_one() {
        for spoiled in ["9223372036854775807", "123456789012345", "007", "00", "1e5", "12E3", "1.10", ".5"] {
            assert_eq!(EXCEL.harmless(spoiled), format!("'{spoiled}"));
            assert_eq!(PLAIN.harmless(spoiled), spoiled);
        }
        for kept in ["0", "7", "12345678901234", "1e", "0x10", "1111 killed", "2026-01-02T03:04:05.000Z", "inf", "nan"]
        {
            assert_eq!(EXCEL.harmless(kept), kept);
        }
    }

    #[test]
    fn the_columns_have_a_name_each() {
        for table in [PLAIN, EXCEL] {
            let header = String::from_utf8(table.header()).unwrap();
            let mut names: Vec<_> = header.trim_end().trim_start_matches(MARK).split(',').collect();
            assert!(names.contains(&"instance_id") && names.contains(&"shard_serial_id"), "{header}");
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }
}
