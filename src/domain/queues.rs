//! Who waits for whom.

use std::collections::{HashMap, HashSet};

use super::{LiveSession, SessionId};

/// The queues of sessions that wait for others, as a list of sessions tells them.
#[derive(Debug, Default)]
pub struct Queues<'s> {
    behind: HashMap<&'s SessionId, Vec<&'s SessionId>>,
}

impl<'s> Queues<'s> {
    #[must_use]
    pub fn of(sessions: &'s [LiveSession]) -> Self {
        let mut behind: HashMap<_, Vec<_>> = HashMap::new();
        for session in sessions {
            for blocker in &session.blocked_by {
                behind.entry(blocker).or_default().push(&session.id);
            }
        }
        Self { behind }
    }

    /// The sessions that wait for that one itself.
    #[must_use]
    pub fn behind(&self, id: &SessionId) -> &[&'s SessionId] {
        self.behind.get(id).map_or(&[], Vec::as_slice)
    }

    /// How many wait for that one, or for one that waits for it.
    #[must_use]
    pub fn length(&self, id: &SessionId) -> usize {
        let (mut seen, mut next) = (HashSet::new(), self.behind(id).to_vec());
        while let Some(waiting) = next.pop() {
            // Whoever waits for two of them counts once, and a circle ends.
            if waiting != id && seen.insert(waiting) {
                next.extend(self.behind(waiting));
            }
        }
        seen.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_as_long_as_all_who_wait_in_it_each_once_and_a_circle_ends() {
        let id = |number: u8| SessionId(number.to_string());
        let waits = |number: u8, on: &[u8]| LiveSession {
            blocked_by: on.iter().map(|on| id(*on)).collect(),
            ..LiveSession::new(id(number))
        };
        let sessions =
            [waits(1, &[]), waits(2, &[1]), waits(3, &[1, 2]), waits(4, &[3]), waits(5, &[6]), waits(6, &[5])];
        let queues = Queues::of(&sessions);
        assert_eq!([1, 2, 3, 4, 5].map(|number| queues.length(&id(number))), [3, 2, 1, 0, 1]);
        assert_eq!(queues.behind(&id(1)), [&id(2), &id(3)]);
    }
}
