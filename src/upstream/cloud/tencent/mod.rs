//! Tencent Cloud: accounts with a key pair, or with a role that is assumed or that machine or pod have; at the mainland or at
//! the international site.

mod answers;
mod cvm;
mod sign;
mod sts;

use actix_web::http::Method;
use serde::Serialize;
use time::OffsetDateTime;

use self::{
    cvm::CvmRole,
    sts::{AssumedRole, ClusterRole},
};
use super::{Cloud, Fields, Identity, Service};
use crate::upstream::{
    Call, Effect, HttpReply, Site, Stage,
    credentials::Credentials,
    sign::{Keys, Unsigned},
};

pub(in crate::upstream) use answers::{answer, rows};

/// See the module.
#[derive(Debug)]
pub struct Tencent;

impl Cloud for Tencent {
    fn name(&self) -> &'static str {
        "tencent"
    }

    fn identity(&self, fields: &mut dyn Fields) -> Option<Identity> {
        let credentials = credentials(fields);
        let site = fields.checked("site", "must be mainland or international", |text| Site::named(text).is_some());
        let site = site.and_then(|site| Site::named(&site));
        Some(Identity { project_id: None, site, credentials: credentials? })
    }

    fn services(&self) -> &'static [Service] {
        &[Service { name: sts::SERVICE, needed_with: &[AssumedRole::FIELD] }]
    }

    fn sites(&self) -> Option<fn(&str) -> Site> {
        Some(|host| if host.contains(".intl.") { Site::International } else { Site::Mainland })
    }

    /// As the vendor's SDK sends them: JSON as the content type of calls without a body too.
    fn headers<'a>(&self, region: &'a str, _: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
        let always = [("Content-Type", "application/json"), ("X-TC-Language", "en-US")];
        let region = Some(("X-TC-Region", region)).filter(|(_, region)| !region.is_empty());
        always.into_iter().chain(region).collect()
    }

    /// The scope names the service, which a proxy's or a simulated cloud's host name does not tell.
    fn sign(&self, call: &Unsigned<'_>, keys: &Keys, service: &str, at: OffsetDateTime) -> Vec<(String, String)> {
        sign::sign(call, keys, service, at)
    }

    fn locks_keys(&self) -> bool {
        false
    }

    /// Refusals are inside a 200.
    fn refuses_credentials(&self, reply: &HttpReply) -> bool {
        answers::refuses_credentials(&reply.body)
    }

    fn answer_id(&self, body: &[u8]) -> Option<String> {
        answers::request_id(body)
    }
}

const KEYS: [&str; 3] = ["secret_id", "secret_key", "token"];

fn credentials(fields: &mut dyn Fields) -> Option<Credentials> {
    fields.know(&[KEYS[0], KEYS[1], KEYS[2], super::FROM, AssumedRole::FIELD]);
    let has_keys = KEYS.iter().any(|key| fields.has(key));
    if has_keys == fields.has(super::FROM) {
        fields.problem_here("exactly one of keys, secret_id with secret_key is required");
    }
    if fields.has(super::FROM) && fields.has(AssumedRole::FIELD) {
        fields.problem(AssumedRole::FIELD, "goes with secret_id and secret_key, and not with keys");
    }
    let mut given = None;
    fields.table(super::FROM, &mut |fields| {
        given = match super::from(fields, &[CvmRole::FROM, ClusterRole::FROM]) {
            Some(CvmRole::FROM) => CvmRole::read(fields).map(Credentials::from_source),
            Some(_) => ClusterRole::read(fields).map(Credentials::from_source),
            None => {
                // Which of them are right cannot be said.
                fields.know(&["endpoint", "role"]);
                fields.know(&ClusterRole::FIELDS);
                None
            }
        }
    });
    let mut role = None;
    fields.table(AssumedRole::FIELD, &mut |fields| role = AssumedRole::read(fields));
    let keys = has_keys.then(|| super::keys(fields, KEYS)).flatten();
    match (fields.has(AssumedRole::FIELD), keys) {
        (true, keys) => Some(Credentials::from_source(role?(keys?))),
        (false, Some(keys)) => Some(Credentials::Keys(keys)),
        (false, None) => given,
    }
}

/// One service of API 3.0.
#[derive(Debug, Clone, Copy)]
pub(in crate::upstream) struct Api {
    /// The first label of its public host, which is also what signatures call it, such as `dcdb`.
    pub(in crate::upstream) name: &'static str,
    pub(in crate::upstream) version: &'static str,
}

impl Api {
    /// One of its actions: POST with JSON, the action named in a header.
    pub(in crate::upstream) fn call(
        self,
        stage: Stage,
        effect: Effect,
        action: &'static str,
        body: &impl Serialize,
    ) -> Call {
        let headers = vec![("x-tc-action", action), ("x-tc-version", self.version)];
        let call = Call::json(stage, effect, action, Method::POST, "/".to_owned(), body);
        call.with_headers(headers).at_service(self.name)
    }
}
