//! Progress as it happens: streams of a kill's events, and webhooks that are told of it.

mod chat;
mod deliveries;
mod restoring;
mod stream;
mod streams;
mod surviving;
mod webhooks;

use serde_json::Value;

use crate::support::gateway::Gateway;

/// What the gateway's metrics tell under that name and labels; 0 where they do not tell it.
async fn metric(gateway: &Gateway, name: &str) -> u64 {
    let text = gateway.client().get("/metrics", "").await.body;
    let Value::String(text) = text else { panic!("{text}") };
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}
