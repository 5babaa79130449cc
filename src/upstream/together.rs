//! The lists of several places as one list.
//!
//! The vendor is asked for the places first, and then for each one's list as it is for that of any one place. A place that
//! cannot be listed keeps no other from being listed. The invariant: every session is qualified by the place whose list
//! showed it.

use std::collections::BTreeMap;

use crate::domain::{LiveSession, Places, SessionId, Target};

use super::{List, ListFilter, Listing, Vendor};

const NO_PRIMARY: &str = "the instance has no such shard, or the shard has no primary now";
const CUT_OFF: &str = "its list was cut off";

/// The list of one of several places, on its way.
#[derive(Debug, Clone)]
pub struct OfPlace {
    place: String,
    pub listing: Listing,
    /// Why it could not be read to its end.
    pub why: Option<String>,
}

/// The lists of a target's places, once it is known which there are; `None` where it is one place.
pub(super) fn of_each(vendor: &'static dyn Vendor, target: &Target, filter: &ListFilter) -> Option<Vec<OfPlace>> {
    let Some(Places::These(places)) = target.places() else { return None };
    let of = |place: &str| {
        let one = target.at_place(place);
        let why = (!one.has_node()).then(|| NO_PRIMARY.to_owned());
        OfPlace { place: place.to_owned(), listing: Listing::new(vendor, one, filter.clone()), why }
    };
    Some(places.into_iter().map(of).collect())
}

/// What they show together.
pub(super) fn together(places: Vec<OfPlace>) -> List {
    let (mut sessions, mut gaps) = (vec![], BTreeMap::new());
    for OfPlace { place, listing, why } in places {
        let list = listing.into_list();
        sessions.extend(list.sessions.into_iter().map(|session| qualified(session, &place)));
        let gap = why.or_else(|| (!list.complete).then(|| CUT_OFF.to_owned()));
        gaps.insert(place, gap);
    }
    List { sessions, complete: gaps.values().all(Option::is_none), places: gaps }
}

fn qualified(session: LiveSession, place: &str) -> LiveSession {
    let at = |id: &SessionId| SessionId::at(Some(place), id.as_str());
    LiveSession { id: at(&session.id), blocked_by: session.blocked_by.iter().map(at).collect(), ..session }
}
