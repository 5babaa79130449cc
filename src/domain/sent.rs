//! The calls of a kill that left.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// One call of a kill that left, and what it was about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sent {
    /// When it began, by the gateway's clock.
    #[serde(with = "crate::clock::rfc3339")]
    pub at: OffsetDateTime,
    /// The kill's own sessions in it; empty where it named none.
    pub ids: Vec<String>,
    /// The vendor's task for it, where it made one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The vendor answered it, whatever it said: it surely had arrived.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answered: bool,
    /// The vendor surely did nothing with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
}
