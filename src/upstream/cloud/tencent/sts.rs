//! Keys of a role that is assumed: the security token service (STS) gives them to a key pair, or to a token of a cluster (TKE).
//!
//! `AssumeRole` and `AssumeRoleWithWebIdentity`, version 2018-08-13, as on the vendor's pages (2026): the latter is not signed and
//! says `SKIP` for a signature. The names of the environment's variables are those of the vendor's Python SDK. Not confirmed: the
//! shortest life that may be asked for, so any from 1 s on is passed on; and which code a token that has ended is refused with.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use actix_web::http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    answers::{self, classify},
    sign,
};
use crate::upstream::{
    Fault, FaultKind,
    cloud::{Fields, refused_by, temporary, unreadable_of},
    credentials::{Asking, Grant, Granted, Next, Place, Source},
    json,
    sign::{Keys, Unsigned},
    transport::{Request, Response},
};

/// The endpoint's name in configuration, and what signatures call the service.
pub(super) const SERVICE: &str = "sts";
/// As long before their end the vendor's SDK renews keys of a machine's role.
pub(super) const MARGIN: Duration = Duration::from_mins(5);
const VERSION: &str = "2018-08-13";
const WHOM: &str = "STS";

/// What is asked for.
#[derive(Debug)]
struct Role {
    arn: String,
    session_name: String,
    /// 1 to 43200.
    seconds: u64,
}

impl Role {
    /// The fields that it is read from.
    const FIELDS: [&str; 3] = ["role_arn", "role_session_name", "duration_seconds"];

    fn read(fields: &mut dyn Fields, arn: Option<String>, session_name: Option<String>) -> Option<Self> {
        let seconds = fields.number("duration_seconds", 1..=43_200);
        let seconds = if fields.has("duration_seconds") { seconds } else { Some(7200) };
        Some(Self { arn: arn?, session_name: session_name?, seconds: seconds? })
    }

    fn parameters(&self) -> Value {
        json!({ "RoleArn": self.arn, "RoleSessionName": self.session_name, "DurationSeconds": self.seconds })
    }
}

fn session_name(fields: &mut dyn Fields) -> Option<String> {
    let fits = |text: &str| {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"=,.@_-".contains(&b);
        (2..=128).contains(&text.len()) && text.bytes().all(fine)
    };
    fields.checked("role_session_name", "must be 2 to 128 letters, digits or = , . @ _ -", fits)
}

/// One action with these parameters, as it is but for a signature.
fn request(asking: &Asking<'_>, action: &str, parameters: &Value) -> Request {
    let headers = [
        ("Content-Type", "application/json"),
        ("X-TC-Action", action),
        ("X-TC-Version", VERSION),
        ("X-TC-Region", &asking.realm.region),
        ("X-TC-Language", "en-US"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let body = parameters.to_string().into_bytes();
    let url = asking.url("/");
    Request { method: Method::POST, url, headers, body, timeout: Asking::TIMEOUT, longest: Request::USUAL }
}

/// What STS answered.
fn read(response: &Response) -> Result<Next, Fault> {
    if !response.status.is_success() {
        return Err(refused_by(WHOM, response));
    }
    let body = json::read(&response.body).ok_or_else(|| unreadable_of(WHOM))?;
    let answer = &body["Response"];
    if let Some(code) = json::text(&answer["Error"]["Code"]) {
        let kind = match classify(&code) {
            _ if code == "InvalidParameter.OverLimit" => FaultKind::Throttled,
            FaultKind::Throttled => FaultKind::Throttled,
            FaultKind::ServerError => FaultKind::Credentials,
            FaultKind::Denied | FaultKind::TokenExpired | FaultKind::TargetNotFound => FaultKind::Denied,
            _ => FaultKind::Refused,
        };
        let fault = Fault::of_source(kind, "STS gives no keys for the role").coded(Some(code));
        return Err(Fault { request_id: answers::request_id(&response.body), ..fault });
    }
    grant(answer).map(Next::Granted).ok_or_else(|| unreadable_of(WHOM))
}

fn grant(answer: &Value) -> Option<Grant> {
    let credentials = &answer["Credentials"];
    let of = |name: &str| credentials[name].as_str();
    let keys = temporary(of("TmpSecretId"), of("TmpSecretKey"), of("Token"))?;
    let expires_at = OffsetDateTime::from_unix_timestamp(answer["ExpiredTime"].as_i64()?).ok()?;
    Some(Grant { proof: Granted::Keys(keys), project_id: None, expires_at })
}

/// A role that a key pair assumes.
#[derive(Debug)]
pub(super) struct AssumedRole {
    keys: Keys,
    role: Role,
    external_id: Option<String>,
}

impl AssumedRole {
    /// The field of an account.
    pub(super) const FIELD: &str = "assume_role";

    /// What an account says of it, without the keys.
    pub(super) fn read(fields: &mut dyn Fields) -> Option<impl FnOnce(Keys) -> Self + use<>> {
        fields.know(&Role::FIELDS);
        fields.require(&["role_arn", "role_session_name"]);
        let (arn, name) = (fields.text("role_arn"), session_name(fields));
        let external_id = fields.text("external_id");
        let is_whole = external_id.is_some() == fields.has("external_id");
        let role = Role::read(fields, arn, name)?;
        is_whole.then_some(move |keys| Self { keys, role, external_id })
    }
}

impl Source for AssumedRole {
    fn describe(&self) -> &'static str {
        "assumed role"
    }

    fn who(&self) -> Vec<&str> {
        vec!["role", &self.role.arn]
    }

    fn secrets(&self) -> Vec<&SecretString> {
        self.keys.private()
    }

    fn place(&self) -> Place<'_> {
        Place::Service(SERVICE)
    }

    fn margin(&self) -> Duration {
        MARGIN
    }

    fn ask(&self, asking: &Asking<'_>) -> Request {
        let mut parameters = self.role.parameters();
        if let Some(id) = &self.external_id {
            parameters["ExternalId"] = json!(id);
        }
        let mut request = request(asking, "AssumeRole", &parameters);
        let Request { method, url, headers, body, .. } = &request;
        let added = sign::sign(&Unsigned { method, url, headers, body }, &self.keys, SERVICE, asking.at);
        request.headers.extend(added);
        request
    }

    fn next(&self, _: usize, response: &Response, _: &Asking<'_>) -> Result<Next, Fault> {
        read(response)
    }
}

/// A role that a pod of a cluster has, by the token that the cluster writes into a file for it.
#[derive(Debug)]
pub(super) struct ClusterRole {
    role: Role,
    provider_id: String,
    file: PathBuf,
}

impl ClusterRole {
    /// The word in configuration.
    pub(super) const FROM: &str = "tke-oidc";
    /// The fields that it may have.
    pub(super) const FIELDS: [&str; 5] =
        ["role_arn", "role_session_name", "duration_seconds", "provider_id", "web_identity_token_file"];

    pub(super) fn read(fields: &mut dyn Fields) -> Option<Self> {
        let arn = told(fields, "role_arn", "TKE_ROLE_ARN");
        let provider_id = told(fields, "provider_id", "TKE_PROVIDER_ID");
        let file = told(fields, "web_identity_token_file", "TKE_WEB_IDENTITY_TOKEN_FILE");
        let name = session_name(fields);
        let name = if fields.has("role_session_name") { name } else { Some("killgate".to_owned()) };
        let role = Role::read(fields, arn, name);
        Some(Self { role: role?, provider_id: provider_id?, file: file?.into() })
    }
}

/// A text that stands in the field, or in the variable that the cluster sets.
fn told(fields: &mut dyn Fields, name: &'static str, variable: &str) -> Option<String> {
    if fields.has(name) {
        return fields.text(name);
    }
    let told = fields.variable(variable);
    if told.is_none() {
        fields.problem(name, &format!("required, here or as {variable} in the environment"));
    }
    told
}

impl Source for ClusterRole {
    fn describe(&self) -> &'static str {
        "role of a TKE pod"
    }

    fn who(&self) -> Vec<&str> {
        vec!["role", &self.role.arn]
    }

    fn secrets(&self) -> Vec<&SecretString> {
        vec![]
    }

    fn place(&self) -> Place<'_> {
        Place::Service(SERVICE)
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.file)
    }

    fn margin(&self) -> Duration {
        MARGIN
    }

    fn ask(&self, asking: &Asking<'_>) -> Request {
        let mut parameters = self.role.parameters();
        parameters["ProviderId"] = json!(self.provider_id);
        parameters["WebIdentityToken"] = json!(asking.file.map(ExposeSecret::expose_secret));
        let mut request = request(asking, "AssumeRoleWithWebIdentity", &parameters);
        let timestamp = asking.at.unix_timestamp().to_string();
        let added = [("X-TC-Timestamp", timestamp.as_str()), ("Authorization", "SKIP")];
        request.headers.extend(added.map(|(name, value)| (name.to_owned(), value.to_owned())));
        request
    }

    fn next(&self, _: usize, response: &Response, _: &Asking<'_>) -> Result<Next, Fault> {
        read(response)
    }
}
