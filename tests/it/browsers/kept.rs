//! What is for one caller is kept by nobody, at every path.

use super::get;
use crate::{
    api::kit::document,
    support::gateway::{Engine, Gateway, on_one_engine},
};

on_one_engine! { whatever_path_is_asked_with_a_token_its_answer_is_kept_by_nobody }

async fn whatever_path_is_asked_with_a_token_its_answer_is_kept_by_nobody(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let all = "sessions:read sessions:kill kills:read kills:export";
    let token = format!("Bearer {}", Gateway::token("auditor", all));
    for path in document()["paths"].as_object().unwrap().keys() {
        let path = path.replace("{id}", "0199d7f0-0000-7000-8000-000000000000");
        for given in [token.as_str(), "Bearer of-nothing"] {
            let answer = get(&gateway, &path, &[("Authorization", given)]).await;
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{path} {}", answer.status);
        }
        let open = get(&gateway, &path, &[]).await;
        let is_for_all =
            ["/healthz", "/readyz", "/metrics", "/.well-known/oauth-protected-resource"].contains(&path.as_str());
        assert_eq!(open.status.is_success(), is_for_all, "{path} {}", open.status);
    }
}
