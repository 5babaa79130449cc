//! Keys of the role that a machine (CVM) has, from its metadata service.
//!
//! Address, path and names are those of the vendor's Python SDK (`CVMRoleCredential`) and of its page on roles of instances; a machine has
//! one role at a time. Not confirmed: what is answered for a role that the machine does not have; any refusal is taken for that.

use std::time::Duration;

use actix_web::http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use time::OffsetDateTime;
use url::Url;

use super::sts;
use crate::upstream::{
    Fault, FaultKind,
    cloud::{Fields, refused_by, temporary, unreadable_of},
    credentials::{Asking, Grant, Granted, Next, Place, Source},
    json,
    sign::encode,
    transport::{Request, Response},
};

/// Where the metadata service is, unless the account says otherwise.
const ENDPOINT: &str = "http://metadata.tencentyun.com";
const PATH: &str = "/latest/meta-data/cam/security-credentials/";
const WHOM: &str = "the metadata service";

/// The role of the machine that the gateway runs on.
#[derive(Debug)]
pub(super) struct CvmRole {
    endpoint: Url,
    /// Where none is said, the one that the metadata service names.
    role: Option<String>,
}

impl CvmRole {
    /// The word in configuration.
    pub(super) const FROM: &str = "cvm-role";

    pub(super) fn read(fields: &mut dyn Fields) -> Option<Self> {
        let endpoint = if fields.has("endpoint") { fields.metadata("endpoint") } else { ENDPOINT.parse().ok() };
        let has_role = fields.has("role");
        let role = fields.checked("role", "must be 1 to 128 letters, digits or = , . @ _ + -", is_role);
        let is_whole = role.is_some() == has_role;
        Some(Self { endpoint: endpoint?, role }).filter(|_| is_whole)
    }

    fn request(asking: &Asking<'_>, role: Option<&str>) -> Request {
        let url = asking.url(&format!("{PATH}{}", role.map(encode).unwrap_or_default()));
        Request {
            method: Method::GET,
            url,
            headers: vec![],
            body: vec![],
            timeout: Asking::TIMEOUT,
            longest: Request::USUAL,
        }
    }
}

fn is_role(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"=,.@_+-".contains(&b);
    (1..=128).contains(&text.len()) && text.bytes().all(fine)
}

impl Source for CvmRole {
    fn describe(&self) -> &'static str {
        "CVM role"
    }

    fn who(&self) -> Vec<&str> {
        vec![Self::FROM, self.role.as_deref().unwrap_or_default(), self.endpoint.as_str()]
    }

    fn secrets(&self) -> Vec<&SecretString> {
        vec![]
    }

    fn place(&self) -> Place<'_> {
        Place::Near(&self.endpoint)
    }

    fn margin(&self) -> Duration {
        sts::MARGIN
    }

    fn ask(&self, asking: &Asking<'_>) -> Request {
        Self::request(asking, self.role.as_deref())
    }

    fn next(&self, asked: usize, response: &Response, asking: &Asking<'_>) -> Result<Next, Fault> {
        if !response.status.is_success() {
            return Err(refused_by(WHOM, response));
        }
        if asked == 1 && self.role.is_none() {
            let role = str::from_utf8(&response.body).ok().and_then(|text| text.lines().next()).map(str::trim);
            let role = role.filter(|role| is_role(role));
            let none = || Fault::of_source(FaultKind::Denied, "the metadata service says that the machine has no role");
            return role.map(|role| Next::Ask(Self::request(asking, Some(role)))).ok_or_else(none);
        }
        let answer: Option<Answer> = json::read(&response.body).and_then(|body| serde_json::from_value(body).ok());
        let answer = answer.ok_or_else(|| unreadable_of(WHOM))?;
        if answer.code.as_deref() != Some("Success") {
            let why = "the metadata service gives no keys for the role";
            return Err(Fault::of_source(FaultKind::Denied, why).coded(answer.code));
        }
        answer.grant().map(Next::Granted).ok_or_else(|| unreadable_of(WHOM))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    code: Option<String>,
    tmp_secret_id: Option<String>,
    tmp_secret_key: Option<String>,
    token: Option<String>,
    /// Seconds since 1970.
    expired_time: Option<i64>,
}

impl Answer {
    fn grant(&self) -> Option<Grant> {
        let keys = temporary(self.tmp_secret_id.as_deref(), self.tmp_secret_key.as_deref(), self.token.as_deref())?;
        let expires_at = OffsetDateTime::from_unix_timestamp(self.expired_time?).ok()?;
        Some(Grant { proof: Granted::Keys(keys), project_id: None, expires_at })
    }
}
