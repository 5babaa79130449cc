//! Previews that may be confirmed, each by whoever was shown it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use super::callers::Who;

/// Most previews of one owner, and of all together; the oldest goes first.
const MOST: usize = 100;
const MOST_OF_ALL: usize = 2000;

/// Who was shown a preview: the session of the protocol, where there is one, and whom the gateway takes its token for.
pub(super) type Owner = (Option<String>, Who);

/// A preview that may be confirmed.
#[derive(Clone)]
pub(super) struct Previewed {
    /// The kill, bound to the preview.
    pub(super) body: Value,
    /// How many sessions it would end; `None` where the database picks.
    pub(super) sessions: Option<usize>,
    /// Confirmed again it is the same kill.
    pub(super) key: String,
}

// It has a token in its body.
impl fmt::Debug for Previewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Previewed").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

/// See the module. Ids sort by the time they were made.
#[derive(Debug, Default)]
pub(super) struct Previews(Mutex<BTreeMap<String, (Owner, Previewed)>>);

impl Previews {
    pub(super) fn remember(&self, owner: &Owner, id: &str, previewed: Previewed) {
        let mut kept = self.kept();
        kept.insert(id.to_owned(), (owner.clone(), previewed));
        let mut own = kept.iter().filter(|(_, (of, _))| of == owner).map(|(id, _)| id);
        if own.clone().count() > MOST
            && let Some(oldest) = own.next().cloned()
        {
            kept.remove(&oldest);
        }
        if kept.len() > MOST_OF_ALL {
            kept.pop_first();
        }
    }

    /// What that owner was shown under that id.
    pub(super) fn of(&self, owner: &Owner, id: &str) -> Option<Previewed> {
        self.kept().get(id).filter(|(of, _)| of == owner).map(|(_, previewed)| previewed.clone())
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, (Owner, Previewed)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owner(session: &str) -> Owner {
        (Some(session.to_owned()), Who::default())
    }

    fn previewed() -> Previewed {
        Previewed { body: json!({ "confirm": "canary" }), sessions: Some(1), key: "key".to_owned() }
    }

    #[test]
    fn a_preview_is_its_owners_alone_and_no_log_has_its_confirm() {
        let previews = Previews::default();
        previews.remember(&owner("a"), "1", previewed());
        assert!(previews.of(&owner("a"), "1").is_some());
        assert!(previews.of(&owner("b"), "1").is_none() && previews.of(&(None, Who::default()), "1").is_none());
        assert!(!format!("{previews:?}").contains("canary"));
    }

    #[test]
    fn whoever_previews_much_forgets_the_own_oldest_and_no_others() {
        let previews = Previews::default();
        previews.remember(&owner("a"), "000", previewed());
        for id in 1..=MOST + 1 {
            previews.remember(&owner("b"), &format!("{id:03}"), previewed());
        }
        assert!(previews.of(&owner("a"), "000").is_some());
        assert!(previews.of(&owner("b"), "001").is_none() && previews.of(&owner("b"), "002").is_some());
    }
}
