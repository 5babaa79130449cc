//! One server: the connection to it, and the statements that go over it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep, timeout_at},
};

use super::{
    Address, Addresses, Expected, Settings,
    login::Refusal,
    mysql::{self, MySql},
    postgres::{self, Postgres},
    wire::{Broken, Wire},
};
use crate::upstream::{Call, Effect, Fault, FaultKind, Protocol, Statement, StatementResult, account::Times};

/// Longest time to be logged in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(30);
/// A connection that was used within this time is there still, as far as anybody can tell.
const FRESH: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Node {
    settings: Arc<Settings>,
    addresses: Addresses,
    kept: Mutex<Option<Kept>>,
}

/// A connection between two calls.
struct Kept {
    wire: Wire,
    used: Instant,
}

impl Node {
    pub(super) fn new(settings: Arc<Settings>, addresses: Addresses) -> Self {
        Self { settings, addresses, kept: Mutex::default() }
    }

    pub(super) const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Runs the statements of a call, one after another: as many results as were answered, one at least.
    ///
    /// # Errors
    /// A fault for a call whose first statement was not answered: [`Lost`](FaultKind::Lost) if it may have left, and any
    /// other kind if none did.
    pub(super) async fn run(self: &Arc<Self>, call: &Call, times: Times) -> Result<Vec<StatementResult>, Fault> {
        let fault = |kind| Fault::new(kind, call.stage);
        let statements = call.statements().map(|of| of.statements.as_slice()).unwrap_or_default();
        let start_by = times.begin_by.map_or(times.deadline, |begin_by| begin_by.min(times.deadline));
        let Ok(mut kept) = timeout_at(start_by, self.kept.lock()).await else { return Err(fault(FaultKind::TooLate)) };
        let wire = self.ready(&mut kept, call.effect, times.deadline).await;
        let mut wire = wire.map_err(|refusal| refusal.fault(call.stage))?;
        if times.begin_by.is_some_and(|begin_by| begin_by < Instant::now()) {
            *kept = Some(Kept { wire, used: Instant::now() });
            return Err(fault(FaultKind::TooLate));
        }
        let mut results = Vec::with_capacity(statements.len());
        for statement in statements {
            match timeout_at(times.deadline, ask(&mut wire, statement)).await {
                Ok(Ok(result)) => results.push(result),
                // It is dropped: nobody knows where in an answer it stands.
                Ok(Err(Broken)) | Err(_) if results.is_empty() => return Err(fault(FaultKind::Lost)),
                Ok(Err(Broken)) | Err(_) => return Ok(results),
            }
        }
        *kept = Some(Kept { wire, used: Instant::now() });
        self.close_when_idle();
        Ok(results)
    }

    /// A connection on which the next statement arrives, as far as anybody can tell, at the server that is expected.
    async fn ready(
        &self,
        kept: &mut MutexGuard<'_, Option<Kept>>,
        effect: Effect,
        deadline: Instant,
    ) -> Result<Wire, Refusal> {
        if let Some(Kept { mut wire, used }) = kept.take() {
            // What it expects may have changed since, where that is more than who it is.
            let must_ask = effect == Effect::Kill && self.settings.expected.writable.is_some();
            if used.elapsed() < FRESH && !must_ask {
                return Ok(wire);
            }
            if let Ok(Ok(said)) = timeout_at(deadline, wire.ask(self.identity())).await {
                return self.expected(&said).map(|()| wire);
            }
        }
        let deadline = deadline.min(Instant::now() + CONNECT_TIMEOUT);
        let first = self.connect(&self.addresses.usual, deadline).await;
        match (first, &self.addresses.reserved) {
            (Err(refusal), Some(reserved)) if refusal.is_full => {
                tracing::warn!(address = %self.addresses.usual, "the server is full: trying its reserved address");
                self.connect(reserved, deadline.max(Instant::now() + CONNECT_TIMEOUT / 3)).await
            }
            (first, _) => first,
        }
    }

    async fn connect(&self, address: &Address, deadline: Instant) -> Result<Wire, Refusal> {
        let login = async {
            let mut wire = match self.settings.protocol {
                Protocol::Postgres => Wire::Postgres(Postgres::connect(&self.settings, address).await?),
                Protocol::MySql | Protocol::MariaDb => Wire::MySql(MySql::connect(&self.settings, address).await?),
            };
            let said = wire.ask(self.identity()).await;
            let said = said.map_err(|Broken| Refusal::unreached("the server ended the connection behind the login"))?;
            self.expected(&said).map(|()| wire)
        };
        let in_time = timeout_at(deadline, login).await;
        in_time.unwrap_or_else(|_| Err(Refusal::unreached("the server did not let anybody in within 3 s")))
    }

    fn identity(&self) -> &'static str {
        match self.settings.protocol {
            Protocol::Postgres => postgres::IDENTITY,
            protocol @ (Protocol::MySql | Protocol::MariaDb) => mysql::identity(protocol),
        }
    }

    /// Whether the server is one that this account expects.
    fn expected(&self, said: &StatementResult) -> Result<(), Refusal> {
        let nothing = serde_json::Value::Null;
        let row = match said {
            StatementResult::Rows(rows) => rows.first().unwrap_or(&nothing),
            StatementResult::Refused { .. } => &nothing,
        };
        let Expected { system_identifier, server_uuid, writable } = &self.settings.expected;
        let said = |name: &str| row[name].as_str();
        for (name, wanted) in [("system_identifier", system_identifier), ("server_uuid", server_uuid)] {
            if wanted.is_some() && wanted.as_deref() != said(name) {
                return Err(Refusal::changed(format!("the server's {name} is not the one that is expected")));
            }
        }
        let is_writable = matches!(said("writable"), Some("t" | "1"));
        if writable.is_some_and(|wanted| wanted != is_writable) {
            let is = if is_writable { "takes writes" } else { "takes no writes" };
            return Err(Refusal::changed(format!("the server {is}, and another one is expected")));
        }
        // Their connection ids are not those of a server.
        let behind = said("behind").unwrap_or_default();
        match ["TiDB", "ProxySQL"].into_iter().find(|name| behind.contains(name)) {
            Some(name) => {
                Err(Refusal::wrong("", &format!("{name} is at this address: its connection ids are its own")))
            }
            None => Ok(()),
        }
    }

    /// Sees to it that the connection goes once nobody has used it for a while.
    fn close_when_idle(self: &Arc<Self>) {
        let node: Weak<Self> = Arc::downgrade(self);
        tokio::spawn(async move {
            sleep(IDLE).await;
            let Some(node) = node.upgrade() else { return };
            let mut kept = node.kept.lock().await;
            if let Some(idle) = kept.take_if(|kept| kept.used.elapsed() >= IDLE) {
                idle.wire.close().await;
            }
        });
    }
}

/// Runs a statement, again and again where it says so.
async fn ask(wire: &mut Wire, statement: &Statement) -> Result<StatementResult, Broken> {
    let until = statement.while_rows.map(|time| Instant::now() + time);
    let mut pause = Duration::from_millis(1);
    loop {
        let result = wire.ask(&statement.text).await?;
        let has_rows = matches!(&result, StatementResult::Rows(rows) if !rows.is_empty());
        match until {
            Some(until) if has_rows && Instant::now() < until => sleep(pause).await,
            _ => return Ok(result),
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
