//! Previews and kills as tables, for people.

use super::{
    answers::{Kill, not_listed, sessions},
    shown::{Screen, Style, Table, text},
};
use crate::domain::legible;

/// A preview.
pub(super) fn preview(preview: &Kill, screen: Screen) -> String {
    let names = ["ID", "USER", "CLIENT", "DATABASE", "STATE", "SECONDS", "BLOCKS", "OUTCOME", "WHY", "STATEMENT"];
    let mut table = Table::new(&names, &["SECONDS"]);
    for session in &preview.sessions {
        let it = session.identity.clone();
        let would_end = session.outcome == "alive";
        let outcome = if would_end { "would end" } else { &session.outcome };
        let style = if would_end { Style::Plain } else { Style::of_word(&session.outcome) };
        table.row([
            (session.id.clone(), Style::Plain),
            text(it.user.as_deref()),
            text(it.host.as_deref()),
            text(it.database.as_deref()),
            text(it.state.or(it.command).as_deref()),
            text(it.seconds.map(|seconds| seconds.to_string()).as_deref()),
            (it.blocks.join(","), Style::Bad),
            (outcome.to_owned(), style),
            text(session.detail.as_deref()),
            text(it.statement.as_deref()),
        ]);
    }
    let mut lines = if table.is_empty() { String::new() } else { table.lines(screen) };
    let mut add = |line: &str| lines.extend([&legible(line), "\n"]);
    if let Some(note) = &preview.note {
        add(note);
    }
    if let Some(matched) = preview.matched {
        add(&format!("{} of {} that met the criteria would be ended", preview.count("alive"), sessions_of(matched)));
    }
    not_listed(&preview.unlisted).for_each(|line| add(&line));
    if preview.look.as_ref().and_then(|look| look.complete) == Some(false) && preview.unlisted.is_empty() {
        add("the vendor's list was cut off: there may be more");
    }
    lines
}

fn sessions_of(many: u64) -> String {
    sessions(usize::try_from(many).unwrap_or(usize::MAX))
}

/// What became of a kill.
pub(super) fn outcome(kill: &Kill, screen: Screen) -> String {
    let mut table = Table::new(&["ID", "USER", "CLIENT", "DATABASE", "OUTCOME", "WHY"], &[]);
    for session in &kill.sessions {
        let it = session.identity.clone();
        table.row([
            (session.id.clone(), Style::Plain),
            text(it.user.as_deref()),
            text(it.host.as_deref()),
            text(it.database.as_deref()),
            (session.outcome.clone(), Style::of_word(&session.outcome)),
            text(session.detail.as_deref()),
        ]);
    }
    let mut lines = if table.is_empty() { String::new() } else { table.lines(screen) };
    let status = screen.styled(Style::of_word(&kill.status), &legible(&kill.status));
    lines.extend([&legible(&kill.id), ": ", &status]);
    if let Some(at) = &kill.verified_at {
        lines.extend([", seen gone at ", &legible(at)]);
    }
    lines.push('\n');
    for line in not_listed(&kill.unlisted) {
        lines.extend([&legible(&line), "\n"]);
    }
    let problem = kill.problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    for line in [problem, kill.note.as_deref()].into_iter().flatten() {
        lines.extend([&legible(line), "\n"]);
    }
    lines
}
