//! How a simulated vendor can misbehave.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    Action, Session,
    session::{Death, Table},
    wire::{Frame, Interim, Writing},
};

/// What a vendor does instead of answering as documented. It comes after authentication and the rate limit, so a
/// wrong signature is still refused. What is not said to skip the work does it: that is the harder case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// Works at once, answers late.
    #[serde(rename = "slow_ms", with = "millis")]
    Slow(Duration),
    /// Works at once, answers when nothing is planned any more: once the clouds [behave](super::Clouds::behave) or start
    /// again.
    Hold,
    /// Works, and leaves the connection open without an answer until the server stops.
    Hang,
    /// Works, then closes the connection without a byte: a lost answer.
    Drop,
    /// Closes the connection without a byte, the work not done.
    DropBefore,
    /// Works, then sends the head and half of the body and closes.
    Truncate,
    /// Works, then answers 200 with a page of HTML.
    Garble,
    /// Answers exactly this, the work not done.
    Status(Canned),
    /// The vendor's own refusal for too many calls, the work not done.
    Throttle,
    /// The vendor's own refusal for lack of permission, the work not done.
    Deny,
    /// The same, with a text that is not UTF-8.
    DenyInForeignWriting,
    /// The vendor's own refusal for too many calls, the work not done, with a date so many seconds ahead as `Retry-After`.
    #[serde(rename = "throttle_until_s")]
    ThrottleUntil(u32),
    /// Works, and sends interim answers first.
    Interim(Interim),
    /// Works, and frames its answer badly.
    Frame(Frame),
    /// Works, and writes its answer in another way.
    Writing(Writing),
    /// Answers in a documented form that is not the whole truth.
    Lie(Lie),
}

/// An answer made elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canned {
    pub status: u16,
    /// `{request_id}` in it stands for a new one each time.
    #[serde(default)]
    pub body: String,
    #[serde(default = "json")]
    pub content_type: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

impl Canned {
    /// A JSON answer.
    #[must_use]
    pub fn json(status: u16, body: &str) -> Self {
        Self { status, body: body.into(), content_type: json(), headers: BTreeMap::new() }
    }
}

fn json() -> String {
    "application/json".into()
}

/// An answer that reads well and misleads. One that does not concern the action it is set for changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lie {
    /// Reports a kill that did not happen.
    SaysKilledButAlive,
    /// Kills, and reports failure: `success:false`, all not found, a failed flow, or a 500 where there is no other way.
    KillsButSaysFailed,
    /// Kills all, and leaves the first id out of the reply.
    LeavesOut,
    /// The sessions stay for that long, shown as `Killed`.
    #[serde(rename = "slow_death_ms", with = "millis")]
    SlowDeath(Duration),
    /// `KillSession`: nothing dies and the flow reports failure.
    FlowFails,
    /// `KillSession`: the flow runs for that long; the sessions die at its end.
    #[serde(rename = "flow_runs_ms", with = "millis")]
    FlowRuns(Duration),
    /// `KillSession`: the flow cannot be found.
    FlowForgotten,
    /// Intelligent kill: `task_id` is a JSON number.
    TaskIdAsNumber,
    /// Intelligent kill: `task_id` is a JSON string, as it is anyway.
    TaskIdAsString,
    /// DAS: the body of a successful kill.
    DasBody(DasBody),
    /// Kills, and the killed ones' pool opens new sessions at once: new ids, the same users, addresses and statements.
    Reconnects,
    /// Lists: no page has more than that many rows; totals stay true.
    CutLists(usize),
    /// Lists: every id in the answer belongs to somebody else right afterwards.
    RecycleIds,
}

/// What a DAS kill has been seen to answer with 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DasBody {
    Empty,
    EmptyString,
    Ok,
    Object,
}

impl DasBody {
    pub(super) const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Empty => b"",
            Self::EmptyString => b"\"\"",
            Self::Ok => b"\"OK\"",
            Self::Object => b"{}",
        }
    }
}

/// What a kill does under a lie: how the sessions die, or `None` where they do not.
pub(super) fn death(lie: Option<&Lie>) -> Option<Death> {
    match lie {
        Some(Lie::SaysKilledButAlive) => None,
        Some(Lie::SlowDeath(time)) => Some(Death::after(*time, true)),
        _ => Some(Death::now()),
    }
}

/// The same of a kill by a task that usually runs so long, and how long this one runs. The sessions go when it ends: an accepted
/// kill is not yet a kill.
pub(super) fn death_by_task(lie: Option<&Lie>, usually: Duration) -> (Option<Death>, Duration) {
    let runs = match lie {
        Some(Lie::FlowRuns(time)) => *time,
        _ => usually,
    };
    let death = match lie {
        Some(Lie::FlowFails) => None,
        Some(Lie::SaysKilledButAlive | Lie::SlowDeath(_)) => death(lie),
        _ if runs.is_zero() => Some(Death::now()),
        _ => Some(Death::after(runs, false)),
    };
    (death, runs)
}

/// The most rows that a page may have under a lie.
pub(super) fn cut(lie: Option<&Lie>, limit: usize) -> usize {
    match lie {
        Some(Lie::CutLists(most)) => limit.min(*most),
        _ => limit,
    }
}

/// Gives the listed ids to somebody else where the lie is that.
pub(super) fn recycle(lie: Option<&Lie>, table: &mut Table, listed: &[Session]) {
    if lie == Some(&Lie::RecycleIds) {
        table.recycle(&listed.iter().map(|row| row.id).collect::<Vec<_>>());
    }
}

/// Opens new sessions for killed ones where the lie is that.
pub(super) fn reconnect(lie: Option<&Lie>, table: &mut Table, killed: &[u64]) {
    if lie == Some(&Lie::Reconnects) {
        table.reconnect(killed);
    }
}

/// What is planned for the coming calls, first come first served.
#[derive(Debug, Default)]
pub(super) struct Plans {
    plans: Vec<Plan>,
    cleared: watch::Sender<()>,
}

#[derive(Debug)]
struct Plan {
    action: Action,
    behaviour: Behaviour,
    /// For calls whose path names that instance or that node, or whose body names that shard; `None` is for all.
    place: Option<String>,
    /// For so many calls; `None` is for ever.
    left: Option<u32>,
}

impl Plans {
    pub(super) fn add(&mut self, action: Action, behaviour: Behaviour, place: Option<String>, times: Option<u32>) {
        self.plans.push(Plan { action, behaviour, place, left: times });
    }

    /// Nothing is planned any more, and what is held goes.
    pub(super) fn clear(&mut self) {
        self.plans.clear();
        self.cleared.send_replace(());
    }

    /// Hears when nothing is planned any more.
    pub(super) fn cleared(&self) -> watch::Receiver<()> {
        self.cleared.subscribe()
    }

    /// What a call that names these is to meet, used up by asking.
    pub(super) fn take(&mut self, action: Action, named: [&str; 2]) -> Option<Behaviour> {
        self.plans.retain(|plan| plan.left != Some(0));
        let concerns =
            |plan: &Plan| plan.action == action && plan.place.as_deref().is_none_or(|place| named.contains(&place));
        let plan = self.plans.iter_mut().find(|plan| concerns(plan))?;
        plan.left = plan.left.map(|left| left - 1);
        Some(plan.behaviour.clone())
    }
}

pub(super) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::sandbox) fn serialize<S: Serializer>(time: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(in crate::sandbox) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
