//! An account against a peer on a real socket, with a clock that is moved by hand.

mod login;
mod sources;

use std::{cell::RefCell, rc::Rc, time::Duration};

use actix_web::{http::Method, rt};
use time::{Duration as Span, OffsetDateTime, macros::datetime};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;
use crate::upstream::{
    Effect, HttpCall, Payload, Statements,
    cloud::{
        huawei::{Huawei, User},
        tencent::Tencent,
    },
    transport::tests::read_request,
};

const NOON: OffsetDateTime = datetime!(2026-01-02 12:00 UTC);
const ENOUGH: Duration = Duration::from_secs(20);
const GAUSSDB: VendorName = VendorName("gaussdb");
const PROJECT: &str = "0611f1bd8b00d5d32f17c017f15b599f";

/// A peer that answers each request, the first being number 1, and remembers them all.
struct Peer {
    url: Url,
    seen: Rc<RefCell<Vec<String>>>,
}

impl Peer {
    async fn answering(answer: impl Fn(usize, &str) -> String + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/prefix/", listener.local_addr().unwrap()).parse().unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (log, answer) = (Rc::clone(&seen), Rc::new(answer));
        rt::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (log, answer) = (Rc::clone(&log), Rc::clone(&answer));
                rt::spawn(async move {
                    let request = read_request(&mut stream).await;
                    log.borrow_mut().push(request.clone());
                    let number = log.borrow().len();
                    stream.write_all(answer(number, &request).as_bytes()).await.unwrap();
                });
            }
        });
        Self { url, seen }
    }

    fn count(&self, start: &str) -> usize {
        self.seen.borrow().iter().filter(|request| request.starts_with(start)).count()
    }
}

fn http(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// What IAM answers: token number `number`, good for a day from noon.
fn token(number: usize) -> String {
    let body = format!(r#"{{"token":{{"expires_at":"2026-01-03T12:00:00.000000Z","project":{{"id":"{PROJECT}"}}}}}}"#);
    http(201, &format!("X-Subject-Token: MIIE-canary-{number}\r\n"), &body)
}

fn is_login(request: &str) -> bool {
    request.starts_with(LOGIN)
}

const LOGIN: &str = "POST /prefix/v3/auth/tokens?nocatalog=true ";
const KILL: &str = "POST /prefix/v3/0611f1bd8b00d5d32f17c017f15b599f/kill?";

fn keys() -> Credentials {
    let (id, secret) = ("AK-canary".to_owned(), "SK-canary".into());
    Credentials::Keys(Keys { id, secret, token: Some("STS-canary".into()) })
}

fn iam() -> Credentials {
    Credentials::from_source(User { domain: "acme".into(), username: "robot".into(), password: "PW-canary".into() })
}

/// Sends a call to GaussDB.
async fn send(account: &CloudAccount, call: &Call) -> (Stamp, Result<Reply, Fault>) {
    send_to(account, GAUSSDB, call).await
}

async fn send_to(account: &CloudAccount, vendor: VendorName, call: &Call) -> (Stamp, Result<Reply, Fault>) {
    let times = Times { timeout: ENOUGH, deadline: Instant::now() + ENOUGH, begin_by: None };
    account.send(vendor, call, times).await
}

fn status(reply: Result<Reply, Fault>) -> StatusCode {
    reply.unwrap().status().unwrap()
}

fn account(peer: &Peer, cloud: &'static dyn Cloud, credentials: Credentials, clock: &Clock) -> CloudAccount {
    let names = ["gaussdb", "dcdb", "iam", "sts"];
    let settings = Settings {
        name: "prod".into(),
        cloud,
        site: Site::default(),
        region: "ap-southeast-1".into(),
        project_id: Some(PROJECT.into()),
        endpoints: names.iter().map(|name| ((*name).to_owned(), peer.url.clone())).collect(),
        credentials,
    };
    CloudAccount::new(settings, Transport::start(ENOUGH).unwrap(), clock.clone())
}

fn kill() -> Call {
    let http = HttpCall {
        method: Method::POST,
        path: "/v3/{project_id}/kill".to_owned(),
        query: vec![("user", "a b&c".to_owned()), ("limit", "5".to_owned())],
        headers: vec![],
        service: "",
        body: br#"["1"]"#.to_vec(),
    };
    Call { stage: "kill", effect: Effect::Kill, action: "Kill", payload: Payload::Http(http) }
}

/// What arrived, taken apart.
fn arrived(request: &str) -> (Method, String, Vec<(String, String)>, String) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let method = first.next().unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap()).map(|(n, v)| (n.to_owned(), v.to_owned()));
    (method, first.next().unwrap().to_owned(), headers.collect(), body.to_owned())
}

#[actix_web::test]
async fn a_call_signed_with_keys_is_complete() {
    let peer = Peer::answering(|_, _| http(429, "X-Request-Id: r1\r\nRetry-After: 7\r\n", "{}")).await;
    let account = account(&peer, &Huawei, keys(), &Clock::manual(NOON));
    let (_, reply) = send(&account, &kill()).await;
    let reply = reply.unwrap();
    let http = reply.http().unwrap();
    assert_eq!((reply.stage, http.status.as_u16(), http.body.as_slice()), ("kill", 429, b"{}".as_slice()));
    assert_eq!((http.request_id.as_deref(), http.retry_after), (Some("r1"), Some(Duration::from_secs(7))));

    let (method, target, headers, body) = arrived(&peer.seen.borrow()[0]);
    assert_eq!(target, format!("/prefix/v3/{PROJECT}/kill?limit=5&user=a%20b%26c"));
    let value = |wanted: &str| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).unwrap().1.as_str();
    assert_eq!(value("x-sdk-date"), "20260102T120000Z");
    assert_eq!((value("x-project-id"), value("x-language")), (PROJECT, "en-us"));
    assert_eq!((value("content-type"), value("x-security-token")), ("application/json", "STS-canary"));
    let signed = "SignedHeaders=content-type;host;x-language;x-project-id;x-sdk-date;x-security-token";
    assert!(value("authorization").contains(signed), "{signed}");
    assert_eq!((method, body.as_str()), (Method::POST, r#"["1"]"#));
}

#[actix_web::test]
async fn a_tencent_call_names_region_and_service() {
    let peer = Peer::answering(|_, _| http(200, "", "{}")).await;
    let account = account(&peer, &Tencent, keys(), &Clock::manual(NOON));
    let headers = vec![("x-tc-action", "KillSession"), ("x-tc-version", "2018-04-11")];
    let call = Call::json("kill", Effect::Kill, "KillSession", Method::POST, "/".into(), &["1"]).with_headers(headers);
    send_to(&account, VendorName("dcdb"), &call.at_service("mariadb")).await.1.unwrap();

    let (method, target, headers, body) = arrived(&peer.seen.borrow()[0]);
    let value = |wanted: &str| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).unwrap().1.as_str();
    assert_eq!((value("x-tc-action"), value("x-tc-version")), ("KillSession", "2018-04-11"));
    assert_eq!((value("x-tc-region"), value("x-tc-language")), ("ap-southeast-1", "en-US"));
    assert_eq!((value("x-tc-timestamp"), value("x-tc-token")), ("1767355200", "STS-canary"));
    assert!(value("authorization").contains("/2026-01-02/mariadb/tc3_request, SignedHeaders=content-type;host, "));
    assert_eq!((method, target.as_str(), body.as_str()), (Method::POST, "/prefix/", r#"["1"]"#));
}

#[actix_web::test]
async fn a_key_that_is_refused_three_times_in_a_row_is_spared_for_a_minute() {
    let peer = Peer::answering(|_, _| http(401, "", "")).await;
    let clock = Clock::manual(NOON);
    let account = account(&peer, &Huawei, keys(), &clock);
    for _ in 0..3 {
        let (stamp, answer) = send(&account, &kill()).await;
        assert_eq!(status(answer), 401);
        assert_eq!(account.renew(stamp).await, Ok(false));
    }
    assert_eq!(send(&account, &kill()).await.1.unwrap_err().kind, FaultKind::Denied);
    assert_eq!(peer.count(""), 3);
    clock.set(NOON + Span::seconds(60));
    assert_eq!(status(send(&account, &kill()).await.1), 401);
}

#[actix_web::test]
async fn what_is_missing_in_the_configuration_is_refused_before_anything_is_sent() {
    let peer = Peer::answering(|_, _| http(200, "", "")).await;
    let account = account(&peer, &Huawei, keys(), &Clock::manual(NOON));
    let fault = send_to(&account, VendorName("das"), &kill()).await.1.unwrap_err();
    assert_eq!(
        (fault.kind, fault.message.as_deref()),
        (FaultKind::Refused, Some("account `prod` has no endpoint for das"))
    );
    assert_eq!(peer.count(""), 0);
}

#[actix_web::test]
async fn statements_are_refused_before_anything_is_sent() {
    let peer = Peer::answering(|_, _| http(200, "", "")).await;
    let account = account(&peer, &Huawei, keys(), &Clock::manual(NOON));
    let payload = Payload::Statements(Statements { node: None, statements: vec![] });
    let fault = send(&account, &Call { payload, ..kill() }).await.1.unwrap_err();
    let why = "account `prod` takes HTTP calls and nothing else";
    assert_eq!((fault.kind, fault.message.as_deref()), (FaultKind::Refused, Some(why)));
    assert_eq!(peer.count(""), 0);
}

#[actix_web::test]
async fn calls_count_together_where_credentials_and_endpoint_are_the_same() {
    let peers = [Peer::answering(|_, _| http(200, "", "")).await, Peer::answering(|_, _| http(200, "", "")).await];
    let clock = Clock::manual(NOON);
    let counted = |peer: &Peer, credentials| account(peer, &Huawei, credentials, &clock).counted_as(GAUSSDB, None);
    let same = counted(&peers[0], keys());
    assert_eq!(counted(&peers[0], keys()), same);
    assert_ne!(counted(&peers[1], keys()), same, "another region");
    assert_ne!(counted(&peers[0], iam()), same);
    let another = account(&peers[0], &Huawei, keys(), &clock);
    assert_ne!(another.counted_as(VendorName("dcdb"), None), same);
    assert_ne!(another.endpoint(GAUSSDB, None), account(&peers[1], &Huawei, keys(), &clock).endpoint(GAUSSDB, None));
    assert!(!same.to_string().contains("canary"), "{same}");
}

#[actix_web::test]
async fn no_debug_shows_a_secret() {
    let peer =
        Peer::answering(|number, request| if is_login(request) { token(number) } else { http(200, "", "") }).await;
    for credentials in [keys(), iam()] {
        let account = account(&peer, &Huawei, credentials, &Clock::manual(NOON));
        let (stamp, reply) = send(&account, &kill()).await;
        let latest = account.renewed.as_ref().and_then(Renewed::latest);
        let shown = format!("{account:?} {stamp:?} {reply:?} {latest:?} {:?}", account.redactor());
        let shown = shown + &format!("{:?} {:?}", account.settings.credentials, account.transport);
        assert!(!shown.contains("canary"), "{shown}");
        let text = "a SK-canary b STS-canary c AK-canary";
        let clean = account.redactor().clean(text);
        assert!(
            clean.contains("canary") == matches!(account.settings.credentials, Credentials::Temporary(_)),
            "{clean}"
        );
    }
}
