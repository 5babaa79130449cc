//! Live: a place that is named by its coordinates.

use killgate::sandbox::{Action, demo as world};

use super::kit::{ALL, at, gateway, gateway_with, logged_in, preview};
use crate::support::gateway::Setup;

fn link() -> String {
    format!(
        "#/live?vendor=taurusdb&account=huawei-test&instance_id={}&node_id={}",
        world::TAURUSDB_INSTANCE,
        world::TAURUSDB_NODE
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_without_an_alias_is_opened_by_its_coordinates_and_a_link_brings_it_back() {
    let gateway = gateway().await;
    let browser = logged_in(&gateway, ALL, "").await;
    browser.sees(".count", "session").await;
    browser.click(".bar .coordinates").await;
    let choose = "const select = document.querySelector('dialog select[name=account]');
                  select.value = [...select.options].find(({ text }) => text.includes('TaurusDB')).value;
                  select.dispatchEvent(new Event('change'));";
    browser.js(choose).await;
    // Nothing is opened without what the vendor needs.
    browser.click("dialog button[type=submit]").await;
    assert_eq!(browser.count("dialog[open]").await, 1);
    browser.write("dialog input[name=instance_id]", world::TAURUSDB_INSTANCE).await;
    browser.write("dialog input[name=node_id]", world::TAURUSDB_NODE).await;
    browser.press("\u{e007}").await;
    browser.sees(".count", "16 sessions").await;
    assert_eq!(browser.count("dialog").await, 0);
    let address = "return decodeURIComponent(location.hash)";
    let shown = browser.js(address).await.as_str().unwrap().to_owned();
    assert!(shown.contains("vendor=taurusdb") && shown.contains(world::TAURUSDB_NODE), "{shown}");
    browser.open(&at(&gateway, "docs/")).await;
    browser.open(&at(&gateway, &shown)).await;
    browser.sees(".count", "16 sessions").await;
    preview(&browser, "2075425", "INC-4711 by coordinates").await;
    browser.sees(".confirm .lead", "1 session of").await;
    browser.write(".confirm input[name=number]", "1").await;
    browser.click(".confirm .danger").await;
    browser.sees(".follow [data-session='2075425']", "killed").await;
    browser.click(".follow button.primary").await;
    let kills = gateway.read("/kills?status=succeeded").await;
    let target = &kills.body["items"][0]["target"];
    assert_eq!((&target["node_id"], target.get("alias")), (&world::TAURUSDB_NODE.into(), None), "{target}");
    // An alias takes its place again.
    browser.js("const select = document.querySelector('select[name=target]'); select.value = 'billing'; select.dispatchEvent(new Event('change'))").await;
    browser.sees(".line", "holds up 9 others").await;
    assert_eq!(browser.js("return location.hash.includes('node_id')").await, false);
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_takes_nothing_along_that_is_no_coordinate() {
    let gateway = gateway().await;
    let browser = logged_in(&gateway, ALL, &format!("{}&token=canary&shard_id=canary", link())).await;
    browser.sees(".count", "16 sessions").await;
    assert_eq!(browser.js("return location.href.includes('canary')").await, false);
    browser.js("location.hash = '#/live?vendor=taurusdb&instance_id=x&node_id=y'").await;
    browser.sees(".live-body .notice", "instance_id").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_name_coordinates_is_not_offered_them_and_a_link_asks_for_nothing() {
    let more = "\n[access]\ncoordinates = ['others-*']\n".to_owned();
    let gateway = gateway_with(Setup { more, ..Setup::default() }).await;
    let browser = logged_in(&gateway, ALL, "#/live?target=billing").await;
    browser.sees(".line", "holds up 9 others").await;
    assert_eq!(browser.js("return document.querySelector('.bar .coordinates').offsetParent === null").await, true);
    let lists = || gateway.clouds.calls_for(Action::TaurusdbProcesses).len();
    let before = lists();
    browser.js(&format!("location.hash = '{}'", link())).await;
    browser.sees(".live-body", "may not open that place").await;
    assert_eq!(lists(), before);
    browser.click(".live-body .nothing button").await;
    browser.sees(".count", "session").await;
}
