//! Logging in at IAM: a user's password for a token that is bound to one project.

use std::fmt;

use actix_web::http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use time::OffsetDateTime;
use url::Url;

use super::Fields;
use crate::upstream::{
    Fault, FaultKind,
    credentials::{Grant, Login, Realm},
    json,
    transport::{Request, Response},
};

/// The endpoint's name in configuration.
pub(super) const SERVICE: &str = "iam";

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

impl Login for User {
    fn who(&self) -> [&str; 2] {
        [&self.domain, &self.username]
    }

    fn password(&self) -> &SecretString {
        &self.password
    }

    fn service(&self) -> &'static str {
        SERVICE
    }

    fn request(&self, endpoint: &Url, realm: &Realm) -> Request {
        let mut url = endpoint.clone();
        url.set_path(&format!("{}/v3/auth/tokens", url.path().trim_end_matches('/')));
        url.set_query(Some("nocatalog=true"));
        // A region's own project has the region's name.
        let project = match &realm.project_id {
            Some(id) => serde_json::json!({ "id": id }),
            None => serde_json::json!({ "name": realm.region }),
        };
        let password = self.password.expose_secret();
        let user =
            serde_json::json!({ "name": self.username, "password": password, "domain": { "name": self.domain } });
        let identity = serde_json::json!({ "methods": ["password"], "password": { "user": user } });
        let body = serde_json::json!({ "auth": { "identity": identity, "scope": { "project": project } } });
        let headers = vec![("Content-Type".to_owned(), "application/json;charset=utf8".to_owned())];
        Request {
            method: Method::POST,
            url,
            headers,
            body: body.to_string().into_bytes(),
            timeout: Grant::TIMEOUT,
            longest: Request::USUAL,
        }
    }

    fn read(&self, response: &Response, realm: &Realm) -> Result<Grant, Fault> {
        match response.status.as_u16() {
            200..=299 => grant(response, realm),
            400 | 401 | 403 => Err(refusal(FaultKind::Denied, response)),
            429 => Err(refusal(FaultKind::Throttled, response)),
            300..=499 => Err(refusal(FaultKind::Refused, response)),
            _ => Err(refusal(FaultKind::NotConnected, response)),
        }
    }

    fn header(&self) -> &'static str {
        "X-Auth-Token"
    }
}

/// The token and what is known of it. One for another project is of no use: it would kill elsewhere.
fn grant(response: &Response, realm: &Realm) -> Result<Grant, Fault> {
    let refused = |why| Fault::of_login(FaultKind::Refused, why);
    let unreadable = || refused("the answer to the login holds no token that can be read");
    let value = response.header("x-subject-token").filter(|value| !value.is_empty()).ok_or_else(unreadable)?;
    let body = json::read(&response.body).ok_or_else(unreadable)?;
    let Answer { token } = serde_json::from_value(body).map_err(|_| unreadable())?;
    if !(1970..=9998).contains(&token.expires_at.year()) {
        return Err(unreadable());
    }
    match &realm.project_id {
        Some(wanted) if *wanted != token.project.id => {
            Err(refused("the token of the login is for another project than the configured one"))
        }
        _ => Ok(Grant { token: SecretString::from(value), project_id: token.project.id, expires_at: token.expires_at }),
    }
}

fn refusal(kind: FaultKind, response: &Response) -> Fault {
    let body = json::read(&response.body).unwrap_or_default();
    let code = body["error_code"].as_str().map(str::to_owned);
    Fault {
        http_status: Some(response.status.as_u16()),
        request_id: response.header("x-iam-trace-id").map(str::to_owned),
        code,
        ..Fault::of_login(kind, &format!("the login was answered with {}", response.status.as_u16()))
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
