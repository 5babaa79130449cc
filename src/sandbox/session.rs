//! Places and the sessions that live there.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::Serialize;

/// One session list of the simulated world: what a kill call has to address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Place {
    pub vendor: &'static str,
    pub instance_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component_id: Option<String>,
}

impl Place {
    /// A whole instance of that vendor.
    #[must_use]
    pub fn of(vendor: &'static str, instance_id: &str) -> Self {
        Self { vendor, instance_id: instance_id.into(), shard_id: None, node_id: None, component_id: None }
    }

    /// One node of it.
    #[must_use]
    pub fn at_node(mut self, node_id: &str) -> Self {
        self.node_id = Some(node_id.into());
        self
    }

    #[must_use]
    pub fn gaussdb(instance_id: &str, node_id: &str, component_id: &str) -> Self {
        Self { component_id: Some(component_id.into()), ..Self::of("gaussdb", instance_id).at_node(node_id) }
    }

    #[must_use]
    pub fn das(instance_id: &str) -> Self {
        Self::of("das", instance_id)
    }

    #[must_use]
    pub fn taurusdb(instance_id: &str, node_id: &str) -> Self {
        Self::of("taurusdb", instance_id).at_node(node_id)
    }

    #[must_use]
    pub fn dcdb(instance_id: &str, shard_id: &str, node_id: &str) -> Self {
        Self { shard_id: Some(shard_id.into()), ..Self::of("dcdb", instance_id).at_node(node_id) }
    }

    /// Whether both are of one instance.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        (self.vendor, &self.instance_id) == (other.vendor, &other.instance_id)
    }
}

/// One live database session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    pub id: u64,
    pub user: String,
    /// Address and port of the client.
    pub host: String,
    pub database: String,
    pub command: String,
    pub state: String,
    /// How long it has been in this state; it grows while the world runs.
    pub seconds: u64,
    pub statement: String,
    /// A thread of the engine itself: not listed, and skipped by TaurusDB kills.
    pub internal: bool,
    /// The session whose lock it waits for, while that one is there; GaussDB's lists tell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<u64>,
}

impl Session {
    /// A session that runs `select 1` for a user; the other fields are there to be changed.
    #[must_use]
    pub fn new(id: u64, user: &str) -> Self {
        Self {
            id,
            user: user.into(),
            host: format!("10.0.{}.{}:{}", id / 250 % 250, id % 250, 40_000 + id % 20_000),
            database: "orders".into(),
            command: "Query".into(),
            state: "executing".into(),
            seconds: 1,
            statement: "select 1".into(),
            internal: false,
            blocked_by: None,
        }
    }

    /// The same session, running that for so many seconds.
    #[must_use]
    pub fn running(mut self, statement: &str, seconds: u64) -> Self {
        self.statement = statement.into();
        self.seconds = seconds;
        self
    }

    /// The same session, in that database.
    #[must_use]
    pub fn in_database(mut self, database: &str) -> Self {
        self.database = database.into();
        self
    }

    /// The same session, with that command and state and no statement.
    #[must_use]
    pub fn doing(mut self, command: &str, state: &str, seconds: u64) -> Self {
        self.command = command.into();
        self.state = state.into();
        self.seconds = seconds;
        self.statement = String::new();
        self
    }

    /// The same session, waiting for a lock of that one.
    #[must_use]
    pub fn behind(mut self, id: u64) -> Self {
        self.blocked_by = Some(id);
        self
    }

    /// The same session from that address and port.
    #[must_use]
    pub fn from_host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    /// The same session as a thread of the engine itself.
    #[must_use]
    pub fn internal(mut self) -> Self {
        self.internal = true;
        self
    }
}

/// When a session that was told to die will be gone, and whether lists show it as `Killed` until then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Death {
    pub(super) at: Instant,
    pub(super) shown: bool,
}

impl Death {
    /// Gone at once.
    pub(super) fn now() -> Self {
        Self { at: Instant::now(), shown: false }
    }

    /// Gone after that long.
    pub(super) fn after(time: Duration, shown: bool) -> Self {
        Self { at: Instant::now() + time, shown }
    }
}

#[derive(Debug, Clone)]
struct Held {
    session: Session,
    since: Instant,
    /// When it began, in seconds since 1970, once somebody asked: it stays what it was.
    began: Option<i64>,
    death: Option<Death>,
}

impl Held {
    fn is_gone(&self) -> bool {
        self.death.is_some_and(|death| death.at <= Instant::now())
    }

    fn shown(&self) -> Session {
        let mut session = self.session.clone();
        session.seconds += self.since.elapsed().as_secs();
        if self.death.is_some_and(|death| death.shown) {
            session.command = "Killed".into();
        }
        session
    }
}

/// The sessions of one place.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) place: Place,
    /// The serial name of a DCDB shard.
    pub(super) serial: Option<String>,
    /// Where a kill without a node goes.
    pub(super) primary: bool,
    held: BTreeMap<u64, Held>,
}

impl Table {
    pub(super) fn new(place: Place) -> Self {
        Self { place, serial: None, primary: true, held: BTreeMap::new() }
    }

    pub(super) fn put(&mut self, session: Session) {
        self.held.insert(session.id, Held { session, since: Instant::now(), began: None, death: None });
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.held.remove(&id);
    }

    /// Every session that is still there, the engine's own threads included.
    pub(super) fn all(&self) -> Vec<Session> {
        let there = self.held.values().filter(|held| !held.is_gone()).map(Held::shown);
        // Whoever waited for one that is gone goes on.
        let waits = |id: u64| self.find(id).is_some();
        there.map(|session| Session { blocked_by: session.blocked_by.filter(|id| waits(*id)), ..session }).collect()
    }

    /// What a list shows: every session but the engine's own threads.
    pub(super) fn listed(&self) -> Vec<Session> {
        self.all().into_iter().filter(|session| !session.internal).collect()
    }

    /// When a session began, in seconds since 1970, asked at `now`; it has done nothing else since.
    pub(super) fn began(&mut self, id: u64, now: i64) -> i64 {
        let Some(held) = self.held.get_mut(&id) else { return now };
        let seconds = held.shown().seconds;
        *held.began.get_or_insert(now.saturating_sub_unsigned(seconds))
    }

    pub(super) fn find(&self, id: u64) -> Option<&Session> {
        self.held.get(&id).filter(|held| !held.is_gone()).map(|held| &held.session)
    }

    /// Ends those of `ids` that are there, and says which were.
    pub(super) fn kill(&mut self, ids: &[u64], death: Death) -> Vec<u64> {
        let mut killed = vec![];
        for id in ids {
            let Some(held) = self.held.get_mut(id).filter(|held| !held.is_gone()) else { continue };
            held.death = Some(death);
            if !killed.contains(id) {
                killed.push(*id);
            }
        }
        killed
    }

    /// Opens a new session for each of `ids`, as a pool does that lost them: another id and another port.
    pub(super) fn reconnect(&mut self, ids: &[u64]) {
        for id in ids {
            let Some(lost) = self.held.get(id).map(|held| held.session.clone()) else { continue };
            let id = self.held.last_key_value().map_or(1, |(last, _)| last + 1);
            let (address, port) = lost.host.rsplit_once(':').unwrap_or((&lost.host, "0"));
            // The next ephemeral port, whatever the one before.
            let port = 40_001 + (port.parse().unwrap_or(0_u64)) % 20_000;
            self.put(Session { id, host: format!("{address}:{port}"), seconds: 0, ..lost });
        }
    }

    /// Gives the id of every one of `ids` to somebody else's new session.
    pub(super) fn recycle(&mut self, ids: &[u64]) {
        for id in ids {
            self.put(Session::new(*id, "newcomer").running("select balance from accounts where id = 7", 0));
        }
    }
}
