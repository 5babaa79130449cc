//! `killgate login`: by an issuer's device flow, or with a token that somebody has.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use killgate::clock::Clock;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use super::kit::{ALL, Person, mode, request_of};
use crate::support::gateway::{Engine, Gateway};

/// Issues tokens: discovery, and what the device and token endpoints answer, one after the other.
#[derive(Clone)]
struct Issuer {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    tokens: Arc<Mutex<VecDeque<(u16, Value)>>>,
}

impl Issuer {
    async fn answering(tokens: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/realms/it", listener.local_addr().unwrap());
        let tokens = Arc::new(Mutex::new(tokens.into_iter().collect()));
        let issuer = Self { url, asked: Arc::default(), tokens };
        let serving = issuer.clone();
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let Some(request) = request_of(&mut connection).await else { continue };
                let (status, body) = serving.answer(&request);
                let body = body.to_string();
                let head =
                    format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = connection.write_all((head + &body).as_bytes()).await;
            }
        });
        issuer
    }

    fn answer(&self, request: &str) -> (u16, Value) {
        let Self { url, .. } = self;
        self.asked.lock().unwrap().push(request.to_owned());
        match request.split(' ').nth(1).unwrap() {
            "/realms/it/.well-known/openid-configuration" => (
                200,
                json!({
                    "issuer": url, "token_endpoint": format!("{url}/token"),
                    "device_authorization_endpoint": format!("{url}/device"),
                }),
            ),
            "/realms/it/device" => (
                200,
                json!({
                    "device_code": "canary-device", "user_code": "WDJB-MJHT", "expires_in": 600, "interval": 0,
                    "verification_uri": "https://sso.test/device\u{1b}[2J",
                }),
            ),
            "/realms/it/token" => self.tokens.lock().unwrap().pop_front().unwrap_or((500, json!({}))),
            _ => (404, json!({})),
        }
    }

    /// The bodies that a path was sent.
    fn sent(&self, path: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let of_path = asked.iter().filter(|request| request.contains(&format!(" /realms/it/{path} ")));
        of_path.map(|request| request.split("\r\n\r\n").nth(1).unwrap().to_owned()).collect()
    }
}

fn token(subject: &str) -> Value {
    json!({ "access_token": Gateway::token(subject, ALL), "token_type": "Bearer", "expires_in": 3600 })
}

fn pending() -> (u16, Value) {
    (400, json!({ "error": "authorization_pending" }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_logs_in_in_a_browser_and_the_token_is_kept_for_that_gateway_alone() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let issuer = Issuer::answering([pending(), pending(), (200, token("anna"))]).await;
    let url = format!("http://{}", gateway.app.address());
    let anna = Person::nobody();
    let login = format!("login --url {url} --issuer {} --client-id cli --scope openid", issuer.url);
    let told = anna.run(&login).await;
    assert!(told.assert(0).stderr.contains("WDJB-MJHT") && told.stderr.contains("https://sso.test/device"), "{told:?}");
    assert!(!told.stderr.contains('\u{1b}'), "{told:?}");
    assert!(told.stdout.contains(&format!("logged in at {url} as anna")), "{told:?}");
    assert_eq!(issuer.sent("device"), ["client_id=cli&scope=openid"]);
    let form =
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=canary-device&client_id=cli";
    assert_eq!(issuer.sent("token"), [form; 3]);
    let kept = anna.home.path().join(".config/killgate/logins.json");
    assert_eq!((mode(&kept), mode(kept.parent().unwrap())), (0o600, 0o700));
    // Neither where nor as whom has to be said from now on.
    assert_eq!(anna.run("whoami -o json").await.assert(0).json()["caller"], "anna");
    let elsewhere = Gateway::start(Engine::Sqlite).await;
    let refused = anna.run(&format!("whoami --url http://{}", elsewhere.app.address())).await;
    assert!(refused.assert(4).stderr.contains("there is no token for"), "{refused:?}");
    std::fs::set_permissions(&kept, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert!(anna.run("whoami").await.assert(1).stderr.contains("may be read by others"));
    std::fs::set_permissions(&kept, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    anna.run("logout").await.assert(0);
    assert!(!std::fs::read_to_string(&kept).unwrap().contains("eyJ"));
    assert!(anna.run(&format!("whoami --url {url}")).await.assert(4).stderr.contains("there is no token for"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_has_run_out_is_made_anew_where_the_issuer_allows_it() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let mut short = token("anna");
    short["expires_in"] = json!(0);
    short["refresh_token"] = json!("canary-refresh");
    let gone = (400, json!({ "error": "invalid_grant", "error_description": "Session not active" }));
    let issuer = Issuer::answering([(200, short), (200, token("anna-again")), gone]).await;
    let url = format!("http://{}", gateway.app.address());
    let anna = Person::nobody();
    anna.run(&format!("login --url {url} --issuer {} --client-id cli", issuer.url)).await.assert(0);
    assert_eq!(anna.run("whoami -o json").await.assert(0).json()["caller"], "anna-again");
    let form = "grant_type=refresh_token&refresh_token=canary-refresh&client_id=cli";
    assert_eq!(issuer.sent("token").last().map(String::as_str), Some(form));
    assert_eq!(anna.run("whoami -o json").await.assert(0).json()["caller"], "anna-again");
    let kept = anna.home.path().join(".config/killgate/logins.json");
    let text = std::fs::read_to_string(&kept).unwrap();
    let long_ago = Clock::system().now().unix_timestamp() - 1;
    let mut logins: Value = serde_json::from_str(&text).unwrap();
    logins["gateways"][&url]["expires_at"] = json!(long_ago);
    std::fs::write(&kept, logins.to_string()).unwrap();
    let over = anna.run("whoami").await;
    assert!(over.assert(4).stderr.contains("Session not active") && over.stderr.contains("killgate login"), "{over:?}");
    assert!(!over.stderr.contains("canary"), "{over:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_issuer_refuses_is_told() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let url = format!("http://{}", gateway.app.address());
    let anna = Person::nobody();
    for (error, said) in [("access_denied", "access_denied"), ("expired_token", "the code ran out")] {
        let issuer = Issuer::answering([pending(), (400, json!({ "error": error }))]).await;
        let refused = anna.run(&format!("login --url {url} --issuer {} --client-id cli", issuer.url)).await;
        assert!(refused.assert(4).stderr.contains(said), "{refused:?}");
    }
    let other = anna.run(&format!("login --url {url} --issuer {url} --client-id cli")).await;
    assert!(other.assert(1).stderr.contains("tells no issuer's addresses"), "{other:?}");
    let unsaid = anna.run(&format!("login --url {url}")).await;
    assert!(unsaid.assert(2).stderr.contains("the gateway names no issuer"), "{unsaid:?}");
    let issuer = Issuer::answering([(200, json!({ "access_token": "canary-bad", "expires_in": 60 }))]).await;
    let bad = anna.run(&format!("login --url {url} --issuer {} --client-id cli", issuer.url)).await;
    assert!(!bad.assert(4).stderr.contains("canary"), "{bad:?}");
    assert!(!anna.home.path().join(".config").exists(), "nothing is kept of a login that is none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_somebody_has_may_be_kept_too() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let url = format!("http://{}", gateway.app.address());
    let anna = Person::nobody();
    let words = ["login", "--with-token", "--url", &url];
    anna.run_with(&words, &format!("{}\n", Gateway::token("anna", ALL))).await.assert(0);
    assert_eq!(anna.run("whoami -o json").await.assert(0).json()["caller"], "anna");
    assert!(anna.run_with(&words, " \n").await.assert(2).stderr.contains("standard input has no token"));
}
