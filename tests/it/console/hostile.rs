//! Text that others chose: statements, names of users, reasons.

use killgate::sandbox::{Place, Session, demo as world};
use serde_json::json;

use super::kit::{ALL, gateway, kill, logged_in, preview};

const SCRIPTS: [&str; 5] = [
    "<img src=x onerror=\"window.pwned=1\">",
    "</script><script>window.pwned=1</script>",
    "\"><svg onload=window.pwned=1>",
    "javascript:window.pwned=1",
    "{{constructor.constructor('window.pwned=1')()}}",
];

fn urlencoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_runs_as_a_script_and_none_breaks_the_page() {
    let gateway = gateway().await;
    let place = Place::taurusdb(world::TAURUSDB_INSTANCE, world::TAURUSDB_NODE);
    for (id, text) in (900_001..).zip(SCRIPTS) {
        let session = Session { user: text.into(), database: text.into(), ..Session::new(id, "x") };
        gateway.clouds.put(&place, &session.running(&format!("select 1 /* {text} */ from {text}"), 5));
    }
    let long = "W".repeat(240);
    let turned = format!("\u{202e}{long}\u{0301}\u{0301}");
    for (id, text) in [(900_101, &long), (900_102, &turned)] {
        let session = Session { user: text.clone(), database: text.clone(), ..Session::new(id, "x") };
        gateway.clouds.put(&place, &session.running(text, 5));
    }
    for reason in SCRIPTS.into_iter().chain([long.as_str()]) {
        kill(&gateway, json!({ "target": "orders-ro", "select": { "ids": ["900001", "900101"] }, "reason": reason, "on_behalf_of": reason, "dry_run": true })).await;
    }
    let browser = logged_in(&gateway, ALL, "#/live?target=orders-ro").await;
    let stands = async |what: &str| {
        browser.until("return document.readyState === 'complete'").await;
        assert_eq!(browser.js("return window.pwned ?? null").await, json!(null), "{what} ran");
        let (wide, room) =
            (browser.js("return document.documentElement.scrollWidth").await, browser.js("return innerWidth").await);
        assert!(wide.as_u64() <= room.as_u64(), "{what} is {wide} wide in {room}");
        assert_eq!(browser.count("main img, main script, main svg[onload]").await, 0, "{what}");
    };
    for width in [1280, 390] {
        browser.size(width, 800).await;
        browser.js("location.hash = '#/live?target=orders-ro&q=9001'").await;
        browser.js("location.hash = '#/live?target=orders-ro&q=9000'").await;
        browser.sees(".grid-body", "<img src=x onerror").await;
        stands("the list").await;
        browser.click("[data-id='900001'] .cell.user").await;
        browser.sees(".details", "<img src=x").await;
        stands("the details").await;
        browser.click(".details header button").await;
        preview(&browser, "900001", SCRIPTS[0]).await;
        browser.sees("dialog", "<img src=x").await;
        stands("the preview").await;
        browser.click("dialog header button").await;
        browser.js("location.hash = '#/live?target=orders-ro&q=WWWW'").await;
        browser.sees(".grid-body", "WWWW").await;
        stands("the list of long names").await;
        // What is selected has its bar before the form on a telephone.
        browser.click(".foot .bare").await;
        for text in SCRIPTS.iter().map(ToString::to_string).chain([turned.clone()]) {
            let place = format!("#/live?target=orders-ro&end.user={0}&end.statement={0}", urlencoded(&text));
            browser.js(&format!("location.hash = {}", json!(place))).await;
            let holds =
                format!("return document.querySelector('.criteria input[name=user]')?.value === {}", json!(text));
            browser.until(&holds).await;
            browser.click(".criteria button[type=submit]").await;
            browser.write("dialog textarea[name=reason]", SCRIPTS[0]).await;
            browser.click("dialog button[type=submit]").await;
            browser.until("return document.querySelector('dialog .confirm, dialog .notice.bad')").await;
            stands("the criteria").await;
            browser.click("dialog header button").await;
        }
        browser.js("location.hash = '#/history'").await;
        browser.sees(".kills", "<img src=x").await;
        stands("the history").await;
        browser.click(".kills tbody tr:last-child a").await;
        browser.sees(".kill-page", "<img src=x").await;
        browser.until("return document.querySelector('.connection.over')").await;
        stands("the kill").await;
    }
    let broken: Vec<_> = browser.complaints().await;
    assert_eq!(broken, [""; 0]);
}
