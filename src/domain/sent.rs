//! The calls of a kill that left.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{SessionId, shard_or_node, split_id, written::described_as};

/// One call of a kill that left, and what it was about.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Written<'static>")]
pub struct Sent {
    /// When it began, by the gateway's clock.
    pub at: OffsetDateTime,
    /// The kill's own sessions in it, all of one place; empty where it named none.
    pub ids: Vec<String>,
    /// The vendor's task for it, where it made one.
    pub task_id: Option<String>,
    /// The vendor answered it, whatever it said: it surely had arrived.
    pub answered: bool,
    /// The vendor surely did nothing with it.
    pub refused: bool,
}

/// One call of a kill that left, and what it was about.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = Sent)]
struct Written<'s> {
    /// When it began, by the gateway's clock.
    #[serde(with = "crate::clock::rfc3339")]
    at: OffsetDateTime,
    /// The shard of its sessions, where the target has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "shard-ljilb4st")]
    shard: Option<Cow<'s, str>>,
    /// The node of its sessions, where the target has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "f6b1c6d8a27e4c0d9d8bcb2a7d9a3e51no07")]
    node: Option<Cow<'s, str>>,
    /// The kill's own sessions in it; empty where it named none.
    #[schema(value_type = Vec<String>)]
    ids: Vec<Cow<'s, str>>,
    /// The vendor's task for it, where it made one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    task_id: Option<Cow<'s, str>>,
    /// The vendor answered it, whatever it said: it surely had arrived.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    answered: bool,
    /// The vendor surely did nothing with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    refused: bool,
}

impl Serialize for Sent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (shard, node) = shard_or_node(self.ids.first().and_then(|id| split_id(id).0));
        let written = Written {
            at: self.at,
            shard,
            node,
            ids: self.ids.iter().map(|id| split_id(id).1.into()).collect(),
            task_id: self.task_id.as_deref().map(Cow::Borrowed),
            answered: self.answered,
            refused: self.refused,
        };
        written.serialize(serializer)
    }
}

impl From<Written<'static>> for Sent {
    fn from(Written { at, shard, node, ids, task_id, answered, refused }: Written<'static>) -> Self {
        let place = shard.or(node);
        let ids = ids.iter().map(|id| SessionId::at(place.as_deref(), id).0).collect();
        Self { at, ids, task_id: task_id.map(Cow::into_owned), answered, refused }
    }
}

described_as!(Sent, Written<'static>);
