//! Into an ordinary company: its certificates, its proxy, and configurations that change while the gateway runs.

mod authority;
mod callers;
mod certificates;
mod checking;
mod egress;
mod http2;
mod reloading;

use actix_web::http::{Method, StatusCode};
use killgate::upstream::transport::{Request, Transport, TransportError};

use crate::support::{gateway::on_one_engine, patience::PATIENCE};

/// The status that the address answers.
async fn get(transport: &Transport, url: &str) -> Result<StatusCode, TransportError> {
    let request = Request {
        method: Method::GET,
        url: url.parse().unwrap(),
        headers: vec![],
        body: vec![],
        timeout: PATIENCE,
        longest: Request::USUAL,
    };
    transport.send(request).await.map(|response| response.status)
}
