//! Everything the simulated clouds know, behind one lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use time::OffsetDateTime;
use tokio::sync::watch;

use super::{
    Place,
    behaviour::Plans,
    credentials::{AlibabaCustomer, HuaweiCustomer, TencentCustomer},
    limits::Limits,
    log::Received,
    session::Table,
    temporary::{Issued, Machine},
};
use crate::clock::Clock;

pub(super) struct State {
    pub(super) clock: Clock,
    pub(super) huawei: HuaweiCustomer,
    pub(super) tencent: TencentCustomer,
    pub(super) alibaba: AlibabaCustomer,
    pub(super) world: World,
    /// The world as it was built, for a new start.
    pub(super) fresh: World,
    pub(super) plans: Plans,
    pub(super) log: Vec<Received>,
    /// Tells whoever waits that the log grew.
    pub(super) arrivals: watch::Sender<()>,
    pub(super) limits: Limits,
    /// Whether Tencent's is the international site, which lacks some of the other's operations.
    pub(super) international: bool,
    pub(super) flows: Vec<Flow>,
    pub(super) tasks: Vec<Task>,
    pub(super) prepared: Vec<Prepared>,
    pub(super) kill_tasks: Vec<KillTask>,
    pub(super) gathered: Vec<Gathered>,
    /// Those of Alibaba's signatures, none of which is taken twice.
    pub(super) nonces: BTreeSet<String>,
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) machine: Machine,
    /// Of the keys that the machine has at each cloud.
    pub(super) machine_ids: BTreeMap<&'static str, String>,
    /// Those of Huawei's metadata service, and when they end.
    pub(super) metadata_tokens: BTreeMap<String, OffsetDateTime>,
    /// Those of a cluster that Tencent's STS takes.
    pub(super) web_identity_tokens: BTreeSet<String>,
    /// Temporary keys, the oldest first.
    pub(super) issued: Vec<Issued>,
    pub(super) logins: usize,
    pub(super) bad_signatures: u32,
    pub(super) locked_until: Option<OffsetDateTime>,
    pub(super) times: Times,
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// A flow of `KillSession`, from the kill to its end.
    pub(super) flow: Duration,
    /// From an intelligent kill to its entry in the history.
    pub(super) history: Duration,
    pub(super) token_life: Duration,
}

/// Every place there is, and the database accounts registered with DAS.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) tables: Vec<Table>,
    /// DAS instance and the handle of an account there.
    pub(super) db_users: Vec<(String, String)>,
}

impl World {
    pub(super) fn table(&self, place: &Place) -> Option<&Table> {
        self.tables.iter().find(|table| table.place == *place)
    }

    pub(super) fn table_mut(&mut self, place: &Place) -> Option<&mut Table> {
        self.tables.iter_mut().find(|table| table.place == *place)
    }
}

/// An asynchronous task of `KillSession`.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) id: u64,
    pub(super) vendor: &'static str,
    pub(super) ends: Instant,
    pub(super) succeeds: bool,
}

/// A kill of DBbrain's that was prepared.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) id: String,
    pub(super) place: Place,
    pub(super) ids: Vec<u64>,
    pub(super) since: Instant,
}

/// A task of Alibaba's DAS that ends sessions.
#[derive(Debug)]
pub(super) struct KillTask {
    pub(super) id: String,
    pub(super) place: Place,
    /// What it tells of each session.
    pub(super) told: Vec<(u64, &'static str)>,
    pub(super) fails: bool,
    pub(super) forgotten: bool,
    pub(super) ends: Instant,
}

/// A list of Alibaba's DAS that was asked for.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) id: String,
    pub(super) place: Place,
}

/// One run of an intelligent kill.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: i64,
    pub(super) node: Place,
    pub(super) started: OffsetDateTime,
    /// When it enters the history, by the clouds' clock.
    pub(super) listed: OffsetDateTime,
}

/// What an IAM token is good for.
#[derive(Debug)]
pub(super) struct Token {
    /// `None` for a token without a project, which no database service takes.
    pub(super) project_id: Option<String>,
    pub(super) expires: OffsetDateTime,
}

impl State {
    /// Starts again with the world as it was built; limits, times and customers stay as they are set.
    pub(super) fn reset(&mut self) {
        self.world = self.fresh.clone();
        self.plans.clear();
        self.log.clear();
        self.limits.forget();
        self.flows.clear();
        self.tasks.clear();
        self.prepared.clear();
        self.kill_tasks.clear();
        self.gathered.clear();
        self.nonces.clear();
        self.tokens.clear();
        self.machine_ids.clear();
        self.metadata_tokens.clear();
        self.issued.clear();
        self.logins = 0;
        self.bad_signatures = 0;
        self.locked_until = None;
    }
}
