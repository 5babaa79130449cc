//! Several places of one instance as one target: its shards, or its nodes; and sessions that are told apart by them.
//!
//! A vendor's session ids are unique within a place alone. Where a target names several, every id is qualified by its
//! place, `shard-a/1234`, from what a caller asks to what is recorded; a vendor's script is given one place and plain ids.
//! No id and no place of a vendor has a `/`, and the name of a place tells what it is. The invariant: two sessions of one
//! target never have the same id.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Serialize, Serializer};

use super::{Coordinates, SessionId, Target};

/// Every place that the instance has when it is looked at.
pub const ALL: &str = "all";
/// Most places of one target.
pub const MAX_PLACES: usize = 100;

/// The coordinate that names a node. Of several shards it has each one's: `shard-a/node-1,shard-b/node-2`.
const NODE: &str = "node_id";

/// What the places are that a target names together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Division {
    Shard,
    Node,
}

impl Division {
    pub const EACH: [Self; 2] = [Self::Shard, Self::Node];

    /// What a place of that name is. Huawei's ids end in what they are and whose, such as `no07`; no shard may have a name
    /// like theirs.
    #[must_use]
    pub fn of(place: &str) -> Self {
        let is_node = place.len() == 36
            && place.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && place[32..].starts_with("no")
            && place[34..].bytes().all(|byte| byte.is_ascii_digit());
        if is_node { Self::Node } else { Self::Shard }
    }

    /// The word for one of them, which is the member beside a session's id.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Shard => "shard",
            Self::Node => "node",
        }
    }

    /// The coordinate that names one of them.
    #[must_use]
    pub const fn one(self) -> &'static str {
        match self {
            Self::Shard => "shard_id",
            Self::Node => NODE,
        }
    }

    /// The coordinate that names several: [`ALL`], or their names with commas between them, in order.
    #[must_use]
    pub const fn several(self) -> &'static str {
        match self {
            Self::Shard => "shards",
            Self::Node => "nodes",
        }
    }

    /// What that coordinate has to be.
    #[must_use]
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Shard => "must be \"all\", or a list of shards",
            Self::Node => "must be \"all\", or a list of nodes",
        }
    }

    /// The division whose places that coordinate names.
    #[must_use]
    pub fn named_by(coordinate: &str) -> Option<Self> {
        Self::EACH.into_iter().find(|division| division.several() == coordinate)
    }
}

/// An id's place, where it is qualified by one, and the vendor's own id.
#[must_use]
pub fn split_id(id: &str) -> (Option<&str>, &str) {
    id.split_once('/').map_or((None, id), |(place, id)| (Some(place), id))
}

/// A place as it is written: as `shard` or as `node`.
#[must_use]
pub fn shard_or_node(place: Option<&str>) -> (Option<Cow<'_, str>>, Option<Cow<'_, str>>) {
    match place.map(|place| (Division::of(place), place.into())) {
        Some((Division::Shard, shard)) => (Some(shard), None),
        Some((Division::Node, node)) => (None, Some(node)),
        None => (None, None),
    }
}

impl SessionId {
    /// The id of a session at that place, where it must be told from others.
    #[must_use]
    pub fn at(place: Option<&str>, id: &str) -> Self {
        Self(place.map_or_else(|| id.to_owned(), |place| format!("{place}/{id}")))
    }

    #[must_use]
    pub fn place(&self) -> Option<&str> {
        split_id(&self.0).0
    }

    /// As its vendor knows it.
    #[must_use]
    pub fn plain(&self) -> Self {
        Self(split_id(&self.0).1.to_owned())
    }

    /// The vendor's own id, for a member beside the place.
    pub(super) fn serialize_plain<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(split_id(&self.0).1)
    }
}

/// Which places a target names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Places<'t> {
    All,
    These(Vec<&'t str>),
}

impl Target {
    /// What the places are that it names together; `None` where it is one place.
    #[must_use]
    pub fn division(&self) -> Option<Division> {
        Division::EACH.into_iter().find(|division| self.coordinates.contains_key(division.several()))
    }

    /// The places that it names together; `None` where it is one.
    #[must_use]
    pub fn places(&self) -> Option<Places<'_>> {
        let text = self.coordinates.get(self.division()?.several())?;
        Some(if text == ALL { Places::All } else { Places::These(text.split(',').collect()) })
    }

    /// The same with those places alone of which one of these ids is. Without an id it is as it was.
    #[must_use]
    pub fn narrowed<'i>(&self, ids: impl IntoIterator<Item = &'i str>) -> Self {
        let mut target = self.clone();
        let places: BTreeSet<&str> = ids.into_iter().filter_map(|id| split_id(id).0).collect();
        let Some(division) = self.division().filter(|_| !places.is_empty()) else { return target };
        if let Some(nodes) = target.coordinates.remove(NODE) {
            let is_meant = |node: &&str| split_id(node).0.is_some_and(|place| places.contains(place));
            target.on(&nodes.split(',').filter(is_meant).collect::<Vec<_>>());
        }
        target.coordinates.insert(division.several(), places.into_iter().collect::<Vec<_>>().join(","));
        target
    }

    /// One of its places; a shard on the node that is known for it.
    #[must_use]
    pub fn at_place(&self, place: &str) -> Self {
        let mut target = self.clone();
        let Some(division) = self.division() else { return target };
        target.coordinates.remove(division.several());
        let nodes = target.coordinates.remove(NODE);
        let node = nodes.as_deref().and_then(|nodes| {
            nodes.split(',').map(split_id).find_map(|(of, node)| (of == Some(place)).then(|| node.to_owned()))
        });
        target.coordinates.extend(node.map(|node| (NODE, node)));
        target.coordinates.insert(division.one(), place.to_owned());
        target
    }

    /// Where a session lives: at its own place, where the target names several.
    #[must_use]
    pub fn of_session(&self, id: &SessionId) -> Cow<'_, Self> {
        match (self.division(), id.place()) {
            (Some(_), Some(place)) => Cow::Owned(self.at_place(place)),
            _ => Cow::Borrowed(self),
        }
    }

    /// The same with the places that there are; where it names them these stay.
    #[must_use]
    pub fn at_each<'p>(&self, places: impl IntoIterator<Item = &'p str>) -> Self {
        let mut target = self.clone();
        if let (Some(division), Some(Places::All)) = (self.division(), self.places()) {
            let places: BTreeSet<&str> = places.into_iter().collect();
            target.coordinates.insert(division.several(), places.into_iter().collect::<Vec<_>>().join(","));
        }
        target
    }

    /// The same with the shards that there are, of which each is on that node; where it names its shards these stay.
    #[must_use]
    pub fn on_nodes(&self, nodes: &BTreeMap<String, Option<String>>) -> Self {
        let mut target = self.at_each(nodes.keys().map(String::as_str));
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

    /// Whether its node is known, or that of one of its places.
    #[must_use]
    pub fn has_node(&self) -> bool {
        let are_nodes = self.division() == Some(Division::Node) && matches!(self.places(), Some(Places::These(_)));
        are_nodes || self.coordinates.contains_key(NODE)
    }

    /// The values of a coordinate that it may have: each of its places; `None` where it may have any.
    #[must_use]
    pub fn may_have(&self, name: &str) -> Option<Vec<&str>> {
        match self.places() {
            Some(Places::These(places)) if self.division().is_some_and(|it| it.one() == name) => Some(places),
            _ => self.coordinates.get(name).map(|value| vec![value.as_str()]),
        }
    }
}

/// Coordinates as they are recorded and answered: several places are a list.
pub(super) fn written<S: Serializer>(coordinates: &Coordinates, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Value<'c> {
        Text(&'c str),
        List(Vec<&'c str>),
    }
    serializer.collect_map(coordinates.iter().map(|(name, value)| {
        let is_list = Division::named_by(name).is_some() && value != ALL;
        (*name, if is_list { Value::List(value.split(',').collect()) } else { Value::Text(value) })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::VendorName;

    const SHARDS: &str = "shards";
    const SHARD: &str = "shard_id";
    const A: &str = "0b2f8e6a5d4c4b3a9e8d7c6b5a4f3e2dno07";
    const B: &str = "f6b1c6d8a27e4c0d9d8bcb2a7d9a3e51no07";

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
            (all.places(), all.at_place("b")),
            (Some(Places::All), target(&[("instance_id", "i"), (SHARD, "b")]))
        );
        let known = all.on_nodes(&nodes);
        assert_eq!(known, target(&[("instance_id", "i"), (SHARDS, "a,b"), (NODE, "a/1,b/2")]));
        assert_eq!(known.at_place("b"), target(&[("instance_id", "i"), (SHARD, "b"), (NODE, "2")]));
        assert_eq!(known.narrowed(["b/7", "b/8"]), target(&[("instance_id", "i"), (SHARDS, "b"), (NODE, "b/2")]));
        assert_eq!(known.narrowed([]), known);
        let without = all.on_nodes(&[("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)].into());
        assert_eq!(without.at_place("b"), target(&[("instance_id", "i"), (SHARD, "b")]));
        assert!(without.has_node() && !without.at_place("b").has_node() && !without.narrowed(["b/7"]).has_node());
        assert_eq!(known.of_session(&SessionId("a/7".into())).into_owned(), known.at_place("a"));
        let one = target(&[("instance_id", "i"), (SHARD, "a")]);
        assert_eq!((one.places(), one.narrowed(["7"])), (None, one.clone()));
    }

    #[test]
    fn a_node_of_several_is_a_place_of_its_own() {
        let all = target(&[("instance_id", "i"), ("nodes", ALL)]);
        assert_eq!((all.division(), all.places(), all.has_node()), (Some(Division::Node), Some(Places::All), false));
        let known = all.at_each([B, A]);
        assert_eq!(known, target(&[("instance_id", "i"), ("nodes", &format!("{A},{B}"))]));
        assert!(known.has_node() && known.at_each([A]) == known, "those that were named stay");
        assert_eq!(known.at_place(B), target(&[("instance_id", "i"), (NODE, B)]));
        let one = known.narrowed([format!("{A}/7").as_str()]);
        assert_eq!(one, target(&[("instance_id", "i"), ("nodes", A)]));
        assert_eq!((one.may_have(NODE), all.may_have(NODE)), (Some(vec![A]), None));
    }

    #[test]
    fn the_name_of_a_place_tells_what_it_is() {
        assert_eq!(shard_or_node(Some(A)), (None, Some(A.into())));
        for shard in ["shard-a", "no07", &A[1..], &A.replace("no", "in"), &A.replace("07", "0x"), &A.replace('b', "-")]
        {
            assert_eq!(shard_or_node(Some(shard)), (Some(shard.into()), None), "{shard}");
        }
        assert_eq!(shard_or_node(None), (None, None));
    }

    #[test]
    fn several_shards_are_written_as_a_list_and_all_of_them_as_a_word() {
        let written = |shards| serde_json::to_value(target(&[(SHARDS, shards)])).unwrap()[SHARDS].clone();
        assert_eq!(written("a,b"), serde_json::json!(["a", "b"]));
        assert_eq!((written("a"), written(ALL)), (serde_json::json!(["a"]), serde_json::json!("all")));
    }
}
