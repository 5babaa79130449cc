//! Ten thousand sessions in one list.

use killgate::sandbox::{Place, Session, demo as world};

use super::{
    browser::END,
    kit::{ALL, gateway, logged_in},
};

const CROWD: u64 = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_ten_thousand_has_few_rows_in_the_page_and_reaches_the_last_one() {
    let gateway = gateway().await;
    let place = Place::taurusdb(world::TAURUSDB_INSTANCE, world::TAURUSDB_NODE);
    for id in 1_000_000..1_000_000 + CROWD {
        let statement =
            format!("select * from orders join customers using (customer_id) where orders.id = {id} for update");
        gateway.clouds.put(&place, &Session::new(id, "crowd").running(&statement, 100 + id % 1000));
    }
    let browser = logged_in(&gateway, ALL, "#/fleet").await;
    browser.sees("h1", "Fleet").await;
    browser
        .js("window.begun = performance.now();
             new MutationObserver(() => { if (document.querySelector('.grid-body .grid-row')) window.first ??= performance.now() - window.begun; })
               .observe(document.body, { childList: true, subtree: true });
             location.hash = '#/live?target=orders-ro&view=list'")
        .await;
    browser.sees(".count", "10,016 sessions").await;
    let first = browser.until("return window.first").await;
    let rows = browser.count(".grid-body .grid-row").await;
    assert!((10..=60).contains(&rows), "{rows} rows");
    let (list, memory) = (
        browser.js("return performance.getEntriesByType('resource').findLast((it) => it.name.includes('/sessions?'))?.responseEnd - window.begun").await,
        browser.js("return performance.memory.usedJSHeapSize / 1048576").await,
    );
    eprintln!(
        "{CROWD} sessions: the list after {list} ms, the first row after {first} ms, {memory} MiB of script memory, {rows} rows"
    );
    browser.click(".grid-body .grid-row .cell.user").await;
    browser.click(".details header button").await;
    browser.press(END).await;
    browser.until("return document.activeElement.getAttribute('aria-rowindex') === '10017'").await;
    browser.write("input[name=q]", "1004711").await;
    browser.sees(".count", "1 of 10,016 sessions").await;
    assert_eq!(browser.count(".grid-body .grid-row").await, 1);
}
