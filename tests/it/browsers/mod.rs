//! What browsers and proxies need: pages of other origins, answers that are compressed, paths below a prefix.

mod below;
mod compressing;
mod cors;
mod kept;

use actix_web::http::Method;

use crate::support::gateway::{Answer, Gateway};

async fn get(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Answer {
    gateway.client().send(Method::GET, path, headers, String::new()).await
}
