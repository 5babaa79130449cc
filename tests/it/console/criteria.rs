//! Live: sessions that are ended by criteria.

use std::time::Duration;

use killgate::{
    clock::Clock,
    sandbox::{Place, demo as world},
};

use super::{
    browser::{Browser, ESCAPE},
    kit::{ALL, at, gateway, gateway_with, logged_in},
};
use crate::support::gateway::Setup;

fn orders() -> Place {
    Place::taurusdb(world::TAURUSDB_INSTANCE, world::TAURUSDB_NODE)
}

async fn previewed(browser: &Browser) {
    browser.click(".criteria button[type=submit]").await;
    browser.write("dialog textarea[name=reason]", "INC-4711 runaway reports").await;
    browser.click("dialog button[type=submit]").await;
    browser.until("return document.querySelector('.confirm')").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn criteria_end_those_that_the_preview_showed_and_stand_in_the_address() {
    let gateway = gateway().await;
    let browser = logged_in(&gateway, ALL, "#/live?target=orders-ro").await;
    browser.sees(".count", "16 sessions").await;
    browser.click(".criteria summary").await;
    assert_eq!(browser.js("return document.querySelector('.criteria button[type=submit]').disabled").await, true);
    browser.write(".criteria input[name=limit]", "7").await;
    assert_eq!(browser.js("return document.querySelector('.criteria button[type=submit]').disabled").await, true);
    browser.write(".criteria input[name=user]", "rep*").await;
    browser.write(".criteria input[name=min_seconds]", "10m").await;
    let shown = browser.js("return location.hash").await.as_str().unwrap().to_owned();
    assert!(shown.contains("end.user=rep*") && shown.contains("end.min_seconds=10m"), "{shown}");
    browser.open(&at(&gateway, "docs/")).await;
    browser.open(&at(&gateway, &shown)).await;
    browser.until("return document.querySelector('.criteria[open] input[name=user]')?.value === 'rep*'").await;
    let long = [2_075_425, 2_075_433];
    assert!(long.iter().all(|id| gateway.clouds.alive(&orders()).contains(id)));
    previewed(&browser).await;
    browser.sees(".confirm .lead", "2 sessions of orders-ro would be ended").await;
    assert!(long.iter().all(|id| gateway.clouds.alive(&orders()).contains(id)), "a preview ended it");
    browser.write(".confirm input[name=number]", "3").await;
    assert_eq!(browser.js("return document.querySelector('.confirm .danger').disabled").await, true);
    browser.press("\u{e003}2").await;
    browser.click(".confirm .danger").await;
    browser.sees(".follow .status-line", "succeeded").await;
    browser.sees(".follow [data-session='2075433']", "killed").await;
    let alive = gateway.clouds.alive(&orders());
    assert!(!long.iter().any(|id| alive.contains(id)), "{alive:?}");
    let kill = &gateway.read("/kills?status=succeeded").await.body["items"][0];
    let wanted = serde_json::json!({ "user": "rep*", "min_seconds": 600, "limit": 7 });
    assert_eq!(kill["select"]["match"], wanted, "{kill}");
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirm_of_criteria_that_came_too_late_ends_nobody() {
    let begin = Clock::system().now();
    let clock = Clock::manual(begin);
    let gateway = gateway_with(Setup { clock: Some(clock.clone()), ..Setup::default() }).await;
    let browser = logged_in(&gateway, ALL, "#/live?target=orders-ro&end.user=report").await;
    browser.sees(".count", "16 sessions").await;
    let before = gateway.clouds.alive(&orders());
    previewed(&browser).await;
    let many = browser.text(".confirm .type-number strong").await;
    clock.set(begin + Duration::from_secs(301));
    browser.write(".confirm input[name=number]", &many).await;
    browser.click(".confirm .danger").await;
    browser.until("return document.querySelector('dialog .notice')?.innerText.includes('confirm')").await;
    assert_eq!(gateway.clouds.alive(&orders()), before, "a refused confirm ended somebody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn criteria_begin_with_the_filters_as_they_are_written_and_go_by_the_keyboard() {
    let gateway = gateway().await;
    let browser = logged_in(&gateway, ALL, "#/live?target=orders-ro&user=re*port&min=60").await;
    browser.sees(".count", "of 16 sessions").await;
    browser.press("c").await;
    browser.until("return document.activeElement.matches('.criteria input[name=user]')").await;
    let values =
        "return ['user', 'min_seconds'].map((name) => document.querySelector(`.criteria input[name=${name}]`).value)";
    // A star that a filter has is a star.
    assert_eq!(browser.js(values).await, serde_json::json!(["re\\*port", "60"]));
    browser.press(ESCAPE).await;
    browser.click(".criteria button[type=button]").await;
    assert_eq!(browser.js(values).await, serde_json::json!(["", ""]));
    assert_eq!(browser.js("return location.hash.includes('end.')").await, false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_token_or_the_vendor_may_not_do_is_not_offered() {
    let gateway = gateway().await;
    let browser = logged_in(&gateway, "sessions:read", "#/live?target=orders-ro&end.user=report").await;
    browser.sees(".line", "may look and not kill").await;
    assert_eq!(browser.js("return document.querySelector('.criteria').offsetParent === null").await, true);
    let browser = {
        drop(browser);
        logged_in(&gateway, ALL, "#/live?target=shop").await
    };
    browser.sees(".live-body", "lists by user or database only").await;
    browser.click(".criteria summary").await;
    browser.sees(".criteria", "give one of them").await;
}
