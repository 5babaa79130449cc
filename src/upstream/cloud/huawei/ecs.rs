//! Keys of the agency that a machine (ECS) has, from its metadata service.
//!
//! Addresses, headers and names are those of the vendor's Python SDK (core, 3.1.219) and of the pages on ECS metadata. Newer
//! services want a token of their own first ("v2"); where there is none, they are asked without. Such keys live for an hour
//! and there are new ones 10 minutes before their end, as the pages of Open Telekom Cloud say; Huawei's own pages were not
//! seen to say how long.

use std::time::Duration;

use actix_web::http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use time::OffsetDateTime;
use url::Url;

use crate::upstream::{
    Fault, FaultKind,
    cloud::{Fields, refused_by, temporary, unreadable_of},
    credentials::{Asking, Grant, Granted, Next, Place, Source},
    json,
    transport::{Request, Response},
};

/// Where the metadata service is, unless the account says otherwise.
const ENDPOINT: &str = "http://169.254.169.254";
const TOKEN_PATH: &str = "/meta-data/latest/api/token";
const KEYS_PATH: &str = "/openstack/latest/securitykey";
const TOKEN_HEADER: &str = "X-Metadata-Token";
const LIFE_HEADER: &str = "X-Metadata-Token-Ttl-Seconds";
/// How long its own token is asked for, in seconds; as the vendor's SDK does.
const TOKEN_LIFE: &str = "21600";
/// In the answer of a machine that has no agency.
const NO_AGENCY: &[u8] = b"configure Cloud Service Agency";
const WHOM: &str = "the metadata service";

/// The agency of the machine that the gateway runs on.
#[derive(Debug)]
pub(super) struct EcsAgency {
    endpoint: Url,
    /// Of whose project the machine is.
    project_id: String,
}

impl EcsAgency {
    /// The word in configuration.
    pub(super) const FROM: &str = "ecs-agency";

    pub(super) fn read(fields: &mut dyn Fields, project_id: Option<String>) -> Option<Self> {
        let endpoint = if fields.has("endpoint") { fields.metadata("endpoint") } else { ENDPOINT.parse().ok() };
        Some(Self { endpoint: endpoint?, project_id: project_id? })
    }

    fn keys(asking: &Asking<'_>, token: Option<&str>) -> Request {
        let headers = token.map(|token| (TOKEN_HEADER.to_owned(), token.to_owned())).into_iter().collect();
        request(Method::GET, asking.url(KEYS_PATH), headers)
    }
}

fn request(method: Method, url: Url, headers: Vec<(String, String)>) -> Request {
    Request { method, url, headers, body: vec![], timeout: Asking::TIMEOUT, longest: Request::USUAL }
}

impl Source for EcsAgency {
    fn describe(&self) -> &'static str {
        "ECS agency"
    }

    /// A machine has one agency, whose name only the cloud knows.
    fn who(&self) -> Vec<&str> {
        vec![Self::FROM, &self.project_id, self.endpoint.as_str()]
    }

    fn secrets(&self) -> Vec<&SecretString> {
        vec![]
    }

    fn place(&self) -> Place<'_> {
        Place::Near(&self.endpoint)
    }

    fn margin(&self) -> Duration {
        Duration::from_mins(40)
    }

    fn ask(&self, asking: &Asking<'_>) -> Request {
        request(Method::PUT, asking.url(TOKEN_PATH), vec![(LIFE_HEADER.to_owned(), TOKEN_LIFE.to_owned())])
    }

    fn next(&self, asked: usize, response: &Response, asking: &Asking<'_>) -> Result<Next, Fault> {
        let status = response.status.as_u16();
        if asked == 1 {
            return match status {
                200 => {
                    let token = str::from_utf8(&response.body).ok().map(str::trim);
                    let fine = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
                    let token = token.filter(fine).ok_or_else(|| unreadable_of(WHOM))?;
                    Ok(Next::Ask(Self::keys(asking, Some(token))))
                }
                404 | 405 | 503 => Ok(Next::Ask(Self::keys(asking, None))),
                _ => Err(refused_by(WHOM, response)),
            };
        }
        if status == 401 && response.body.windows(NO_AGENCY.len()).any(|part| part == NO_AGENCY) {
            let none = Fault::of_source(FaultKind::Denied, "the metadata service says that the machine has no agency");
            return Err(Fault { http_status: Some(status), ..none });
        }
        if !response.status.is_success() {
            return Err(refused_by(WHOM, response));
        }
        grant(&response.body).map(Next::Granted).ok_or_else(|| unreadable_of(WHOM))
    }
}

/// Keys as metadata services and IAM give them.
pub(super) fn grant(body: &[u8]) -> Option<Grant> {
    let Answer { credential } = serde_json::from_value(json::read(body)?).ok()?;
    let Credential { access, secret, securitytoken, expires_at } = credential;
    let keys = temporary(Some(&access), Some(&secret), Some(&securitytoken))?;
    let is_time = (1970..=9998).contains(&expires_at.year());
    is_time.then_some(Grant { proof: Granted::Keys(keys), project_id: None, expires_at })
}

#[derive(Deserialize)]
struct Answer {
    credential: Credential,
}

#[derive(Deserialize)]
struct Credential {
    access: String,
    secret: String,
    securitytoken: String,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}
