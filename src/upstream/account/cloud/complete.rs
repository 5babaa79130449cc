//! What an account adds to a call: endpoint, project, region, credentials, signature.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use url::Url;

use super::Settings;
use crate::{
    domain::VendorName,
    upstream::{
        Call, Effect, HttpCall,
        sign::{Keys, Unsigned, encode, query},
        transport::Request,
    },
};

/// What a call goes out with.
pub(super) enum Proof<'a> {
    Keys(&'a Keys),
    /// Goes in the header of that name; it may be bound to a project.
    Token {
        header: &'static str,
        value: &'a SecretString,
        project: Option<&'a str>,
    },
}

/// The request that a call becomes; the error says what the configuration lacks.
pub(super) fn complete(
    settings: &Settings,
    vendor: VendorName,
    call: &Call,
    proof: &Proof<'_>,
    at: OffsetDateTime,
    timeout: Duration,
) -> Result<Request, String> {
    let not_http = || format!("account `{}` takes HTTP calls and nothing else", settings.name);
    let http = call.http().ok_or_else(not_http)?;
    let endpoint = settings.endpoints.get(vendor.as_str());
    let endpoint = endpoint.ok_or_else(|| format!("account `{}` has no endpoint for {vendor}", settings.name))?;
    let project = match proof {
        Proof::Token { project: Some(project), .. } => Some(*project),
        Proof::Keys(_) | Proof::Token { .. } => settings.project_id.as_deref(),
    };
    if project.is_none() && http.path.contains(PROJECT) {
        return Err(format!("account `{}` has no project_id", settings.name));
    }
    let url = url(endpoint, http, project.unwrap_or_default());
    let mut headers = headers(settings, http, project);
    let unsigned = Unsigned { method: &http.method, url: &url, headers: &headers, body: &http.body };
    let added = match proof {
        Proof::Keys(keys) => settings.cloud.sign(&unsigned, keys, http.service, at),
        Proof::Token { header, value, .. } => vec![((*header).to_owned(), value.expose_secret().to_owned())],
    };
    headers.extend(added);
    let longest = match call.effect {
        Effect::Kill => Request::USUAL,
        Effect::Read => LONGEST_READ,
    };
    Ok(Request { method: http.method.clone(), url, headers, body: http.body.clone(), timeout, longest })
}

/// Longest answer to a call that only reads, in bytes: one statement in a list may have 64 MiB (TaurusDB, the vendor's
/// OpenAPI definition, 2026).
const LONGEST_READ: usize = 96 * 1024 * 1024;

/// Stands in a call's path for the account's project.
const PROJECT: &str = "{project_id}";

fn url(endpoint: &Url, call: &HttpCall, project: &str) -> Url {
    let mut url = endpoint.clone();
    let path = call.path.replace(PROJECT, &encode(project));
    url.set_path(&format!("{}{path}", endpoint.path().trim_end_matches('/')));
    let query = query(call.query.iter().map(|(name, value)| (*name, value.as_str())).collect());
    url.set_query((!query.is_empty()).then_some(&query));
    url
}

/// The headers beside those of the signature. A call's own take the place of the account's.
fn headers(settings: &Settings, call: &HttpCall, project: Option<&str>) -> Vec<(String, String)> {
    let overridden = |name: &str| call.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    let own = settings.cloud.headers(&settings.region, project).into_iter().filter(|(name, _)| !overridden(name));
    own.chain(call.headers.iter().copied()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
