//! `[audit]`: where the record is kept.

use std::{path::PathBuf, time::Duration};

use url::Url;

use super::{Secret, section::Section};

const DATABASE_URL: &str = "must be a URL such as postgres://killgate@localhost/killgate or sqlite:killgate.db; \
     a record in memory is no record";
/// What begins a part of a URL ends the part before it, so a password with one of these names another host.
const FRAGMENT: &str = "must not hold a #: in a user or password it is written %23";
const UNESCAPED: &str =
    "has an @ where none belongs: in a user or password / is written %2F, ? is %3F, @ is %40, and so in a name too";

/// Where and how the record is kept.
#[derive(Debug, Clone)]
pub struct Audit {
    /// `database_url`, or else the SQLite file `sqlite_path`.
    pub database: Database,
    /// Whether `serve` brings the schema up to date itself; true by default.
    pub migrate: bool,
    /// `timeout_ms`: the longest a record may take to be written before the answer is 503: 100 to 60000 ms, 3000 by
    /// default.
    pub timeout: Duration,
    /// Connections to the database: 1 to 1000, 16 by default. On Postgres there are at least seven.
    pub max_connections: u32,
    /// `ca_file`: certificates of authorities that Postgres may have its own from, beside those of `[tls]`, as PEM.
    pub authorities: Option<Vec<u8>>,
    /// `idempotency_ttl_hours`: how long an idempotency key gives the same kill: 1 to 8760 hours, 24 by default.
    pub idempotency_ttl: Duration,
}

/// The database that keeps the record.
#[derive(Debug, Clone)]
pub enum Database {
    /// The URL as sqlx takes it; it may hold a password.
    Postgres(Secret),
    /// A file, `killgate.db` in the working directory by default.
    Sqlite(PathBuf),
}

impl Audit {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let database = section
            .secret("database_url")
            .and_then(|url| Database::at(url).map_err(|expected| section.problem("database_url", expected)).ok());
        let path = section.text("sqlite_path").unwrap_or_else(|| "killgate.db".to_owned());
        let hours: u64 = section.number("idempotency_ttl_hours", 1..=8760).unwrap_or(24);
        Self {
            database: database.unwrap_or_else(|| Database::Sqlite(PathBuf::from(path))),
            migrate: section.flag("migrate").unwrap_or(true),
            timeout: Duration::from_millis(section.number("timeout_ms", 100..=60_000).unwrap_or(3000)),
            authorities: section.authorities("ca_file"),
            max_connections: section.number("max_connections", 1..=1000).unwrap_or(16),
            idempotency_ttl: Duration::from_secs(hours * 3600),
        }
    }
}

impl Database {
    /// The key that says which one it is.
    pub(crate) const fn key(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "audit.database_url",
            Self::Sqlite(_) => "audit.sqlite_path",
        }
    }

    /// # Errors
    /// What was expected, in words that show nothing of the URL.
    fn at(url: Secret) -> Result<Self, &'static str> {
        let text = url.expose();
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let file = !path.is_empty() && !path.contains(['?', '#']) && !path.contains(":memory:");
            return file.then(|| Self::Sqlite(PathBuf::from(path))).ok_or(DATABASE_URL);
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(DATABASE_URL);
        }
        if text.contains('#') {
            return Err(FRAGMENT);
        }
        let parsed = Url::parse(text);
        let in_password = |url: &Url| {
            url.username().is_empty() && url.path().contains('@')
                || url.query_pairs().any(|(name, _)| name.contains('@'))
        };
        match parsed {
            Ok(parsed) if in_password(&parsed) => Err(UNESCAPED),
            Ok(_) => Ok(Self::Postgres(url)),
            // The usual cause is a password that ends before its @.
            Err(_) if text.contains('@') => Err(UNESCAPED),
            Err(_) => Err(DATABASE_URL),
        }
    }

    /// Which database this is, without user, password or parameters.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite {}", path.display()),
            Self::Postgres(url) => {
                let url = Url::parse(url.expose()).ok();
                let host = url.as_ref().and_then(Url::host_str).unwrap_or("a local socket");
                format!("postgres at {host}{}", url.as_ref().map_or("", Url::path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, read, read_with};

    #[test]
    fn without_a_url_the_record_is_an_embedded_file() {
        let audit = read("").audit;
        assert_eq!(audit.database.place(), "sqlite killgate.db");
        assert_eq!((audit.migrate, audit.max_connections), (true, 16));
        assert_eq!((audit.timeout.as_millis(), audit.idempotency_ttl.as_secs()), (3000, 86_400));
        assert_eq!(read("audit.sqlite_path = '/var/lib/k.db'").audit.database.place(), "sqlite /var/lib/k.db");
    }

    #[test]
    fn a_url_says_which_database_and_never_shows_its_password() {
        let audit =
            read_with("", &[("DATABASE_URL", "postgresql://u:canary@db:5433/k?password=canary")]).unwrap().audit;
        assert_eq!(audit.database.place(), "postgres at db/k");
        assert!(!format!("{audit:?}").contains("canary"));
        for url in ["sqlite:a/k.db", "sqlite://a/k.db"] {
            assert_eq!(read(&format!("audit.database_url = '{url}'")).audit.database.place(), "sqlite a/k.db");
        }
    }

    #[test]
    fn a_password_that_names_another_host_is_refused_with_a_hint() {
        let told = |url: &str| problems(&format!("audit.database_url = '{url}'"));
        for url in ["postgres://u:12#canary@db/k", "postgres://u:p#canary@db/k", "postgres://u:p@db/k#canary"] {
            assert!(told(url)[0].contains("%23") && !told(url)[0].contains("canary"), "{url}: {:?}", told(url));
        }
        for url in ["postgres://u:12/canary@db/k", "postgres://u:12?canary@db/k", "postgres://u:p/canary@db/k"] {
            assert!(told(url)[0].contains("%2F") && !told(url)[0].contains("canary"), "{url}: {:?}", told(url));
        }
        for url in ["postgres://u:12%23x%2F@db/k", "postgres://db:5432/k?user=me@server", "postgres://u%40s:p@db/k"] {
            read(&format!("audit.database_url = '{url}'"));
        }
    }

    #[test]
    fn each_bad_value_is_told_with_its_path() {
        for url in ["mysql://canary", "canary", "sqlite::memory:", "sqlite:", "sqlite:k.db?mode=canary"] {
            let told = problems(&format!("audit.database_url = '{url}'"));
            assert!(told[0].starts_with("audit.database_url: must be a URL such as postgres://"), "{told:?}");
            assert!(!told[0].contains("canary"));
        }
        let toml = "[audit]\nmigrate = 'maybe'\ntimeout_ms = 99\nmax_connections = 0\nidempotency_ttl_hours = 'many'\n\
                    sqlite_path = 7";
        assert_eq!(
            problems(toml),
            [
                "audit.sqlite_path: must be a text of 1 to 255 characters",
                "audit.idempotency_ttl_hours: must be a whole number from 1 to 8760, not \"many\"",
                "audit.migrate: must be true or false, not \"maybe\"",
                "audit.timeout_ms: must be a whole number from 100 to 60000, not 99",
                "audit.max_connections: must be a whole number from 1 to 1000, not 0",
            ]
        );
    }
}
