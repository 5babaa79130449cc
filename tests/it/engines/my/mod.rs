//! MySQL and MariaDB by their own protocol.

mod choosing;
mod ending;
mod listing;
mod reaching;
mod restarting;
mod ways;

use serde_json::Value;

use crate::support::{
    gateway::{Answer, Engine, Gateway, Setup},
    my::MyServer,
};

/// A gateway with that server as the target `orders`, and more lines of the account's.
async fn gateway(server: &MyServer, more: &str) -> Gateway {
    gateway_with(server.configuration("orders", more)).await
}

async fn gateway_with(more: String) -> Gateway {
    Gateway::start_with(Engine::Sqlite, Setup { more, ..Setup::default() }).await
}

/// The session of that id in a list.
fn of_id(answer: &Answer, id: u64) -> &Value {
    let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    let wanted = id.to_string();
    items.iter().find(|item| item["id"] == wanted.as_str()).unwrap_or_else(|| panic!("{id}: {}", answer.body))
}
