//! Alibaba Cloud: accounts with a key pair.

mod answers;
mod sign;

use actix_web::http::Method;
use time::OffsetDateTime;

use super::{Cloud, Fields, Identity, Service};
use crate::{
    clock,
    upstream::{
        Call, Effect, HttpCall, HttpReply, Payload, Site, Stage,
        credentials::Credentials,
        sign::{Keys, Unsigned},
    },
};

pub(in crate::upstream) use answers::answer;

/// See the module.
#[derive(Debug)]
pub struct Alibaba;

impl Cloud for Alibaba {
    fn name(&self) -> &'static str {
        "alibaba"
    }

    fn identity(&self, fields: &mut dyn Fields) -> Option<Identity> {
        let keys = super::keys(fields, ["access_key_id", "access_key_secret", "security_token"]);
        Some(Identity { project_id: None, site: None, credentials: Credentials::Keys(keys?) })
    }

    fn services(&self) -> &'static [Service] {
        &[]
    }

    fn sites(&self) -> Option<fn(&str) -> Site> {
        None
    }

    /// Without it, some services answer with XML.
    fn headers<'a>(&self, _: &'a str, _: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
        vec![("Accept", "application/json")]
    }

    fn sign(&self, call: &Unsigned<'_>, keys: &Keys, _: &str, at: OffsetDateTime) -> Vec<(String, String)> {
        sign::sign(call, keys, clock::id_at(at).simple().to_string(), at)
    }

    fn locks_keys(&self) -> bool {
        false
    }

    fn refuses_credentials(&self, reply: &HttpReply) -> bool {
        matches!(reply.status.as_u16(), 401 | 403)
    }

    fn answer_id(&self, body: &[u8]) -> Option<String> {
        answers::request_id(body)
    }
}

/// One action of an RPC service of that version: POST without a body, its parameters in the query.
pub(in crate::upstream) fn call(
    stage: Stage,
    effect: Effect,
    version: &'static str,
    action: &'static str,
    query: Vec<(&'static str, String)>,
) -> Call {
    let headers = vec![("x-acs-action", action), ("x-acs-version", version)];
    let http = HttpCall { method: Method::POST, path: "/".to_owned(), query, headers, service: "", body: vec![] };
    Call { stage, effect, action, payload: Payload::Http(http) }
}
