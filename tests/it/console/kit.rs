//! What the console's tests begin with.

use std::fmt::Write as _;

use killgate::sandbox::{Clouds, scenes};
use serde_json::{Value, json};

use super::browser::Browser;
use crate::support::gateway::{Engine, Gateway, Setup};

/// What may do the whole story.
pub(super) const ALL: &str = "sessions:read sessions:kill kills:read kills:export";

/// A gateway with the console and the demo's scenes.
pub(super) async fn gateway() -> Gateway {
    gateway_with(Setup::default()).await
}

pub(super) async fn gateway_with(setup: Setup) -> Gateway {
    let clouds = setup.clouds.unwrap_or_else(Clouds::demo);
    scenes::stage(&clouds);
    let more = if setup.more.contains("[console]") { "" } else { "\n[console]\nenabled = true\n" };
    let mut more = format!("{more}{}", setup.more);
    for (alias, vendor, instance, node) in [
        ("billing", "gaussdb", scenes::BILLING_INSTANCE, scenes::BILLING_NODE),
        ("catalog", "taurusdb", scenes::CATALOG_INSTANCE, scenes::CATALOG_NODE),
        ("payments", "taurusdb", scenes::PAYMENTS_INSTANCE, scenes::PAYMENTS_NODE),
    ] {
        let component = if vendor == "gaussdb" {
            format!("component_id = \"{}\"\n", scenes::BILLING_COMPONENT)
        } else {
            String::new()
        };
        write!(
            more,
            "\n[targets.{alias}]\nvendor = \"{vendor}\"\naccount = \"huawei-test\"\ninstance_id = \"{instance}\"\nnode_id = \"{node}\"\n{component}",
        )
        .expect("a String");
    }
    Gateway::start_with(Engine::Sqlite, Setup { more, clouds: Some(clouds), ..setup }).await
}

/// The address of a place of the console.
pub(super) fn at(gateway: &Gateway, place: &str) -> String {
    format!("http://{}/{place}", gateway.app.address())
}

/// A browser in which `dba` has logged in with those scopes, at a place of the console.
pub(super) async fn logged_in(gateway: &Gateway, scope: &str, place: &str) -> Browser {
    let browser = Browser::start().await;
    browser.open(&at(gateway, &format!("#token={}", Gateway::token("dba", scope)))).await;
    browser.until("return document.querySelector('.top .caller')?.innerText").await;
    browser.js(&format!("location.hash = {}", json!(place))).await;
    browser
}

/// Kills, or previews, sessions as somebody else.
pub(super) async fn kill(gateway: &Gateway, body: Value) -> Value {
    let answer = gateway.kill(&body).await;
    assert!(answer.status.is_success(), "{}", answer.body);
    answer.body
}

/// Picks a session of the list and previews its end, up to the number that is to be typed.
pub(super) async fn preview(browser: &Browser, session: &str, reason: &str) {
    browser.click(&format!("[data-id='{session}'] input")).await;
    browser.click(".foot .preview").await;
    browser.write("dialog textarea[name=reason]", reason).await;
    browser.click("dialog button[type=submit]").await;
    browser.until("return document.querySelector('.confirm')").await;
}
