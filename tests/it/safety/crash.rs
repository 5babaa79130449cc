//! Gateways that are killed at any moment, under load, held against the vendors' own log of calls: every call has a
//! row that is older, no session is sent twice, none is called killed that no call named, nothing stays pending. The next
//! gateway settles what is left.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::http::{Method, StatusCode};
use futures_util::future::join_all;
use killgate::{
    clock::Clock,
    sandbox::{Action, Behaviour, Clouds, Place, Received, Sandbox, Session, Verdict, demo as world},
};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;
use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::{order::ids_in, process::Served};
use crate::support::{
    dice::Dice,
    gateway::{Answer, Client, Engine, Gateway, Setup, kill_of},
    patience::{eventually, in_time},
    postgres::Database,
};

/// How many gateways are killed in all, how many live at a time, and how many callers each of them has.
const DEATHS: usize = 200;
const AT_A_TIME: usize = 4;
const CALLERS: usize = 4;

/// Half a second after it was asked a kill is anybody's.
const IMPATIENT: &str = "
    [vendors.gaussdb]
    max_wait_ms = 200
    timeout_ms = 300
    [vendors.das]
    max_wait_ms = 200
    timeout_ms = 300
    [vendors.taurusdb]
    max_wait_ms = 200
    timeout_ms = 300
    [vendors.dcdb]
    max_wait_ms = 200
    timeout_ms = 300
";

const KILLS: [Action; 4] = [Action::GaussdbKill, Action::DasKill, Action::TaurusdbKill, Action::DcdbKill];

/// Whose sessions are there to be killed.
const USER: &str = "report";

/// A request for a kill of sessions that no other request names.
#[derive(Debug, Clone)]
struct Asked {
    key: Option<String>,
    body: Value,
}

impl Asked {
    async fn of(&self, client: &Client) -> Option<Answer> {
        let bearer = format!("Bearer {}", Gateway::token("chatops-bot", "sessions:kill sessions:kill:blind"));
        let mut headers = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        headers.extend(self.key.iter().map(|key| ("Idempotency-Key", key.as_str())));
        client.try_send(Method::POST, "/sessions/kill", &headers, self.body.to_string()).await.ok()
    }
}

/// What callers share.
#[derive(Debug)]
struct Callers {
    next_id: AtomicU64,
    answers: watch::Sender<usize>,
    /// Asked with a key, and the answer is still owed.
    owed: Mutex<Vec<Asked>>,
    clouds: Clouds,
}

/// Where the sessions of a target live.
fn place(target: &str) -> Place {
    match target {
        "ledger" => Place::gaussdb(world::GAUSSDB_INSTANCE, world::GAUSSDB_NODE, world::GAUSSDB_COMPONENT),
        "shop" => Place::das(world::DAS_INSTANCE),
        "orders-ro" => Place::taurusdb(world::TAURUSDB_INSTANCE, world::TAURUSDB_NODE),
        _ => Place::dcdb(world::DCDB_INSTANCE, world::DCDB_SHARD, world::DCDB_NODE),
    }
}

impl Callers {
    fn next(&self, dice: &mut Dice) -> Asked {
        let owed = if dice.roll(2) == 0 { self.owed.lock().unwrap().pop() } else { None };
        owed.unwrap_or_else(|| {
            let count = 1 + dice.roll(3);
            let first = self.next_id.fetch_add(count, Ordering::Relaxed);
            let ids: Vec<u64> = (first..first + count).collect();
            let target = dice.one(&["ledger", "shop", "orders-ro", "ledger", "shop", "orders-ro", "orders-shard-1"]);
            let key = (dice.roll(2) == 0).then(|| format!("key-{first}"));
            let mut body = kill_of(target, &ids);
            if dice.roll(2) == 0 {
                // Nobody looks whether they are there, and none of them ever was.
                body["look"] = false.into();
            } else {
                for id in &ids {
                    self.clouds.put(&place(target), &Session::new(*id, USER));
                }
                body["select"]["ids"] = ids.iter().map(|id| json!({ "id": id, "user": USER })).collect();
            }
            Asked { key, body }
        })
    }

    /// Asks again and again until the gateway is gone.
    async fn ask(self: Arc<Self>, client: Client, mut dice: Dice) {
        loop {
            let asked = self.next(&mut dice);
            let answer = asked.of(&client).await;
            let is_owed = answer.as_ref().is_none_or(|answer| answer.code() == "in_progress");
            if is_owed && asked.key.is_some() {
                self.owed.lock().unwrap().push(asked);
            }
            match answer {
                Some(_) => self.answers.send_modify(|answers| *answers += 1),
                None => return,
            }
        }
    }
}

/// When a gateway is killed: after so many more of something, and then after others were let go first so many times.
#[derive(Debug)]
struct CrashPoint {
    event: Event,
    yields: u64,
}

#[derive(Debug)]
enum Event {
    /// It listens.
    Start,
    /// Calls at the vendors.
    Arrivals(usize),
    /// Answers to callers.
    Answers(usize),
}

impl CrashPoint {
    fn any(dice: &mut Dice) -> Self {
        let some = usize::try_from(1 + dice.roll(8)).unwrap();
        let event = match dice.roll(8) {
            0 => Event::Start,
            1..4 => Event::Answers(some),
            _ => Event::Arrivals(some),
        };
        Self { event, yields: dice.roll(5000) }
    }

    async fn come(self, clouds: &Clouds, answers: &watch::Sender<usize>) {
        match self.event {
            Event::Start => {}
            Event::Arrivals(more) => clouds.arrived_in_all(clouds.count() + more).await,
            Event::Answers(more) => {
                let mut answers = answers.subscribe();
                let enough = *answers.borrow() + more;
                in_time(answers.wait_for(|answers| *answers >= enough)).await.expect("callers");
            }
        }
        for _ in 0..self.yields {
            tokio::task::yield_now().await;
        }
    }
}

/// A row of the record, with its sessions and what became of each.
#[derive(Debug, sqlx::FromRow)]
struct Row {
    status: String,
    vendor: String,
    sent_at: Option<OffsetDateTime>,
    ids: Vec<String>,
    outcomes: Vec<String>,
}

impl Row {
    fn sessions_as(&self, wanted: &str) -> impl Iterator<Item = &String> {
        self.ids.iter().zip(&self.outcomes).filter(move |(_, outcome)| *outcome == wanted).map(|(id, _)| id)
    }
}

async fn rows(url: &str) -> Vec<Row> {
    let mut connection = PgConnection::connect(url).await.expect("the test cluster runs");
    let rows = sqlx::query_as(
        "SELECT k.status, k.target ->> 'vendor' AS vendor, k.sent_at, array_agg(s.session_id) AS ids,
             array_agg(s.outcome) AS outcomes
         FROM kills k JOIN kill_sessions s ON s.kill_id = k.id GROUP BY k.id, 1, 2, 3",
    );
    rows.fetch_all(&mut connection).await.expect("rows")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_are_killed_two_hundred_times_leave_a_record_that_is_whole_and_true() {
    let mut dice = Dice::thrown();
    let database = Database::fresh().await;
    let clouds = Clouds::demo();
    misbehave(&clouds);
    let sandbox = Sandbox::start(SocketAddr::from(([127, 0, 0, 1], 0)), clouds.clone()).expect("a free port");
    let callers = Arc::new(Callers {
        next_id: AtomicU64::new(1_000_000),
        answers: watch::Sender::new(0),
        owed: Mutex::default(),
        clouds: clouds.clone(),
    });

    let record = format!("database_url = \"{}\"\nmax_connections = 4", database.url());
    let deaths = AtomicUsize::new(0);
    let generations = (0..AT_A_TIME).map(|_| dice.another()).map(async |mut dice| {
        while deaths.fetch_add(1, Ordering::Relaxed) < DEATHS {
            let doomed = Served::start(&record, &sandbox.url, IMPATIENT).await;
            let mut asking = JoinSet::new();
            for _ in 0..CALLERS {
                asking.spawn(Arc::clone(&callers).ask(doomed.client.clone(), dice.another()));
            }
            // It dies in any case, also where everybody is being turned away just then.
            let _ = timeout(Duration::from_secs(30), CrashPoint::any(&mut dice).come(&clouds, &callers.answers)).await;
            doomed.die().await;
            asking.join_all().await;
        }
    });
    join_all(generations).await;

    let setup = Setup {
        more: IMPATIENT.into(),
        database_url: Some(database.url()),
        clouds: Some(clouds.clone()),
        ..Setup::default()
    };
    let next = Gateway::start_with(Engine::Postgres, setup).await;
    let owed = std::mem::take(&mut *callers.owed.lock().unwrap());
    let owed_by_the_dead = owed.len();
    let told = async |asked: Asked| {
        let answer = async || asked.of(next.client()).await.filter(|answer| answer.code() != "in_progress");
        eventually("a repetition is answered", answer).await
    };
    let told = join_all(owed.into_iter().map(told)).await;
    assert!(told.iter().all(|answer| answer.status != StatusCode::UNPROCESSABLE_ENTITY), "{told:?}");
    let is_whole = async || {
        let rows = rows(&database.url()).await;
        rows.iter().all(|row| row.status != "pending").then_some(rows)
    };
    let rows = eventually("nothing is pending", is_whole).await;

    let calls: Vec<Received> = KILLS.into_iter().flat_map(|action| clouds.calls_for(action)).collect();
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for row in &rows {
        let sent = if row.sent_at.is_some() { "sent" } else { "not sent" };
        *counts.entry((&row.status, sent)).or_default() += 1;
    }
    eprintln!("{} rows {counts:?}, {} calls, {owed_by_the_dead} answers owed at the end", rows.len(), calls.len());
    every_call_has_an_older_row(&calls, &rows);
    no_session_is_sent_twice(&calls);
    no_session_is_killed_that_no_call_named(&calls, &rows);
    let is_in_doubt = |row: &Row| row.status == "unknown" || row.sessions_as("gone").next().is_some();
    assert!(rows.iter().any(is_in_doubt), "no gateway died with a call under way");
    assert!(rows.iter().any(|row| row.sessions_as("killed").next().is_some()), "nobody was killed");
    // Whoever indexed died with them, and what had ended is in the index all the same.
    let audit = next.app.kills().audit();
    let is_indexed = async || (audit.unindexed(Clock::system().now()).await.unwrap().is_none()).then_some(());
    eventually("all is indexed", is_indexed).await;
    assert_eq!(audit.misindexed(None, None).await, Ok(vec![]), "and nothing is lost or doubled");
}

/// Answers that take their time, so that gateways die while they wait, and some that are refusals or lost.
fn misbehave(clouds: &Clouds) {
    let slow = |millis| Behaviour::Slow(Duration::from_millis(millis));
    clouds.misbehave(Action::GaussdbKill, slow(15));
    for _ in 0..50 {
        clouds.misbehave_times(1, Action::TaurusdbKill, Behaviour::Throttle);
        clouds.misbehave_times(20, Action::TaurusdbKill, slow(5));
        clouds.misbehave_times(1, Action::DasKill, Behaviour::Drop);
        clouds.misbehave_times(10, Action::DasKill, slow(2));
    }
}

/// Each id of each call belongs to a kill that was marked as sent before the call arrived.
fn every_call_has_an_older_row(calls: &[Received], rows: &[Row]) {
    let mut about: HashMap<(&str, &str), Vec<&Row>> = HashMap::new();
    for row in rows {
        for id in &row.ids {
            about.entry((&row.vendor, id)).or_default().push(row);
        }
    }
    for call in calls {
        for id in ids_in(&call.body) {
            let rows = about.get(&(call.vendor, id.as_str())).map(Vec::as_slice).unwrap_or_default();
            let is_older = |row: &&Row| row.sent_at.is_some_and(|sent_at| sent_at <= call.at);
            assert!(rows.iter().any(is_older), "{id} at {}, and of it on record: {rows:?}", call.at);
        }
    }
}

/// What is not there is `killed` only where the vendor was ever asked to kill it.
fn no_session_is_killed_that_no_call_named(calls: &[Received], rows: &[Row]) {
    let named: HashSet<(&str, String)> =
        calls.iter().flat_map(|call| ids_in(&call.body).into_iter().map(|id| (call.vendor, id))).collect();
    for row in rows {
        for id in row.sessions_as("killed") {
            assert!(
                named.contains(&(row.vendor.as_str(), id.clone())),
                "{id} is killed, and no call named it: {row:?}"
            );
        }
    }
}

/// An id is in a second call only where the vendor surely refused the one before.
fn no_session_is_sent_twice(calls: &[Received]) {
    let mut sent: HashMap<(&str, String), Vec<&Received>> = HashMap::new();
    for call in calls {
        for id in ids_in(&call.body) {
            sent.entry((call.vendor, id)).or_default().push(call);
        }
    }
    for ((vendor, id), calls) in sent {
        let is_refused =
            |call: &&&Received| matches!(call.verdict, Verdict::Refused | Verdict::Denied | Verdict::Throttled);
        let taken = calls.iter().filter(|call| !is_refused(call)).count();
        let last_is_taken = calls.last().is_some_and(|call| !is_refused(&call));
        let seen: Vec<_> = calls.iter().map(|call| (call.at, call.verdict, call.status)).collect();
        assert!(taken == 0 || taken == 1 && last_is_taken, "{vendor} {id} was sent again: {seen:?}");
    }
}
