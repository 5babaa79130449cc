//! The lists of several shards as one list.
//!
//! The vendor is asked for the shards first, and then for each one's list as it is for that of any one place. A shard that
//! cannot be listed keeps no other from being listed. The invariant: every session is qualified by the shard whose list
//! showed it.

use std::collections::BTreeMap;

use crate::domain::{LiveSession, SessionId, Shards, Target};

use super::{List, ListFilter, Listing, Vendor};

const NO_PRIMARY: &str = "the instance has no such shard, or the shard has no primary now";
const CUT_OFF: &str = "its list was cut off";

/// The list of one of several shards, on its way.
#[derive(Debug, Clone)]
pub struct OfShard {
    shard: String,
    pub listing: Listing,
    /// Why it could not be read to its end.
    pub why: Option<String>,
}

/// The lists of a target's shards, once it is known which there are; `None` where it is one place.
pub(super) fn of_each(vendor: &'static dyn Vendor, target: &Target, filter: &ListFilter) -> Option<Vec<OfShard>> {
    let Some(Shards::These(shards)) = target.shards() else { return None };
    let of = |shard: &str| {
        let place = target.at_shard(shard);
        let why = (!place.has_node()).then(|| NO_PRIMARY.to_owned());
        OfShard { shard: shard.to_owned(), listing: Listing::new(vendor, place, filter.clone()), why }
    };
    Some(shards.into_iter().map(of).collect())
}

/// What they show together.
pub(super) fn together(shards: Vec<OfShard>) -> List {
    let (mut sessions, mut gaps) = (vec![], BTreeMap::new());
    for OfShard { shard, listing, why } in shards {
        let list = listing.into_list();
        sessions.extend(list.sessions.into_iter().map(|session| qualified(session, &shard)));
        let gap = why.or_else(|| (!list.complete).then(|| CUT_OFF.to_owned()));
        gaps.insert(shard, gap);
    }
    List { sessions, complete: gaps.values().all(Option::is_none), shards: gaps }
}

fn qualified(session: LiveSession, shard: &str) -> LiveSession {
    let at = |id: &SessionId| SessionId::at(Some(shard), id.as_str());
    LiveSession { id: at(&session.id), blocked_by: session.blocked_by.iter().map(at).collect(), ..session }
}
