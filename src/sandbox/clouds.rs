//! The handle on the simulated clouds: build a world, look at it, make it misbehave.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::watch;

use super::{
    Action, AlibabaCustomer, Behaviour, HuaweiCustomer, Place, Received, Session, TencentCustomer,
    behaviour::Plans,
    demo,
    limits::Limits,
    session::Table,
    state::{State, Times, World},
    temporary::{Machine, Metadata},
};
use crate::{clock::Clock, lock::lock};

/// The simulated clouds; clones share one world.
#[derive(Clone)]
pub struct Clouds(Arc<Mutex<State>>);

impl fmt::Debug for Clouds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clouds").field("calls", &self.state().log.len()).finish_non_exhaustive()
    }
}

impl Default for Clouds {
    fn default() -> Self {
        Self::new()
    }
}

impl Clouds {
    /// An empty world with the customers of [`demo`].
    #[must_use]
    pub fn new() -> Self {
        Self::at(Clock::system())
    }

    /// An empty world on that clock, which dates signatures, tokens and the history. Rates and other delays pass in real time.
    #[must_use]
    pub fn at(clock: Clock) -> Self {
        let day = Duration::from_hours(24);
        Self(Arc::new(Mutex::new(State {
            clock,
            huawei: demo::huawei_customer(),
            tencent: demo::tencent_customer(),
            alibaba: demo::alibaba_customer(),
            world: World::default(),
            fresh: World::default(),
            plans: Plans::default(),
            log: vec![],
            arrivals: watch::Sender::default(),
            limits: Limits::default(),
            international: false,
            flows: vec![],
            tasks: vec![],
            prepared: vec![],
            kill_tasks: vec![],
            gathered: vec![],
            nonces: BTreeSet::new(),
            tokens: BTreeMap::new(),
            machine: Machine::default(),
            machine_ids: BTreeMap::new(),
            metadata_tokens: BTreeMap::new(),
            web_identity_tokens: [demo::TENCENT_WEB_IDENTITY_TOKEN.to_owned()].into(),
            issued: vec![],
            logins: 0,
            bad_signatures: 0,
            locked_until: None,
            times: Times { flow: Duration::from_millis(200), history: Duration::from_secs(1), token_life: day },
        })))
    }

    /// A ready world: one instance of every vendor, with the ids of [`demo`].
    #[must_use]
    pub fn demo() -> Self {
        Self::demo_at(Clock::system())
    }

    /// The same, on that clock.
    #[must_use]
    pub fn demo_at(clock: Clock) -> Self {
        let clouds = Self::at(clock);
        demo::fill(&clouds);
        clouds
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }

    fn build(&self, change: impl Fn(&mut World)) {
        let mut state = self.state();
        change(&mut state.fresh);
        change(&mut state.world);
    }

    fn add(&self, table: &Table) -> Place {
        self.build(|world| world.tables.push(table.clone()));
        table.place.clone()
    }
}

/// Building a world. What is added here is there again after a reset.
#[expect(clippy::must_use_candidate, reason = "whoever adds a place may well know it already")]
impl Clouds {
    pub fn add_gaussdb(&self, instance_id: &str, node_id: &str, component_id: &str) -> Place {
        self.add(&Table::new(Place::gaussdb(instance_id, node_id, component_id)))
    }

    /// A MySQL instance with one database account registered with DAS.
    pub fn add_das(&self, instance_id: &str, db_user_id: &str) -> Place {
        self.build(|world| world.db_users.push((instance_id.into(), db_user_id.into())));
        self.add(&Table::new(Place::das(instance_id)))
    }

    pub fn add_taurusdb(&self, instance_id: &str, node_id: &str) -> Place {
        self.add(&Table::new(Place::taurusdb(instance_id, node_id)))
    }

    /// A place of a product that needs nothing else. The first node added for an instance is its primary.
    pub fn add_place(&self, place: Place) -> Place {
        let primary = !self.state().world.tables.iter().any(|held| held.place.is_beside(&place));
        let mut table = Table::new(place);
        table.primary = primary;
        self.add(&table)
    }

    /// One node of a DCDB shard. The first node added for a shard is its primary.
    pub fn add_dcdb(&self, instance_id: &str, shard_id: &str, shard_serial_id: &str, node_id: &str) -> Place {
        let mut table = Table::new(Place::dcdb(instance_id, shard_id, node_id));
        table.serial = Some(shard_serial_id.into());
        let elsewhere =
            |held: &Table| !held.place.is_beside(&table.place) || held.place.shard_id != table.place.shard_id;
        table.primary = self.state().world.tables.iter().all(elsewhere);
        self.add(&table)
    }

    /// So many DCDB shards of one node each: `shard-test0001` with `set_1700000000_1` and `node-test0001`, and so on.
    pub fn add_dcdb_shards(&self, instance_id: &str, count: usize) -> Vec<Place> {
        let one = |n: usize| {
            let (shard, serial) = (format!("shard-test{n:04}"), format!("set_1700000000_{n}"));
            self.add_dcdb(instance_id, &shard, &serial, &format!("node-test{n:04}"))
        };
        (1..=count).map(one).collect()
    }

    /// Puts a session into a place that was added before; nothing happens elsewhere.
    pub fn put(&self, place: &Place, session: &Session) {
        self.build(|world| {
            if let Some(table) = world.table_mut(place) {
                table.put(session.clone());
            }
        });
    }

    /// Puts a session of the user `app` into a place for each id.
    pub fn put_ids(&self, place: &Place, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            self.put(place, &Session::new(id, "app"));
        }
    }

    /// Ends a session as if its client had left; a reset does not bring it back.
    pub fn remove(&self, place: &Place, id: u64) {
        self.build(|world| {
            if let Some(table) = world.table_mut(place) {
                table.remove(id);
            }
        });
    }

    #[must_use]
    pub fn huawei(&self) -> HuaweiCustomer {
        self.state().huawei.clone()
    }

    #[must_use]
    pub fn tencent(&self) -> TencentCustomer {
        self.state().tencent.clone()
    }

    pub fn set_huawei(&self, customer: HuaweiCustomer) {
        self.state().huawei = customer;
    }

    pub fn set_tencent(&self, customer: TencentCustomer) {
        self.state().tencent = customer;
    }

    #[must_use]
    pub fn alibaba(&self) -> AlibabaCustomer {
        self.state().alibaba.clone()
    }

    pub fn set_alibaba(&self, customer: AlibabaCustomer) {
        self.state().alibaba = customer;
    }

    /// From now on Tencent's is the international site: no list of processes, and no `NodeId`.
    pub fn make_international(&self) {
        self.state().international = true;
    }

    /// How long a flow of `KillSession`, or a task of Alibaba's, runs before it succeeds; 200 ms until set.
    pub fn set_flow_time(&self, time: Duration) {
        self.state().times.flow = time;
    }

    /// How long an intelligent kill takes to enter the history, by the clouds' clock; 1 s until set.
    pub fn set_history_delay(&self, time: Duration) {
        self.state().times.history = time;
    }

    /// How long an IAM token lives from now on; 24 hours until set.
    pub fn set_token_life(&self, time: Duration) {
        self.state().times.token_life = time;
    }

    /// How long keys from the metadata services live from now on; an hour until set.
    pub fn set_key_life(&self, time: Duration) {
        self.state().machine.key_life = time;
    }

    /// Whether the machine of the metadata services has an agency at Huawei, and which role at Tencent.
    pub fn set_machine(&self, has_agency: bool, role: Option<&str>) {
        let machine = &mut self.state().machine;
        machine.has_agency = has_agency;
        machine.role = role.map(str::to_owned);
    }

    /// How Huawei's metadata service wants to be asked; with a token until set.
    pub fn set_metadata(&self, metadata: Metadata) {
        self.state().machine.metadata = metadata;
    }

    /// The one token of a cluster that Tencent's STS takes from now on.
    pub fn set_web_identity_token(&self, token: &str) {
        self.state().web_identity_tokens = [token.to_owned()].into();
    }

    /// Calls a second for each of Tencent's actions, such as those of DCDB; 20 until set.
    pub fn limit_dcdb(&self, calls: usize) {
        self.state().limits.dcdb = calls;
    }

    /// Calls a second for each Huawei product; unlimited until set.
    pub fn limit_huawei(&self, calls: Option<usize>) {
        self.state().limits.huawei = calls;
    }
}

/// Looking at it.
impl Clouds {
    /// Every call that arrived, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Received> {
        self.state().log.clone()
    }

    #[must_use]
    pub fn calls_for(&self, action: Action) -> Vec<Received> {
        self.state().log.iter().filter(|call| call.action == Some(action)).cloned().collect()
    }

    /// Waits until that many calls of the action have arrived, answered or not.
    pub async fn arrived(&self, action: Action, count: usize) {
        let mut arrivals = self.state().arrivals.subscribe();
        // The sender lives as long as this handle.
        while self.calls_for(action).len() < count && arrivals.changed().await.is_ok() {}
    }

    /// How many calls have arrived, of whatever action.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state().log.len()
    }

    /// Waits until that many calls have arrived, of whatever action, answered or not.
    pub async fn arrived_in_all(&self, count: usize) {
        let mut arrivals = self.state().arrivals.subscribe();
        // The sender lives as long as this handle.
        while self.count() < count && arrivals.changed().await.is_ok() {}
    }

    /// How many calls came when the limit was used up.
    #[must_use]
    pub fn violations(&self) -> usize {
        self.state().limits.violations()
    }

    /// The ids that are still there, in order; those shown as `Killed` and the engine's own threads included.
    #[must_use]
    pub fn alive(&self, place: &Place) -> Vec<u64> {
        self.sessions(place).iter().map(|session| session.id).collect()
    }

    /// The sessions that are still there, in order.
    #[must_use]
    pub fn sessions(&self, place: &Place) -> Vec<Session> {
        self.state().world.table(place).map(Table::all).unwrap_or_default()
    }

    /// Every place with its sessions.
    #[must_use]
    pub fn places(&self) -> Vec<(Place, Vec<Session>)> {
        self.state().world.tables.iter().map(|table| (table.place.clone(), table.all())).collect()
    }

    /// How many IAM tokens were given out.
    #[must_use]
    pub fn logins(&self) -> usize {
        self.state().logins
    }

    /// Everything that nobody may see of the temporary keys given out so far.
    #[must_use]
    pub fn temporary_secrets(&self) -> Vec<String> {
        let state = self.state();
        let of_keys = state.issued.iter().flat_map(|keys| [&keys.id, &keys.secret, &keys.token]);
        of_keys.chain(state.metadata_tokens.keys()).chain(state.tokens.keys()).cloned().collect()
    }

    /// Whether the Huawei access key is locked: five wrong signatures in a row lock it for five minutes.
    #[must_use]
    pub fn locked(&self) -> bool {
        let state = self.state();
        state.locked_until.is_some_and(|until| state.clock.now() < until)
    }
}

/// Making it misbehave.
impl Clouds {
    /// From now on, every call of that action meets this.
    pub fn misbehave(&self, action: Action, behaviour: Behaviour) {
        self.plan(action, behaviour, None, None);
    }

    /// The same of calls to one instance or node of Huawei's, as their paths name it, or to one shard of Tencent's, as their
    /// bodies name it by its id.
    pub fn misbehave_at(&self, place: &str, action: Action, behaviour: Behaviour) {
        self.plan(action, behaviour, Some(place.into()), None);
    }

    /// The next `times` calls of that action meet this, after what was planned before.
    pub fn misbehave_times(&self, times: u32, action: Action, behaviour: Behaviour) {
        self.plan(action, behaviour, None, Some(times));
    }

    pub(super) fn plan(&self, action: Action, behaviour: Behaviour, place: Option<String>, times: Option<u32>) {
        self.state().plans.add(action, behaviour, place, times);
    }

    /// Nothing planned any more; what is held is answered.
    pub fn behave(&self) {
        self.state().plans.clear();
    }

    /// Every IAM token given out so far is worthless.
    pub fn revoke_tokens(&self) {
        self.state().tokens.clear();
    }

    /// Every temporary key given out so far is worthless.
    pub fn revoke_keys(&self) {
        for keys in &mut self.state().issued {
            keys.revoked = true;
        }
    }

    /// Starts again: the world as it was built, no plans, no calls, no tokens, no locks. Settings stay.
    pub fn reset(&self) {
        self.state().reset();
    }
}
