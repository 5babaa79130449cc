//! A caller's certificate that stands for a token, where configuration says so.

use std::net::SocketAddr;

use futures_util::future::join_all;
use killgate::{
    chain::hex,
    clock::Clock,
    sandbox::{Clouds, Sandbox},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use super::{
    authority::{Authority, For, Issued},
    certificates::settings,
    http2::connect,
};
use crate::{
    safety::process::Served,
    support::{
        gateway::{Engine, Gateway, Setup, kill_of, on_one_engine},
        patience::{eventually, in_time},
    },
};

on_one_engine! {
    a_certificate_stands_for_a_caller_and_the_record_says_so,
    whatever_else_is_shown_stands_for_nobody,
    a_token_alone_counts_where_there_is_one,
    a_certificate_that_ends_while_its_connection_goes_on_stands_for_nobody,
    without_the_table_a_certificate_is_a_condition_and_nothing_more,
}

const KILLER: &str = "spiffe://example.org/ns/ops/sa/killer";

/// Lines that have `KILLER` be `ops-killer`.
fn stands_for(scopes: &str) -> String {
    format!("[[auth.certificates]]\nuri = \"{KILLER}\"\ncaller = \"ops-killer\"\nscopes = {scopes}\n")
}

/// Authorities of the gateway's certificate and of its callers', and the lines that name their files.
struct Files {
    ours: Authority,
    callers: Authority,
    lines: String,
    _folder: tempfile::TempDir,
}

fn files() -> Files {
    let (ours, callers, folder) = (Authority::new("ours"), Authority::new("callers"), tempfile::tempdir().unwrap());
    ours.issue(For::Us).write(folder.path());
    let ca = folder.path().join("clients.pem");
    std::fs::write(&ca, &callers.pem).unwrap();
    let lines = settings(folder.path(), &format!("client_ca_file = \"{}\"\n", ca.display()));
    Files { ours, callers, lines, _folder: folder }
}

impl Files {
    async fn gateway(&self, engine: Engine, more: &str) -> Gateway {
        let setup = Setup { more: format!("{}{more}", self.lines), ..Setup::default() };
        Gateway::start_with(engine, setup).await
    }

    /// A connection on which that certificate was shown, or none.
    async fn connect(&self, address: SocketAddr, shows: Option<&Issued>) -> Connection {
        Connection(connect(address, &self.ours, shows, &[]).await.unwrap())
    }
}

/// A connection of HTTP/1.1 that is used again.
struct Connection(TlsStream<TcpStream>);

/// The status, the head in small letters and the body.
struct Answer(u16, String, Value);

impl Connection {
    async fn send(&mut self, line: &str, headers: &str, body: &str) -> Answer {
        in_time(async {
            let length = body.len();
            let request = format!(
                "{line} HTTP/1.1\r\nHost: killgate\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
            );
            self.0.write_all(request.as_bytes()).await.unwrap();
            let mut head = vec![];
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            self.0.read_exact(&mut body).await.unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let text = String::from_utf8(body).unwrap();
            Answer(status, head, serde_json::from_str(&text).unwrap_or(Value::String(text)))
        })
        .await
    }

    async fn me(&mut self, headers: &str) -> Answer {
        self.send("GET /me", headers, "").await
    }

    async fn kill(&mut self, body: &Value) -> Answer {
        self.send("POST /sessions/kill", "", &body.to_string()).await
    }
}

fn bearer(subject: &str, scope: &str) -> String {
    format!("Authorization: Bearer {}\r\n", Gateway::token(subject, scope))
}

async fn a_certificate_stands_for_a_caller_and_the_record_says_so(engine: Engine) {
    let files = files();
    let more = stands_for("[\"sessions:kill\", \"sessions:read\"]")
        + "[callers]\nkills_per_second = 1\nburst = 2\n[targets.ops-only]\nvendor = \"taurusdb\"\n\
           callers = [\"nobody-*\"]\ninstance_id = \"a41cbc5c9bd344b1a60d3b7a1d0b8b4ein07\"\n\
           node_id = \"f6b1c6d8a27e4c0d9d8bcb2a7d9a3e51no07\"\n";
    let gateway = files.gateway(engine, &more).await;
    let shown = files.callers.issue_to(KILLER, 5);
    let mut caller = files.connect(gateway.app.address(), Some(&shown)).await;
    let Answer(status, head, me) = caller.me("").await;
    assert_eq!((status, &me["caller"], &me["scopes_from"]), (200, &json!("ops-killer"), &json!("certificate")), "{me}");
    assert_eq!(me["scopes"], json!(["sessions:kill", "sessions:read"]));
    assert!(head.contains("cache-control: no-store"), "{head}");
    let Answer(status, _, kill) = caller.kill(&kill_of("orders-ro", &[2_075_425])).await;
    assert_eq!((status, &kill["caller"]), (200, &json!("ops-killer")), "{kill}");
    // Rules and limits are the caller's, as with a token.
    let Answer(status, _, kept) = caller.kill(&kill_of("ops-only", &[2_075_425])).await;
    assert_eq!((status, &kept["code"]), (403, &json!("forbidden")), "{kept}");
    // All at once: a moment later the limit would let another one through.
    let address = gateway.app.address();
    let mut crowd = [caller, files.connect(address, Some(&shown)).await, files.connect(address, Some(&shown)).await];
    let body = kill_of("orders-ro", &[2_075_425]);
    let answers = join_all(crowd.iter_mut().map(|caller| caller.kill(&body))).await;
    let limited = answers.iter().find(|Answer(status, ..)| *status == 429).expect("more than the limit takes");
    assert_eq!(limited.2["code"], "rate_limited", "{}", limited.2);
    let [caller, ..] = &mut crowd;
    let Answer(status, _, refused) = caller.send("GET /kills/export", "", "").await;
    assert_eq!((status, &refused["code"]), (403, &json!("forbidden")), "{refused}");

    let mut auditor = files.connect(gateway.app.address(), None).await;
    let line = "GET /kills/export/manifest?caller=ops-killer";
    let Answer(status, _, manifest) = auditor.send(line, &bearer("auditor", "kills:export"), "").await;
    let kills = manifest["kills"].as_u64().unwrap_or_default();
    assert!(status == 200 && kills >= 3, "{manifest}");
    let recorded = gateway.app.kills().audit().page(&<_>::default(), 500).await.unwrap();
    assert!(recorded.items.iter().all(|kill| kill.caller == "ops-killer"), "{recorded:?}");
    let text = export(&files, &gateway).await;
    let der = <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(
        shown.certificate.as_bytes(),
    );
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der.unwrap());
    let hex = hex(digest.as_ref());
    assert_eq!(text.matches(&format!("\"token_id\":\"certificate:{hex}\"")).count() as u64, kills, "{text}");
}

/// Every kill, as it is exported.
async fn export(files: &Files, gateway: &Gateway) -> String {
    let Connection(mut stream) = files.connect(gateway.app.address(), None).await;
    let token = bearer("auditor", "kills:export");
    let request = format!("GET /kills/export HTTP/1.1\r\nHost: killgate\r\nConnection: close\r\n{token}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = vec![];
    in_time(stream.read_to_end(&mut text)).await.unwrap();
    String::from_utf8(text).unwrap()
}

async fn whatever_else_is_shown_stands_for_nobody(engine: Engine) {
    let files = files();
    let gateway = files.gateway(engine, &stands_for("[\"sessions:kill\"]")).await;
    let address = gateway.app.address();
    let good = files.callers.issue_to(KILLER, 5);
    let unknown = files.callers.issue_to("spiffe://example.org/ns/ops/sa/killer-2", 5);
    let Answer(status, head, problem) = files.connect(address, Some(&unknown)).await.me("").await;
    assert_eq!((status, &problem["code"]), (401, &json!("unauthenticated")), "{problem}");
    assert_eq!(problem["detail"], "no bearer token, and the certificate of this connection stands for no caller");
    assert!(head.contains("www-authenticate: bearer realm=\"killgate\"\r"), "{head}");
    let Answer(status, _, problem) = files.connect(address, None).await.me("").await;
    assert_eq!((status, &problem["detail"]), (401, &json!("no bearer token")), "{problem}");
    // What is not of the callers' authority, or out of its time, ends the handshake.
    for bad in [
        files.ours.issue_to(KILLER, 5),
        Authority::new("callers").issue_to(KILLER, 5),
        files.callers.issue_to(KILLER, -1),
    ] {
        let refused = async {
            let mut stream = connect(address, &files.ours, Some(&bad), &[]).await?;
            stream.write_all(b"GET /me HTTP/1.1\r\nHost: killgate\r\n\r\n").await?;
            stream.read_u8().await
        };
        assert!(in_time(refused).await.is_err());
    }
    // A browser shows a certificate in whose page's name ever it asks.
    let mut caller = files.connect(address, Some(&good)).await;
    for headers in
        ["Origin: https://evil.example.com\r\n", "Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Mode: no-cors\r\n"]
    {
        let Answer(status, _, problem) = caller.me(headers).await;
        assert_eq!(status, 401, "{headers}");
        assert!(problem["detail"].as_str().unwrap().contains("browser"), "{problem}");
    }
    assert_eq!(caller.me("").await.0, 200);
    // What a proxy says of a certificate is nobody's.
    let mut nobody = files.connect(address, None).await;
    let said =
        format!("X-Forwarded-Client-Cert: URI={KILLER}\r\nX-Client-Cert: {KILLER}\r\nX-SSL-Client-S-DN: {KILLER}\r\n");
    assert_eq!(nobody.me(&said).await.0, 401);
}

async fn a_token_alone_counts_where_there_is_one(engine: Engine) {
    let files = files();
    let gateway = files.gateway(engine, &stands_for("[\"sessions:kill\"]")).await;
    let shown = files.callers.issue_to(KILLER, 5);
    let mut caller = files.connect(gateway.app.address(), Some(&shown)).await;
    let Answer(status, _, me) = caller.me(&bearer("alice", "kills:read")).await;
    assert_eq!((status, &me["caller"], &me["scopes"]), (200, &json!("alice"), &json!(["kills:read"])), "{me}");
    for bad in ["Bearer of-nothing", "Basic YTpi", "Bearer", ""] {
        let Answer(status, _, problem) = caller.me(&format!("Authorization: {bad}\r\n")).await;
        assert_eq!((status, &problem["code"]), (401, &json!("unauthenticated")), "{bad}: {problem}");
    }
    assert_eq!(caller.me("").await.2["caller"], "ops-killer");
}

async fn a_certificate_that_ends_while_its_connection_goes_on_stands_for_nobody(engine: Engine) {
    let files = files();
    let clock = Clock::manual(Clock::system().now());
    let more = format!("{}{}", files.lines, stands_for("[\"sessions:kill\"]"));
    let setup = Setup { more, clock: Some(clock.clone()), ..Setup::default() };
    let gateway = Gateway::start_with(engine, setup).await;
    let shown = files.callers.issue_to(KILLER, 5);
    let mut caller = files.connect(gateway.app.address(), Some(&shown)).await;
    assert_eq!(caller.me("").await.0, 200);
    clock.set(clock.now() + time::Duration::days(6));
    let Answer(status, _, problem) = caller.me("").await;
    assert_eq!(status, 401);
    assert!(problem["detail"].as_str().unwrap().contains("has expired"), "{problem}");
}

async fn without_the_table_a_certificate_is_a_condition_and_nothing_more(engine: Engine) {
    let files = files();
    let gateway = files.gateway(engine, "").await;
    let shown = files.callers.issue_to(KILLER, 5);
    let Answer(status, _, problem) = files.connect(gateway.app.address(), Some(&shown)).await.me("").await;
    assert_eq!((status, &problem["detail"]), (401, &json!("no bearer token")), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_a_certificate_stands_for_changes_with_the_configuration_on_connections_there_are() {
    let files = files();
    let clouds = Sandbox::start(([127, 0, 0, 1], 0).into(), Clouds::demo()).unwrap();
    let kills = stands_for("[\"sessions:kill\"]");
    let served = Served::start("", &clouds.url, &format!("{}{kills}", files.lines)).await;
    let shown = files.callers.issue_to(KILLER, 5);
    let mut caller = files.connect(served.address, Some(&shown)).await;
    assert_eq!(caller.me("").await.2["scopes"], json!(["sessions:kill"]));
    let usual = served.configuration();
    let mut becomes = async |configuration: &str, status: u16, scopes: Value| {
        served.configure(configuration);
        served.process.signal("HUP");
        eventually("the new configuration is in force", async || {
            let Answer(found, _, me) = caller.me("").await;
            (found == status && me["scopes"] == scopes).then_some(())
        })
        .await;
    };
    becomes(&usual.replace(&kills, &stands_for("[\"sessions:read\"]")), 200, json!(["sessions:read"])).await;
    becomes(&usual.replace(&kills, ""), 401, Value::Null).await;
    becomes(&usual, 200, json!(["sessions:kill"])).await;
    // What was asked while it stood for nobody is told, with the name that it has.
    let log = served.process.stderr();
    assert!(log.contains("auth changed"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_ends_soon_is_told_in_the_log_and_the_metrics() {
    let (ours, folder) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    let soon = ours.issue(For::UsSoon);
    soon.write(folder.path());
    let clouds = Sandbox::start(([127, 0, 0, 1], 0).into(), Clouds::demo()).unwrap();
    let served = Served::start("", &clouds.url, &settings(folder.path(), "")).await;
    let log = served.process.stderr();
    assert_eq!(log.matches("server.tls: the certificate ends soon").count(), 1, "{log}");
    let mut scraper = Connection(connect(served.address, &ours, None, &[]).await.unwrap());
    let told = async |scraper: &mut Connection| {
        let Answer(_, _, text) = scraper.send("GET /metrics", "", "").await;
        let text = text.as_str().unwrap().to_owned();
        let value = text.lines().find_map(|line| line.strip_prefix("killgate_certificate_not_after_seconds "));
        value.unwrap().parse::<i64>().unwrap()
    };
    let until = told(&mut scraper).await;
    let left = until - Clock::system().now().unix_timestamp();
    assert!((86_400..=2 * 86_400).contains(&left), "{left}");
    ours.issue(For::Us).write(folder.path());
    eventually("the new one is told of", async || (told(&mut scraper).await > until + 86_400).then_some(())).await;
    let log = served.process.stderr();
    assert_eq!(log.matches("server.tls: the certificate ends soon").count(), 1, "{log}");
}
