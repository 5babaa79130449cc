//! `GET /me`: whom the gateway takes a caller for, and what it may do.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::kill::intake::allowance::{CallerLimit, CallerLimits};

use super::{caller::Authenticated, current::CurrentKills, problem::Failure, query, schema::TokenProblems};

/// The caller, as its token says who it is, and what it may do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Me {
    /// The token's subject: limits, keys and rights are its own.
    #[schema(example = "alice@example.com")]
    caller: String,
    /// Who acts in its name, where the token says so.
    #[schema(example = "chatops-bot")]
    actor: Option<String>,
    /// The program that the token was made for, where it says so.
    client_id: Option<String>,
    /// What the token allows; words that are none of this gateway's are left out.
    #[schema(example = json!(["sessions:kill", "sessions:read"]))]
    scopes: Vec<&'static str>,
    /// The claim that they are from, such as `scope` or `realm_access.roles`, or `certificate` where a certificate stands for the
    /// token; `null` where the token has none that may hold them.
    #[schema(example = "scope")]
    scopes_from: Option<String>,
    /// When the token expires, or the certificate.
    #[serde(with = "crate::clock::rfc3339")]
    expires_at: OffsetDateTime,
    limits: MyLimits,
    /// Whether it may name places by their coordinates at any account; at which is in `GET /vendors`.
    by_coordinates: bool,
}

/// How much a caller may ask for, at each gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MyLimits {
    /// Kills, and attempts that are none.
    kills: MyLimit,
    /// Lists of sessions, and previews.
    lists: MyLimit,
}

/// How much of one thing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MyLimit {
    per_second: u32,
    /// How many may come at once.
    burst: u32,
}

impl From<CallerLimit> for MyLimit {
    fn from(limit: CallerLimit) -> Self {
        Self { per_second: limit.per_second.get(), burst: limit.burst.get() }
    }
}

/// Who am I
///
/// For whoever has a valid token: no scope is needed.
#[utoipa::path(
    get, path = "/me", operation_id = "whoAmI", tag = "reference",
    responses((status = 200, description = "The caller, and what it may do", body = Me), TokenProblems),
)]
pub(super) async fn me(
    request: HttpRequest,
    caller: Authenticated,
    kills: CurrentKills,
) -> Result<HttpResponse, Failure> {
    query::none(&request)?;
    let CallerLimits { kills: of_kills, lists } = kills.caller_limits();
    let targets = kills.targets();
    let by_coordinates = targets.accounts.iter().any(|(account, reach)| {
        reach.vendors.iter().any(|vendor| targets.access.permits(&caller.0.subject, vendor, account))
    });
    Ok(HttpResponse::Ok().json(Me {
        scopes: caller.0.scopes.iter().map(|scope| scope.as_str()).collect(),
        scopes_from: caller.0.scopes_from,
        expires_at: caller.0.expires_at,
        limits: MyLimits { kills: of_kills.into(), lists: lists.into() },
        by_coordinates,
        caller: caller.0.subject,
        actor: caller.0.actor,
        client_id: caller.0.client,
    }))
}
