//! Outcomes as they come, and streams that break.

use killgate::sandbox::{Action, Behaviour};

use super::{
    browser::Browser,
    cutter::Cutter,
    kit::{ALL, gateway, gateway_with, preview},
};
use crate::support::gateway::{Gateway, Setup};

/// The console's sessions in a browser, and the way to the gateway, which can be cut.
async fn shown_by_a_way(gateway: &Gateway) -> (Cutter, Browser) {
    let way = Cutter::before(gateway.app.address()).await;
    let browser = Browser::start().await;
    browser.open(&format!("http://{}/#token={}", way.address, Gateway::token("dba", ALL))).await;
    browser.until("return document.querySelectorAll('.grid-body .grid-row').length").await;
    (way, browser)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_is_told_begun_again_and_misses_nothing() {
    let gateway = gateway().await;
    let (way, browser) = shown_by_a_way(&gateway).await;
    preview(&browser, "30101", "INC-4711").await;
    gateway.clouds.misbehave(Action::GaussdbKill, Behaviour::Hold);
    browser.write(".confirm input[name=number]", "1").await;
    browser.click(".confirm .danger").await;
    browser.sees(".connection.following", "Following").await;
    browser.until("return document.querySelector('.timeline [data-kind=sent]')").await;
    way.cut();
    browser.sees(".connection.lost", "The stream broke").await;
    gateway.clouds.behave();
    way.mend();
    browser.sees(".follow [data-session='30101']", "killed").await;
    browser.sees(".connection.over", "It is over").await;
    let kinds = browser
        .js("return [...document.querySelectorAll('.timeline li')].map((item) => item.dataset.kind).join()")
        .await;
    assert_eq!(kinds, "recorded,looked,sent,answered", "each event once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_whose_answer_the_page_lost_is_sent_again_under_its_key_and_is_one_kill() {
    let gateway = gateway().await;
    let (way, browser) = shown_by_a_way(&gateway).await;
    preview(&browser, "30101", "INC-4711").await;
    browser.write(".confirm input[name=number]", "1").await;
    way.cut();
    browser.click(".confirm .danger").await;
    browser.sees(".confirm .said", "never a second kill").await;
    way.mend();
    browser.click(".confirm .said button").await;
    browser.sees(".follow [data-session='30101']", "killed").await;
    assert_eq!(gateway.clouds.calls_for(Action::GaussdbKill).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_the_vendor_lost_is_unknown_until_a_look_settles_it() {
    // The look comes once the call has surely ended.
    let more = "\n[vendors.taurusdb]\ntimeout_ms = 20000\n".to_owned();
    let gateway = gateway_with(Setup { more, ..Setup::default() }).await;
    let browser = super::kit::logged_in(&gateway, ALL, "#/live?target=payments").await;
    preview(&browser, "520031", "INC-4712").await;
    browser.write(".confirm input[name=number]", "1").await;
    browser.click(".confirm .danger").await;
    browser.until("return document.querySelector('.follow .connection.over')").await;
    browser.click(".follow a.button").await;
    // The gateway looks, and the page tells what it saw.
    browser.sees(".kill-page [data-session='520031']", "gone").await;
    browser.sees(".kill-page", "a look at the list").await;
    browser.sees(".connection.over", "It is over").await;
}
