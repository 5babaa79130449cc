//! Taking out what is shown.

use super::kit::{ALL, gateway, kill, logged_in};
use crate::support::{gateway::kill_of, patience::eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_has_what_the_filters_show_and_is_saved_as_a_file() {
    let gateway = gateway().await;
    kill(&gateway, kill_of("orders-ro", &[2_075_425])).await;
    kill(&gateway, kill_of("ledger", &[10_180])).await;
    let browser = logged_in(&gateway, ALL, "#/history?target=ledger").await;
    let folder = browser.keep_files().await;
    browser.until("return document.querySelectorAll('.kills tbody tr').length === 1").await;
    for (button, ending) in [(1, "ndjson"), (3, "csv")] {
        browser.js("document.querySelector('.export').open = true").await;
        browser.click(&format!(".menu-body button:nth-of-type({button})")).await;
        let text = eventually("the file", async || {
            let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
            let whole = files.into_iter().find(|path| path.extension().is_some_and(|it| it == ending));
            whole.and_then(|path| std::fs::read_to_string(path).ok()).filter(|text| !text.is_empty())
        })
        .await;
        assert!(text.contains("10180") && !text.contains("2075425"), "{text}");
        browser.sees(".export .said", "Saved as killgate-").await;
    }
}
