//! Keys of an agency, perhaps of another account: IAM gives them to a user or to a key pair that may assume it.
//!
//! `POST /v3.0/OS-CREDENTIAL/securitytokens` with the method `assume_role`, as on the vendor's page "Obtaining Temporary
//! Access Keys and Security Tokens of an Agency" (2024): asked with a user's token, or signed. The user, or the owner of the
//! key pair, needs the permission Agent Operator. Not confirmed: that the user's token should be for its account (domain) and not for a
//! project, as which that permission is granted; and that a signed request needs no `X-Domain-Id`.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;

use super::{User, ecs, iam, sign};
use crate::upstream::{
    Fault, FaultKind,
    cloud::{Fields, unreadable_of},
    credentials::{Asking, Next, Place, Source},
    sign::{Keys, Unsigned},
    transport::{Request, Response},
};

/// Who assumes the agency.
#[derive(Debug)]
pub(super) enum Base {
    User(User),
    Keys(Keys),
}

/// An agency that is assumed.
#[derive(Debug)]
pub(super) struct Agency {
    base: Base,
    name: String,
    /// The account that made the agency.
    domain: String,
    /// 900 to 86400.
    seconds: u64,
}

impl Agency {
    /// The field of an account, and IAM's word for the method.
    pub(super) const FIELD: &str = "assume_role";

    /// What an account says of it, without who assumes it.
    pub(super) fn read(fields: &mut dyn Fields) -> Option<impl FnOnce(Base) -> Self + use<>> {
        fields.require(&["agency_name", "domain_name"]);
        let name = fields.text("agency_name");
        let domain = fields.text("domain_name");
        let seconds = fields.number("duration_seconds", 900..=86_400);
        let (name, domain) = (name?, domain?);
        let seconds = if fields.has("duration_seconds") { seconds? } else { 3600 };
        Some(move |base| Self { base, name, domain, seconds })
    }

    fn request(&self, asking: &Asking<'_>, token: Option<&str>) -> Request {
        let role = json!({
            "agency_name": self.name, "domain_name": self.domain, "duration_seconds": self.seconds,
        });
        let body = json!({ "auth": { "identity": { "methods": [Self::FIELD], Self::FIELD: role } } });
        let token = token.map(|token| (iam::HEADER.to_owned(), token.to_owned()));
        iam::post(asking.url("/v3.0/OS-CREDENTIAL/securitytokens"), &body, token.into_iter().collect())
    }
}

impl Source for Agency {
    fn describe(&self) -> &'static str {
        "agency"
    }

    fn who(&self) -> Vec<&str> {
        vec!["agency", &self.domain, &self.name]
    }

    fn secrets(&self) -> Vec<&SecretString> {
        match &self.base {
            Base::User(user) => user.secrets(),
            Base::Keys(keys) => keys.private(),
        }
    }

    fn place(&self) -> Place<'_> {
        Place::Service(iam::SERVICE)
    }

    fn margin(&self) -> Duration {
        Duration::from_mins(40)
    }

    fn ask(&self, asking: &Asking<'_>) -> Request {
        match &self.base {
            Base::User(user) => user.login(asking, &json!({ "domain": { "name": user.domain } })),
            Base::Keys(keys) => {
                let mut request = self.request(asking, None);
                // What is signed begins with a type that needs no header of its own for the body.
                request.headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
                let Request { method, url, headers, body, .. } = &request;
                let added = sign::sign(&Unsigned { method, url, headers, body }, keys, asking.at);
                request.headers.extend(added);
                request
            }
        }
    }

    fn next(&self, asked: usize, response: &Response, asking: &Asking<'_>) -> Result<Next, Fault> {
        iam::accepted(response)?;
        if asked == 1 && matches!(self.base, Base::User(_)) {
            let none =
                || Fault::of_source(FaultKind::Refused, "the answer to the login holds no token that can be read");
            return iam::token(response).map(|token| Next::Ask(self.request(asking, Some(token)))).ok_or_else(none);
        }
        ecs::grant(&response.body).map(Next::Granted).ok_or_else(|| unreadable_of("IAM"))
    }
}
