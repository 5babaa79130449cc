//! `POST /v3/auth/tokens`: a user's password for a token. `POST /v3.0/OS-CREDENTIAL/securitytokens`: keys of an agency.

use std::time::Duration;

use serde_json::json;
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::{NAME, machine};
use crate::{
    clock,
    sandbox::{
        answer::{Answer, Refusal},
        demo,
        fields::{Bad, Members},
        log::Incoming,
        state::{State, Token},
    },
};

const MICROS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// What a login says.
struct Login {
    domain: String,
    username: String,
    password: String,
    /// `None` for a token without one.
    scope: Option<Scope>,
}

/// What a token is for.
enum Scope {
    /// By id or by name.
    Project(String),
    /// The whole account, by its name.
    Domain(String),
}

pub(super) fn login(state: &mut State, incoming: &Incoming) -> Result<Answer, Refusal> {
    let login = read(&incoming.body).map_err(|bad| Refusal::new(400, "IAM.0011", bad.into_message()))?;
    let known = &state.huawei;
    let given = (&login.domain, &login.username, &login.password);
    if given != (&known.domain, &known.username, &known.password) {
        return Err(Refusal::denied(401, "IAM.0001", "The username or password is wrong."));
    }
    let project_id = match login.scope {
        Some(Scope::Project(project)) if project == known.project_id || project == known.region => {
            Some(known.project_id.clone())
        }
        Some(Scope::Project(_)) => return Err(Refusal::new(404, "IAM.0004", "Could not find project.")),
        Some(Scope::Domain(domain)) if domain != known.domain => {
            return Err(Refusal::new(404, "IAM.0004", "Could not find domain."));
        }
        Some(Scope::Domain(_)) | None => None,
    };

    let issued = incoming.at;
    let expires = issued + state.times.token_life;
    // Real tokens are opaque and some kilobytes long.
    let secret: Vec<_> = (0..80).map(|_| clock::id_at(issued).simple().to_string()).collect();
    let secret = format!("MII{}", secret.concat());
    let domain = json!({"id": "d78cbac186b744899480f25bd022f468", "name": known.domain});
    let project = project_id.as_ref().map(|id| json!({"id": id, "name": known.region, "domain": domain}));
    let mut token = json!({
        "expires_at": micros(expires),
        "issued_at": micros(issued),
        "methods": ["password"],
        "user": {
            "id": "7116d09f88fa41908676fdd4b039e95b",
            "name": known.username,
            "domain": domain,
            "password_expires_at": "",
        },
        "roles": [{"id": "0", "name": "te_admin"}],
        "catalog": [],
    });
    if let Some(project) = project {
        token["project"] = project;
    }
    state.tokens.insert(secret.clone(), Token { project_id, expires });
    state.logins += 1;
    Ok(Answer::json(201, &json!({"token": token})).header("x-subject-token", secret))
}

fn read(body: &[u8]) -> Result<Login, Bad> {
    let mut body = Members::parse(body)?;
    let mut auth = body.object("auth")?.ok_or(Bad::Missing("auth"))?;
    body.finish()?;
    let mut identity = auth.object("identity")?.ok_or(Bad::Missing("identity"))?;
    let scope = auth.object("scope")?;
    auth.finish()?;

    let methods = identity.texts("methods")?.ok_or(Bad::Missing("methods"))?;
    if methods != ["password"] {
        return Err(Bad::Wrong { name: "methods", expected: "the one method password" });
    }
    let mut password = identity.object("password")?.ok_or(Bad::Missing("password"))?;
    identity.finish()?;
    let mut user = password.object("user")?.ok_or(Bad::Missing("user"))?;
    password.finish()?;
    let mut domain = user.object("domain")?.ok_or(Bad::Missing("domain"))?;
    let login = Login {
        domain: domain.required_text("name")?,
        username: user.required_text("name")?,
        password: user.required_text("password")?,
        scope: scope.map(read_scope).transpose()?.flatten(),
    };
    domain.finish()?;
    user.finish()?;
    Ok(login)
}

fn read_scope(mut scope: Members) -> Result<Option<Scope>, Bad> {
    if let Some(mut domain) = scope.object("domain")? {
        let name = domain.required_text("name")?;
        domain.finish()?;
        scope.finish()?;
        return Ok(Some(Scope::Domain(name)));
    }
    let Some(mut project) = scope.object("project")? else { return Ok(None) };
    let (id, name) = (project.text("id")?, project.text("name")?);
    project.finish()?;
    id.or(name).ok_or(Bad::Missing("project.id")).map(|project| Some(Scope::Project(project)))
}

/// Keys of the agency that a call names.
pub(super) fn keys(state: &mut State, incoming: &Incoming) -> Result<Answer, Refusal> {
    let (agency, domain, seconds) =
        read_agency(&incoming.body).map_err(|bad| Refusal::new(400, "IAM.0011", bad.into_message()))?;
    if (agency.as_str(), domain.as_str()) != (demo::HUAWEI_AGENCY, demo::HUAWEI_AGENCY_DOMAIN) {
        return Err(Refusal::new(404, "IAM.0004", "Could not find agency."));
    }
    let keys = state.issue(NAME, Duration::from_secs(seconds), incoming.at);
    Ok(Answer::json(201, &machine::credential(&keys)))
}

/// The agency, its account, and how long keys of it are to live, in seconds.
fn read_agency(body: &[u8]) -> Result<(String, String, u64), Bad> {
    let mut body = Members::parse(body)?;
    let mut auth = body.object("auth")?.ok_or(Bad::Missing("auth"))?;
    body.finish()?;
    let mut identity = auth.object("identity")?.ok_or(Bad::Missing("identity"))?;
    auth.finish()?;
    if identity.texts("methods")?.ok_or(Bad::Missing("methods"))? != ["assume_role"] {
        return Err(Bad::Wrong { name: "methods", expected: "the one method assume_role" });
    }
    let mut role = identity.object("assume_role")?.ok_or(Bad::Missing("assume_role"))?;
    identity.finish()?;
    let agency = role.required_text("agency_name")?;
    let domain = role.required_text("domain_name")?;
    let seconds = role.integer_in("duration_seconds", 900..=86_400, 900)?;
    role.finish()?;
    Ok((agency, domain, seconds.try_into().unwrap_or(900)))
}

pub(super) fn micros(at: OffsetDateTime) -> String {
    at.format(MICROS).unwrap_or_default()
}
