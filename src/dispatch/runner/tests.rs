//! A script of statements is run as one of HTTP calls is: by a vendor and an account that stand for a database server.

mod steps;

use std::{collections::HashMap, num::NonZeroU32, sync::Mutex};

use actix_web::http::StatusCode;
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::datetime};

use super::*;
use crate::{
    audit::{Audit, Settings},
    domain::{LiveSession, Outcome, Selector, Session, SessionId, Status, VendorName},
    upstream::{
        By, Content, Counting, HttpReply, IdRule, ListFilter, Listing, ListingKind, Own, Page, Payload, Protocol,
        SelectorKind, Statement, StatementResult, Statements, Takes,
        account::{Carrier, Counted, Endpoint, Stamp, Times},
        redact::Redactor,
    },
};

/// Ends sessions with one statement each.
#[derive(Debug)]
struct Engine;

static CAPABILITIES: Capabilities = Capabilities {
    product: "a database server",
    by: By::Protocol(Protocol::MySql),
    coordinates: &[],
    tells_apart: &["node"],
    session_id: IdRule::Decimal { max: u64::MAX },
    selectors: &[SelectorKind::Ids],
    max_ids_per_call: 100,
    most_ids_per_call: None,
    requests_per_second: 100,
    requests_per_minute: None,
    counting: Counting::Together,
    can_follow_up: false,
    listing: Some(ListingKind { needs_one_of: &[], most: None, tells: &[] }),
    own: Own { users: &[], commands: &[], applications: &[] },
    takes: Takes::Ids,
    steps: 1,
    cancels: false,
};

fn statements(stage: &'static str, effect: Effect, target: &Target, texts: Vec<String>) -> Call {
    let statements = texts.into_iter().map(Statement::once).collect();
    let node = target.coordinates.get("node").cloned();
    Call { stage, effect, action: stage, payload: Payload::Statements(Statements { node, statements }) }
}

impl Vendor for Engine {
    fn name(&self) -> VendorName {
        VendorName("engine")
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn open(&self, order: &Order) -> Call {
        let kills = order.selector.ids().iter().map(|id| format!("KILL {id}")).collect();
        statements("kill", Effect::Kill, &order.target, kills)
    }

    fn follow_up(&self, _: &Order, _: &Known) -> Option<Call> {
        None
    }

    fn next(&self, order: &Order, _: &Known, reply: &Reply) -> Result<Step, Fault> {
        let mut results = reply.results()?.iter();
        let sessions = order.selector.ids().iter().map(|id| match results.next() {
            Some(StatementResult::Rows(_)) => Session::new(id, Outcome::Killed),
            Some(StatementResult::Refused { code, .. }) if code == "1094" => Session::new(id, Outcome::NotFound),
            Some(StatementResult::Refused { .. }) => Session::new(id, Outcome::Failed),
            None => Session::new(id, Outcome::Unknown),
        });
        Ok(Step::Done(Answer::each(sessions.collect())))
    }

    fn list(&self, target: &Target, _: &ListFilter, _: usize) -> Option<Call> {
        Some(statements("list", Effect::Read, target, vec!["SHOW PROCESSLIST".to_owned()]))
    }

    fn page(&self, _: &Target, _: usize, reply: &Reply) -> Result<Page, Fault> {
        let [StatementResult::Rows(rows)] = reply.results()? else { return Err(Fault::unreadable(reply)) };
        let session = |row: &Value| {
            let id = SessionId(row["Id"].as_u64()?.to_string());
            Some(LiveSession { user: row["User"].as_str().map(Into::into), ..LiveSession::new(id) })
        };
        let sessions = rows.iter().map(session).collect::<Option<_>>().ok_or_else(|| Fault::unreadable(reply))?;
        Ok(Page::Sessions { sessions, next: crate::upstream::Next::End, total: None })
    }
}

/// How a server answers.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Good,
    /// The connection breaks off behind the first statement.
    BreaksOff,
    /// As no database server does.
    SpeaksHttp,
}

/// The server that was called, and the statements that it was sent.
type Seen = (String, Vec<String>);

/// Servers with the sessions 7 and 8, and what each was sent.
#[derive(Debug, Clone)]
struct Servers {
    mood: Mood,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Servers {
    fn answer(&self, call: &Call) -> Content {
        let Statements { node, statements } = call.statements().unwrap();
        let texts: Vec<_> = statements.iter().map(|statement| statement.text.clone()).collect();
        let results = texts.iter().map(|text| match text.as_str() {
            "SHOW PROCESSLIST" => {
                StatementResult::Rows(vec![json!({"Id": 7, "User": "app"}), json!({"Id": 8, "User": "etl"})])
            }
            "KILL 7" | "KILL 8" => StatementResult::Rows(vec![]),
            _ => StatementResult::Refused { code: "1094".to_owned(), message: "Unknown thread id".to_owned() },
        });
        let content = match self.mood {
            Mood::Good => Content::Results(results.collect()),
            Mood::BreaksOff => Content::Results(results.take(1).collect()),
            Mood::SpeaksHttp => {
                let body = b"{}".to_vec();
                Content::Http(HttpReply { status: StatusCode::OK, request_id: None, retry_after: None, body })
            }
        };
        self.seen.lock().unwrap().push((node.clone().unwrap(), texts));
        content
    }
}

impl Carrier for Servers {
    fn counted_as(&self, vendor: VendorName, node: Option<&str>) -> Counted {
        Counted::of(vendor, &[node.unwrap_or_default()])
    }

    fn endpoint(&self, _: VendorName, node: Option<&str>) -> Endpoint {
        Endpoint(node.unwrap_or_default().to_owned())
    }

    fn send<'a>(&'a self, _: VendorName, call: &'a Call, times: Times) -> BoxFuture<'a, (Stamp, Result<Reply, Fault>)> {
        async move {
            let stamp = Stamp { stage: call.stage, timeout: times.timeout, generation: 0 };
            let reply = Reply { stage: call.stage, effect: call.effect, content: self.answer(call) };
            (stamp, Ok(reply))
        }
        .boxed()
    }

    fn warm(&self, _: VendorName, _: usize) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    fn renew(&self, _: Stamp) -> BoxFuture<'_, Result<bool, Fault>> {
        async { Ok(false) }.boxed()
    }

    fn good_until(&self) -> BoxFuture<'_, Option<Result<OffsetDateTime, Fault>>> {
        async { None }.boxed()
    }

    fn redactor(&self) -> Redactor {
        Redactor::default()
    }
}

/// What runs the engine's scripts on an account whose servers are in that mood.
struct World {
    runner: Runner,
    seen: Arc<Mutex<Vec<Seen>>>,
    _record: tempfile::TempDir,
}

impl World {
    async fn new(mood: Mood) -> Self {
        let record = tempfile::tempdir().unwrap();
        let settings = Settings { sqlite_path: record.path().join("killgate.db"), ..Settings::default() };
        let servers = Servers { mood, seen: Arc::default() };
        let seen = Arc::clone(&servers.seen);
        let limit = Limit {
            requests_per_second: NonZeroU32::new(100).unwrap(),
            requests_per_minute: None,
            max_ids_per_call: 100,
            max_wait: Duration::from_secs(20),
            timeout: Duration::from_secs(20),
            reserved_percent: 0,
            max_waiting: 10,
            look_max_age: Duration::from_secs(20),
            steps: 1,
            look: true,
        };
        let runner = Runner {
            vendor: &Engine,
            able: &CAPABILITIES,
            account: Arc::new(Account::new("servers".to_owned(), servers)),
            limiter: Arc::new(Limiter::new(HashMap::new(), Audit::open(&settings).await.unwrap())),
            limit,
            breaker: Arc::default(),
            clock: Clock::manual(datetime!(2026-01-02 12:00 UTC)),
            metrics: Arc::default(),
        };
        Self { runner, seen, _record: record }
    }

    /// Ends those sessions on the primary.
    async fn kill(&self, ids: &[&str]) -> Report {
        let ids = ids.iter().map(|id| SessionId((*id).into())).collect();
        let order = Order::new(primary(), Selector::Ids(ids));
        let budget = Budget::of_kills(&self.runner.account, &Engine, &order.target);
        let permit = self.runner.permit(&budget, Class::Kill, 1, self.runner.limit.max_wait).await.unwrap();
        self.runner.kill(&order, Class::Kill, permit, &crate::spans::Trace::NONE).await.unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn primary() -> Target {
    let coordinates = [("node", "primary".to_owned())].into();
    Target { alias: None, vendor: VendorName("engine"), account: "servers".to_owned(), coordinates }
}

fn outcomes(report: &Report) -> Vec<Outcome> {
    report.sessions.iter().map(|session| session.outcome).collect()
}

#[tokio::test]
async fn each_statement_has_a_result_and_each_session_its_outcome() {
    let world = World::new(Mood::Good).await;
    let report = world.kill(&["7", "9", "8"]).await;
    assert_eq!(outcomes(&report), [Outcome::Killed, Outcome::NotFound, Outcome::Killed]);
    assert_eq!((report.status, report.upstream.http_status), (Status::Succeeded, None));
    let kills = ["KILL 7", "KILL 9", "KILL 8"].map(str::to_owned).to_vec();
    assert_eq!(world.seen(), [("primary".to_owned(), kills)], "in one call");
}

#[tokio::test]
async fn what_a_connection_that_broke_off_does_not_tell_is_unknown() {
    let world = World::new(Mood::BreaksOff).await;
    let report = world.kill(&["7", "8"]).await;
    assert_eq!((report.status, outcomes(&report)), (Status::Unknown, vec![Outcome::Killed, Outcome::Unknown]));
    assert_eq!(world.seen().len(), 1, "and nothing is sent again");
}

#[tokio::test]
async fn sessions_are_listed_with_a_statement() {
    let world = World::new(Mood::Good).await;
    let mut listing = Listing::new(&Engine, primary(), ListFilter::default());
    world
        .runner
        .list(
            &mut listing,
            &Reader::new(Purpose::Kill(Class::Urgent), "dba"),
            Instant::now() + world.runner.limit.max_wait,
        )
        .await
        .unwrap();
    let list = listing.into_list();
    let users: Vec<_> = list.sessions.iter().map(|session| session.user.as_deref()).collect();
    assert_eq!((users, list.complete), (vec![Some("app"), Some("etl")], true));
}

#[tokio::test]
async fn a_reply_of_the_wrong_kind_is_a_fault_and_of_a_kill_unknown() {
    let world = World::new(Mood::SpeaksHttp).await;
    let report = world.kill(&["7"]).await;
    assert_eq!((report.status, outcomes(&report)), (Status::Unknown, vec![Outcome::Unknown]));
    assert_eq!(world.seen().len(), 1, "and it is not sent again");
    let mut listing = Listing::new(&Engine, primary(), ListFilter::default());
    let until = Instant::now() + Duration::from_millis(1);
    let stop =
        world.runner.list(&mut listing, &Reader::new(Purpose::Kill(Class::Urgent), "dba"), until).await.unwrap_err();
    assert!(matches!(&stop, Stop::Fault(fault) if fault.kind == FaultKind::Unreadable), "{stop:?}");
}

#[tokio::test]
async fn each_server_has_a_budget_and_an_endpoint_of_its_own() {
    let account = World::new(Mood::Good).await.runner.account;
    let counted = |node| account.counted_as(VendorName("engine"), node);
    let endpoint = |node| account.endpoint(VendorName("engine"), node);
    assert_eq!(counted(Some("primary")), counted(Some("primary")));
    assert_ne!(counted(Some("primary")), counted(Some("standby")));
    assert_ne!(endpoint(Some("primary")), endpoint(Some("standby")));
}
