//! The fleet: limits, breakers, open kills, evidence.

use std::time::Duration;

use killgate::{audit::Verification, chain::SealKey, clock::Clock};
use secrecy::ExposeSecret as _;

use super::kit::{ALL, gateway_with, kill, logged_in};
use crate::support::gateway::{Gateway, Setup, kill_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fleet_tells_limits_open_kills_and_how_far_the_record_is_sealed() {
    let (key, folder) = (SealKey::generate().unwrap(), tempfile::tempdir().unwrap());
    let file = folder.path().join("checkpoints.ndjson");
    let more = format!(
        "\n[seal]\nkey = \"{}\"\ncheckpoint_file = \"{}\"\nevery_ms = 100\n",
        key.base64().unwrap().expose_secret(),
        file.display()
    );
    let gateway = gateway_with(Setup { more, ..Setup::default() }).await;
    kill(&gateway, kill_of("ledger", &[10_180])).await;
    let lost = gateway.kill(&kill_of("payments", &[520_031])).await;
    assert_eq!(lost.status.as_u16(), 504, "{}", lost.body);
    let browser = logged_in(&gateway, ALL, "#/fleet").await;
    browser.sees(".vendors", "huawei-test").await;
    browser.sees(".targets", "orders-shard-1").await;
    browser
        .until(
            "document.querySelector('.head button').click(); return /Last block\\s+\\d/.test(document.body.innerText)",
        )
        .await;
    browser
        .until("document.querySelector('.head button').click(); return /a file\\s+\\d/.test(document.body.innerText)")
        .await;
    assert!(browser.text("main").await.contains("Signature\ngood"), "{}", browser.text("main").await);
    browser.sees("main", "None is noted").await;
    let audit = gateway.app.kills().audit();
    let at = Clock::system().now();
    let found = |status| Verification { at, status, blocks: 1, verified: 2 };
    audit.note_verification(found(0)).await.unwrap();
    browser.click(".head button").await;
    browser.sees(".verification", "nothing was wrong").await;
    audit.note_verification(Verification { at: at + Duration::from_secs(1), ..found(4 + 64) }).await.unwrap();
    browser.click(".head button").await;
    browser.sees(".verification .bad", "wrong: CHANGED, CHECKPOINT").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_is_for_those_who_read_the_record() {
    let gateway = gateway_with(Setup::default()).await;
    let get = async |scope: &str| gateway.client().get("/evidence", &Gateway::token("a", scope)).await;
    assert_eq!(get("sessions:kill sessions:read").await.status.as_u16(), 403);
    let none = get("kills:read").await;
    assert_eq!(none.status.as_u16(), 200, "{}", none.body);
    assert!(none.body["public_key"].is_null() && none.body["last_block"].is_null(), "{}", none.body);
}
