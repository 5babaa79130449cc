//! What an account adds to a call: endpoint, project, region, credentials, signature.

use std::time::Duration;

use secrecy::ExposeSecret;
use time::OffsetDateTime;
use url::Url;

use super::{Settings, token::Token};
use crate::{
    domain::VendorName,
    upstream::{
        Call, Cloud, Effect,
        sign::{self, Keys, Unsigned, encode, query},
        transport::Request,
    },
};

/// What a call goes out with.
pub(super) enum Proof<'a> {
    Keys(&'a Keys),
    Token(&'a Token),
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
    let endpoint = settings.endpoints.get(vendor.as_str());
    let endpoint = endpoint.ok_or_else(|| format!("account `{}` has no endpoint for {vendor}", settings.name))?;
    let project = match proof {
        Proof::Keys(_) => settings.project_id.as_deref(),
        Proof::Token(token) => Some(token.project_id.as_str()),
    };
    if project.is_none() && call.path.contains(PROJECT) {
        return Err(format!("account `{}` has no project_id", settings.name));
    }
    let url = url(endpoint, call, project.unwrap_or_default());
    let mut headers = headers(settings, call, project);
    let unsigned = Unsigned { method: &call.method, url: &url, headers: &headers, body: &call.body };
    let added = match (settings.cloud, proof) {
        (Cloud::Huawei, Proof::Keys(keys)) => sign::huawei::sign(&unsigned, keys, at),
        (Cloud::Huawei, Proof::Token(token)) => {
            vec![("X-Auth-Token".to_owned(), token.value.expose_secret().to_owned())]
        }
        // The scope names the service, which a proxy's or a simulated cloud's host name does not tell.
        (Cloud::Tencent, Proof::Keys(keys)) => sign::tencent::sign(&unsigned, keys, vendor.as_str(), at),
        (Cloud::Tencent, Proof::Token(_)) => return Err("this cloud takes no IAM token".to_owned()),
    };
    headers.extend(added);
    let longest = match call.effect {
        Effect::Kill => Request::USUAL,
        Effect::Read => LONGEST_READ,
    };
    Ok(Request { method: call.method.clone(), url, headers, body: call.body.clone(), timeout, longest })
}

/// Longest answer to a call that only reads, in bytes: one statement in a list may have 64 MiB (TaurusDB, the vendor's
/// OpenAPI definition, 2026).
const LONGEST_READ: usize = 96 * 1024 * 1024;

/// Stands in a call's path for the account's project.
const PROJECT: &str = "{project_id}";

fn url(endpoint: &Url, call: &Call, project: &str) -> Url {
    let mut url = endpoint.clone();
    let path = call.path.replace(PROJECT, &encode(project));
    url.set_path(&format!("{}{path}", endpoint.path().trim_end_matches('/')));
    let query = query(call.query.iter().map(|(name, value)| (*name, value.as_str())).collect());
    url.set_query((!query.is_empty()).then_some(&query));
    url
}

/// The headers beside those of the signature. A call's own take the place of the account's.
///
/// Both clouds' SDKs name JSON as the content type of calls without a body too. `X-Project-Id` is asked for with
/// sub-projects only, and sent always, as by Huawei's SDK.
fn headers(settings: &Settings, call: &Call, project: Option<&str>) -> Vec<(String, String)> {
    let own: [(&str, Option<&str>); 3] = match settings.cloud {
        Cloud::Huawei => {
            [("Content-Type", Some("application/json")), ("X-Project-Id", project), ("X-Language", Some("en-us"))]
        }
        Cloud::Tencent => [
            ("Content-Type", Some("application/json")),
            ("X-TC-Region", Some(settings.region.as_str()).filter(|region| !region.is_empty())),
            ("X-TC-Language", Some("en-US")),
        ],
    };
    let overridden = |name: &str| call.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    let own = own.into_iter().filter_map(|(name, value)| Some((name, value?))).filter(|(name, _)| !overridden(name));
    own.chain(call.headers.iter().copied()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
