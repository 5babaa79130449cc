//! Live: the list, who blocks whom, and the way from a selection to outcomes.

use std::time::Duration;

use killgate::{clock::Clock, sandbox::Place, sandbox::scenes};

use super::{
    browser::{DOWN, ESCAPE},
    kit::{ALL, at, gateway, gateway_with, logged_in, preview},
};
use crate::support::gateway::Setup;

fn billing() -> Place {
    Place::gaussdb(scenes::BILLING_INSTANCE, scenes::BILLING_NODE, scenes::BILLING_COMPONENT)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_opens_it_finds_the_blocker_ends_it_sees_it_gone_and_finds_it_in_the_history() {
    let gateway = gateway().await;
    let browser = logged_in(&gateway, ALL, "").await;
    // The first target, and its queue: nothing was chosen.
    browser.sees(".line", "1 session holds up 9 others").await;
    let first = browser.text(".grid-body .grid-row").await;
    assert!(first.contains("30101") && first.contains("blocks 9"), "{first}");
    let depths = browser.js("return [...document.querySelectorAll('.grid-body .grid-row')].map((row) => row.querySelectorAll('.guide').length)").await;
    assert_eq!(depths.to_string(), "[0,1,1,1,1,1,1,1,1,1]");
    preview(&browser, "30101", "INC-4711 forgotten transaction").await;
    browser.sees(".confirm .lead", "1 session of billing would be ended").await;
    assert!(gateway.clouds.alive(&billing()).contains(&30_101), "a preview ended it");
    browser.write(".confirm input[name=number]", "2").await;
    assert_eq!(browser.js("return document.querySelector('.confirm .danger').disabled").await, true);
    browser.press("\u{e003}1").await;
    browser.click(".confirm .danger").await;
    browser.sees(".follow .status-line", "succeeded").await;
    browser.sees(".follow [data-session='30101']", "killed").await;
    browser.sees(".connection.over", "It is over").await;
    assert!(!gateway.clouds.alive(&billing()).contains(&30_101));
    browser.click(".follow button.primary").await;
    browser.until("return !document.querySelector('[data-id=\"30101\"]') && document.querySelector('.grid-row[data-id=\"30102\"]')").await;
    browser.click("[data-page=history]").await;
    browser.sees(".kills tbody tr", "INC-4711 forgotten transaction").await;
    browser.click(".kills tbody a").await;
    browser.sees(".kill-page", "the vendor's answer").await;
    browser.sees(".timeline", "The vendor has answered").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirm_that_came_too_late_is_refused_and_the_way_back_is_another_look() {
    let begin = Clock::system().now();
    let clock = Clock::manual(begin);
    let gateway = gateway_with(Setup { clock: Some(clock.clone()), ..Setup::default() }).await;
    let browser = logged_in(&gateway, ALL, "#/live?target=billing").await;
    preview(&browser, "30101", "INC-4711").await;
    clock.set(begin + Duration::from_secs(301));
    browser.write(".confirm input[name=number]", "1").await;
    browser.click(".confirm .danger").await;
    // Whether it is refused at once or on record, it says why.
    browser.until("return document.querySelector('dialog .notice')?.innerText.includes('confirm')").await;
    assert!(gateway.clouds.alive(&billing()).contains(&30_101), "a refused confirm ended it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_search_and_order_are_in_the_address_and_a_link_brings_them_back() {
    let gateway = gateway().await;
    let browser = logged_in(&gateway, ALL, "#/live?target=orders-ro").await;
    browser.sees(".count", "16 sessions").await;
    browser.write("input[name=q]", "order_lines").await;
    browser.sees(".count", "2 of 16 sessions").await;
    browser.click(".grid-head .id button").await;
    browser.until("return location.hash.includes('sort=-id') && location.hash.includes('q=order_lines')").await;
    let ids = "return [...document.querySelectorAll('.grid-body .grid-row')].map((row) => row.dataset.id).join()";
    assert_eq!(browser.js(ids).await, "2075433,2075425");
    let link = browser.js("return location.hash").await.as_str().unwrap().to_owned();
    browser.open(&at(&gateway, "docs/")).await;
    browser.open(&at(&gateway, &link)).await;
    browser.sees(".count", "2 of 16 sessions").await;
    assert_eq!(browser.js(ids).await, "2075433,2075425");
    browser.js("location.hash = '#/live?target=orders-ro&user=repl'").await;
    browser.sees(".count", "2 of 16 sessions").await;
    browser.sees(".grid-body .grid-row", "protected").await;
    assert_eq!(browser.count(".grid-body input").await, 0, "one that is protected can be selected");
    browser.click(".grid-body .cell.user").await;
    browser.sees(".details", "built in, commands: Binlog Dump*").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vendor_that_lists_by_user_or_database_alone_is_asked_so() {
    let gateway = gateway().await;
    let browser = logged_in(&gateway, ALL, "#/live?target=shop").await;
    browser.sees(".live-body", "lists by user or database only").await;
    browser.write("input[name=user]", "report").await;
    browser.until("return document.querySelectorAll('.grid-body .grid-row').length").await;
    assert!(browser.text(".grid-body").await.contains("report"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_it_goes_by_the_keyboard() {
    let gateway = gateway().await;
    let browser = logged_in(&gateway, ALL, "#/live?target=billing").await;
    browser.until("return document.querySelectorAll('.grid-body .grid-row').length").await;
    browser.press("j").await;
    browser.press(DOWN).await;
    assert_eq!(browser.js("return document.activeElement.dataset.id").await, "30102");
    browser.press(" ").await;
    browser.sees(".foot", "1 session selected").await;
    assert_eq!(browser.js("return document.activeElement.dataset.id").await, "30102", "the keyboard is lost");
    browser.press("\u{e007}").await;
    browser.sees(".details", "migrator").await;
    browser.press(ESCAPE).await;
    browser.until("return !document.querySelector('.details')").await;
    browser.press("k").await;
    browser.until("return document.activeElement.name === 'reason'").await;
    browser.press("by keys").await;
    browser.press(ESCAPE).await;
    browser.until("return !document.querySelector('dialog')").await;
    browser.press("/").await;
    browser.press("migrator").await;
    browser.until("return document.querySelector('input[name=q]').value === 'migrator'").await;
}
