//! A crowd of clients that come and go while some of them are ended, held against the server's own log: nobody ends but
//! those whom a kill saw and named. And ids that are another session's between look and kill.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};
use tokio::{sync::watch, task::JoinSet};

use super::{
    by_ids, kill, list,
    log::{self, Login},
    outcomes,
};
use crate::support::{
    dice::Dice,
    gateway::{Engine, Gateway, Setup},
    patience::{eventually, in_time},
    postgres::{Cluster, gate},
    servers::{PROCESS_IDS, PgServer, is_ended, next_process_is, until},
};

/// How many clients come in all, how many are there at a time, and how many callers end some of them.
const CLIENTS: usize = 1000;
const AT_A_TIME: usize = 40;
const CALLERS: usize = 4;

const ACCOUNTS: u64 = 100;

/// What all share.
#[derive(Debug)]
struct Crowd {
    server: PgServer,
    gateway: Gateway,
    /// New sessions are given the lowest free id from here on, where this user may say so: it was mostly another's just now.
    lowest: i32,
    come: AtomicUsize,
    gone: AtomicUsize,
    /// Those that have left by themselves, or were about to.
    left: Mutex<HashSet<Login>>,
    /// Every kill, with the hosts of those that were pinned, by their ids.
    kills: Mutex<Vec<(String, HashMap<String, Value>)>>,
    /// How many kills were answered, or nobody was found whom to end.
    rounds: watch::Sender<usize>,
}

impl Crowd {
    async fn come_and_go(self: Arc<Self>, mut dice: Dice) {
        while self.come.fetch_add(1, Ordering::Relaxed) < CLIENTS {
            next_process_is(self.lowest);
            // Whoever is ended comes again as the next one.
            let _ = self.visit(&mut dice).await;
            self.gone.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// # Errors
    /// It was ended.
    async fn visit(&self, dice: &mut Dice) -> sqlx::Result<()> {
        let mut session = self.server.login().await?;
        let login = Login::of(&mut session).await?;
        for _ in 0..dice.roll(4) {
            let account = i32::try_from(dice.roll(ACCOUNTS)).unwrap();
            let mut work = session.begin().await?;
            let sql = "UPDATE accounts SET balance = balance + 1 WHERE id = $1";
            sqlx::query(sql).bind(account).execute(&mut *work).await?;
            work.commit().await?;
        }
        if dice.roll(4) > 0 {
            // Idle until others have been ended, or nobody is left who could be.
            let mut rounds = self.rounds.subscribe();
            let enough = *rounds.borrow() + usize::try_from(1 + dice.roll(20)).unwrap();
            in_time(rounds.wait_for(|rounds| *rounds >= enough)).await.expect("the crowd");
            session.ping().await?;
        }
        self.left.lock().unwrap().insert(login);
        session.close().await
    }

    /// Ends some of those who are there, or were there when they were listed last.
    async fn end_some(self: Arc<Self>, mut dice: Dice) {
        let mut seen = vec![];
        while self.gone.load(Ordering::Relaxed) < CLIENTS {
            if seen.is_empty() || dice.roll(3) == 0 {
                let answer = list(&self.gateway, &format!("orders&user={}", self.server.app)).await;
                let items = answer.body["items"].as_array();
                seen.clone_from(items.unwrap_or_else(|| panic!("{}", answer.body)));
            }
            let (mut ids, mut pins) = (vec![], HashMap::new());
            while !seen.is_empty() && ids.len() <= usize::try_from(dice.roll(3)).unwrap() {
                let one = seen.swap_remove(usize::try_from(dice.roll(seen.len() as u64)).unwrap());
                if dice.roll(4) == 0 {
                    ids.push(one["id"].clone());
                } else {
                    pins.insert(one["id"].as_str().unwrap().to_owned(), one["host"].clone());
                    ids.push(json!({ "id": one["id"], "user": one["user"], "host": one["host"] }));
                }
            }
            if !ids.is_empty() {
                let body = json!({ "target": "orders", "select": { "ids": ids }, "reason": "INC-4711" });
                let answer = kill(&self.gateway, &body).await;
                self.kills.lock().unwrap().push((answer.kill_id().to_owned(), pins));
            }
            self.rounds.send_modify(|rounds| *rounds += 1);
        }
    }

    /// What became of each session that a kill asked for, once it is known, and which one it was.
    async fn told(&self) -> Vec<(String, Login)> {
        let (kills, mut told) = (std::mem::take(&mut *self.kills.lock().unwrap()), vec![]);
        let mut counts = BTreeMap::<String, usize>::new();
        for (kill, pins) in &kills {
            let is_known =
                |record: &Value| !matches!(record["status"].as_str(), Some("pending" | "accepted" | "unknown"));
            let known = async || Some(self.gateway.record(kill).await).filter(is_known);
            let record = eventually("it is known what became of a kill", known).await;
            for session in record["sessions"].as_array().unwrap() {
                let (id, outcome) = (session["id"].as_str().unwrap(), session["outcome"].as_str().unwrap());
                *counts.entry(outcome.to_owned()).or_default() += 1;
                match outcome {
                    "killed" | "gone" => {
                        let is_pinned = pins.get(id).is_none_or(|host| session["identity"]["host"] == *host);
                        assert!(is_pinned, "another one than {pins:?}: {session}");
                        told.push((outcome.to_owned(), Login::seen(id, &session["identity"]).unwrap()));
                    }
                    "changed" | "not_found" => {}
                    outcome => panic!("{outcome}: {record}"),
                }
            }
        }
        eprintln!("{} kills, {counts:?}", kills.len());
        assert!(counts.contains_key("killed") && counts.len() > 1, "some were ended, and some had gone: {counts:?}");
        told
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_clients_that_come_and_go_none_ends_but_those_who_were_seen_and_named() {
    let _ids = PROCESS_IDS.lock().await;
    let mut dice = Dice::thrown();
    let cluster = Arc::new(Cluster::start());
    let server = PgServer::on(&cluster).await;
    log::log_all(&server).await;
    let (mut first, lowest) = server.session().await;
    first.execute("CREATE TABLE accounts (id int PRIMARY KEY, balance int)").await.unwrap();
    first.execute("INSERT INTO accounts SELECT generate_series(0, 99), 0").await.unwrap();
    first.close().await.unwrap();
    let mut owner = server.owner().await;
    let more = server.configuration("orders", "");
    let gateway = Gateway::start_with(Engine::Sqlite, Setup { more, ..Setup::default() }).await;
    let crowd = Arc::new(Crowd {
        server,
        gateway,
        lowest,
        come: AtomicUsize::new(0),
        gone: AtomicUsize::new(0),
        left: Mutex::default(),
        kills: Mutex::default(),
        rounds: watch::Sender::new(0),
    });
    let mut busy = JoinSet::new();
    (0..AT_A_TIME).for_each(|_| drop(busy.spawn(Arc::clone(&crowd).come_and_go(dice.another()))));
    (0..CALLERS).for_each(|_| drop(busy.spawn(Arc::clone(&crowd).end_some(dice.another()))));
    while let Some(done) = busy.join_next().await {
        done.unwrap();
    }
    let app = &crowd.server.app;
    until(&mut owner, &format!("SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = '{app}')"))
        .await;

    let told = crowd.told().await;
    let ended: HashSet<Login> = log::ended(&cluster).into_iter().map(|logged| logged.what).collect();
    let left = crowd.left.lock().unwrap();
    let named: HashSet<&Login> = told.iter().map(|(_, login)| login).collect();
    for login in &ended {
        assert!(named.contains(login), "{login:?} was ended, and no kill named it");
    }
    for (outcome, login) in &told {
        let is_over = outcome == "gone" || ended.contains(login) || left.contains(login);
        assert!(is_over, "{login:?} is {outcome}, and the server did not end it");
    }
    let of_clients = ended.union(&left).count();
    eprintln!("{} were ended, {} left, {of_clients} in all", ended.len(), left.len());
    assert_eq!(of_clients, CLIENTS, "each was ended or left");
    let asked: HashSet<log::Meant> = log::asked(&cluster).into_iter().map(|logged| logged.what).collect();
    assert!(asked.len() >= ended.len(), "and each was asked for by its start");
}

/// A session is looked at, and before it is ended it goes and another one has its id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_the_id_of_the_session_that_was_seen_is_not_ended_for_it() {
    let _ids = PROCESS_IDS.lock().await;
    let server = PgServer::new().await;
    let mut owner = server.owner().await;
    let more = server.configuration("orders", "vendors.postgresql.look_max_age_ms = 600000\n");
    let gateway = Gateway::start_with(Engine::Postgres, Setup { more, ..Setup::default() }).await;
    let (session, id) = server.session().await;
    let is_gone = format!("SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_get_activity({id}))");
    let text = id.to_string();

    // The caller has seen it: in a list, or in a preview.
    let seen = list(&gateway, &format!("orders&user={}", server.app)).await.body["items"][0].clone();
    let mut preview = by_ids("orders", &[id]);
    preview["dry_run"] = json!(true);
    let mut confirm = by_ids("orders", &[id]);
    confirm["confirm"] = kill(&gateway, &preview).await.body["confirm"].clone();
    let pin = json!({ "id": seen["id"], "user": seen["user"], "host": seen["host"] });
    let pinned = json!({ "target": "orders", "select": { "ids": [pin] }, "reason": "INC-4711" });
    session.close().await.unwrap();
    until(&mut owner, &is_gone).await;
    let answer = kill(&gateway, &pinned).await;
    assert_eq!(outcomes(&answer), [(text.as_str(), "not_found")], "nobody has its id: {}", answer.body);
    let mut session = server.session_under(id).await;
    for body in [&pinned, &confirm] {
        let answer = kill(&gateway, body).await;
        assert_eq!(outcomes(&answer), [(text.as_str(), "changed")], "{}", answer.body);
    }
    assert!(!is_ended(&mut session).await);

    // The gateway has seen it, and records that it is about to send.
    let mut gate = gate(&gateway.database_url()).await;
    let swap = async {
        let waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        until(&mut gate, waits).await;
        session.close().await.unwrap();
        until(&mut owner, &is_gone).await;
        let other = server.session_under(id).await;
        gate.close().await.unwrap();
        other
    };
    let body = by_ids("orders", &[id]);
    let (answer, mut other) = tokio::join!(kill(&gateway, &body), swap);
    assert_eq!(outcomes(&answer), [(text.as_str(), "changed")], "{}", answer.body);
    assert_eq!(answer.body["sessions"][0]["detail"], "its id is another session's by now", "{}", answer.body);
    assert!(!is_ended(&mut other).await);
}
