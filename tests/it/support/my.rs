//! Real MariaDB and MySQL servers as targets: one of each for all tests, and others to be broken.

use std::{
    io::Write as _,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use sqlx::{
    Connection, Executor, MySqlConnection,
    mysql::{MySqlConnectOptions, MySqlSslMode},
};
use tokio::sync::OnceCell;

use super::servers::PASSWORD;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/test-mysql.sh");

/// Makes a test for each of the two servers of every scenario. Where no MySQL can be had, its tests pass, and one line says
/// so.
macro_rules! on_both_servers {
    ($($scenario:ident),+ $(,)?) => {
        mod on_mariadb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(crate::support::my::Product::MariaDb).await;
            })+
        }
        mod on_mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                if crate::support::my::Product::MySql.is_here().await {
                    super::$scenario(crate::support::my::Product::MySql).await;
                }
            })+
        }
    };
}
pub(crate) use on_both_servers;

/// The two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    MariaDb,
    MySql,
}

impl Product {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
        }
    }

    /// The statement that finds whom a session is listed as.
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::MariaDb => "information_schema.processlist",
            Self::MySql => "performance_schema.processlist",
        }
    }

    /// Whether there is such a server for tests.
    pub(crate) async fn is_here(self) -> bool {
        self.shared().await.is_some()
    }

    /// The server of all tests; stopped once they have ended.
    async fn shared(self) -> Option<Arc<Running>> {
        static SERVERS: [OnceCell<Option<Arc<Running>>>; 2] = [const { OnceCell::const_new() }; 2];
        let start = async || {
            let variable = format!("KILLGATE_TEST_{}_URL", self.name().to_uppercase());
            #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
            let url = std::env::var(variable);
            if let Ok(url) = url {
                return Some(Arc::new(Running { url, dir: None, second_port: None }));
            }
            let running = Running::start(self, &["--event-scheduler=ON".to_owned()]);
            if running.is_none() {
                // Not to where tests' own words are kept back.
                let _ = writeln!(std::io::stderr(), "no MySQL can be had here: its tests show nothing");
            }
            running.map(Arc::new)
        };
        SERVERS[usize::from(self == Self::MySql)].get_or_init(start).await.clone()
    }
}

/// A server that runs; one that was started here is stopped with this process.
#[derive(Debug)]
struct Running {
    url: String,
    dir: Option<String>,
    /// Where it listens besides, if its options have `@free@`.
    second_port: Option<String>,
}

impl Running {
    /// `None` where no such server can be had.
    fn start(product: Product, options: &[String]) -> Option<Self> {
        let process = std::process::id().to_string();
        let mut arguments = vec!["start", product.name(), &process];
        arguments.extend(options.iter().map(String::as_str));
        let Output { status, stdout, stderr } = Command::new(SCRIPT).args(&arguments).output().expect("the script");
        if status.code() == Some(3) {
            return None;
        }
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        let answer = String::from_utf8(stdout).expect("text");
        let mut lines = answer.lines().map(str::to_owned);
        Some(Self { url: lines.next().expect("a URL"), dir: lines.next(), second_port: lines.next() })
    }

    fn script(&self, what: &str) {
        let dir = self.dir.as_deref().expect("a server of one's own");
        let output = Command::new(SCRIPT).args([what, dir]).output().expect("the script");
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A server as a target: a login for the gateway, an ordinary user, and a database of their own.
#[derive(Debug)]
pub(crate) struct MyServer {
    pub(crate) product: Product,
    running: Arc<Running>,
    is_own: bool,
    /// Whom the gateway logs in as.
    pub(crate) gateway: String,
    /// Whose sessions are ended.
    pub(crate) app: String,
    /// Whose it is.
    pub(crate) database: String,
}

impl MyServer {
    /// On the server of all tests.
    pub(crate) async fn new(product: Product) -> Self {
        let running = product.shared().await.expect("a server");
        Self::on(product, running, false).await
    }

    /// On a server of its own with more options.
    pub(crate) async fn own(product: Product, options: &[String]) -> Self {
        let running = Running::start(product, options).expect("a server");
        Self::on(product, Arc::new(running), true).await
    }

    async fn on(product: Product, running: Arc<Running>, is_own: bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = format!("{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let [gateway, app, database] = ["killgate", "app", "shop"].map(|name| format!("{name}_{number}"));
        let server = Self { product, running, is_own, gateway, app, database };
        let kill = if product == Product::MySql { "CONNECTION_ADMIN" } else { "CONNECTION ADMIN" };
        let mut boss = server.boss().await;
        for sql in [
            format!("CREATE USER {} IDENTIFIED BY '{PASSWORD}'", server.gateway),
            format!("GRANT PROCESS, {kill} ON *.* TO {}", server.gateway),
            format!("CREATE USER {} IDENTIFIED BY '{PASSWORD}'", server.app),
            format!("CREATE DATABASE {}", server.database),
            format!("GRANT ALL ON {}.* TO {}", server.database, server.app),
            format!("CREATE TABLE {}.goods (id INT PRIMARY KEY, pieces INT)", server.database),
            format!("INSERT INTO {}.goods VALUES (1, 10), (2, 20)", server.database),
        ] {
            boss.execute(plain(&sql)).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        // MySQL's logins go without TLS once it knows them.
        boss.close().await.expect("a goodbye");
        server.session_of(&server.gateway).await.close().await.expect("a goodbye");
        server
    }

    fn options(&self) -> MySqlConnectOptions {
        let options: MySqlConnectOptions = self.running.url.parse().expect("a URL");
        options.ssl_mode(if self.product == Product::MySql { MySqlSslMode::Required } else { MySqlSslMode::Disabled })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        let options = self.options();
        format!("{}:{}", options.get_host(), options.get_port())
    }

    /// The port that stands for `@free@` in its options.
    pub(crate) fn second_port(&self) -> &str {
        self.running.second_port.as_deref().expect("a second port")
    }

    /// An account and a target of these names at its address, with more lines of the account's.
    pub(crate) fn configuration(&self, name: &str, more: &str) -> String {
        self.configuration_at(name, &self.address(), more)
    }

    /// The same at another address, such as a proxy's.
    pub(crate) fn configuration_at(&self, name: &str, address: &str, more: &str) -> String {
        let tls = if more.contains("tls = ") { "" } else { "tls = \"off\"" };
        format!(
            "\n[accounts.{name}]\nengine = \"{engine}\"\nusername = \"{}\"\npassword = \"{PASSWORD}\"\n\
             nodes.primary = \"{address}\"\n{tls}\n{more}\n\
             [targets.{name}]\nvendor = \"{engine}\"\naccount = \"{name}\"\n",
            self.gateway,
            engine = self.product.name(),
        )
    }

    /// A session of somebody who may do everything.
    pub(crate) async fn boss(&self) -> MySqlConnection {
        self.try_boss().await.expect("the owner's login")
    }

    /// A session of the ordinary user in the database, and its id.
    pub(crate) async fn session(&self) -> (MySqlConnection, u64) {
        let options = self.options().username(&self.app).password(PASSWORD).database(&self.database);
        with_id(MySqlConnection::connect_with(&options).await.expect("the user's login")).await
    }

    /// The same over the Unix socket of a server of one's own: it is listed without a port.
    pub(crate) async fn socket_session(&self) -> (MySqlConnection, u64) {
        let dir = self.running.dir.as_deref().expect("a server of one's own");
        let options = self.options().socket(format!("{dir}/socket")).username(&self.app).password(PASSWORD);
        with_id(MySqlConnection::connect_with(&options).await.expect("the user's login")).await
    }

    /// Waits until it has run for so long that another start of it is another one by whole seconds.
    pub(crate) async fn has_run_a_while(&self) {
        let mut boss = self.boss().await;
        super::patience::eventually("two seconds", async || {
            let (_, uptime): (String, String) =
                sqlx::query_as("SHOW GLOBAL STATUS LIKE 'Uptime'").fetch_one(&mut boss).await.expect("its time");
            (uptime.parse::<u64>().expect("a number") > 2).then_some(())
        })
        .await;
        boss.close().await.expect("a goodbye");
    }

    /// A session of that user.
    async fn session_of(&self, user: &str) -> MySqlConnection {
        self.try_session(user).await.expect("the user's login")
    }

    /// The same where there may be no room for it.
    pub(crate) async fn try_session(&self, user: &str) -> sqlx::Result<MySqlConnection> {
        MySqlConnection::connect_with(&self.options().username(user).password(PASSWORD)).await
    }

    pub(crate) async fn try_boss(&self) -> sqlx::Result<MySqlConnection> {
        MySqlConnection::connect_with(&self.options()).await
    }

    /// Waits until that session is listed as one for which a condition holds.
    pub(crate) async fn until(&self, id: u64, condition: &str) {
        let table = self.product.table();
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE ID = {id} AND ({condition})");
        let mut boss = self.boss().await;
        super::patience::eventually(condition, async || {
            let count: i64 = sqlx::query_scalar(plain(&sql)).fetch_one(&mut boss).await.expect(&sql);
            (count > 0).then_some(())
        })
        .await;
        boss.close().await.expect("a goodbye");
    }

    /// Stops it at once, as a crash would, and starts it again.
    pub(crate) fn restart(&self) {
        self.running.script("halt");
        self.running.script("resume");
    }

    pub(crate) fn stop(&self) {
        self.running.script("halt");
    }

    /// Lines of an account at a server of its own that restarts: MySQL knows no login without TLS then, and has made itself
    /// an authority.
    pub(crate) fn tls(&self) -> String {
        let dir = self.running.dir.as_deref().unwrap_or_default();
        match self.product {
            Product::MySql => format!("tls = \"verify-ca\"\nca_file = \"{dir}/data/ca.pem\""),
            Product::MariaDb => "tls = \"off\"".to_owned(),
        }
    }
}

impl Drop for MyServer {
    fn drop(&mut self) {
        if self.is_own {
            return self.running.script("stop");
        }
        let Self { gateway, app, database, .. } = &*self;
        let sql = format!("DROP USER {gateway}, {app}; DROP DATABASE {database}");
        let options = self.options();
        // A runtime cannot wait for itself, so another one does it.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut boss = MySqlConnection::connect_with(&options).await.expect("the owner's login");
                for sql in sql.split("; ") {
                    boss.execute(plain(sql)).await.expect(sql);
                }
                boss.close().await.expect("a goodbye");
            });
        });
        assert!(dropped.join().is_ok() || thread::panicking(), "users and a database could not be dropped");
    }
}

/// A statement as it is written: names are no binds, and MySQL prepares no `KILL`, `XA` or `CREATE PROCEDURE`.
#[expect(clippy::disallowed_types, reason = "tests write their own statements")]
pub(crate) fn plain(sql: impl Into<String>) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(sql.into())
}

pub(crate) async fn with_id(mut session: MySqlConnection) -> (MySqlConnection, u64) {
    let sql = "SELECT CAST(CONNECTION_ID() AS UNSIGNED)";
    let id = sqlx::query_scalar(sql).fetch_one(&mut session).await.expect("its id");
    (session, id)
}

/// Whether the session has been ended.
pub(crate) async fn is_ended(session: &mut MySqlConnection) -> bool {
    session.execute("SELECT 1").await.is_err()
}
