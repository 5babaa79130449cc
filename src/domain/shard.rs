//! Several shards of one instance as one target, and sessions that are told apart by their shards.
//!
//! A vendor's session ids are unique within a shard alone. Where a target names several shards every id is qualified by its
//! shard, `shard-a/1234`, from what a caller asks to what is recorded; a vendor's script is given one shard and plain ids.
//! No id and no shard of a vendor has a `/`. The invariant: two sessions of one target never have the same id.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Serialize, Serializer};

use super::{Coordinates, SessionId, Target};

/// The coordinate that names several shards: [`ALL`], or their names with commas between them, in order.
pub const SHARDS: &str = "shards";
/// Every shard that the instance has when it is looked at.
pub const ALL: &str = "all";
/// Most shards of one target.
pub const MAX_SHARDS: usize = 100;

/// The coordinate that names one of them.
pub const SHARD: &str = "shard_id";
/// The coordinate that names a node of a shard; of several shards it has each one's: `shard-a/node-1,shard-b/node-2`.
const NODE: &str = "node_id";

/// An id's shard, where it is qualified by one, and the vendor's own id.
#[must_use]
pub fn split_id(id: &str) -> (Option<&str>, &str) {
    id.split_once('/').map_or((None, id), |(shard, id)| (Some(shard), id))
}

impl SessionId {
    /// The id of a session of that shard, where it must be told from others.
    #[must_use]
    pub fn at(shard: Option<&str>, id: &str) -> Self {
        Self(shard.map_or_else(|| id.to_owned(), |shard| format!("{shard}/{id}")))
    }

    #[must_use]
    pub fn shard(&self) -> Option<&str> {
        split_id(&self.0).0
    }

    /// As its vendor knows it.
    #[must_use]
    pub fn plain(&self) -> Self {
        Self(split_id(&self.0).1.to_owned())
    }

    /// The vendor's own id, for a member beside the shard.
    pub(super) fn serialize_plain<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(split_id(&self.0).1)
    }
}

/// Which shards a target names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shards<'t> {
    All,
    These(Vec<&'t str>),
}

impl Target {
    /// The shards that it names together; `None` where it is one place.
    #[must_use]
    pub fn shards(&self) -> Option<Shards<'_>> {
        let text = self.coordinates.get(SHARDS)?;
        Some(if text == ALL { Shards::All } else { Shards::These(text.split(',').collect()) })
    }

    /// The same with those shards alone of which one of these ids is. Without an id it is as it was.
    #[must_use]
    pub fn narrowed<'i>(&self, ids: impl IntoIterator<Item = &'i str>) -> Self {
        let mut target = self.clone();
        let shards: BTreeSet<&str> = ids.into_iter().filter_map(|id| split_id(id).0).collect();
        if self.shards().is_none() || shards.is_empty() {
            return target;
        }
        if let Some(nodes) = target.coordinates.remove(NODE) {
            let is_meant = |node: &&str| split_id(node).0.is_some_and(|shard| shards.contains(shard));
            target.on(&nodes.split(',').filter(is_meant).collect::<Vec<_>>());
        }
        target.coordinates.insert(SHARDS, shards.into_iter().collect::<Vec<_>>().join(","));
        target
    }

    /// One of its shards as a place of its own, on the node that is known for it.
    #[must_use]
    pub fn at_shard(&self, shard: &str) -> Self {
        let mut target = self.clone();
        target.coordinates.remove(SHARDS);
        let nodes = target.coordinates.remove(NODE);
        let node = nodes.as_deref().and_then(|nodes| {
            nodes.split(',').map(split_id).find_map(|(of, node)| (of == Some(shard)).then(|| node.to_owned()))
        });
        target.coordinates.extend(node.map(|node| (NODE, node)));
        target.coordinates.insert(SHARD, shard.to_owned());
        target
    }

    /// Where a session lives: at its shard, where the target names several.
    #[must_use]
    pub fn of_session(&self, id: &SessionId) -> Cow<'_, Self> {
        match (self.shards(), id.shard()) {
            (Some(_), Some(shard)) => Cow::Owned(self.at_shard(shard)),
            _ => Cow::Borrowed(self),
        }
    }

    /// The same with the shards that there are, of which each is on that node; where it names its shards these stay.
    #[must_use]
    pub fn on_nodes(&self, nodes: &BTreeMap<String, Option<String>>) -> Self {
        let mut target = self.clone();
        if self.shards() == Some(Shards::All) {
            target.coordinates.insert(SHARDS, nodes.keys().cloned().collect::<Vec<_>>().join(","));
        }
        let each = nodes.iter().filter_map(|(shard, node)| Some(format!("{shard}/{}", node.as_ref()?)));
        target.on(&each.collect::<Vec<_>>());
        target
    }

    /// Sets its nodes, where there are any.
    fn on(&mut self, nodes: &[impl AsRef<str>]) {
        let nodes: Vec<&str> = nodes.iter().map(AsRef::as_ref).collect();
        if nodes.is_empty() {
            self.coordinates.remove(NODE);
        } else {
            self.coordinates.insert(NODE, nodes.join(","));
        }
    }

    /// Whether its node is known, or that of one of its shards.
    #[must_use]
    pub fn has_node(&self) -> bool {
        self.coordinates.contains_key(NODE)
    }

    /// The values of a coordinate that it may have: each of its shards; `None` where it may have any.
    #[must_use]
    pub fn may_have(&self, name: &str) -> Option<Vec<&str>> {
        match self.shards() {
            Some(Shards::These(shards)) if name == SHARD => Some(shards),
            _ => self.coordinates.get(name).map(|value| vec![value.as_str()]),
        }
    }
}

/// Coordinates as they are recorded and answered: several shards are a list.
pub(super) fn written<S: Serializer>(coordinates: &Coordinates, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Value<'c> {
        Text(&'c str),
        List(Vec<&'c str>),
    }
    serializer.collect_map(coordinates.iter().map(|(name, value)| {
        let is_list = *name == SHARDS && value != ALL;
        (*name, if is_list { Value::List(value.split(',').collect()) } else { Value::Text(value) })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::VendorName;

    fn target(coordinates: &[(&'static str, &str)]) -> Target {
        let coordinates = coordinates.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Target { alias: None, vendor: VendorName("dcdb"), account: "t".to_owned(), coordinates }
    }

    #[test]
    fn a_shard_of_several_is_a_place_on_its_own_node() {
        let nodes = [("a", Some("1")), ("b", Some("2"))];
        let nodes = nodes.map(|(shard, node)| (shard.to_owned(), node.map(str::to_owned))).into();
        let all = target(&[("instance_id", "i"), (SHARDS, ALL)]);
        assert_eq!(
            (all.shards(), all.at_shard("b")),
            (Some(Shards::All), target(&[("instance_id", "i"), (SHARD, "b")]))
        );
        let known = all.on_nodes(&nodes);
        assert_eq!(known, target(&[("instance_id", "i"), (SHARDS, "a,b"), (NODE, "a/1,b/2")]));
        assert_eq!(known.at_shard("b"), target(&[("instance_id", "i"), (SHARD, "b"), (NODE, "2")]));
        assert_eq!(known.narrowed(["b/7", "b/8"]), target(&[("instance_id", "i"), (SHARDS, "b"), (NODE, "b/2")]));
        assert_eq!(known.narrowed([]), known);
        let without = all.on_nodes(&[("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)].into());
        assert_eq!(without.at_shard("b"), target(&[("instance_id", "i"), (SHARD, "b")]));
        assert!(without.has_node() && !without.at_shard("b").has_node() && !without.narrowed(["b/7"]).has_node());
        assert_eq!(known.of_session(&SessionId("a/7".into())).into_owned(), known.at_shard("a"));
        let one = target(&[("instance_id", "i"), (SHARD, "a")]);
        assert_eq!((one.shards(), one.narrowed(["7"])), (None, one.clone()));
    }

    #[test]
    fn several_shards_are_written_as_a_list_and_all_of_them_as_a_word() {
        let written = |shards| serde_json::to_value(target(&[(SHARDS, shards)])).unwrap()[SHARDS].clone();
        assert_eq!(written("a,b"), serde_json::json!(["a", "b"]));
        assert_eq!((written("a"), written(ALL)), (serde_json::json!(["a"]), serde_json::json!("all")));
    }
}
