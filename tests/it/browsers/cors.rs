//! Pages of other origins: those that are configured may ask, with a token of their own.

use std::collections::BTreeSet;

use actix_web::http::Method;

use super::get;
use crate::support::gateway::{Answer, Engine, Gateway, Setup, kill_of, on_one_engine};

on_one_engine! {
    without_the_key_no_other_origin_is_let_in,
    a_preflight_is_answered_without_a_token_for_each_path_and_for_configured_origins_alone,
    every_answer_and_every_problem_can_be_read_by_a_page_of_that_origin,
}

const PORTAL: &str = "https://portal.example.com";

async fn gateway(engine: Engine, more: &str) -> Gateway {
    let env = vec![("KILLGATE__SERVER__CORS_ORIGINS", "https://portal.example.com,http://localhost:3000")];
    Gateway::start_with(engine, Setup { env, more: more.to_owned(), ..Setup::default() }).await
}

fn names(answer: &Answer, header: &str) -> BTreeSet<String> {
    answer.header(header).unwrap_or_default().split(',').map(|name| name.trim().to_ascii_lowercase()).collect()
}

/// Whether a page of the origin may read it, and no cookie is ever wanted.
fn is_read_by(answer: &Answer, origin: &str) -> bool {
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let allowed = answer.header("access-control-allow-origin");
    assert_ne!(allowed, Some("*"));
    allowed == Some(origin)
}

async fn preflight(gateway: &Gateway, path: &str, origin: &str, headers: &str) -> Answer {
    let asks = [
        ("Origin", origin),
        ("Access-Control-Request-Method", if path == "/sessions/kill" { "POST" } else { "GET" }),
        ("Access-Control-Request-Headers", headers),
    ];
    gateway.client().send(Method::OPTIONS, path, &asks, String::new()).await
}

async fn without_the_key_no_other_origin_is_let_in(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let asked = preflight(&gateway, "/sessions/kill", PORTAL, "authorization").await;
    assert_eq!((asked.status.as_u16(), asked.code()), (405, "method_not_allowed"));
    let read = get(&gateway, "/healthz", &[("Origin", PORTAL)]).await;
    assert_eq!(read.status.as_u16(), 200);
    assert!(!asked.headers.iter().chain(read.headers.iter()).any(|(name, _)| name.as_str().starts_with("access-")));
}

async fn a_preflight_is_answered_without_a_token_for_each_path_and_for_configured_origins_alone(engine: Engine) {
    let gateway = gateway(engine, "").await;
    let taken = "authorization,content-type,idempotency-key,last-event-id,prefer,traceparent,tracestate,x-request-id,if-none-match";
    for path in ["/sessions/kill", "/sessions", "/kills", "/kills/x/events", "/me", "/targets", "/kills/export"] {
        for origin in [PORTAL, "http://localhost:3000"] {
            let asked = preflight(&gateway, path, origin, taken).await;
            assert_eq!(asked.status.as_u16(), 200, "{path}: {}", asked.body);
            assert!(is_read_by(&asked, origin), "{path}");
            assert!(
                names(&asked, "access-control-allow-headers")
                    .is_superset(&taken.split(',').map(str::to_owned).collect())
            );
            assert!(names(&asked, "access-control-allow-methods").contains("post"));
            assert!(names(&asked, "vary").contains("origin"), "{:?}", asked.headers);
        }
        for (origin, headers) in [
            ("https://evil.example.com", taken),
            ("https://portal.example.com.evil.example", taken),
            ("http://portal.example.com", taken),
            ("null", taken),
            (PORTAL, "cookie"),
        ] {
            let asked = preflight(&gateway, path, origin, headers).await;
            assert_eq!((asked.status.as_u16(), asked.code()), (400, "malformed"), "{path} {origin} {headers}");
            assert_eq!(asked.header("access-control-allow-headers"), None, "{path} {origin} {headers}");
        }
    }
}

async fn every_answer_and_every_problem_can_be_read_by_a_page_of_that_origin(engine: Engine) {
    let gateway = gateway(engine, "\n[callers]\nkills_per_second = 1\nburst = 1\n").await;
    let token = format!("Bearer {}", Gateway::token("chatops-bot", "sessions:kill sessions:read"));
    let kill = async |origin: &str| {
        let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json"), ("Origin", origin)];
        let body = kill_of("ledger", &[10_180]).to_string();
        gateway.client().send(Method::POST, "/sessions/kill", &headers, body).await
    };
    // Both at once: a moment later the second might be done too.
    let (one, other) = tokio::join!(kill(PORTAL), kill(PORTAL));
    let (done, limited) = if one.status.as_u16() == 429 { (other, one) } else { (one, other) };
    assert_eq!(done.status.as_u16(), 200, "{}", done.body);
    assert!(is_read_by(&done, PORTAL));
    let told = names(&done, "access-control-expose-headers");
    for (name, _) in &done.headers {
        let is_always_read = ["cache-control", "content-type", "content-length"].contains(&name.as_str());
        let is_of_transfer = ["date", "vary", "transfer-encoding"].contains(&name.as_str());
        let is_of_cors = name.as_str().starts_with("access-control-");
        assert!(is_always_read || is_of_transfer || is_of_cors || told.contains(name.as_str()), "{name} is not told");
    }
    assert!(["location", "retry-after", "link", "preference-applied"].iter().all(|name| told.contains(*name)));
    assert_eq!((limited.status.as_u16(), is_read_by(&limited, PORTAL)), (429, true), "{}", limited.body);
    let unknown = get(&gateway, "/kills", &[("Origin", PORTAL)]).await;
    assert_eq!((unknown.status.as_u16(), is_read_by(&unknown, PORTAL)), (401, true));
    let nowhere = get(&gateway, "/nowhere", &[("Origin", PORTAL)]).await;
    assert_eq!((nowhere.status.as_u16(), is_read_by(&nowhere, PORTAL)), (404, true));
    gateway.app.kills().leave();
    let leaving = get(&gateway, "/readyz", &[("Origin", PORTAL)]).await;
    assert_eq!((leaving.status.as_u16(), is_read_by(&leaving, PORTAL)), (503, true));
    // What others ask is done as without: it is their browsers that keep the answer from them.
    let other = get(&gateway, "/healthz", &[("Origin", "https://evil.example.com")]).await;
    assert_eq!((other.status.as_u16(), other.header("access-control-allow-origin")), (200, None));
    assert!(names(&other, "vary").contains("origin"));
}
