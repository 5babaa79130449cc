//! Logging in at IAM: a user's password for a token that is bound to one project.

use std::{fmt, time::Duration};

use actix_web::http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Fields;
use crate::upstream::{
    Fault, FaultKind,
    credentials::{Asking, Grant, Granted, Next, Place, Realm, Source},
    json,
    transport::{Request, Response},
};

/// The endpoint's name in configuration.
pub(super) const SERVICE: &str = "iam";
/// Where a token goes.
pub(super) const HEADER: &str = "X-Auth-Token";

/// A user of an account, who logs in with a password.
pub struct User {
    /// The account that owns the user.
    pub domain: String,
    pub username: String,
    pub password: SecretString,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").finish_non_exhaustive()
    }
}

impl User {
    pub(super) fn read(fields: &mut dyn Fields) -> Option<Self> {
        fields.require(&["domain", "username", "password"]);
        let domain = fields.text("domain");
        let username = fields.text("username");
        let password = fields.secret("password");
        Some(Self { domain: domain?, username: username?, password: password? })
    }
}

impl User {
    /// A login for a token that is good in that scope.
    pub(super) fn login(&self, asking: &Asking<'_>, scope: &Value) -> Request {
        let mut url = asking.url("/v3/auth/tokens");
        url.set_query(Some("nocatalog=true"));
        let password = self.password.expose_secret();
        let user = json!({ "name": self.username, "password": password, "domain": { "name": self.domain } });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        let body = json!({ "auth": { "identity": identity, "scope": scope } });
        post(url, &body, vec![])
    }
}

/// A request to IAM, as its pages want it.
pub(super) fn post(url: url::Url, body: &Value, more: Vec<(String, String)>) -> Request {
    let kind = ("Content-Type".to_owned(), "application/json;charset=utf8".to_owned());
    let headers = std::iter::once(kind).chain(more).collect();
    let body = body.to_string().into_bytes();
    Request { method: Method::POST, url, headers, body, timeout: Asking::TIMEOUT, longest: Request::USUAL }
}

impl Source for User {
    fn describe(&self) -> &'static str {
        "user"
    }

    fn who(&self) -> Vec<&str> {
        vec!["user", &self.domain, &self.username]
    }

    fn secrets(&self) -> Vec<&SecretString> {
        vec![&self.password]
    }

    fn place(&self) -> Place<'_> {
        Place::Service(SERVICE)
    }

    fn margin(&self) -> Duration {
        Duration::from_mins(30)
    }

    fn ask(&self, asking: &Asking<'_>) -> Request {
        // A region's own project has the region's name.
        let project = match &asking.realm.project_id {
            Some(id) => json!({ "id": id }),
            None => json!({ "name": asking.realm.region }),
        };
        self.login(asking, &json!({ "project": project }))
    }

    fn next(&self, _: usize, response: &Response, asking: &Asking<'_>) -> Result<Next, Fault> {
        accepted(response)?;
        grant(response, asking.realm).map(Next::Granted)
    }
}

/// Whether a login was, or a request for keys.
pub(super) fn accepted(response: &Response) -> Result<(), Fault> {
    match response.status.as_u16() {
        200..=299 => Ok(()),
        400 | 401 | 403 => Err(refusal(FaultKind::Denied, response)),
        429 => Err(refusal(FaultKind::Throttled, response)),
        300..=499 => Err(refusal(FaultKind::Refused, response)),
        _ => Err(refusal(FaultKind::Credentials, response)),
    }
}

/// The token that a login has brought.
pub(super) fn token(response: &Response) -> Option<&str> {
    response.header("x-subject-token").filter(|value| !value.is_empty())
}

/// The token and what is known of it. One for another project is of no use: it would kill elsewhere.
fn grant(response: &Response, realm: &Realm) -> Result<Grant, Fault> {
    let refused = |why| Fault::of_source(FaultKind::Refused, why);
    let unreadable = || refused("the answer to the login holds no token that can be read");
    let value = token(response).ok_or_else(unreadable)?;
    let body = json::read(&response.body).ok_or_else(unreadable)?;
    let Answer { token } = serde_json::from_value(body).map_err(|_| unreadable())?;
    if !(1970..=9998).contains(&token.expires_at.year()) {
        return Err(unreadable());
    }
    match &realm.project_id {
        Some(wanted) if *wanted != token.project.id => {
            Err(refused("the token of the login is for another project than the configured one"))
        }
        _ => {
            let proof = Granted::Token { header: HEADER, value: value.into() };
            Ok(Grant { proof, project_id: Some(token.project.id), expires_at: token.expires_at })
        }
    }
}

fn refusal(kind: FaultKind, response: &Response) -> Fault {
    let body = json::read(&response.body).unwrap_or_default();
    let code = body["error_code"].as_str().map(str::to_owned);
    let status = response.status.as_u16();
    Fault {
        http_status: Some(status),
        request_id: response.header("x-iam-trace-id").map(str::to_owned),
        code,
        ..Fault::of_source(kind, &format!("IAM answered HTTP {status}"))
    }
}

#[derive(Deserialize)]
struct Answer {
    token: Body,
}

#[derive(Deserialize)]
struct Body {
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    project: Project,
}

#[derive(Deserialize)]
struct Project {
    id: String,
}
