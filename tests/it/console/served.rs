//! What is served: on by one key, under a strict policy, and asked for again only where it changed.

use std::collections::BTreeSet;

use actix_web::http::Method;
use killgate::upstream::TABLE;

use super::{browser::Browser, kit::gateway};
use crate::{
    safety::process::Process,
    support::{
        gateway::{Engine, Gateway},
        patience::eventually,
    },
};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_begins_with_an_address_that_opens_on_its_queue_with_one_click() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(&["demo", "--listen", "127.0.0.1:0"], directory.path(), &[]);
    let guide = eventually("the guide", async || Some(process.stdout()).filter(|said| said.contains("Ctrl-C"))).await;
    let address = guide.lines().find(|line| line.contains("/#token=")).unwrap();
    let browser = Browser::start().await;
    browser.open(address).await;
    browser.sees(".line", "1 session holds up 9 others").await;
    browser.sees(".grid-body .grid-row", "billing_job").await;
    drop(browser);
    process.signal("INT");
    assert_eq!(process.ended().await.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_prints_accounts_that_a_gateway_takes() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(&["sandbox", "--listen", "127.0.0.1:0"], directory.path(), &[]);
    let said =
        eventually("what it prints", async || Some(process.stdout()).filter(|said| said.contains("Ctrl-C"))).await;
    let toml = said.split_once("[accounts.huawei-sandbox]").unwrap().1.split("# lose").next().unwrap();
    let auth = "[auth]\nissuer = 'https://a'\naudience = 'k'\nhs256_secret = '0123456789abcdef0123456789abcdef'\n";
    let config = killgate::config::parse(&format!("{auth}[accounts.huawei-sandbox]{toml}"), [].into()).unwrap();
    assert_eq!(config.accounts.keys().collect::<Vec<_>>(), ["alibaba-sandbox", "huawei-sandbox", "tencent-sandbox"]);
    let vendors: BTreeSet<_> = config.targets.values().map(|target| target.vendor.as_str()).collect();
    let simulated = TABLE.iter().filter(|vendor| vendor.capabilities().by.cloud().is_some());
    assert_eq!(vendors, simulated.map(|vendor| vendor.name().as_str()).collect());
}
