//! A record to try things on, and the attempts to write into it.

use std::{path::PathBuf, time::Duration};

use killgate::{
    audit::{Attempt, Audit, Begun, IdempotencyKey, Settings},
    clock::id_at,
    domain::{Kill, Outcome, Problem, ProblemCode, Session, SessionId, Status, Upstream},
};
use serde_json::json;
use sqlx::{PgPool, QueryBuilder, SqlitePool, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use time::{OffsetDateTime, macros::datetime};

use crate::support::postgres::Database;

pub(crate) const NOON: OffsetDateTime = datetime!(2026-03-04 12:00:00.123 UTC);
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// A record of one's own, opened, and a way round it into the database.
pub(crate) struct Book {
    pub(crate) audit: Audit,
    pub(crate) settings: Settings,
    raw: Raw,
    _home: Home,
}

enum Raw {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

#[expect(dead_code, reason = "kept only to be removed with the test")]
enum Home {
    Database(Database),
    Directory(TempDir),
}

impl Book {
    pub(crate) async fn on_postgres() -> Self {
        let database = Database::fresh().await;
        let raw = PgPool::connect_lazy(&database.url()).unwrap();
        let settings = Settings { database_url: Some(database.url().into()), ..patient() };
        let audit = Audit::open(&settings).await.unwrap();
        Self { audit, settings, raw: Raw::Postgres(raw), _home: Home::Database(database) }
    }

    pub(crate) async fn on_sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path: PathBuf = directory.path().join("killgate.db");
        let settings = Settings { sqlite_path: path.clone(), ..patient() };
        let audit = Audit::open(&settings).await.unwrap();
        // The usual settings of a program that is not killgate: whatever protects the record is in the file itself.
        let raw = SqlitePool::connect_lazy_with(SqliteConnectOptions::new().filename(path));
        Self { audit, settings, raw: Raw::Sqlite(raw), _home: Home::Directory(directory) }
    }

    /// The same record as another gateway has it.
    pub(crate) async fn another(&self) -> Audit {
        Audit::open(&Settings { migrate: false, ..self.settings.clone() }).await.unwrap()
    }

    /// Records an attempt that must be new.
    pub(crate) async fn begin(&self, attempt: &Attempt) -> Kill {
        assert_eq!(self.audit.begin(attempt, DAY).await, Ok(Begun::New));
        attempt.kill.clone()
    }

    pub(crate) async fn found(&self, kill: &Kill) -> Kill {
        self.audit.find(kill.id).await.unwrap().expect("it is recorded")
    }

    /// Runs SQL past the record, as somebody with a database client would.
    pub(crate) async fn raw(&self, sql: &str) -> Result<u64, String> {
        match &self.raw {
            Raw::Postgres(pool) => QueryBuilder::<sqlx::Postgres>::new(sql)
                .build()
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
                .map_err(|error| error.to_string()),
            Raw::Sqlite(pool) => QueryBuilder::<sqlx::Sqlite>::new(sql)
                .build()
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
                .map_err(|error| error.to_string()),
        }
    }

    /// The first column of what the SQL selects, which must be text.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<Option<String>> {
        match &self.raw {
            Raw::Postgres(pool) => {
                QueryBuilder::<sqlx::Postgres>::new(sql).build_query_scalar().fetch_all(pool).await.unwrap()
            }
            Raw::Sqlite(pool) => {
                QueryBuilder::<sqlx::Sqlite>::new(sql).build_query_scalar().fetch_all(pool).await.unwrap()
            }
        }
    }

    /// What sets a member of an entry's body, given as JSON and named as in `asked.caller`, in an `UPDATE kill_log SET`.
    pub(crate) fn body(&self, member: &str, json: &str) -> String {
        let json = json.replace('\'', "''");
        if self.is_postgres() {
            let path = member.replace('.', ",");
            format!("body = jsonb_set(body::jsonb, '{{{path}}}', '{json}'::jsonb)::json")
        } else {
            format!("body = json_set(body, '$.{member}', json('{json}'))")
        }
    }

    /// The kinds and statuses of all events, in order.
    pub(crate) async fn events(&self) -> Vec<String> {
        let sql = "SELECT seq || ' ' || kind || ' ' || status || ' ' || coalesce(gateway, '-') FROM kill_events \
                   ORDER BY kill_id, seq";
        self.texts(sql).await.into_iter().flatten().collect()
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.raw, Raw::Postgres(_))
    }
}

/// Settings for a machine that is busy with other tests.
fn patient() -> Settings {
    Settings { timeout: Duration::from_mins(1), max_connections: 4, ..Settings::default() }
}

/// An attempt by `bot` on two sessions, asked at `at` and held by the gateway `here` for ten seconds.
pub(crate) fn attempt(at: OffsetDateTime) -> Attempt {
    Attempt {
        kill: Kill {
            id: id_at(at),
            status: Status::Pending,
            target: Some(json!({
                "alias": "orders", "vendor": "taurusdb", "account": "huawei-prod",
                "instance_id": "in07", "node_id": "no07",
            })),
            select: Some(json!({ "ids": ["1111", "2222"] })),
            sessions: sessions(&[("1111", Outcome::Unknown), ("2222", Outcome::Unknown)]),
            caller: "bot".into(),
            on_behalf_of: Some("alice@example.com".into()),
            actor: None,
            reason: Some("INC-4711 runaway report".into()),
            upstream: Upstream::default(),
            problem: None,
            unlisted: vec![],
            found: [].into(),
            matched: None,
            sessions_known: None,
            note: None,
            end: None,
            blind: None,
            look: None,
            confirms: None,
            requested_at: at,
            completed_at: None,
            verified_at: None,
            returned: None,
        },
        request: Some(r#"{"target":"orders","select":{"ids":["1111","2222"]}}"#.into()),
        client_address: Some("192.0.2.7".into()),
        client_id: Some("console".into()),
        token_id: Some("token-1".into()),
        request_id: Some("request-1".into()),
        dry_run: false,
        key: None,
        gateway: "here".into(),
        deadline: at + Duration::from_secs(10),
        webhooks: vec![],
        is_marked: false,
    }
}

/// The attempt under an idempotency key; `asked` stands for the request's content.
pub(crate) fn keyed(at: OffsetDateTime, key: &str, asked: u8) -> Attempt {
    Attempt { key: Some(IdempotencyKey { key: key.into(), fingerprint: [asked; 32] }), ..attempt(at) }
}

/// An attempt that policy turned away before its target was understood.
pub(crate) fn refused(at: OffsetDateTime) -> Attempt {
    let mut refused = attempt(at);
    refused.kill = Kill {
        status: Status::Refused,
        target: None,
        select: None,
        sessions: Vec::new(),
        on_behalf_of: None,
        reason: None,
        problem: Some(Problem::new(ProblemCode::Forbidden, "the scope sessions:kill is missing").retry_after(3)),
        completed_at: Some(at),
        ..refused.kill
    };
    refused.request = None;
    refused
}

pub(crate) fn sessions(known: &[(&str, Outcome)]) -> Vec<Session> {
    known.iter().map(|(id, outcome)| Session::new(&SessionId((*id).into()), *outcome)).collect()
}

/// The kill as it stands once the vendor has answered with these outcomes.
pub(crate) fn answered(kill: &Kill, known: &[(&str, Outcome)]) -> Kill {
    let sessions = sessions(known);
    let status = Status::of(&sessions);
    Kill {
        status,
        sessions,
        completed_at: status.is_final().then_some(kill.requested_at + Duration::from_secs(1)),
        upstream: Upstream {
            http_status: Some(200),
            request_id: Some("their-1".into()),
            task_id: Some("task-1".into()),
            evidence_url: Some("https://obs.example.com/runs/1".into()),
            error_code: None,
            error_message: None,
        },
        ..kill.clone()
    }
}
