//! The pictures of the README, made only where `KILLGATE_PICTURES` is set (`make pictures`).

use std::path::Path;

use killgate::chain::SealKey;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::kit::{ALL, gateway_with, kill, logged_in, preview};
use crate::support::gateway::{Setup, kill_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_are_made_where_they_are_asked_for() {
    if std::env::var_os("KILLGATE_PICTURES").is_none() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures");
    std::fs::create_dir_all(&folder).unwrap();
    let key = SealKey::generate().unwrap().base64().unwrap();
    let more = format!("\n[seal]\nkey = \"{}\"\nevery_ms = 100\n", key.expose_secret());
    let gateway = gateway_with(Setup { more, ..Setup::default() }).await;
    for (target, ids) in [
        ("ledger", vec![10_180, 10_185]),
        ("orders-ro", vec![2_075_425, 2_075_429, 99]),
        ("catalog", vec![410_201, 410_202]),
    ] {
        kill(&gateway, kill_of(target, &ids)).await;
    }
    gateway.kill(&kill_of("payments", &[520_031])).await;
    gateway
        .kill(&json!({ "target": "nowhere", "select": { "ids": ["1"] }, "reason": "INC-4711 runaway report" }))
        .await;
    let browser = logged_in(&gateway, ALL, "").await;
    let take = async |name: &str| browser.picture(&folder.join(format!("{name}.png"))).await;
    browser.until("return document.querySelectorAll('.grid-body .grid-row').length").await;
    browser.click("[data-id='30101'] .cell.user").await;
    browser.sees(".details", "billing_job").await;
    take("live").await;
    browser.click(".details header button").await;
    browser.size(390, 844).await;
    browser.room("dark").await;
    take("live-narrow").await;
    browser.room("light").await;
    browser.size(1280, 800).await;
    preview(&browser, "30101", "INC-4711 forgotten transaction holds up billing").await;
    browser.write(".confirm input[name=number]", "1").await;
    take("confirm").await;
    browser.click(".confirm .danger").await;
    browser.sees(".connection.over", "It is over").await;
    browser.click(".follow .events summary").await;
    take("outcomes").await;
    browser.click(".follow a.button").await;
    browser.until("return document.querySelector('.kill-page .connection.over')").await;
    take("kill").await;
    browser.click("[data-page=history]").await;
    browser
        .until("return document.querySelectorAll('.kills tbody tr').length >= 6 && document.querySelector('.bars')")
        .await;
    take("history").await;
    browser.room("dark").await;
    browser.click("[data-page=fleet]").await;
    browser.sees(".targets", "billing").await;
    take("fleet").await;
}
