//! Which sessions have come back after a kill, and when that is looked for.
//!
//! A session counts where it is of a killed one's user and address and runs its statement, is none of those that the
//! kill was about or that were there before it, and began after it as far as anyone can tell. It decides and sends
//! nothing.

use std::time::Duration;

use time::OffsetDateTime;

use crate::{
    audit::{Seen, Sightings, Watch},
    domain::{Identity, Kill, LiveSession, Outcome},
    kill::after::settle::LOOKED_AFTER,
    upstream::{List, ListFilter, Vendor},
};

/// How much later than after its quarter the first look comes: a kill that was recorded before it was sent is answered
/// by then.
const HEAD_START: Duration = Duration::from_secs(1);
/// The least time for which a last look that failed is tried again.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is to be done about a watch now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kill) enum Step {
    /// Nothing can be learned any more.
    End,
    /// It is too early.
    Wait(OffsetDateTime),
    Look {
        is_last: bool,
    },
}

/// What has to be remembered of the list before a kill to recognise who comes back after it; `None` where nobody could
/// be recognised, or no such list can be had again.
pub(in crate::kill) fn sightings(
    vendor: &dyn Vendor,
    kill: &Kill,
    list: &List,
    asked: &[ListFilter],
) -> Option<Sightings> {
    let sent: Vec<&Identity> = recognisable(kill, Outcome::Unknown).collect();
    listing(vendor, &sent)?;
    let is_near = |session: &&LiveSession| sent.iter().any(|identity| identity.is_of_same_client(session));
    let seen = |session: &LiveSession| Seen(session.id.0.clone(), session.host.clone());
    let before = list.sessions.iter().filter(is_near).map(seen).collect();
    // Narrowed to several databases, nobody who is in one of them alone was looked for in another.
    let database = asked.iter().find_map(|filter| filter.database.clone());
    Some(Sightings { before, database, ..Sightings::default() })
}

/// When a watch that begins now is due for the first time.
pub(in crate::kill) fn first_due(now: OffsetDateTime, time: Duration) -> OffsetDateTime {
    now + time / 4 + HEAD_START
}

/// What a list has to be asked for that shows whoever may come back; `None` where no session was killed that could be
/// recognised, or there is no such list.
pub(in crate::kill) fn wanted(vendor: &dyn Vendor, kill: &Kill) -> Option<Vec<ListFilter>> {
    listing(vendor, &recognisable(kill, Outcome::Killed).collect::<Vec<_>>())
}

fn listing(vendor: &dyn Vendor, sessions: &[&Identity]) -> Option<Vec<ListFilter>> {
    sessions.first()?;
    vendor.capabilities().listing?.of_users(sessions.iter().map(|identity| identity.user.as_ref()))
}

fn recognisable(kill: &Kill, outcome: Outcome) -> impl Iterator<Item = &Identity> {
    let of_outcome = kill.sessions.iter().filter(move |session| session.outcome == outcome);
    of_outcome.filter_map(|session| session.identity.as_ref()).filter(|identity| identity.is_recognisable())
}

/// What is to be done about a kill that is watched for `time`: two looks, after a quarter of it and at its end.
pub(in crate::kill) fn step(kill: &Kill, looks: i32, now: OffsetDateTime, time: Duration) -> Step {
    let Some(completed_at) = kill.completed_at.filter(|_| !kill.status.is_open()) else {
        let is_over = time.is_zero() || now >= kill.requested_at + LOOKED_AFTER + time;
        return if is_over { Step::End } else { Step::Wait(now + pause(time)) };
    };
    let (first, end) = (completed_at + time / 4, completed_at + time);
    if time.is_zero() || recognisable(kill, Outcome::Killed).next().is_none() || now >= end + time.max(PATIENCE) {
        Step::End
    } else if now >= end {
        Step::Look { is_last: true }
    } else if looks > 0 {
        Step::Wait(end)
    } else if now >= first {
        Step::Look { is_last: false }
    } else {
        Step::Wait(first)
    }
}

/// When a watch is due again after a look that began `now`, or after one that failed; `None` after the last one.
pub(in crate::kill) fn next(
    kill: &Kill,
    is_last: bool,
    has_failed: bool,
    now: OffsetDateTime,
    time: Duration,
) -> Option<OffsetDateTime> {
    match (is_last, has_failed) {
        (true, false) => None,
        (true, true) => Some(now + pause(time)),
        // Of two looks one may fail.
        (false, _) => Some(kill.completed_at.unwrap_or(now) + time),
    }
}

fn pause(time: Duration) -> Duration {
    (time / 4).max(Duration::from_secs(1))
}

/// Adds the sessions of a list that have come back to those that had before. `now` is a time after the list was read.
pub(in crate::kill) fn learn(watch: &mut Watch, kill: &Kill, list: &List, now: OffsetDateTime) {
    let Some(killed_from) = killed_from(kill) else { return };
    let sightings = &watch.sightings;
    let came = list.sessions.iter().filter(|session| {
        let is_like = |killed: &Identity| killed.is_of_same_client(session) && killed.runs_same_statement(session);
        recognisable(kill, Outcome::Killed).any(is_like)
            && began_after(session, killed_from, now)
            && !is_of_kill(kill, session)
            && !was_there(sightings, session)
    });
    let came: Vec<String> = came.map(|session| session.id.0.clone()).collect();
    watch.sightings.came.extend(came);
}

/// The moment from which the kill may have ended sessions.
fn killed_from(kill: &Kill) -> Option<OffsetDateTime> {
    let look = kill.look?;
    Some(look.at + time::Duration::milliseconds(look.to_kill_ms.unwrap_or(0)))
}

/// Whether a session may have begun after that moment. Vendors tell whole seconds, so up to one of them is theirs.
fn began_after(session: &LiveSession, moment: OffsetDateTime, now: OffsetDateTime) -> bool {
    let started = session.started_at.is_none_or(|at| at + Duration::from_secs(1) > moment);
    let seconds = i64::try_from(session.seconds.unwrap_or(0)).unwrap_or(i64::MAX);
    started && seconds <= (now - moment).whole_seconds()
}

/// Whether it is one of those that the kill was about.
fn is_of_kill(kill: &Kill, session: &LiveSession) -> bool {
    let same = |identity: &Identity| identity.contradiction(session).is_none();
    kill.sessions.iter().any(|known| known.id == session.id.0 && known.identity.as_ref().is_none_or(same))
}

/// Whether it was there before the kill, or may have been where the list before it could not show it.
fn was_there(sightings: &Sightings, session: &LiveSession) -> bool {
    let same_host = |host: &String| session.host.as_ref().is_none_or(|seen| seen == host);
    let is = |Seen(id, host): &Seen| *id == session.id.0 && host.as_ref().is_none_or(same_host);
    let elsewhere = sightings.database.as_ref().is_some_and(|shown| session.database.as_ref() != Some(shown));
    elsewhere || sightings.before.iter().any(is)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;
    use crate::{
        clock::id_at,
        domain::{Look, Session, SessionId, Status},
        upstream,
    };

    const NOON: OffsetDateTime = datetime!(2026-01-02 12:00 UTC);
    const MINUTE: Duration = Duration::from_mins(1);

    fn live(id: &str, host: &str, seconds: u64) -> LiveSession {
        let text = |text: &str| Some(text.to_owned());
        LiveSession {
            user: text("app"),
            host: text(host),
            statement: text("select 1"),
            seconds: Some(seconds),
            ..LiveSession::new(SessionId(id.to_owned()))
        }
    }

    /// A kill of session 7 that was looked at at noon, sent a second and done two seconds later.
    fn kill(outcome: Outcome) -> Kill {
        let identity = Some(Identity::of(&live("7", "10.0.0.7:4", 60)));
        let sessions = vec![Session { identity, ..Session::new(&SessionId("7".into()), outcome) }];
        Kill {
            status: Status::of(&sessions),
            select: Some(json!({ "ids": ["7"] })),
            sessions,
            look: Some(Look { at: NOON, complete: true, to_kill_ms: Some(1000) }),
            completed_at: Some(at(2)),
            ..Kill::sample(NOON)
        }
    }

    fn at(seconds: u64) -> OffsetDateTime {
        NOON + Duration::from_secs(seconds)
    }

    #[test]
    fn a_kill_is_looked_after_at_a_quarter_of_the_time_and_at_its_end() {
        let step = |looks, seconds| step(&kill(Outcome::Killed), looks, at(seconds), MINUTE);
        assert_eq!(step(0, 16), Step::Wait(at(17)));
        assert_eq!(step(0, 17), Step::Look { is_last: false });
        assert_eq!(step(1, 61), Step::Wait(at(62)));
        assert_eq!((step(1, 62), step(0, 121)), (Step::Look { is_last: true }, Step::Look { is_last: true }));
        assert_eq!(step(1, 122), Step::End, "what comes so late says nothing of this kill");
        let next = |is_last, has_failed| next(&kill(Outcome::Killed), is_last, has_failed, at(70), MINUTE);
        assert_eq!((next(false, false), next(false, true)), (Some(at(62)), Some(at(62))));
        assert_eq!((next(true, false), next(true, true)), (None, Some(at(85))));
    }

    #[test]
    fn a_kill_is_watched_only_while_it_may_end_or_has_ended_somebody() {
        let step = |outcome, seconds| step(&kill(outcome), 0, at(seconds), MINUTE);
        assert_eq!(step(Outcome::Unknown, 30), Step::Wait(at(45)));
        assert_eq!(step(Outcome::Accepted, 959), Step::Wait(at(974)));
        assert_eq!(step(Outcome::Unknown, 960), Step::End);
        assert_eq!((step(Outcome::Failed, 20), step(Outcome::NotFound, 20)), (Step::End, Step::End));
        assert_eq!(super::step(&kill(Outcome::Killed), 0, at(20), Duration::ZERO), Step::End, "it was switched off");
    }

    #[test]
    fn who_was_there_before_or_began_before_did_not_come_back() {
        let came = |list: &[LiveSession], sightings: Sightings| {
            let (kill_id, gateway, kill) = (id_at(NOON), "here".to_owned(), kill(Outcome::Killed));
            let mut watch = Watch { kill_id, gateway, due_at: NOON, looks: 0, sightings };
            learn(&mut watch, &kill, &List::of_place(list.to_vec(), true), at(21));
            watch.sightings.came.into_iter().collect::<Vec<_>>()
        };
        let seen = |id: &str, host: Option<&str>| Seen(id.into(), host.map(str::to_owned));
        let new = [live("8", "10.0.0.7:5", 20)];
        assert_eq!(came(&new, Sightings::default()), ["8"]);
        let before = |before: Seen| came(&new, Sightings { before: vec![before], ..Sightings::default() });
        assert_eq!((before(seen("8", Some("10.0.0.7:5"))), before(seen("8", None))), (vec![], vec![]));
        assert_eq!(before(seen("8", Some("10.0.0.7:6"))), ["8"], "another one had that id");
        assert!(came(&[live("8", "10.0.0.7:5", 21)], Sightings::default()).is_empty(), "it is older than the kill");
        let started = |seconds| LiveSession { started_at: Some(at(seconds)), ..live("8", "10.0.0.7:5", 0) };
        assert!(came(&[started(0)], Sightings::default()).is_empty());
        assert_eq!(came(&[started(1)], Sightings::default()), ["8"]);
        let narrowed = Sightings { database: Some("orders".into()), ..Sightings::default() };
        assert!(came(&new, narrowed).is_empty(), "it may have been there, in its database");
        assert!(came(&[live("7", "10.0.0.7:4", 0)], Sightings::default()).is_empty(), "the session itself");
        assert_eq!(came(&[live("7", "10.0.0.7:5", 0)], Sightings::default()), ["7"]);
    }

    #[test]
    fn of_the_list_before_a_kill_those_of_the_same_clients_are_remembered() {
        let list = |sessions: &[LiveSession]| List::of_place(sessions.to_vec(), true);
        let list = list(&[live("7", "10.0.0.7:4", 9), live("8", "10.0.0.7:5", 9), live("9", "10.0.0.9:4", 9)]);
        let das = upstream::find("das").unwrap();
        let wanted = [ListFilter::of_user("app")];
        let mut kill = kill(Outcome::Unknown);
        let before = sightings(das, &kill, &list, &wanted).unwrap().before;
        assert_eq!(before, [Seen("7".into(), Some("10.0.0.7:4".into())), Seen("8".into(), Some("10.0.0.7:5".into()))]);
        let without = |change: fn(&mut Identity), kill: &mut Kill| {
            change(kill.sessions[0].identity.as_mut().unwrap());
            sightings(das, kill, &list, &wanted)
        };
        assert_eq!(without(|identity| identity.statement_digest = None, &mut kill), None);
    }
}
