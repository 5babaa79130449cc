//! `GET /vendors` and `GET /targets`: what can be asked for, and where.

use std::num::NonZeroU32;

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::Target,
    kill::Kills,
    upstream::{Capabilities, Cloud, ListingKind, Need, TABLE, Vendor},
};

use super::{caller::Authenticated, current::CurrentKills, problem::Failure, query, schema::TokenProblems};

/// What one vendor can do, and its limits.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VendorInfo {
    #[schema(example = "dcdb")]
    pub(super) name: &'static str,
    pub(super) product: &'static str,
    #[schema(example = "tencent")]
    pub(super) cloud: Option<&'static str>,
    pub(super) coordinates: Vec<CoordinateInfo>,
    /// What a session id looks like.
    #[schema(example = "a whole number from 0 to 9223372036854775807")]
    pub(super) session_id: String,
    /// Every form of `select` that a kill can have, where the account's site has all that the vendor has.
    #[schema(example = json!(["ids", "match"]))]
    pub(super) selectors: Vec<String>,
    /// Whether an accepted kill can be looked up afterwards.
    pub(super) can_look: bool,
    /// How live sessions are listed; `null` where they cannot be.
    pub(super) listing: Option<ListingInfo>,
    /// Whether calls are counted for each action, or all together.
    pub(super) counted_per_action: bool,
    /// The limits for each account that has this vendor.
    pub(super) accounts: Vec<AccountLimits>,
}

/// One of the values that say where sessions live.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CoordinateInfo {
    pub(super) name: &'static str,
    /// Whether it must be given.
    pub(super) required: bool,
    /// Exactly one coordinate of the same group must be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) one_of: Option<&'static str>,
    pub(super) expected: &'static str,
    pub(super) example: &'static str,
}

/// How a vendor lists live sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListingInfo {
    /// Criteria of which one must be given, where there are any.
    #[schema(example = json!(["user", "database"]))]
    pub(super) needs_one_of: &'static [&'static str],
    /// Most sessions that it shows; `null` where it shows all.
    #[schema(example = 200)]
    #[schema(value_type = Option<u32>)]
    pub(super) most: Option<usize>,
}

/// What an account may ask of a vendor.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccountLimits {
    pub(super) account: String,
    /// Whether the caller may name places of this account by their coordinates; where it may not, it has the aliases of
    /// `GET /targets`.
    pub(super) by_coordinates: bool,
    /// Which of the cloud's sites the account is at; `null` where the cloud has one. A site may lack what another has.
    #[schema(example = "mainland")]
    pub(super) site: Option<&'static str>,
    /// The coordinates that targets of this account can have.
    #[schema(example = json!(["instance_id", "shard_id", "shard_serial_id", "node_id"]))]
    pub(super) coordinates: Vec<&'static str>,
    /// Every form of `select` that a kill of this account can have.
    #[schema(example = json!(["ids", "match"]))]
    pub(super) selectors: Vec<String>,
    /// How live sessions are listed for this account; `null` where they cannot be.
    pub(super) listing: Option<ListingInfo>,
    /// Calls in any one second, of the whole fleet.
    pub(super) requests_per_second: u32,
    /// Calls in any one minute, of the whole fleet; `null` where the vendor does not count so.
    pub(super) requests_per_minute: Option<u32>,
    /// What is asked for now: less than the limit after the vendor has throttled.
    pub(super) current_requests_per_second: u32,
    /// The part of the limit that only urgent kills may use, in per cent.
    pub(super) reserved_percent: u32,
    /// True while the endpoint is failing and only probed.
    pub(super) is_down: bool,
    #[schema(value_type = u32)]
    pub(super) max_ids_per_call: usize,
    /// Longest wait for a turn, in milliseconds.
    pub(super) max_wait_ms: u64,
    /// Longest time for one call, in milliseconds.
    pub(super) timeout_ms: u64,
}

/// Every vendor there is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VendorList {
    pub(super) items: Vec<VendorInfo>,
}

/// The aliases that the caller may use.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TargetList {
    #[schema(value_type = Vec<Object>, example = json!([{ "alias": "orders-shard-1", "vendor": "dcdb", "account": "tencent-prod", "instance_id": "tdsqlshard-2gk4nxyz", "shard_id": "shard-ljilb4st" }]))]
    pub(super) items: Vec<Target>,
}

/// List vendors
///
/// What each vendor can do, its limits, and whether the caller may name places without an alias.
#[utoipa::path(
    get, path = "/vendors", operation_id = "listVendors", tag = "reference",
    responses((status = 200, description = "Every vendor there is", body = VendorList), TokenProblems),
)]
pub(super) async fn vendors(
    request: HttpRequest,
    caller: Authenticated,
    kills: CurrentKills,
) -> Result<HttpResponse, Failure> {
    query::none(&request)?;
    let items = TABLE.iter().map(|vendor| describe(*vendor, &caller, &kills)).collect();
    Ok(HttpResponse::Ok().json(VendorList { items }))
}

/// List targets
///
/// The aliases that the caller may use.
#[utoipa::path(
    get, path = "/targets", operation_id = "listTargets", tag = "reference",
    responses((status = 200, description = "The aliases that the caller may use", body = TargetList), TokenProblems),
)]
pub(super) async fn targets(
    request: HttpRequest,
    caller: Authenticated,
    kills: CurrentKills,
) -> Result<HttpResponse, Failure> {
    query::none(&request)?;
    let permits = |target: &Target| kills.targets().permits(&caller.0.subject, target);
    let aliases = kills.targets().aliases.values().filter(|alias| permits(&alias.target));
    Ok(HttpResponse::Ok().json(TargetList { items: aliases.map(|alias| alias.target.clone()).collect() }))
}

/// What a session id looks like.
fn session_id(able: &Capabilities) -> String {
    let alone = able.session_id.expected();
    let Some(division) = able.division() else { return alone };
    let (several, word) = (division.several(), division.word());
    let form = format!("\"{}/ID\", or an object with {word} and id", word.to_uppercase());
    format!("{alone}; where the target has {several}, with its {word}: {form}")
}

const fn shown(listing: ListingKind) -> ListingInfo {
    ListingInfo { needs_one_of: listing.needs_one_of, most: listing.most }
}

fn describe(vendor: &dyn Vendor, caller: &Authenticated, kills: &Kills) -> VendorInfo {
    let able: &Capabilities = vendor.capabilities();
    let coordinates = able.coordinates.iter().map(|coordinate| CoordinateInfo {
        name: coordinate.name,
        required: coordinate.need == Need::Required,
        one_of: match coordinate.need {
            Need::OneOf(group) => Some(group),
            Need::Required | Need::Where { .. } | Need::OptionalWithout(_) | Need::Optional => None,
        },
        expected: coordinate.expected,
        example: coordinate.example,
    });
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let accounts = kills.targets().accounts.keys().filter_map(|account| {
        let limit = kills.upstreams().limit(account, vendor)?;
        let site = kills.targets().accounts.get(account)?.site;
        let able = vendor.capabilities_at(site);
        Some(AccountLimits {
            account: account.clone(),
            by_coordinates: kills.targets().access.permits(&caller.0.subject, vendor.name().as_str(), account),
            site: able.by.cloud().and_then(|cloud| cloud.sites()).map(|_| site.as_str()),
            coordinates: able.coordinates.iter().map(|coordinate| coordinate.name).collect(),
            selectors: able.forms(),
            listing: able.listing.map(shown),
            requests_per_second: limit.requests_per_second.get(),
            requests_per_minute: limit.requests_per_minute.map(NonZeroU32::get),
            current_requests_per_second: kills.upstreams().pace(account, vendor, &limit),
            reserved_percent: limit.reserved_percent,
            is_down: kills.upstreams().is_down(account, vendor),
            max_ids_per_call: limit.max_ids_per_call,
            max_wait_ms: millis(limit.max_wait),
            timeout_ms: millis(limit.timeout),
        })
    });
    VendorInfo {
        name: vendor.name().as_str(),
        product: able.product,
        cloud: able.by.cloud().map(Cloud::name),
        coordinates: coordinates.collect(),
        session_id: session_id(able),
        selectors: able.forms(),
        can_look: able.can_follow_up,
        listing: able.listing.map(shown),
        counted_per_action: able.counting.is_by_action(),
        accounts: accounts.collect(),
    }
}
