//! What people see: tables and lines, with nothing in them that a terminal would take for an order.
//!
//! The invariant: every text that came from elsewhere goes through [`legible`] or [`safe_json`] before it is printed.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, IsTerminal as _},
};

use console::{Alignment, measure_text_width, pad_str, truncate_str};

use crate::domain::{has_unseen, is_unseen, legible};

/// How answers are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Table,
    /// What the gateway answered, for programs.
    Json,
}

/// JSON with what is not seen itself, such as an escape or a mark of direction, written out. It stays JSON of the same meaning: such characters are in its texts only, where they may be written
/// as `\u` and digits.
pub(super) fn safe_json(json: &str) -> Cow<'_, str> {
    if !has_unseen(json) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unseen(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // A String takes all that is written.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Where a stream leads, as far as it matters for what is written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Screen {
    /// Columns of a terminal; `None` where it is none.
    pub(super) width: Option<usize>,
    pub(super) colours: bool,
}

/// Whether the person wants no colours anywhere: `NO_COLOR` is set and not empty, or the terminal is called dumb.
fn is_plain() -> bool {
    let is = |name: &str, fits: fn(&std::ffi::OsStr) -> bool| std::env::var_os(name).is_some_and(|value| fits(&value));
    is("NO_COLOR", |value| !value.is_empty()) || is("TERM", |value| value == "dumb")
}

impl Screen {
    pub(super) fn stdout() -> Self {
        Self::of(io::stdout().is_terminal(), &console::Term::stdout())
    }

    pub(super) fn stderr() -> Self {
        Self::of(io::stderr().is_terminal(), &console::Term::stderr())
    }

    fn of(is_terminal: bool, terminal: &console::Term) -> Self {
        let width = is_terminal.then(|| usize::from(terminal.size().1)).map(|width| width.max(40));
        Self { width, colours: is_terminal && !is_plain() }
    }

    /// The text in that style, where there are colours.
    pub(super) fn styled(self, style: Style, text: &str) -> String {
        let (begin, end) = match (self.colours, style) {
            (false, _) | (_, Style::Plain) => ("", ""),
            (true, Style::Bold) => ("\u{1b}[1m", "\u{1b}[0m"),
            (true, Style::Dim) => ("\u{1b}[2m", "\u{1b}[0m"),
            (true, Style::Good) => ("\u{1b}[32m", "\u{1b}[0m"),
            (true, Style::Warning) => ("\u{1b}[33m", "\u{1b}[0m"),
            (true, Style::Bad) => ("\u{1b}[31m", "\u{1b}[0m"),
        };
        format!("{begin}{text}{end}")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Warning,
    Bad,
}

/// What may be missing, in a cell.
pub(super) fn text(text: Option<&str>) -> (String, Style) {
    (text.unwrap_or_default().to_owned(), Style::Plain)
}

impl Style {
    /// How a status or an outcome is shown.
    pub(super) fn of_word(word: &str) -> Self {
        match word {
            "killed" | "gone" | "not_found" | "succeeded" => Self::Good,
            "failed" | "refused" | "unknown" => Self::Bad,
            "partial" | "protected" | "changed" | "accepted" | "pending" | "rate_limited" => Self::Warning,
            _ => Self::Plain,
        }
    }
}

/// A table: a line for each row, without a frame. On a terminal its widest columns give way.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<(String, Style)>>,
}

#[derive(Debug)]
struct Column {
    name: &'static str,
    alignment: Alignment,
}

/// Narrowest that a column becomes which gives way.
const NARROWEST: usize = 6;
/// Columns that are never cut.
const WHOLE: [&str; 8] = ["ID", "KILL", "KILLS", "SECONDS", "SESSIONS", "STATUS", "OUTCOME", "TARGET"];
const GAP: &str = "  ";

impl Table {
    /// Columns with these names; those of `right` are numbers.
    pub(super) fn new(names: &[&'static str], right: &[&str]) -> Self {
        let column = |name: &&'static str| Column {
            name,
            alignment: if right.contains(name) { Alignment::Right } else { Alignment::Left },
        };
        Self { columns: names.iter().map(column).collect(), rows: vec![] }
    }

    /// Adds a row of texts from anywhere.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = (String, Style)>) {
        self.rows.push(cells.into_iter().map(|(text, style)| (legible(&text).into_owned(), style)).collect());
    }

    /// The same without styles.
    pub(super) fn plain(&mut self, cells: impl IntoIterator<Item = String>) {
        self.row(cells.into_iter().map(|cell| (cell, Style::Plain)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines without the names of the columns, for facts of which each has a name of its own.
    pub(super) fn facts(&mut self, screen: Screen) -> String {
        self.rows.retain(|row| !row.is_empty());
        let lines = self.lines(screen);
        lines.split_once('\n').map(|(_, facts)| facts.to_owned()).unwrap_or_default()
    }

    /// The lines for that screen, each with its line break. Columns that say nothing in any row are left out.
    pub(super) fn lines(&self, screen: Screen) -> String {
        let says = |at: usize| self.rows.iter().any(|row| row.get(at).is_some_and(|(text, _)| !text.is_empty()));
        let used: Vec<usize> = (0..self.columns.len()).filter(|at| self.rows.is_empty() || says(*at)).collect();
        let last = used.last().copied();
        let mut widths: Vec<usize> = used.iter().map(|at| self.width(*at)).collect();
        if let Some(total) = screen.width {
            self.fit(&used, &mut widths, total);
        }
        let mut text = String::new();
        let line = |text: &mut String, cell: &dyn Fn(usize) -> (String, Style)| {
            for (at, width) in used.iter().zip(&widths) {
                let (words, style) = cell(*at);
                let words = truncate_str(&words, *width, "…");
                let alignment = self.columns[*at].alignment;
                // Nothing stands after the last one, so no space needs to.
                let is_last = last == Some(*at) && matches!(alignment, Alignment::Left);
                let padded = if is_last { words } else { pad_str(&words, *width, alignment, None).into_owned().into() };
                text.push_str(&screen.styled(style, &padded));
                text.push_str(if last == Some(*at) { "\n" } else { GAP });
            }
        };
        line(&mut text, &|at| (self.columns[at].name.to_owned(), Style::Bold));
        for row in &self.rows {
            line(&mut text, &|at| row.get(at).cloned().unwrap_or((String::new(), Style::Plain)));
        }
        text
    }

    /// Takes from the widest columns until a line fits. What names or counts something is of no use in parts.
    fn fit(&self, used: &[usize], widths: &mut [usize], total: usize) {
        let gaps = GAP.len() * used.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > total {
            let may_give = |(at, width): &(usize, &mut usize)| {
                **width > NARROWEST && !WHOLE.contains(&self.columns[used[*at]].name)
            };
            let widest = widths.iter_mut().enumerate().filter(may_give).max_by_key(|(_, width)| **width);
            let Some((_, width)) = widest else { return };
            *width -= 1;
        }
    }

    fn width(&self, at: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|(text, _)| measure_text_width(text));
        cells.chain([self.columns[at].name.len()]).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: Screen = Screen { width: None, colours: false };
    const NARROW: Screen = Screen { width: Some(40), colours: true };

    fn table() -> Table {
        let mut table = Table::new(&["ID", "SECONDS", "EMPTY", "STATEMENT"], &["SECONDS"]);
        table.row([
            ("7".into(), Style::Good),
            ("1847".into(), Style::Plain),
            (String::new(), Style::Plain),
            ("select 1 from a_table_with_a_long_name where x".into(), Style::Plain),
        ]);
        table.plain(["2075425".into(), "3".into(), String::new(), "表".into()]);
        table
    }

    #[test]
    fn into_a_pipe_nothing_is_cut_and_nothing_coloured() {
        assert_eq!(
            table().lines(PIPE),
            "ID       SECONDS  STATEMENT\n\
             7           1847  select 1 from a_table_with_a_long_name where x\n\
             2075425        3  表\n"
        );
    }

    #[test]
    fn a_terminal_gets_colours_and_no_line_longer_than_it_is_wide() {
        let lines = table().lines(NARROW);
        for line in lines.lines() {
            assert!(measure_text_width(line) <= 40, "{line:?}");
        }
        assert!(lines.contains("\u{1b}[32m7      \u{1b}[0m") && lines.contains('…'), "{lines:?}");
    }

    #[test]
    fn no_text_of_a_row_is_an_order_to_a_terminal() {
        let mut table = Table::new(&["STATEMENT"], &[]);
        table.plain(["\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\r\nselect\t1\u{7f}\u{200b}".to_owned()]);
        let lines = table.lines(PIPE);
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.chars().all(|c| c == '\n' || !is_unseen(c)), "{lines:?}");
        assert!(lines.contains("\\u{1b}]0;owned\\u{7}\\u{9b}31m\\u{202e}  select 1\\u{7f}\\u{200b}"), "{lines:?}");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let json = "{\"a\":\"\u{9b}31m\u{202e}\u{7f}\u{e0001}\"}\n";
        let shown = safe_json(json);
        assert!(shown.chars().all(|c| c == '\n' || !is_unseen(c)), "{shown:?}");
        let read = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(read(&shown), read(json));
    }
}
