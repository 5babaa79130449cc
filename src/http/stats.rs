//! `GET /kills/stats`: how many kills there were, for plots.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, http::header::ContentType, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use utoipa::{IntoParams, ToSchema};

use crate::{
    audit::{By, Count, Filter, Grouping, Per},
    domain::{Outcome, Problem, ProblemCode, Status},
    history::Wanted,
};

use super::{
    Readers,
    caller::Authenticated,
    current::CurrentKills,
    held::Held,
    kills::{unreadable_record, visible_to},
    problem::Failure,
    query,
    schema::ListProblems,
    sight::may_ask,
    visits,
};

/// Counted where no beginning is given.
const WINDOW: Duration = Duration::DAY;
/// The longest that kills are counted.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(2);
/// Most hours or days of a window.
const MAX_SLOTS: i32 = 1000;
/// Most counts in an answer.
const MAX_COUNTS: usize = 10_000;

/// How kills are counted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wish {
    /// What to count by, with commas between them. By `user`, `database` and `outcome` a kill counts once for each of its
    /// values, and once without any where it has none; so such counts may add up to more than there are kills. `user` and
    /// `database` do not go together. `target` is the alias.
    #[param(value_type = Option<Vec<By>>, style = Form, explode = false, example = json!(["status", "vendor"]))]
    pub(super) by: Option<String>,
    /// UTC; the whole window together where it is left out.
    #[param(value_type = Option<Per>, example = "hour")]
    pub(super) per: Option<String>,
}

/// How many kills there were.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KillCounts {
    /// The window that was counted: from this time on,
    #[serde(with = "crate::clock::rfc3339")]
    pub(super) since: OffsetDateTime,
    /// and before this one.
    #[serde(with = "crate::clock::rfc3339")]
    pub(super) until: OffsetDateTime,
    /// In the order of time, then of the words. What has no kills is left out.
    pub(super) items: Vec<KillCount>,
}

/// How many kills have these in common.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KillCount {
    /// The beginning of the hour or day, which may lie before the window's; that of the window where neither was
    /// asked for.
    #[serde(with = "crate::clock::rfc3339")]
    pub(super) from: OffsetDateTime,
    /// Where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Status>)]
    pub(super) status: Option<Value>,
    /// Where it was asked for; `null` for kills whose vendor was not understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "dcdb")]
    pub(super) vendor: Option<Value>,
    /// The account, where it was asked for; `null` as for the vendor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) account: Option<Value>,
    /// The alias, where it was asked for; `null` for kills without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) target: Option<Value>,
    /// Where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) caller: Option<Value>,
    /// Where it was asked for; `null` for kills without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) on_behalf_of: Option<Value>,
    /// A database user, where it was asked for; `null` for kills of which none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) user: Option<Value>,
    /// The same for databases.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) database: Option<Value>,
    /// What became of sessions, where it was asked for; `null` for kills without sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Outcome>)]
    pub(super) outcome: Option<Value>,
    #[schema(example = 12)]
    pub(super) count: u64,
}

/// Count kills
///
/// For plots: how many kills there were, of the last 24 hours unless `since` says otherwise. A caller with only
/// `sessions:kill` counts its own, and may not ask for `user` or `database`.
#[utoipa::path(
    get, path = "/kills/stats", operation_id = "countKills", tag = "kills", params(Wanted, Wish),
    responses((status = 200, description = "The counts", body = KillCounts), ListProblems),
)]
pub(super) async fn stats(
    request: HttpRequest,
    caller: Authenticated,
    kills: CurrentKills,
    readers: web::Data<Readers>,
) -> Result<HttpResponse, Failure> {
    let only_caller = visible_to(&caller)?;
    let (wanted, wish) = query::wanted::<Wish>(request.query_string(), &["by", "per"])?;
    visits::asks_for(&request, &wanted);
    let grouping = wish.check()?;
    may_ask(&caller, wanted.asks_for_identities().or_else(|| asks_for_identities(&grouping)))?;
    let filter = wanted.filter()?;
    let until = filter.until.unwrap_or_else(|| kills.clock().now());
    let since = filter.since.or_else(|| until.checked_sub(WINDOW)).unwrap_or(until);
    check_window(since, until, grouping.per)?;
    let filter = Filter { since: Some(since), until: Some(until), only_caller, ..filter };
    let most = u32::try_from(MAX_COUNTS + 1).unwrap_or(u32::MAX);
    let seat = readers.pages.take(&caller.0.subject).await?;
    let counts = kills.audit().stats(&filter, &grouping, most, WITHIN).await;
    let counts = counts.map_err(|error| unreadable_record(&error))?.ok_or_else(|| {
        let sentence = format!("counting takes longer than {} s: begin later, or narrow it down", WITHIN.as_secs());
        Problem::new(ProblemCode::Overloaded, sentence).at("since").retry_after(5)
    })?;
    if counts.len() > MAX_COUNTS {
        let sentence = format!("the window has more than {MAX_COUNTS} counts: begin later, or count by less");
        return Err(Problem::invalid("since", sentence).into());
    }
    let items = counts.into_iter().map(|count| item(count, &grouping, since)).collect();
    let counts = Held::json(&KillCounts { since, until, items }, seat)?;
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(counts))
}

/// The parameter that asks whose sessions were, where one does.
fn asks_for_identities(grouping: &Grouping) -> Option<&'static str> {
    [By::User, By::Database].iter().any(|by| grouping.by.contains(by)).then_some("by")
}

fn check_window(since: OffsetDateTime, until: OffsetDateTime, per: Option<Per>) -> Result<(), Problem> {
    if since > until {
        return Err(Problem::invalid("since", "must not be after until"));
    }
    match per {
        Some(per) if until - since > per.span() * MAX_SLOTS => {
            let sentence = format!("the window may have at most {MAX_SLOTS} {}s", per.as_str());
            Err(Problem::invalid("since", sentence))
        }
        Some(_) | None => Ok(()),
    }
}

fn item(count: Count, grouping: &Grouping, since: OffsetDateTime) -> KillCount {
    let by: BTreeMap<By, Value> = grouping.by.iter().copied().zip(count.by.into_iter().map(Value::from)).collect();
    let given = |word: By| by.get(&word).cloned();
    KillCount {
        from: count.from.unwrap_or(since),
        status: given(By::Status),
        vendor: given(By::Vendor),
        account: given(By::Account),
        target: given(By::Target),
        caller: given(By::Caller),
        on_behalf_of: given(By::OnBehalfOf),
        user: given(By::User),
        database: given(By::Database),
        outcome: given(By::Outcome),
        count: count.kills,
    }
}

impl Wish {
    fn check(&self) -> Result<Grouping, Problem> {
        let by = self.by.as_deref().map(|words| words.split(',')).into_iter().flatten().map(|word| {
            let by = By::ALL.into_iter().find(|by| by.as_str() == word);
            by.ok_or_else(|| Problem::no_such_word("by", &By::ALL.map(By::as_str)))
        });
        let per = self.per.as_deref().map(|word| {
            let per = Per::ALL.into_iter().find(|per| per.as_str() == word);
            per.ok_or_else(|| Problem::no_such_word("per", &Per::ALL.map(Per::as_str)))
        });
        let grouping = Grouping { by: by.collect::<Result<_, _>>()?, per: per.transpose()? };
        if [By::User, By::Database].iter().all(|by| grouping.by.contains(by)) {
            // A thousand of each would make a million counts of one kill, and who was where they would not tell.
            return Err(Problem::invalid("by", "takes user or database, not both at once"));
        }
        Ok(grouping)
    }
}
