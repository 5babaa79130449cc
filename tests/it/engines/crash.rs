//! Gateways that are killed at any moment while they end sessions of a real server, held against the server's own log:
//! every session that was ended has an older row that names it, none was asked to be ended twice, none is called killed that
//! was not ended, and nothing stays open.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::http::{Method, StatusCode};
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, postgres::PgListener};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::log::{self, Login};
use crate::{
    safety::process::Served,
    support::{
        dice::Dice,
        gateway::{Answer, Client, Engine, Gateway, Setup},
        patience::{eventually, in_time},
        postgres::{Cluster, Database},
        servers::{PgServer, until},
    },
};

/// How many gateways are killed in all, how many live at a time, and how many callers each of them has.
const DEATHS: usize = 100;
const AT_A_TIME: usize = 4;
const CALLERS: usize = 2;

/// Soon after it was asked a kill is anybody's.
const IMPATIENT: &str = "\n[vendors.postgresql]\nmax_wait_ms = 1000\ntimeout_ms = 1000\n";

/// A request for a kill of sessions that no other request names, and these.
#[derive(Debug)]
struct Asked {
    key: Option<String>,
    body: Value,
    sessions: Vec<(Login, PgConnection)>,
}

impl Asked {
    async fn of(&self, client: &Client) -> Option<Answer> {
        let bearer = format!("Bearer {}", Gateway::token("chatops-bot", "sessions:kill"));
        let mut headers = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        headers.extend(self.key.iter().map(|key| ("Idempotency-Key", key.as_str())));
        client.try_send(Method::POST, "/sessions/kill", &headers, self.body.to_string()).await.ok()
    }
}

/// What callers share.
#[derive(Debug)]
struct Callers {
    server: PgServer,
    keys: AtomicUsize,
    /// Requests and answers.
    moments: watch::Sender<usize>,
    /// Kills that were marked as sent.
    sent: watch::Sender<usize>,
    /// Asked with a key, and the answer is still owed.
    owed: Mutex<Vec<Asked>>,
    /// Sessions that left by themselves while it was not known what becomes of them.
    left: Mutex<HashSet<Login>>,
}

impl Callers {
    async fn next(&self, dice: &mut Dice) -> Asked {
        let owed = if dice.roll(2) == 0 { self.owed.lock().unwrap().pop() } else { None };
        if let Some(owed) = owed {
            return owed;
        }
        let (mut ids, mut sessions) = (vec![], vec![]);
        for _ in 0..=dice.roll(3) {
            let (mut session, id) = self.server.session().await;
            let pinned = json!({ "id": id, "user": self.server.app, "host": "127.0.0.1" });
            ids.push(if dice.roll(2) == 0 { json!(id) } else { pinned });
            sessions.push((Login::of(&mut session).await.expect("its own"), session));
        }
        let key = (dice.roll(2) == 0).then(|| format!("key-{}", self.keys.fetch_add(1, Ordering::Relaxed)));
        let body = json!({ "target": "orders", "select": { "ids": ids }, "reason": "INC-4711" });
        Asked { key, body, sessions }
    }

    /// Asks again and again until the gateway is gone.
    async fn ask(self: Arc<Self>, client: Client, mut dice: Dice) {
        loop {
            let asked = self.next(&mut dice).await;
            self.moments.send_modify(|moments| *moments += 1);
            let answer = asked.of(&client).await;
            let is_owed = answer.as_ref().is_none_or(|answer| answer.code() == "in_progress");
            if is_owed && asked.key.is_some() {
                self.owed.lock().unwrap().push(asked);
            } else {
                self.done(asked, answer.as_ref());
            }
            match answer {
                Some(_) => self.moments.send_modify(|moments| *moments += 1),
                None => return,
            }
        }
    }

    /// Its sessions leave.
    fn done(&self, asked: Asked, answer: Option<&Answer>) {
        if answer.is_none_or(|answer| answer.status != StatusCode::OK) {
            self.left.lock().unwrap().extend(asked.sessions.into_iter().map(|(login, _)| login));
        }
    }

    /// When a gateway is killed: after some more requests and answers, or after some more kills are about to be sent, and then
    /// after others were let go first so many times.
    async fn crash_point(&self, mut dice: Dice) {
        let (of, most, yields) = match dice.roll(3) {
            0 => (&self.moments, 12, 10_000),
            _ => (&self.sent, 4, 3000),
        };
        let mut seen = of.subscribe();
        let enough = *seen.borrow() + usize::try_from(dice.roll(most)).unwrap();
        in_time(seen.wait_for(|seen| *seen >= enough)).await.expect("callers");
        for _ in 0..dice.roll(yields) {
            tokio::task::yield_now().await;
        }
    }

    /// Hears of every kill that is marked as sent, as soon as that is on record.
    async fn hear(self: Arc<Self>, mut record: PgListener) {
        while record.recv().await.is_ok() {
            self.sent.send_modify(|sent| *sent += 1);
        }
    }
}

/// Has a record tell of every kill that is marked as sent.
async fn listener(record: &str) -> PgListener {
    let mut owner = PgConnection::connect(record).await.expect("the test cluster runs");
    sqlx::raw_sql(TELL).execute(&mut owner).await.expect("a trigger");
    let mut listener = PgListener::connect(record).await.expect("the test cluster runs");
    listener.listen("sent").await.expect("an ear");
    listener
}

const TELL: &str = "
    CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('sent', NEW.kill_id::text);
        RETURN NULL;
    END $$;
    CREATE TRIGGER tell AFTER INSERT ON kill_log FOR EACH ROW WHEN (NEW.kind = 'sent') EXECUTE FUNCTION tell()";

/// A session of a kill on record.
#[derive(Debug, sqlx::FromRow)]
struct Row {
    status: String,
    problem: Option<String>,
    sent_at: Option<OffsetDateTime>,
    id: String,
    outcome: String,
    identity: Option<Value>,
}

impl Row {
    fn login(&self) -> Option<Login> {
        Login::seen(&self.id, self.identity.as_ref()?)
    }

    /// When the session began, in milliseconds as the record has it.
    fn started_at(&self) -> Option<i128> {
        millis(self.identity.as_ref()?["started_at"].as_str()?)
    }

    fn is_older(&self, at: i64) -> bool {
        self.sent_at.is_some_and(|sent_at| sent_at.unix_timestamp_nanos() / 1_000_000 <= at.into())
    }
}

fn millis(time: &str) -> Option<i128> {
    Some(OffsetDateTime::parse(time, &Rfc3339).ok()?.unix_timestamp_nanos() / 1_000_000)
}

async fn rows(url: &str) -> Vec<Row> {
    let mut connection = PgConnection::connect(url).await.expect("the test cluster runs");
    let rows = sqlx::query_as(
        "SELECT k.status, k.problem ->> 'code' AS problem, k.sent_at, s.session_id AS id, s.outcome, s.identity
         FROM kills k JOIN kill_sessions s ON s.kill_id = k.id",
    );
    rows.fetch_all(&mut connection).await.expect("rows")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_are_killed_a_hundred_times_have_ended_whom_the_record_names_and_nobody_twice() {
    let mut dice = Dice::thrown();
    let database = Database::fresh().await;
    let cluster = Arc::new(Cluster::start());
    let server = PgServer::on(&cluster).await;
    log::log_all(&server).await;
    let more = server.configuration("orders", "vendors.postgresql.requests_per_second = 1000\n") + IMPATIENT;
    let mut owner = server.owner().await;
    let callers = Arc::new(Callers {
        server,
        keys: AtomicUsize::new(0),
        moments: watch::Sender::new(0),
        sent: watch::Sender::new(0),
        owed: Mutex::default(),
        left: Mutex::default(),
    });

    let mut hearing = JoinSet::new();
    hearing.spawn(Arc::clone(&callers).hear(listener(&database.url()).await));
    let record = format!("database_url = \"{}\"\nmax_connections = 4", database.url());
    let deaths = AtomicUsize::new(0);
    let generations = (0..AT_A_TIME).map(|_| dice.another()).map(async |mut dice| {
        while deaths.fetch_add(1, Ordering::Relaxed) < DEATHS {
            // It has no clouds.
            let doomed = Served::start(&record, "http://127.0.0.1:9", &more).await;
            let mut asking = JoinSet::new();
            for _ in 0..CALLERS {
                asking.spawn(Arc::clone(&callers).ask(doomed.client.clone(), dice.another()));
            }
            // It dies in any case, also where nobody is answered just then.
            let _ = timeout(Duration::from_secs(30), callers.crash_point(dice.another())).await;
            doomed.die().await;
            asking.join_all().await;
        }
    });
    join_all(generations).await;
    hearing.shutdown().await;

    let setup = Setup { more: more.clone(), database_url: Some(database.url()), ..Setup::default() };
    let last = Gateway::start_with(Engine::Postgres, setup).await;
    let owed = std::mem::take(&mut *callers.owed.lock().unwrap());
    let owed_by_the_dead = owed.len();
    let told = async |asked: Asked| {
        let answer = async || asked.of(last.client()).await.filter(|answer| answer.code() != "in_progress");
        let answer = eventually("a repetition is answered", answer).await;
        assert_ne!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
        callers.done(asked, Some(&answer));
    };
    join_all(owed.into_iter().map(told)).await;
    let is_settled = async || {
        let rows = rows(&database.url()).await;
        let is_open = |row: &Row| matches!(row.status.as_str(), "pending" | "accepted" | "unknown");
        (!rows.iter().any(is_open)).then_some(rows)
    };
    let rows = eventually("nothing is open", is_settled).await;
    // Whoever was told to end has ended and logged it.
    let app = &callers.server.app;
    let nobody = format!("SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = '{app}')");
    until(&mut owner, &nobody).await;

    let (ended, asked) = (log::ended(&cluster), log::asked(&cluster));
    let mut counts: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for row in &rows {
        let sent = if row.sent_at.is_some() { "sent" } else { "not sent" };
        *counts.entry((&row.outcome, row.problem.as_deref().unwrap_or_default(), sent)).or_default() += 1;
    }
    eprintln!(
        "{counts:?}, {} asked for, {} ended, {owed_by_the_dead} answers owed at the end",
        asked.len(),
        ended.len()
    );
    each_that_ended_has_an_older_row(&ended, &rows);
    none_is_asked_for_twice_or_without_an_older_row(&asked, &rows);
    let ended: HashSet<Login> = ended.into_iter().map(|ended| ended.what).collect();
    let left = callers.left.lock().unwrap();
    for row in rows.iter().filter(|row| row.outcome == "killed") {
        let login = row.login().expect("it was seen");
        assert!(ended.contains(&login) || left.contains(&login), "the server did not end {row:?}");
    }
    let has = |outcome: &str| rows.iter().any(|row| row.outcome == outcome);
    assert!(has("killed"), "nobody was killed");
    assert!(has("gone"), "no gateway died with a call under way");
}

/// The row names the session that ended, was marked as sent before, and does not say that nothing was done.
fn each_that_ended_has_an_older_row(ended: &[log::Logged<Login>], rows: &[Row]) {
    let mut about: HashMap<Login, Vec<&Row>> = HashMap::new();
    for row in rows {
        if let Some(login) = row.login() {
            about.entry(login).or_default().push(row);
        }
    }
    for log::Logged { at, what } in ended {
        let rows = about.get(what).map(Vec::as_slice).unwrap_or_default();
        let names_it = |row: &&Row| row.is_older(*at) && matches!(row.outcome.as_str(), "killed" | "gone");
        assert!(rows.iter().any(names_it), "{what:?} ended at {at}, and of it on record: {rows:?}");
    }
}

fn none_is_asked_for_twice_or_without_an_older_row(asked: &[log::Logged<log::Meant>], rows: &[Row]) {
    let mut times: HashMap<&log::Meant, usize> = HashMap::new();
    for log::Logged { at, what } in asked {
        let (id, started_at) = what;
        *times.entry(what).or_default() += 1;
        let is_it = |row: &&Row| row.id == *id && row.started_at().is_some() && row.started_at() == millis(started_at);
        let is_older = rows.iter().filter(is_it).any(|row| row.is_older(*at));
        assert!(is_older, "{what:?} was to be ended at {at}, and no older row names it");
    }
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "asked for twice: {twice:?}");
}
