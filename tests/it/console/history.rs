//! The history: links, pages, the plot, one kill.

use serde_json::json;

use super::kit::{ALL, at, gateway, kill, logged_in};
use crate::support::gateway::{Gateway, kill_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_a_finding_and_each_filter_can_be_taken_away() {
    let gateway = gateway().await;
    kill(&gateway, kill_of("orders-ro", &[2_075_425, 2_075_429])).await;
    kill(&gateway, json!({ "target": "ledger", "select": { "ids": ["10180"] }, "reason": "CHG-1 other" })).await;
    let browser = logged_in(&gateway, ALL, "#/history?reason=INC-4711&status=partial&user=report").await;
    browser.sees(".kills tbody", "orders-ro").await;
    assert_eq!(browser.count(".kills tbody tr").await, 1);
    let value = |name: &str| format!("return document.querySelector('.filters [name={name}]').value");
    assert_eq!(browser.js(&value("reason")).await, "INC-4711");
    assert_eq!(browser.js(&value("status")).await, "partial");
    browser.click(".chosen button").await;
    browser.until("return document.querySelectorAll('.chosen button').length === 2").await;
    browser.click(".filters button[type=button]:not(.bare):not(.chip)").await;
    browser.until("return document.querySelectorAll('.kills tbody tr').length === 2").await;
    assert_eq!(browser.js("return location.hash").await, "#/history");
    browser.write(".filters [name=reason]", "CHG-1").await;
    browser.click(".filters button[type=submit]").await;
    browser.until("return document.querySelectorAll('.kills tbody tr').length === 1 && location.hash.includes('reason=CHG-1')").await;
    browser.js("history.back()").await;
    browser.until("return document.querySelectorAll('.kills tbody tr').length === 2").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_come_as_one_goes_down_until_that_is_all() {
    let gateway = gateway().await;
    for number in 0..120 {
        let body = json!({ "target": "ledger", "select": { "ids": ["10180"] }, "reason": format!("number {number}"), "dry_run": true });
        kill(&gateway, body).await;
    }
    let browser = logged_in(&gateway, ALL, "#/history").await;
    browser.until("return document.querySelectorAll('.kills tbody tr').length >= 50").await;
    browser.sees(".plot", "120 kills").await;
    browser
        .until("window.scrollTo(0, document.documentElement.scrollHeight); return document.querySelectorAll('.kills tbody tr').length === 120")
        .await;
    browser.sees(".end", "That is all").await;
    let ids = browser
        .js("return new Set([...document.querySelectorAll('.kills tbody tr')].map((row) => row.dataset.kill)).size")
        .await;
    assert_eq!(ids, 120, "each once");
    // Of two hours one has half of them at least.
    let tallest = "[...document.querySelectorAll('.bar-of')].sort((one, other) => \
                   other.getBBox().height - one.getBBox().height)[0]";
    browser.js(&format!("{tallest}.dispatchEvent(new MouseEvent('click'))")).await;
    browser.until("return location.hash.includes('since=') && location.hash.includes('until=')").await;
    browser.until("return document.querySelectorAll('.kills tbody tr').length >= 50").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_kill_is_a_page_that_says_what_each_outcome_rests_on() {
    let gateway = gateway().await;
    let made = kill(&gateway, kill_of("orders-ro", &[2_075_425, 2_075_429, 99])).await;
    let id = made["id"].as_str().unwrap();
    let browser = logged_in(&gateway, ALL, &format!("#/kill/{id}")).await;
    browser.sees(".kill-page .status-line", "partial").await;
    browser.sees(".connection.over", "It is over").await;
    for (session, outcome, why) in [
        ("2075425", "killed", "the vendor's answer"),
        ("2075429", "protected", "built in, commands: Binlog Dump*"),
        ("99", "not found", "not there when it was looked for"),
    ] {
        let row = browser.text(&format!("[data-session='{session}']")).await;
        assert!(row.contains(outcome) && row.contains(why), "{session}: {row}");
    }
    browser.sees(".about", "3 ids").await;
    browser.open(&at(&gateway, "#/kill/01a22821-499d-738b-8f78-6fc45555f840")).await;
    browser.sees("main", "there is no such kill").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_kill_and_not_read_sees_its_own_and_is_not_offered_the_rest() {
    let gateway = gateway().await;
    kill(&gateway, kill_of("orders-ro", &[2_075_425])).await;
    let body = json!({ "target": "ledger", "select": { "ids": ["10180"] }, "reason": "mine" }).to_string();
    let own = gateway.client().post("/sessions/kill", &Gateway::token("dba", "sessions:kill"), &[], body).await;
    assert_eq!(own.status.as_u16(), 200, "{}", own.body);
    let browser = logged_in(&gateway, "sessions:kill", "#/history").await;
    browser.sees(".kills tbody", "mine").await;
    assert_eq!(browser.count(".kills tbody tr").await, 1);
    assert_eq!(browser.count("[name=user], [name=database], .export").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_telephone_shows_the_history_without_scrolling_sideways() {
    let gateway = gateway().await;
    kill(&gateway, kill_of("orders-ro", &[2_075_425])).await;
    kill(&gateway, kill_of("orders-ro", &[2_075_433, 2_075_429])).await;
    let refused = kill_of("orders-ro", &[2_075_429]).to_string();
    gateway.client().post("/sessions/kill", &Gateway::token("dba", ALL), &[], refused).await;
    kill(&gateway, json!({ "target": "ledger", "select": { "ids": ["10180"] }, "reason": "x", "dry_run": true })).await;
    let browser = logged_in(&gateway, ALL, "#/live").await;
    browser.size(390, 844).await;
    browser.open(&at(&gateway, "#/history")).await;
    browser.sees(".end", "That is all").await;
    // Several statuses in one line are what made it wide.
    let several = "[...document.querySelectorAll('.plot .hidden td')].some((cell) => cell.textContent.includes(', '))";
    browser.until(&format!("return {several}")).await;
    assert_eq!(browser.js("return document.documentElement.scrollWidth").await, 390);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_with_a_bad_time_says_which_one_and_keeps_it() {
    let gateway = gateway().await;
    let browser = logged_in(&gateway, ALL, "#/history?since=garbage&reason=INC").await;
    browser.sees(".end", "since").await;
    browser.sees(".plot", "a time of the filters is none").await;
    browser.sees(".chosen", "From: garbage").await;
    assert!(!browser.text("main").await.contains("The console failed"));
}
