//! Huawei Cloud: accounts with a key pair, with a user who logs in at IAM, or with an agency that is assumed or that the
//! machine has.

mod agency;
mod answers;
mod ecs;
mod iam;
mod sign;

use time::OffsetDateTime;

use self::{
    agency::{Agency, Base},
    ecs::EcsAgency,
};
use super::{Cloud, Fields, Identity, Service};
use crate::upstream::{
    HttpReply, Site,
    credentials::Credentials,
    sign::{Keys, Unsigned},
};

pub(in crate::upstream) use answers::{
    Numbered, answer, any_instance, is_taken, page, page_from, picked, read, required, tagged,
};
pub use iam::User;

/// See the module.
#[derive(Debug)]
pub struct Huawei;

impl Cloud for Huawei {
    fn name(&self) -> &'static str {
        "huawei"
    }

    fn identity(&self, fields: &mut dyn Fields) -> Option<Identity> {
        let project_id = project_id(fields);
        let credentials = credentials(fields, project_id.as_ref());
        Some(Identity { project_id, site: None, credentials: credentials? })
    }

    fn services(&self) -> &'static [Service] {
        &[Service { name: iam::SERVICE, needed_with: &[IAM, Agency::FIELD] }]
    }

    fn sites(&self) -> Option<fn(&str) -> Site> {
        None
    }

    /// As the vendor's SDK sends them: JSON as the content type of calls without a body too, and `X-Project-Id`, which is
    /// asked for with sub-projects only, always.
    fn headers<'a>(&self, _: &'a str, project: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
        let always = [("Content-Type", "application/json"), ("X-Language", "en-us")];
        always.into_iter().chain(project.map(|project| ("X-Project-Id", project))).collect()
    }

    fn sign(&self, call: &Unsigned<'_>, keys: &Keys, _: &str, at: OffsetDateTime) -> Vec<(String, String)> {
        sign::sign(call, keys, at)
    }

    fn locks_keys(&self) -> bool {
        true
    }

    fn refuses_credentials(&self, reply: &HttpReply) -> bool {
        matches!(reply.status.as_u16(), 401 | 403)
    }

    /// There is one in a header only, where anything on the way may have put it.
    fn answer_id(&self, _: &[u8]) -> Option<String> {
        None
    }
}

const IAM: &str = "iam";
const KEYS: [&str; 3] = ["access_key", "secret_key", "security_token"];

/// With a user the region's own project is meant where none is given; of an agency only its own account knows it.
fn project_id(fields: &mut dyn Fields) -> Option<String> {
    if !fields.has(IAM) || fields.has(Agency::FIELD) {
        fields.require(&["project_id"]);
    }
    let fits = |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_alphanumeric());
    fields.checked("project_id", "must be 32 letters or digits", fits)
}

fn credentials(fields: &mut dyn Fields, project_id: Option<&String>) -> Option<Credentials> {
    fields.know(&[KEYS[0], KEYS[1], KEYS[2], IAM, super::FROM, Agency::FIELD]);
    let has_keys = KEYS.iter().any(|key| fields.has(key));
    let ways = [has_keys, fields.has(IAM), fields.has(super::FROM)];
    if ways.into_iter().filter(|way| *way).count() != 1 {
        fields.problem_here("exactly one of iam, keys, access_key with secret_key is required");
    }
    if fields.has(super::FROM) && fields.has(Agency::FIELD) {
        fields.problem(Agency::FIELD, "goes with iam or with access_key and secret_key, and not with keys");
    }
    let mut user = None;
    fields.table(IAM, &mut |fields| user = User::read(fields));
    let mut machine = None;
    fields.table(super::FROM, &mut |fields| {
        fields.know(&["endpoint"]);
        if super::from(fields, &[EcsAgency::FROM]).is_some() {
            machine = EcsAgency::read(fields, project_id.cloned());
        }
    });
    let mut agency = None;
    fields.table(Agency::FIELD, &mut |fields| agency = Agency::read(fields));
    let base = match (has_keys.then(|| super::keys(fields, KEYS)).flatten(), user) {
        (Some(keys), _) => Some(Base::Keys(keys)),
        (None, user) => user.map(Base::User),
    };
    match (fields.has(Agency::FIELD), base) {
        (true, base) => Some(Credentials::from_source(agency?(base?))),
        (false, Some(Base::Keys(keys))) => Some(Credentials::Keys(keys)),
        (false, Some(Base::User(user))) => Some(Credentials::from_source(user)),
        (false, None) => machine.map(Credentials::from_source),
    }
}
