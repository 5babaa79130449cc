//! Sessions of several shards: each is shown, picked and told of with its shard.

use killgate::sandbox::{Clouds, Place, Session, demo as world};

use super::kit::{ALL, gateway_with, logged_in, preview};
use crate::support::gateway::Setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_sessions_of_one_number_the_one_that_was_picked_is_ended() {
    let clouds = Clouds::demo();
    let places = [(world::DCDB_SHARD, world::DCDB_NODE), (world::DCDB_SECOND_SHARD, world::DCDB_SECOND_NODE)]
        .map(|(shard, node)| Place::dcdb(world::DCDB_INSTANCE, shard, node));
    for place in &places {
        clouds.put(place, &Session::new(4711, "twin").running("select 1 from orders", 60));
    }
    let more = format!("[targets.all]\nvendor = 'dcdb'\ninstance_id = '{}'\nshards = 'all'\n", world::DCDB_INSTANCE);
    let gateway = gateway_with(Setup { more, clouds: Some(clouds), ..Setup::default() }).await;
    let browser = logged_in(&gateway, ALL, "#/live?target=all&view=list").await;
    browser.sees(".count", "24 sessions").await;
    let id = format!("{}/4711", world::DCDB_SECOND_SHARD);
    preview(&browser, &id, "INC-4711 a twin").await;
    browser.write(".confirm input[name=number]", "1").await;
    browser.click(".confirm .danger").await;
    browser.sees(&format!(".follow [data-session='{id}']"), "killed").await;
    browser.sees(&format!(".follow [data-session='{id}']"), &id).await;
    assert_eq!(places.map(|place| gateway.clouds.alive(&place).contains(&4711)), [true, false]);
    browser.click(".follow button.primary").await;
    browser.click("[data-page=history]").await;
    browser.click(".kills tbody a").await;
    browser.sees(".kill-page", &id).await;
    assert_eq!(browser.complaints().await, [""; 0]);
}
