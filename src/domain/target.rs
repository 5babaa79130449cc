//! Where the sessions live.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::{Likeness, LiveSession, Selector, SessionId, places};

/// The name of a vendor in the vendor table, such as `gaussdb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VendorName(pub &'static str);

impl VendorName {
    /// The name as it stands in requests, configuration and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for VendorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for VendorName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// Coordinates by name, each one checked against the pattern its vendor gives for it.
pub type Coordinates = BTreeMap<&'static str, String>;

/// Where the sessions live: vendor, account and coordinates, and the configured alias if it was named by one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Target {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    pub vendor: VendorName,
    pub account: String,
    #[serde(flatten, serialize_with = "places::written")]
    pub coordinates: Coordinates,
}

impl Target {
    /// Whether both are named alike, but for an alias. Two that are not may be the same place all the same, see
    /// [`may_be_same_place`](crate::upstream::may_be_same_place).
    #[must_use]
    pub fn is_named_like(&self, other: &Self) -> bool {
        self.vendor == other.vendor && self.account == other.account && self.coordinates == other.coordinates
    }

    /// The coordinate called `name`, or the empty text where this target has none.
    ///
    /// A vendor asks only for coordinates it declared as required, which every target of that vendor has.
    #[must_use]
    pub fn coordinate(&self, name: &str) -> &str {
        self.coordinates.get(name).map_or("", String::as_str)
    }

    /// The server, where an account's servers are told apart.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.coordinates.get("node").map(String::as_str)
    }
}

/// What of a session is to be ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The whole of it, with its connection.
    #[default]
    Session,
    /// What it runs now; its connection stays.
    Statement,
}

impl End {
    pub const ALL: [Self; 2] = [Self::Session, Self::Statement];

    /// The word in requests, answers and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Statement => "statement",
        }
    }

    /// The one with that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|end| end.as_str() == word)
    }
}

/// A kill as asked, always valid for its vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub target: Target,
    pub selector: Selector,
    pub end: End,
    /// What tells each of its sessions from others under the same id, as they were last seen: for vendors whose kills can ask
    /// for it. None of a session that was not looked at.
    pub likeness: BTreeMap<SessionId, Likeness>,
}

impl Order {
    /// The end of sessions that nobody has looked at.
    #[must_use]
    pub const fn new(target: Target, selector: Selector) -> Self {
        Self { target, selector, end: End::Session, likeness: BTreeMap::new() }
    }

    /// The same for some of its sessions.
    #[must_use]
    pub fn of_ids(&self, ids: Vec<SessionId>) -> Self {
        let likeness = ids.iter().filter_map(|id| Some((id.clone(), self.likeness.get(id)?.clone()))).collect();
        Self { target: self.target.clone(), selector: Selector::Ids(ids), end: self.end, likeness }
    }

    /// Where its sessions live: of several places those alone that it names sessions of.
    #[must_use]
    pub fn place(&self) -> Target {
        self.target.narrowed(self.selector.ids().iter().map(SessionId::as_str))
    }

    /// The same in parts of at most `most` ids, each at one place; one part where it names no ids.
    #[must_use]
    pub fn parts(&self, most: usize) -> Vec<Self> {
        let Selector::Ids(ids) = &self.selector else { return vec![self.clone()] };
        let part = |ids: &[SessionId]| {
            let part = self.of_ids(ids.to_vec());
            Self { target: part.place(), ..part }
        };
        let of_places = by_place(ids);
        of_places.iter().flat_map(|ids| ids.chunks(most.max(1)).map(part)).collect()
    }

    /// A part as its vendor takes it: at one place and with plain ids; and the place by which they were qualified.
    #[must_use]
    pub fn plain(&self) -> (Self, Option<String>) {
        let place = self.selector.ids().first().and_then(SessionId::place).filter(|_| self.target.division().is_some());
        let Some(place) = place else { return (self.clone(), None) };
        let selector = Selector::Ids(self.selector.ids().iter().map(SessionId::plain).collect());
        let likeness = self.likeness.iter().map(|(id, like)| (id.plain(), like.clone())).collect();
        (Self { target: self.target.at_place(place), selector, end: self.end, likeness }, Some(place.to_owned()))
    }

    /// The same with what tells each of its sessions apart that is among these.
    #[must_use]
    pub fn with_likeness_from(mut self, sessions: &[LiveSession]) -> Self {
        let ids: HashSet<&SessionId> = self.selector.ids().iter().collect();
        let seen = sessions.iter().filter(|session| ids.contains(&session.id));
        self.likeness = seen.map(|session| (session.id.clone(), Likeness::of(session))).collect();
        self
    }
}

/// The ids of each place, the places in the order in which they are named first.
fn by_place(ids: &[SessionId]) -> Vec<Vec<SessionId>> {
    let mut of_places: Vec<Vec<SessionId>> = vec![];
    let mut places = HashMap::new();
    for id in ids {
        let place = *places.entry(id.place()).or_insert(of_places.len());
        match of_places.get_mut(place) {
            Some(of_place) => of_place.push(id.clone()),
            None => of_places.push(vec![id.clone()]),
        }
    }
    of_places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Vec<SessionId> {
        ids.iter().map(|id| SessionId((*id).to_owned())).collect()
    }

    #[test]
    fn an_order_at_several_shards_is_parted_by_shard_and_each_part_is_plain_to_its_vendor() {
        let coordinates = [("shards", "all".to_owned())].into();
        let target = Target { alias: None, vendor: VendorName("dcdb"), account: "t".to_owned(), coordinates };
        let order = Order::new(target, Selector::Ids(ids(&["b/7", "a/7", "b/8", "b/9"])));
        let parts: Vec<_> = order.parts(2).iter().map(Order::plain).collect();
        let told = |(order, shard): &(Order, Option<String>)| {
            let place =
                (order.target.coordinates.get("shard_id").cloned(), order.target.coordinates.get("shards").cloned());
            (place, order.selector.ids().to_vec(), shard.clone())
        };
        let at = |shard: &str, of: &[&str]| ((Some(shard.to_owned()), None), ids(of), Some(shard.to_owned()));
        assert_eq!(
            parts.iter().map(told).collect::<Vec<_>>(),
            [at("b", &["7", "8"]), at("b", &["9"]), at("a", &["7"])]
        );
    }
}
