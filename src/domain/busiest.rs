//! Which running statements a database suffers from most, chosen from a list of its sessions.
//!
//! Sessions that run the same statement, but for its literals, are a group. Three groups are chosen: the one with the
//! longest run, the one of most sessions, and the one with the longest mean run. Whoever waits for another session is a
//! victim of that one, and a statement that began a moment ago is nobody's trouble: both are left out.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{LiveSession, identity::statement_digest};

/// Fewest seconds for which a statement must have run.
pub const LEAST_SECONDS: u64 = 5;

/// Sessions that run the same statement.
#[derive(Debug)]
struct Group<'s> {
    sessions: Vec<&'s LiveSession>,
    longest: u64,
    total: u64,
}

impl Group<'_> {
    fn count(&self) -> u64 {
        u64::try_from(self.sessions.len()).unwrap_or(u64::MAX)
    }

    fn mean(&self) -> u64 {
        self.total / self.count().max(1)
    }

    fn figures(&self) -> String {
        let count = self.count();
        let sessions = if count == 1 { "session runs" } else { "sessions run" };
        format!("{count} {sessions} this statement, for {} s at most and {} s on average", self.longest, self.mean())
    }
}

/// The sessions of the three groups, each once and with its group's figures; `may_go` says whose may be ended.
pub fn busiest(
    sessions: &[LiveSession],
    may_go: impl Fn(&LiveSession) -> bool,
) -> impl Iterator<Item = (&LiveSession, String)> {
    let mut groups: BTreeMap<String, Group<'_>> = BTreeMap::new();
    for session in sessions.iter().filter(|session| session.is_running() && session.blocked_by.is_empty()) {
        let seconds = session.seconds.filter(|seconds| *seconds >= LEAST_SECONDS);
        let (Some(seconds), Some(digest)) = (seconds, session.statement.as_deref().and_then(statement_digest)) else {
            continue;
        };
        if may_go(session) {
            let group = groups.entry(digest).or_insert_with(|| Group { sessions: vec![], longest: 0, total: 0 });
            group.sessions.push(session);
            group.longest = group.longest.max(seconds);
            group.total = group.total.saturating_add(seconds);
        }
    }
    let most = |by: &dyn Fn(&Group<'_>) -> u64| {
        // Of equals the first, so that a preview and its kill choose alike.
        groups.iter().min_by_key(|(_, group)| Reverse(by(group))).map(|(digest, _)| digest.clone())
    };
    let chosen = [most(&|group| group.longest), most(&|group| group.count()), most(&|group| group.mean())];
    let groups: Vec<_> = chosen.into_iter().flatten().filter_map(|digest| groups.remove(&digest)).collect();
    groups.into_iter().flat_map(|group| {
        let figures = group.figures();
        group.sessions.into_iter().map(move |session| (session, figures.clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SessionId;

    fn runs(id: u8, statement: &str, seconds: u64) -> LiveSession {
        LiveSession {
            state: Some("active".to_owned()),
            seconds: Some(seconds),
            statement: Some(statement.to_owned()),
            ..LiveSession::new(SessionId(id.to_string()))
        }
    }

    fn chosen(sessions: &[LiveSession]) -> Vec<&str> {
        let mut ids: Vec<_> = busiest(sessions, |_| true).map(|(session, _)| session.id.as_str()).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn the_longest_the_most_and_the_longest_on_average_are_chosen_whatever_their_literals() {
        let sessions = [
            runs(1, "SELECT long FROM a WHERE id = 1", 900),
            runs(2, "SELECT long FROM a WHERE id = 2", 5),
            runs(3, "SELECT many FROM b", 6),
            runs(4, "SELECT many FROM b", 6),
            runs(5, "SELECT many FROM b", 6),
            runs(6, "SELECT mean FROM c", 600),
            runs(7, "SELECT nothing FROM d", 100),
        ];
        assert_eq!(chosen(&sessions), ["1", "2", "3", "4", "5", "6"]);
        let told: Vec<_> = busiest(&sessions, |_| true).filter(|(session, _)| session.id.as_str() == "1").collect();
        assert_eq!(told[0].1, "2 sessions run this statement, for 900 s at most and 452 s on average");
    }

    #[test]
    fn a_healthy_server_the_idle_the_waiting_and_those_who_may_stay_are_left_alone() {
        assert_eq!(chosen(&[runs(1, "SELECT 1", 4), runs(2, "SELECT 2", 0)]), [""; 0]);
        let idle = LiveSession { state: Some("idle in transaction".to_owned()), ..runs(3, "SELECT 1", 900) };
        let waits = LiveSession { blocked_by: vec![SessionId("3".to_owned())], ..runs(4, "UPDATE a SET b = 1", 900) };
        assert_eq!(chosen(&[idle, waits]), [""; 0]);
        let sessions = [runs(5, "SELECT 1", 900), runs(6, "SELECT b FROM c", 9)];
        let ids: Vec<_> =
            busiest(&sessions, |session| session.id.as_str() != "5").map(|(it, _)| it.id.as_str()).collect();
        assert_eq!(ids, ["6"]);
    }
}
