//! Logging in: by a token in the address, by a pasted one, at the issuer; and what a token may not do.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::header, web};
use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use killgate::{
    auth::{Grant, mint},
    clock::Clock,
    config::Secret,
};
use serde_json::{Map, json};

use super::{
    browser::Browser,
    kit::{ALL, at, gateway, gateway_with, logged_in},
};
use crate::support::gateway::{AUDIENCE, Gateway, ISSUER, JWT_SECRET, Setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_click_on_an_address_with_a_token_logs_in_and_leaves_no_token_in_it() {
    let gateway = gateway().await;
    let browser = Browser::start().await;
    let token = Gateway::token("dba", ALL);
    browser.open(&at(&gateway, &format!("#token={token}"))).await;
    browser.sees(".caller", "dba").await;
    browser.until("return document.querySelectorAll('.grid-body .grid-row').length").await;
    let address = browser.js("return location.href").await;
    assert!(!address.as_str().unwrap().contains(&token), "{address}");
    browser.reload().await;
    browser.sees(".caller", "dba").await;
    assert_eq!(browser.js("return localStorage.length + document.cookie.length").await, 0);
    browser.click(".who button").await;
    browser.sees("h1", "killgate").await;
    assert_eq!(browser.js("return sessionStorage.length").await, 0, "a token that outlives its log out");
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pasted_token_logs_in_and_one_that_is_not_taken_says_why() {
    let gateway = gateway().await;
    let browser = Browser::start().await;
    browser.open(&at(&gateway, "")).await;
    browser.write("textarea[name=token]", "what is this").await;
    browser.click("button[type=submit]").await;
    browser.sees(".error", "this is no token").await;
    let wrong = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
    browser.js("document.querySelector('textarea').value = ''").await;
    browser.write("textarea[name=token]", wrong).await;
    browser.click("button[type=submit]").await;
    browser.sees(".error", "The gateway does not take it").await;
    browser.js("document.querySelector('textarea').value = ''").await;
    browser.write("textarea[name=token]", &format!("Bearer {}", Gateway::token("dba", ALL))).await;
    browser.click("button[type=submit]").await;
    browser.sees(".caller", "dba").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_token_may_not_do_is_not_offered() {
    let gateway = gateway().await;
    let browser = logged_in(&gateway, "sessions:read", "#/live?target=billing").await;
    browser.until("return document.querySelectorAll('.grid-body .grid-row').length").await;
    assert_eq!((browser.count(".grid input").await, browser.count(".pick-all").await), (0, 0));
    browser.sees(".line", "may look and not kill").await;
    assert_eq!(browser.text(".top nav").await.split_whitespace().collect::<Vec<_>>(), ["Live", "Fleet"]);
    browser.click("[data-id='30101'] .cell.user").await;
    browser.sees(".details", "billing_job").await;
    assert_eq!(browser.count(".details .danger").await, 0);

    let auditor = Gateway::token("auditor", "kills:read");
    browser.click(".who button").await;
    browser.open(&at(&gateway, &format!("?#token={auditor}"))).await;
    browser.sees("main", "needs the scope sessions:read").await;
    assert_eq!(browser.text(".top nav").await.split_whitespace().collect::<Vec<_>>(), ["History", "Fleet"]);
    browser.click("[data-page=history]").await;
    browser.sees(".end", "No kill passes").await;
    assert_eq!(browser.count(".export").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_runs_out_is_renewed_in_place_and_what_waited_goes_on() {
    let begin = Clock::system().now();
    let clock = Clock::manual(begin);
    let gateway = gateway_with(Setup { clock: Some(clock.clone()), ..Setup::default() }).await;
    let browser = logged_in(&gateway, ALL, "#/live?target=billing").await;
    browser.until("return document.querySelectorAll('.grid-body .grid-row').length").await;
    browser.write("input[name=q]", "webshop").await;
    clock.set(begin + Duration::from_hours(40));
    browser.click(".refresh").await;
    browser.sees("dialog", "The token is not taken any more").await;
    let grant = Grant {
        issuer: ISSUER,
        audience: AUDIENCE,
        subject: "dba",
        scope: ALL,
        ttl: Duration::from_hours(1),
        extra: Map::new(),
    };
    let fresh = mint(&grant, &Secret::from(JWT_SECRET.to_owned()), &clock).unwrap();
    browser.write("dialog textarea", &fresh).await;
    browser.click("dialog button[type=submit]").await;
    browser
        .until(
            "return !document.querySelector('dialog') && document.querySelector('.count')?.innerText.includes('of 16')",
        )
        .await;
    assert_eq!(browser.js("return document.querySelector('input[name=q]').value").await, "webshop");
}

/// An issuer that lets everybody in as `alice`.
#[derive(Debug, Default)]
struct Issuer {
    url: String,
    /// The challenges of codes that were given out.
    challenges: Mutex<HashMap<String, String>>,
}

async fn discovery(issuer: web::Data<Issuer>) -> HttpResponse {
    let url = &issuer.url;
    let document = json!({
        "issuer": url, "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
    });
    HttpResponse::Ok().insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")).json(document)
}

async fn authorize(request: HttpRequest, issuer: web::Data<Issuer>) -> HttpResponse {
    let asked = web::Query::<HashMap<String, String>>::from_query(request.query_string()).unwrap().into_inner();
    assert_eq!((asked["response_type"].as_str(), asked["client_id"].as_str()), ("code", "console"));
    assert_eq!(asked["code_challenge_method"], "S256");
    let code = format!("code-{}", asked["state"]);
    issuer.challenges.lock().unwrap().insert(code.clone(), asked["code_challenge"].clone());
    let back = format!("{}?code={code}&state={}", asked["redirect_uri"], asked["state"]);
    HttpResponse::Found().insert_header((header::LOCATION, back)).finish()
}

async fn token(asked: web::Form<HashMap<String, String>>, issuer: web::Data<Issuer>) -> HttpResponse {
    let challenge = issuer.challenges.lock().unwrap().remove(&asked["code"]);
    let sum = digest::digest(&digest::SHA256, asked["code_verifier"].as_bytes());
    let is_right = challenge == Some(BASE64_URL_SAFE_NO_PAD.encode(sum));
    let answer = if is_right && asked["grant_type"] == "authorization_code" {
        let grant = Grant {
            issuer: &issuer.url,
            audience: AUDIENCE,
            subject: "alice@example.com",
            scope: ALL,
            ttl: Duration::from_hours(1),
            extra: Map::new(),
        };
        json!({ "access_token": mint(&grant, &Secret::from(JWT_SECRET.to_owned()), &Clock::system()).unwrap() })
    } else {
        json!({ "error": "invalid_grant" })
    };
    HttpResponse::Ok().insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")).json(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_issuer_logs_in_by_code_and_proof_and_brings_back_to_the_page() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let issuer = web::Data::new(Issuer { url: url.clone(), ..Issuer::default() });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(issuer.clone())
            .route("/.well-known/openid-configuration", web::get().to(discovery))
            .route("/authorize", web::get().to(authorize))
            .route("/token", web::post().to(token))
    });
    let server = server.workers(1).disable_signals().listen(listener).unwrap().run();
    let handle = server.handle();
    let serving = tokio::spawn(server);
    let more = format!(
        "[auth]\nissuer = \"{url}\"\naudience = \"{AUDIENCE}\"\nhs256_secret = \"{JWT_SECRET}\"\n\
         [console]\nenabled = true\nclient_id = \"console\"\n"
    );
    let gateway = gateway_with(Setup { more, ..Setup::default() }).await;
    let browser = Browser::start().await;
    browser.open(&at(&gateway, "#/history?status=failed")).await;
    browser.click(".login button.primary").await;
    browser.sees(".caller", "alice@example.com").await;
    browser.sees(".chosen", "Status: failed").await;
    let address = browser.js("return location.href").await;
    assert!(!address.as_str().unwrap().contains("code="), "{address}");
    assert_eq!(browser.complaints().await, [""; 0]);
    drop(browser);
    handle.stop(false).await;
    serving.await.unwrap().unwrap();
}
