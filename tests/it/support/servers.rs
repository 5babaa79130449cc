//! Real database servers as targets: logins for a gateway, and sessions to be ended.

use std::{
    fs,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Instant,
};

use sqlx::{Connection, Executor, PgConnection, QueryBuilder, postgres::PgConnectOptions};
use tokio::sync::Mutex;

use super::{
    patience::PATIENCE,
    postgres::{Cluster, Database},
};

/// The PostgreSQL of all tests as a target: a login for the gateway, an ordinary user, and a database of their own.
#[derive(Debug)]
pub(crate) struct PgServer {
    /// As its owner.
    url: String,
    _home: Home,
    /// Whom the gateway logs in as.
    pub(crate) gateway: String,
    /// Whose sessions are ended.
    pub(crate) app: String,
}

/// What goes with the server.
#[expect(dead_code, reason = "kept only to be removed with the test")]
#[derive(Debug)]
enum Home {
    Shared(Database),
    Own(Arc<Cluster>),
}

/// The password of every login here.
pub(crate) const PASSWORD: &str = "a-password-only-tests-know";

/// The same as a server keeps it, after one round of hashing: after the usual 4,096 a thousand logins would be a matter of
/// minutes, since nothing is optimised here.
const VERIFIER: &str = "SCRAM-SHA-256$1:c2FsdC1mb3ItdGVzdHMhIQ==$5CWZUqG8jgDmJhXabP5llbum3DdUMF2+A6npYclbYLI=:\
                        Xd6x4D1UfI5opSMEjIfiN+lenB8pBo5fIUh6tFfE2dg=";

impl PgServer {
    /// On the server of all tests, in a database of its own.
    pub(crate) async fn new() -> Self {
        let database = Database::empty().await;
        Self::at(database.url(), Home::Shared(database)).await
    }

    /// On a server of its own, to be filled, stopped and chosen from.
    pub(crate) async fn on(cluster: &Arc<Cluster>) -> Self {
        Self::at(cluster.url().to_owned(), Home::Own(Arc::clone(cluster))).await
    }

    async fn at(url: String, home: Home) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = format!("{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let (gateway, app) = (format!("killgate_{number}"), format!("app_{number}"));
        let server = Self { url, _home: home, gateway, app };
        let mut owner = server.owner().await;
        for sql in [
            format!("CREATE ROLE {} LOGIN PASSWORD '{PASSWORD}'", server.gateway),
            format!("GRANT pg_read_all_stats, pg_signal_backend TO {}", server.gateway),
            format!("CREATE ROLE {} LOGIN PASSWORD '{VERIFIER}'", server.app),
            format!("GRANT CREATE ON SCHEMA public TO {}", server.app),
        ] {
            run(&mut owner, &sql).await;
        }
        server
    }

    /// As its owner.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        let options: PgConnectOptions = self.url.parse().expect("a URL");
        format!("{}:{}", options.get_host(), options.get_port())
    }

    /// An account and a target of these names, with more lines of the account's.
    pub(crate) fn configuration(&self, name: &str, more: &str) -> String {
        format!(
            "\n[accounts.{name}-pg]\nengine = \"postgresql\"\nusername = \"{}\"\npassword = \"{PASSWORD}\"\n\
             nodes.primary = \"{}\"\ntls = \"off\"\n{more}\n\
             [targets.{name}]\nvendor = \"postgresql\"\naccount = \"{name}-pg\"\n",
            self.gateway,
            self.address()
        )
    }

    /// A session of the cluster's owner, who is a superuser.
    pub(crate) async fn owner(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("the owner's login")
    }

    /// A session of the ordinary user, and its process id.
    pub(crate) async fn session(&self) -> (PgConnection, i32) {
        with_id(self.login().await.expect("the user's login")).await
    }

    /// A session of the ordinary user that may be ended at once.
    pub(crate) async fn login(&self) -> sqlx::Result<PgConnection> {
        self.login_to(None).await
    }

    /// The same in another database.
    pub(crate) async fn login_to(&self, database: Option<&str>) -> sqlx::Result<PgConnection> {
        let options: PgConnectOptions = self.url.parse().expect("a URL");
        let options = options.username(&self.app).password(PASSWORD).application_name("till");
        let options = database.into_iter().fold(options, PgConnectOptions::database);
        PgConnection::connect_with(&options).await
    }

    /// A session of the ordinary user under a process id that was another one's, and has no process by now.
    pub(crate) async fn session_under(&self, id: i32) -> PgConnection {
        let (mut last, deadline) = (0, Instant::now() + PATIENCE);
        loop {
            assert!(Instant::now() < deadline, "no session came to the id {id}");
            if !next_process_is(id) && !soon_before(id).contains(&last) {
                walk_to(id);
            }
            let (session, its) = self.session().await;
            if its == id {
                return session;
            }
            last = its;
            session.close().await.expect("a goodbye");
        }
    }
}

/// Held by whoever says which id the next process has: the machine has one count of them.
pub(crate) static PROCESS_IDS: Mutex<()> = Mutex::const_new(());

/// Has the machine give that id to the next process, or one soon behind it if somebody has it. False where this user may not
/// say so.
pub(crate) fn next_process_is(id: i32) -> bool {
    fs::write("/proc/sys/kernel/ns_last_pid", (id - 1).to_string()).is_ok()
}

/// Ids after which that one comes soon.
fn soon_before(id: i32) -> Range<i32> {
    id - 20..id
}

/// Uses ids up, as threads do too, until that one comes soon.
fn walk_to(id: i32) {
    let mine = || fs::read_link("/proc/thread-self").ok()?.file_name()?.to_str()?.parse().ok();
    while !soon_before(id).contains(&thread::spawn(mine).join().expect("a thread").expect("its id")) {}
}

/// Runs a statement that has to go well.
pub(crate) async fn run(session: &mut PgConnection, sql: &str) {
    try_run(session, sql).await.expect(sql);
}

pub(crate) async fn try_run(session: &mut PgConnection, sql: &str) -> sqlx::Result<()> {
    QueryBuilder::<sqlx::Postgres>::new(sql).build().execute(session).await.map(drop)
}

/// Waits until a query gives a row, as the owner sees it.
pub(crate) async fn until(owner: &mut PgConnection, query: &str) {
    let deadline = Instant::now() + PATIENCE;
    while QueryBuilder::<sqlx::Postgres>::new(query).build().fetch_optional(&mut *owner).await.expect(query).is_none() {
        assert!(Instant::now() < deadline, "still nothing: {query}");
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn with_id(mut session: PgConnection) -> (PgConnection, i32) {
    let id = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut session).await.expect("its id");
    (session, id)
}

/// Whether the session has been ended.
pub(crate) async fn is_ended(session: &mut PgConnection) -> bool {
    session.execute("SELECT 1").await.is_err()
}
