//! Accessibility, by axe-core: WCAG 2.2 up to AA, in a light and a dark room, on a desk and on a telephone.

use serde_json::Value;

use super::{
    browser::{Browser, script},
    kit::{ALL, at, gateway, kill, logged_in, preview},
};
use crate::support::gateway::kill_of;

/// What axe finds wrong on the page as it stands.
async fn wrong(browser: &Browser, axe: &str) -> Vec<String> {
    // Under the console's own policy, as the driver has it run.
    browser.js(&format!("if (!window.axe) {{ {axe} }}")).await;
    browser
        .js("window.found = null;
             axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] })
               .then(({ violations }) => { window.found = violations; }, (error) => { window.found = String(error); });")
        .await;
    browser.until("return window.found !== null").await;
    let found = browser.js("return window.found").await;
    let Value::Array(found) = found else { panic!("{found}") };
    let each = |rule: &Value| {
        let nodes = rule["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| format!("{} {}", node["html"], node["any"][0]["message"]));
        nodes.map(|node| format!("{}: {node}", rule["id"])).collect::<Vec<_>>()
    };
    found.iter().flat_map(each).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn axe_finds_nothing_wrong_on_any_page() {
    let Some(paths) = tokio::task::spawn_blocking(|| script("axe")).await.unwrap() else {
        eprintln!("axe-core cannot be had here, so accessibility was not checked");
        return;
    };
    let axe = std::fs::read_to_string(&paths[0]).unwrap();
    let gateway = gateway().await;
    let made = kill(&gateway, kill_of("orders-ro", &[2_075_425, 2_075_429, 99])).await;
    let browser = logged_in(&gateway, ALL, "").await;
    for (room, width) in [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)] {
        browser.room(room).await;
        browser.size(width, 800).await;
        let check = async |what: &str| {
            assert_eq!(wrong(&browser, &axe).await, [""; 0], "{what}, {room}, {width}");
        };
        browser.js("location.hash = '#/live?target=billing&view=tree'").await;
        browser.until("return document.querySelectorAll('.grid-body .grid-row').length").await;
        check("live").await;
        browser.js("document.querySelector('[data-id=\"30103\"] .cell.user').click()").await;
        browser.sees(".details", "webshop").await;
        check("details").await;
        browser.js("document.querySelector('.details header button').click()").await;
        preview(&browser, "30101", "INC-4711").await;
        check("preview").await;
        browser.click("dialog header button").await;
        browser.js("document.querySelector('.criteria').open = true").await;
        check("criteria").await;
        browser.js("document.querySelector('.criteria').open = false").await;
        browser.click(".bar .coordinates").await;
        check("coordinates").await;
        browser.click("dialog header button").await;
        browser.js("location.hash = '#/history'").await;
        browser
            .until("return document.querySelectorAll('.kills tbody tr').length && document.querySelector('.bars')")
            .await;
        check("history").await;
        browser.js(&format!("location.hash = '#/kill/{}'", made["id"].as_str().unwrap())).await;
        browser.until("return document.querySelector('.connection.over')").await;
        check("kill").await;
        browser.js("location.hash = '#/fleet'").await;
        browser.until("return document.querySelector('.targets')").await;
        check("fleet").await;
    }
    browser.js("sessionStorage.clear()").await;
    browser.open(&at(&gateway, "?")).await;
    browser.sees("h1", "killgate").await;
    for room in ["light", "dark"] {
        browser.room(room).await;
        assert_eq!(wrong(&browser, &axe).await, [""; 0], "login, {room}");
    }
}
