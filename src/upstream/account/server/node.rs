//! One server: the connection to it, and the statements that go over it.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Address, Addresses, Expected, Settings,
    login::Refusal,
    mysql::{self, MySql},
    postgres::{self, Postgres},
    wire::{Broken, Wire},
};
use crate::upstream::{
    Again, Call, Effect, Fault, FaultKind, Protocol, Statement, StatementResult, When, account::Times,
};

/// Longest time to be logged in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest time for a connection that was kept to show that it is there.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(30);
/// How long it is not tried to log in where that was refused.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// A connection that was used within this time is there still, as far as anybody can tell.
const FRESH: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Node {
    settings: Arc<Settings>,
    addresses: Addresses,
    kept: Mutex<Option<Kept>>,
    /// When the login was refused last, and how: servers lock an account that is tried again and again.
    refused: Mutex<Option<(Instant, Refusal)>>,
}

/// A connection between two calls, and answers of its server's that still count.
struct Kept {
    wire: Wire,
    answers: Answers,
    used: Instant,
    /// When the server said who it is, for a call that came too late by that: the next one need not ask again.
    asked: Option<Instant>,
}

/// Answers by their statements, and when they were had.
type Answers = HashMap<String, (Instant, StatementResult)>;

impl Node {
    pub(super) fn new(settings: Arc<Settings>, addresses: Addresses) -> Self {
        Self { settings, addresses, kept: Mutex::default(), refused: Mutex::default() }
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
        let (mut wire, mut answers) = wire.map_err(|refusal| refusal.fault(call.stage))?;
        if times.begin_by.is_some_and(|begin_by| begin_by < Instant::now()) {
            *kept = Some(Kept { wire, answers, used: Instant::now(), asked: Some(Instant::now()) });
            self.close_when_idle();
            return Err(fault(FaultKind::TooLate));
        }
        let mut results = Vec::with_capacity(statements.len());
        for statement in statements {
            if !is_wanted(statement.when, &results) {
                results.push(StatementResult::Rows(vec![]));
                continue;
            }
            match timeout_at(times.deadline, self.ask(&mut wire, &mut answers, statement)).await {
                Ok(Ok(result)) => results.push(result),
                // It is dropped: nobody knows where in an answer it stands.
                Ok(Err(Broken)) | Err(_) if results.is_empty() => return Err(fault(FaultKind::Lost)),
                Ok(Err(Broken)) | Err(_) => return Ok(results),
            }
        }
        *kept = Some(Kept { wire, answers, used: Instant::now(), asked: None });
        self.close_when_idle();
        Ok(results)
    }

    /// A connection on which the next statement arrives, as far as anybody can tell, at the server that is expected.
    async fn ready(
        &self,
        kept: &mut MutexGuard<'_, Option<Kept>>,
        effect: Effect,
        deadline: Instant,
    ) -> Result<(Wire, Answers), Refusal> {
        if let Some(Kept { mut wire, answers, used, asked }) = kept.take() {
            // What it expects may have changed since, where that is more than who it is.
            let must_ask = effect == Effect::Kill && self.settings.expected.writable.is_some();
            let was_asked = asked.is_some_and(|asked| asked.elapsed() < FRESH);
            if used.elapsed() < FRESH && (!must_ask || was_asked) {
                return Ok((wire, answers));
            }
            // One that hears nothing any more must not take the time that a new one needs.
            let soon = deadline.min(Instant::now() + PING_TIMEOUT);
            if let Ok(Ok(said)) = timeout_at(soon, wire.ask(self.identity())).await {
                return self.expected(&said).map(|()| (wire, answers));
            }
        }
        let mut refused = self.refused.lock().await;
        if let Some((at, refusal)) = &*refused
            && at.elapsed() < REFUSED_FOR
        {
            return Err(refusal.clone());
        }
        let deadline = deadline.min(Instant::now() + CONNECT_TIMEOUT);
        let first = self.connect(&self.addresses.usual, deadline).await;
        let wire = match (first, &self.addresses.reserved) {
            (Err(refusal), Some(reserved)) if refusal.is_full => {
                tracing::warn!(address = %self.addresses.usual, "the server is full: trying its reserved address");
                self.connect(reserved, deadline.max(Instant::now() + CONNECT_TIMEOUT / 3)).await
            }
            (first, _) => first,
        };
        *refused = wire.as_ref().err().filter(|refusal| refusal.is_denied()).map(|it| (Instant::now(), it.clone()));
        wire.map(|wire| (wire, Answers::new()))
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
        let behind = said("behind").unwrap_or_default();
        if self.settings.protocol == Protocol::MySql && behind.contains("MariaDB") {
            return Err(Refusal::wrong("", "MariaDB is at this address: its engine is mariadb"));
        }
        // Their connection ids are not those of a server.
        match ["TiDB", "ProxySQL"].into_iter().find(|name| behind.contains(name)) {
            Some(name) => {
                Err(Refusal::wrong("", &format!("{name} is at this address: its connection ids are its own")))
            }
            None => Ok(()),
        }
    }

    /// Runs a statement, again and again where it says so, unless its last answer still counts.
    async fn ask(
        &self,
        wire: &mut Wire,
        answers: &mut Answers,
        statement: &Statement,
    ) -> Result<StatementResult, Broken> {
        let Some(good_for) = statement.good_for else { return self.ask_now(wire, statement).await };
        if let Some((at, answer)) = answers.get(&statement.text)
            && at.elapsed() < good_for
        {
            return Ok(answer.clone());
        }
        let answer = self.ask_now(wire, statement).await?;
        answers.insert(statement.text.clone(), (Instant::now(), answer.clone()));
        Ok(answer)
    }

    async fn ask_now(&self, wire: &mut Wire, statement: &Statement) -> Result<StatementResult, Broken> {
        let text = self.settings.kill_with.written(&statement.text);
        let Some(Again { mut pause, within }) = statement.while_rows else { return wire.ask(&text).await };
        let (until, longest) = (Instant::now() + within, pause.max(Duration::from_millis(20)));
        loop {
            let result = wire.ask(&text).await?;
            let has_rows = matches!(&result, StatementResult::Rows(rows) if !rows.is_empty());
            if !has_rows || Instant::now() >= until {
                return Ok(result);
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Sees to it that the connection goes once nobody has used it for a while.
    fn close_when_idle(self: &Arc<Self>) {
        let node: Weak<Self> = Arc::downgrade(self);
        tokio::spawn(async move {
            sleep(IDLE).await;
            let Some(node) = node.upgrade() else { return };
            let idle = node.kept.lock().await.take_if(|kept| kept.used.elapsed() >= IDLE);
            if let Some(idle) = idle {
                // Whoever hears no goodbye finds out.
                let _ = timeout(PING_TIMEOUT, idle.wire.close()).await;
            }
        });
    }
}

/// Whether a statement is to be run after those results.
fn is_wanted(when: When, before: &[StatementResult]) -> bool {
    match when {
        When::Always => true,
        When::AfterRows => matches!(before.last(), Some(StatementResult::Rows(rows)) if !rows.is_empty()),
        When::AfterRefusal => before.iter().any(|result| matches!(result, StatementResult::Refused { .. })),
    }
}
