//! What tells a whole export from one that was cut off: the end of an NDJSON file, and beside a table.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::history::Wanted;

/// The form of files that this manifest is of.
pub(super) const FORMAT: u32 = 1;

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1.
    pub format: u32,
    /// How many kills the file has.
    pub kills: u64,
    /// The newest kill, which comes first; `None` where there is none.
    pub first: Option<Place>,
    /// The oldest, which comes last.
    pub last: Option<Place>,
    /// What was asked for, as it was asked.
    #[schema(value_type = Object)]
    pub filters: Wanted,
    /// SHA-256 of every byte of the file, in NDJSON of those before the manifest's line, as 64 hexadecimal digits.
    pub sha256: String,
    /// The sealed blocks that hold exported kills, or all where everything is exported; `None` where there are none.
    pub blocks: Option<SealedRange>,
}

/// A kill's place in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ExportedKill)]
pub struct Place {
    pub id: Uuid,
    pub requested_at: String,
}

/// From which block to which; in an export of some kills not necessarily every one between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SealedRange {
    pub first: i64,
    pub last: i64,
    /// The head of the last one, as 64 hexadecimal digits.
    pub head: String,
}

impl Manifest {
    /// The manifest as JSON, for a file of its own.
    ///
    /// # Panics
    /// Never: it is a struct of texts and numbers.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("a struct of texts and numbers is always written")
    }

    /// The last line of an NDJSON file.
    pub(super) fn line(&self) -> String {
        format!("{{\"manifest\":{}}}\n", self.text())
    }
}
