//! What is served: on by one key, under a strict policy, and asked for again only where it changed.

use actix_web::http::Method;

use super::kit::gateway;
use crate::support::gateway::{Engine, Gateway};

async fn get(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> crate::support::gateway::Answer {
    gateway.client().send(Method::GET, path, headers, String::new()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_key_there_is_no_such_path() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    for path in ["/", "/console/main.js", "/console/settings.json"] {
        let answer = get(&gateway, path, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (404, "not_found"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_allows_its_own_scripts_alone_and_is_not_sent_twice() {
    let gateway = gateway().await;
    let page = get(&gateway, "/", &[]).await;
    assert_eq!(page.status.as_u16(), 200);
    let policy = page.header("content-security-policy").unwrap();
    for rule in
        ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let version = page.header("etag").unwrap();
    let again = get(&gateway, "/console/main.js", &[("If-None-Match", version)]).await;
    assert_eq!((again.status.as_u16(), again.body.as_str()), (304, Some("")));
    let script = get(&gateway, "/console/main.js", &[]).await;
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(script.header("x-content-type-options"), Some("nosniff"));
    let unknown = get(&gateway, "/console/../killgate.toml", &[]).await;
    assert_eq!(unknown.status.as_u16(), 404);
    let posted = gateway.client().send(Method::POST, "/", &[], String::new()).await;
    assert_eq!((posted.status.as_u16(), posted.header("allow")), (405, Some("GET, HEAD")));
}
