//! One caller that follows one kill.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{Come, Following};
use crate::{
    audit::{AuditError, KillEvent},
    domain::{Kill, KillId},
    seats::Seat,
};

/// How long nothing is told without a sign of life.
const SIGN: Duration = Duration::from_secs(15);

/// What a follower is told.
#[derive(Debug)]
pub enum Told {
    Event(Box<KillEvent>),
    /// Nothing has happened.
    Alive,
    /// The kill as it is now that nothing more is to be waited for; the last that is told.
    Over(Arc<Kill>),
}

/// Follows one kill; takes up one seat for as long as it lives.
#[derive(Debug)]
pub struct Follower {
    following: Following,
    kill: KillId,
    come: watch::Receiver<Come>,
    /// What was read and is to be told.
    events: VecDeque<KillEvent>,
    /// The last event that was read.
    read: i32,
    state: State,
    until: Instant,
    _seat: Seat,
}

/// What comes once all that was read is told.
#[derive(Debug)]
enum State {
    /// What is on record already; `is_over` where nothing will come after it.
    First {
        is_over: bool,
    },
    Waiting,
    /// The kill itself, where it was read already.
    Last(Option<Arc<Kill>>),
    Nothing,
}

impl Follower {
    pub(super) fn new(following: Following, seat: Seat, kill: &Kill, after: i32, until: Instant) -> Self {
        following.0.metrics.streams().inc();
        let (come, state) = (following.watch(kill.id), State::First { is_over: kill.status.is_final() });
        let events = VecDeque::new();
        Self { following, kill: kill.id, come, events, read: after, state, until, _seat: seat }
    }

    /// What is to be told next, as soon as there is anything; `None` at the end.
    ///
    /// # Errors
    /// The record could not be read. Nothing more is told then.
    pub async fn next(&mut self) -> Result<Option<Told>, AuditError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(Told::Event(Box::new(event))));
            }
            match std::mem::replace(&mut self.state, State::Nothing) {
                State::First { is_over } => {
                    let come = Come { seq: self.read, is_over, ..Come::default() };
                    self.read(come).await?;
                }
                State::Waiting => match self.wait().await {
                    Some(None) => {
                        self.state = State::Waiting;
                        return Ok(Some(Told::Alive));
                    }
                    Some(Some(come)) => self.read(come).await?,
                    None => return Ok(None),
                },
                State::Last(Some(kill)) => return Ok(Some(Told::Over(kill))),
                State::Last(None) => {
                    let kill = self.following.0.audit.find(self.kill).await?;
                    return Ok(kill.map(|kill| Told::Over(Arc::new(kill))));
                }
                State::Nothing => return Ok(None),
            }
        }
    }

    /// Waits for news; nothing in it is a sign of life, and `None` the end.
    async fn wait(&mut self) -> Option<Option<Come>> {
        let mut stop = self.following.0.stop.subscribe();
        let read = self.read;
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => None,
            () = sleep_until(self.until) => None,
            // Whoever asks the record lives as long as this.
            come = self.come.wait_for(|come| come.is_over || come.seq > read) => Some(Some(come.ok()?.clone())),
            () = sleep(SIGN) => Some(None),
        }
    }

    /// Reads what is new of a kill that has come so far.
    async fn read(&mut self, come: Come) -> Result<(), AuditError> {
        let events = self.following.0.audit.events(self.kill, self.read).await?;
        self.read = events.last().map_or(self.read, |last| last.seq).max(come.seq);
        self.events.extend(events);
        self.state = if come.is_over { State::Last(come.kill) } else { State::Waiting };
        Ok(())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.following.0.metrics.streams().dec();
    }
}
