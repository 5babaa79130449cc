//! How an export is written.

use std::{fmt, str::FromStr};

use clap::Args;
use serde::Serialize;
use utoipa::ToSchema;

/// The kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ExportFormat)]
pub enum Format {
    /// One JSON object a line: a kill with everything on record, a sealed block, or the manifest.
    Ndjson,
    /// A table, for spreadsheets.
    Csv,
}

/// What a row of a table is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ExportRows)]
pub enum Rows {
    /// A kill, with its sessions in one cell.
    #[default]
    Kills,
    /// A session, with its kill beside it; a kill without sessions has a row all the same.
    Sessions,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Form {
    /// ndjson has everything; csv is for spreadsheets, and its manifest is a file beside it
    #[arg(long, default_value = "ndjson")]
    pub format: Format,
    /// Of csv: kills has a row for each kill, sessions one for each session
    #[arg(long, value_name = "WHAT", default_value_t)]
    pub rows: Rows,
    /// Of csv: a mark of UTF-8 first, and a leading ' in cells that a spreadsheet would take for other numbers
    #[arg(long)]
    pub excel: bool,
}

impl Form {
    /// What of it goes with a table only, where it is none.
    #[must_use]
    pub fn out_of_place(&self) -> Option<&'static str> {
        let asked = [("rows", self.rows != Rows::default()), ("excel", self.excel)];
        asked.into_iter().find_map(|(name, is_asked)| (is_asked && self.format != Format::Csv).then_some(name))
    }
}

impl From<Format> for Form {
    fn from(format: Format) -> Self {
        Self { format, rows: Rows::default(), excel: false }
    }
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

impl Rows {
    pub const ALL: [Self; 2] = [Self::Kills, Self::Sessions];

    /// The word in requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kills => "kills",
            Self::Sessions => "sessions",
        }
    }

    /// The rows of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rows| rows.as_str() == word)
    }
}

impl FromStr for Rows {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::parse(word).ok_or("must be kills or sessions")
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
