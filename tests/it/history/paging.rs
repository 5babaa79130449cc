//! Pages are the record as it stood when the first of them was read, whoever writes meanwhile and however late they
//! commit.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use killgate::{
    audit::{Audit, Filter},
    clock::{Clock, id_at},
    domain::KillId,
};
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use tokio::{sync::RwLock, task::JoinSet};

use super::{aged, on_both_engines};
use crate::{
    audit::book::attempt,
    support::{
        gateway::{Engine, Gateway, Setup},
        patience::eventually,
    },
};

const WRITERS: u64 = 100;
/// Transactions that are under way when the first page is read and commit while later ones are.
const LATE: u64 = 20;
/// Kills on record when the first page is read, at the least.
const BEFORE: usize = 300;

on_both_engines! {
    the_set_that_is_read_is_the_set_that_was_committed,
    a_cursor_of_as_many_writes_as_there_may_be_is_a_place,
}

/// A moment of the last ten minutes: what is written goes between what is there.
fn moment(n: u64) -> OffsetDateTime {
    Clock::system().now() - Duration::from_millis(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 600_000)
}

/// A hundred gateways' worth of writers, until told to stop.
struct Writers {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    /// Held while somebody writes; whoever takes it alone finds nobody writing.
    writing: Arc<RwLock<()>>,
    committed: Arc<Mutex<BTreeSet<KillId>>>,
}

impl Writers {
    fn start(audit: &Audit) -> Self {
        let (stop, writing) = (Arc::new(AtomicBool::new(false)), Arc::new(RwLock::new(())));
        let committed = Arc::new(Mutex::new(BTreeSet::new()));
        let count = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..WRITERS {
            let (audit, stop, writing) = (audit.clone(), Arc::clone(&stop), Arc::clone(&writing));
            let (committed, count) = (Arc::clone(&committed), Arc::clone(&count));
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let _writing = writing.read().await;
                    let attempt = attempt(moment(count.fetch_add(1, Ordering::Relaxed)));
                    let kill = aged::recorded(&audit, &attempt).await;
                    committed.lock().unwrap().insert(kill.id);
                }
            });
        }
        Self { tasks, stop, writing, committed }
    }

    fn many(&self) -> usize {
        self.committed.lock().unwrap().len()
    }

    async fn until(&self, many: usize) {
        eventually("so many are written", async || (self.many() >= many).then_some(())).await;
    }

    async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(done) = self.tasks.join_next().await {
            done.unwrap();
        }
    }
}

/// A kill in a transaction of its own that is not committed yet.
async fn late(url: &str, n: u64) -> (KillId, PgConnection) {
    let (id, at) = (id_at(moment(n)), moment(n));
    let mut connection = PgConnection::connect(url).await.unwrap();
    // It may be of the month before.
    sqlx::query("SELECT make_months($1, 1)").bind(at).execute(&mut connection).await.unwrap();
    sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
    let insert = "SELECT begin_kills(ARRAY[$1::uuid], ARRAY[$2::timestamptz], ARRAY['pending'], ARRAY['elsewhere'], \
                  ARRAY[false], ARRAY[$2::timestamptz + interval '1 hour'], ARRAY['{\"asked\":{\"caller\":\"late\"}}'], \
                  ARRAY[false])";
    sqlx::query(insert).bind(id).bind(at).execute(&mut connection).await.unwrap();
    (id, connection)
}

async fn the_set_that_is_read_is_the_set_that_was_committed(engine: Engine) {
    let setup = Setup { env: vec![("KILLGATE__AUDIT__TIMEOUT_MS", "60000")], ..Setup::default() };
    let gateway = Gateway::start_with(engine, setup).await;
    let audit = gateway.app.kills().audit();
    // One at a time writes to a file, so there nobody can be late.
    let mut open = Vec::new();
    if engine == Engine::Postgres {
        for n in 0..LATE {
            open.push(late(&gateway.database_url(), 1_000_000 + n).await);
        }
    }
    let writers = Writers::start(audit);
    writers.until(BEFORE).await;

    let mut filter = Filter::default();
    let (first, committed) = {
        let _alone = writers.writing.write().await;
        let first = audit.page(&filter, 11).await.unwrap();
        (first, writers.committed.lock().unwrap().clone())
    };
    let mut read: Vec<KillId> = first.items.iter().map(|kill| kill.id).collect();
    let mut next = first.next;
    while let Some(cursor) = next {
        // As a client hands it back.
        filter.place = Some(cursor.to_string().parse().unwrap());
        let many = writers.many();
        if let Some((id, mut connection)) = open.pop() {
            sqlx::query("COMMIT").execute(&mut connection).await.unwrap();
            assert!(audit.find(id).await.unwrap().is_some(), "committed, though late");
        }
        writers.until(many + 5).await;
        let page = audit.page(&filter, 11).await.unwrap();
        read.extend(page.items.iter().map(|kill| kill.id));
        next = page.next;
    }
    writers.stop().await;
    assert!(read.windows(2).all(|pair| pair[0] > pair[1]), "newest first, none twice");
    let read: BTreeSet<KillId> = read.into_iter().collect();
    assert_eq!(read, committed, "neither more nor less than what was committed when the first page was read");
}

/// A cursor that says of so many writes, which have not been, that they were under way.
fn cursor(many: u32) -> String {
    let now = Clock::system().now();
    let millis = i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap();
    let mut bytes = vec![0];
    bytes.extend(id_at(now + Duration::from_mins(1)).as_bytes());
    bytes.extend(millis.to_be_bytes());
    bytes.extend(2_000_000_000_i64.to_be_bytes());
    bytes.extend((1..=many).flat_map(u32::to_be_bytes));
    URL_SAFE_NO_PAD.encode(bytes)
}

async fn a_cursor_of_as_many_writes_as_there_may_be_is_a_place(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let audit = gateway.app.kills().audit();
    let kill = aged::recorded(audit, &attempt(Clock::system().now())).await;
    for many in [0, 1, 1_000, 10_000] {
        for more in ["", "&session_id=1111&reason=INC-4711&vendor=taurusdb"] {
            let page = gateway.read(&format!("/kills?limit=500{more}&cursor={}", cursor(many))).await;
            assert_eq!(page.status.as_u16(), 200, "{many} {more}: {}", page.body);
            assert_eq!(page.body["items"][0]["id"], kill.id.to_string(), "{many} {more}");
        }
    }
    let page = gateway.read(&format!("/kills?cursor={}", cursor(10_001))).await;
    assert_eq!((page.status.as_u16(), &page.body["field"]), (422, &"cursor".into()), "{}", page.body);
}
