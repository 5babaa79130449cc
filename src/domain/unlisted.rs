//! Places of a target whose sessions could not all be listed.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::{shard_or_node, written::described_as};

/// A place of several whose sessions could not all be listed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Written<'static>")]
pub struct Unlisted {
    pub place: String,
    /// Why.
    pub detail: String,
}

/// A shard or a node whose sessions could not all be listed.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = Unlisted)]
struct Written<'u> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "shard-ljilb4st")]
    shard: Option<Cow<'u, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    node: Option<Cow<'u, str>>,
    /// Why.
    #[schema(value_type = String, example = "the vendor does not know this target")]
    detail: Cow<'u, str>,
}

impl Serialize for Unlisted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (shard, node) = shard_or_node(Some(&self.place));
        Written { shard, node, detail: self.detail.as_str().into() }.serialize(serializer)
    }
}

impl From<Written<'static>> for Unlisted {
    fn from(Written { shard, node, detail }: Written<'static>) -> Self {
        Self { place: shard.or(node).unwrap_or_default().into_owned(), detail: detail.into_owned() }
    }
}

described_as!(Unlisted, Written<'static>);
