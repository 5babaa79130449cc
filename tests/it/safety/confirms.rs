//! A confirm is in the answer to its preview and nowhere else.

use std::fmt::Write as _;

use actix_web::http::StatusCode;
use killgate::sandbox::{Clouds, Sandbox};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, QueryBuilder};

use super::process::Served;
use crate::support::{
    gateway::{Answer, Gateway, kill_of},
    postgres::Database,
};

const SECRET: &str = "canary-secret-of-the-confirms-0001";

/// A gateway as a process that logs everything, and all confirms that it gave out.
struct Observed {
    served: Served,
    confirms: Vec<String>,
    heard: String,
}

impl Observed {
    async fn kill(&mut self, headers: &[(&str, &str)], body: &str) -> Answer {
        let token = Gateway::token("chatops-bot", "sessions:kill");
        let answer = self.served.client.post("/sessions/kill", &token, headers, body.to_owned()).await;
        match answer.body["confirm"].as_str() {
            Some(confirm) => self.confirms.push(confirm.to_owned()),
            None => write!(self.heard, "{:?} {}", answer.headers, answer.body).unwrap(),
        }
        answer
    }

    async fn read(&mut self, path: &str) {
        let token = Gateway::token("auditor", "kills:read kills:export");
        let answer = self.served.client.get(path, &token).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        write!(self.heard, "{:?} {}", answer.headers, answer.body).unwrap();
    }

    fn assert_none(&self, place: &str, text: &str) {
        assert!(!text.is_empty() && self.confirms.len() > 2, "{place}");
        for secret in self.confirms.iter().map(|token| &token[4..120]).chain([SECRET]) {
            assert!(!text.contains(secret), "{secret} is in {place}");
        }
    }
}

/// Previews and kills with their confirms, sent in all the ways in which a body can be wrong.
async fn observe(audit: &str, format: &str) -> (Observed, Sandbox) {
    let sandbox = Sandbox::start(std::net::SocketAddr::from(([127, 0, 0, 1], 0)), Clouds::demo()).unwrap();
    let env = [("KILLGATE__SERVER__LOG__FORMAT", format), ("KILLGATE__SERVER__LOG__FILTER", "trace,sqlx=debug")];
    let more = format!("[confirm]\nsecret = '{SECRET}'\n");
    let served = Served::start_with(audit, &sandbox.url, &more, &env).await;
    let mut observed = Observed { served, confirms: vec![], heard: String::new() };
    let by_match = json!({ "target": "orders-ro", "select": { "match": { "user": "etl" } }, "reason": "load" });
    for (asked, outcome) in
        [(kill_of("orders-ro", &[2_075_425]), "killed"), (by_match, "killed"), (kill_of("ledger", &[10_180]), "killed")]
    {
        let key = |of: &str| format!("{of}-{}", asked["select"]);
        let mut dry = asked.clone();
        dry["dry_run"] = true.into();
        let confirm =
            observed.kill(&[("Idempotency-Key", &key("preview"))], &dry.to_string()).await.body["confirm"].clone();
        let token = confirm.as_str().unwrap().to_owned();
        let with = |change: &dyn Fn(&mut Value)| {
            let mut body = asked.clone();
            body["confirm"] = confirm.clone();
            change(&mut body);
            body.to_string()
        };
        let wrong = [
            with(&|body| body["reason"] = 7.into()),
            with(&|body| body["dry_run"] = confirm.clone()),
            with(&|body| body["select"]["confirm"] = confirm.clone()),
            with(&|body| body["target"] = confirm.clone()),
            with(&|body| body["on_behalf_of"] = json!({ "confirm": confirm })),
            with(&|body| body["confirm"] = json!(token[1..])),
            with(&|body| body["confirm"] = json!(token[..token.len() - 1])),
            with(&|body| body["confirm"] = json!([confirm])),
            with(&|body| body["dry_run"] = true.into()),
            with(&|_| {})[1..].to_owned(),
            format!("confirm={token}"),
            token.clone(),
            format!("[{confirm}]"),
        ];
        for body in wrong {
            let answer = observed.kill(&[], &body).await;
            assert!(answer.status.is_client_error(), "{body}: {}", answer.body);
        }
        observed.kill(&[("Content-Type", "text/plain")], &with(&|_| {})).await;
        // Its own words are scrubbed of it too.
        let told = with(&|body| body["reason"] = json!(format!("confirmed with {token}")));
        let killed = observed.kill(&[("Idempotency-Key", &key("kill"))], &told).await;
        assert_eq!(killed.body["sessions"][0]["outcome"], outcome, "{}", killed.body);
        assert_eq!(killed.body["reason"], "confirmed with [confirm]");
    }
    for path in ["/kills?limit=500", "/kills/export", "/kills/export?format=csv", "/metrics"] {
        observed.read(path).await;
    }
    (observed, sandbox)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_confirm_is_in_a_log_or_in_the_record_on_sqlite() {
    let home = tempfile::tempdir().unwrap();
    let audit = format!("sqlite_path = \"{}\"", home.path().join("killgate.db").display());
    let (mut observed, _sandbox) = observe(&audit, "human").await;
    observed.assert_none("an answer", &observed.heard);
    observed.served.process.signal("TERM");
    let ended = observed.served.process.ended().await;
    observed.confirms.dedup();
    let log = ended.stdout + &ended.stderr;
    assert!(log.contains("TRACE"), "it logs everything");
    for secret in observed.confirms.iter().map(|token| &token[4..120]).chain([SECRET]) {
        assert!(!log.contains(secret), "{secret} is in the log");
        for file in std::fs::read_dir(home.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(secret), "{secret} is in the record");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_confirm_is_in_a_log_or_in_the_record_on_postgres() {
    let database = Database::fresh().await;
    let (observed, _sandbox) = observe(&format!("database_url = \"{}\"", database.url()), "json").await;
    observed.assert_none("an answer", &observed.heard);
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let mut record = String::new();
    for table in ["kills", "kill_sessions", "kill_events", "kill_leases", "idempotency_keys"] {
        let sql = format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t");
        let mut query = QueryBuilder::<sqlx::Postgres>::new(sql);
        record += &query.build_query_scalar::<String>().fetch_one(&mut connection).await.unwrap();
    }
    assert!(record.contains("[confirm]"), "what was sent is on record, but for it");
    observed.assert_none("the record", &record);
}
