//! Huawei Cloud: accounts with a key pair, or with a user who logs in at IAM.

mod answers;
mod iam;
mod sign;

use time::OffsetDateTime;

use super::{Cloud, Fields, Identity, Service};
use crate::upstream::{
    Site,
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
        Some(Identity { project_id, site: None, credentials: credentials(fields)? })
    }

    fn services(&self) -> &'static [Service] {
        &[Service { name: iam::SERVICE, needed_with: IAM }]
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

    /// There is one in a header only, where anything on the way may have put it.
    fn answer_id(&self, _: &[u8]) -> Option<String> {
        None
    }
}

const IAM: &str = "iam";
const KEYS: [&str; 3] = ["access_key", "secret_key", "security_token"];

/// With a user the region's own project is meant where none is given.
fn project_id(fields: &mut dyn Fields) -> Option<String> {
    if !fields.has(IAM) {
        fields.require(&["project_id"]);
    }
    let fits = |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_alphanumeric());
    fields.checked("project_id", "must be 32 letters or digits", fits)
}

fn credentials(fields: &mut dyn Fields) -> Option<Credentials> {
    fields.know(&[KEYS[0], KEYS[1], KEYS[2], IAM]);
    let has_keys = KEYS.iter().any(|key| fields.has(key));
    if fields.has(IAM) == has_keys {
        fields.problem_here("exactly one of iam, access_key with secret_key is required");
    }
    let mut user = None;
    fields.table(IAM, &mut |fields| user = User::read(fields));
    if has_keys { super::keys(fields, KEYS) } else { user.map(Credentials::login) }
}
