//! Below a prefix that a trusted proxy names, every address leads there again.

use actix_web::http::Method;

use super::get;
use crate::support::gateway::{Engine, Gateway, Setup, kill_of, on_one_engine};

on_one_engine! {
    links_lead_below_the_prefix_of_a_trusted_proxy,
    nobody_elses_prefix_is_believed,
}

const BELOW: (&str, &str) = ("X-Forwarded-Prefix", "/ops/killgate");

const HOST: (&str, &str) = ("X-Forwarded-Host", "killgate.example.com");
const SCHEME: (&str, &str) = ("X-Forwarded-Proto", "https");

async fn behind(engine: Engine, proxies: &'static str) -> Gateway {
    let env = vec![("KILLGATE__SERVER__TRUSTED_PROXIES", proxies)];
    Gateway::start_with(engine, Setup { env, ..Setup::default() }).await
}

async fn links_lead_below_the_prefix_of_a_trusted_proxy(engine: Engine) {
    let gateway = behind(engine, "127.0.0.0/8").await;
    let done = gateway.kill_with(&[BELOW], &kill_of("ledger", &[10_180])).await;
    assert_eq!(done.header("location"), Some(format!("/ops/killgate/kills/{}", done.kill_id()).as_str()));
    let refused = gateway.kill_with(&[BELOW], &kill_of("nowhere", &[1])).await;
    assert_eq!(refused.status.as_u16(), 404, "{}", refused.body);
    assert_eq!(refused.header("location"), Some(format!("/ops/killgate/kills/{}", refused.kill_id()).as_str()));
    let token = format!("Bearer {}", Gateway::token("auditor", "kills:read kills:export"));
    let headers = [("Authorization", token.as_str()), BELOW];
    let page = get(&gateway, "/kills?limit=1", &headers).await;
    assert!(
        page.header("link").is_some_and(|link| link.starts_with("</ops/killgate/kills?")),
        "{:?}",
        page.header("link")
    );
    let table = get(&gateway, "/kills/export?format=csv", &headers).await;
    let link = table.header("link");
    assert!(link.is_some_and(|link| link.starts_with("</ops/killgate/kills/export/manifest?")), "{link:?}");
    assert_eq!(get(&gateway, "/docs", &[BELOW]).await.header("location"), Some("/ops/killgate/docs/"));
    let document = get(&gateway, "/openapi.json", &[BELOW]).await;
    assert_eq!(document.body["servers"][0]["url"], "/ops/killgate");
    let login = get(&gateway, "/.well-known/oauth-protected-resource", &[BELOW]).await;
    assert!(login.body["resource"].as_str().unwrap().ends_with("/ops/killgate"), "{}", login.body);
    let login = get(&gateway, "/.well-known/oauth-protected-resource", &[BELOW, HOST, SCHEME]).await;
    assert_eq!(login.body["resource"], "https://killgate.example.com/ops/killgate");
    // The page of the document asks for it beside itself.
    let page = get(&gateway, "/docs/swagger-initializer.js", &[BELOW]).await;
    assert!(page.body.as_str().unwrap().contains("\"../openapi.json\""), "{}", page.body);
    for odd in ["//evil.example", "https://evil.example", "/..", "/a b", "/a,/b"] {
        let docs = get(&gateway, "/docs", &[("X-Forwarded-Prefix", odd)]).await;
        assert_eq!(docs.header("location"), Some("/docs/"), "{odd}");
    }
}

async fn nobody_elses_prefix_is_believed(engine: Engine) {
    let gateway = behind(engine, "10.0.0.0/8").await;
    let done = gateway.kill_with(&[BELOW], &kill_of("ledger", &[10_180])).await;
    assert_eq!(done.header("location"), Some(format!("/kills/{}", done.kill_id()).as_str()));
    assert_eq!(get(&gateway, "/docs", &[BELOW]).await.header("location"), Some("/docs/"));
    assert_eq!(get(&gateway, "/openapi.json", &[BELOW]).await.body["servers"][0]["url"], "/");
    let login = get(&gateway, "/.well-known/oauth-protected-resource", &[BELOW, HOST, SCHEME]).await;
    assert_eq!(login.body["resource"], format!("http://{}", gateway.app.address()));
    let posted = gateway.client().send(Method::POST, "/docs", &[BELOW], String::new()).await;
    assert_eq!(posted.status.as_u16(), 405);
}
