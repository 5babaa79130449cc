//! `GET /kills`: the history, page by page.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    audit::Filter,
    domain::{Kill, Problem},
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
    sight::{may_ask, seen_by},
    visits,
};

/// Which page of `GET /kills`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// 1 to 500 kills; a page of kills with many sessions ends sooner.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 50)]
    pub(super) limit: Option<String>,
    /// `next_cursor` of the page before, with the same filters; one of the other order is refused.
    pub(super) cursor: Option<String>,
    /// Which come first.
    #[param(value_type = Option<KillOrder>, default = "newest")]
    pub(super) order: Option<String>,
}

/// Which kills come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum KillOrder {
    Newest,
    Oldest,
}

impl KillOrder {
    const ALL: [Self; 2] = [Self::Newest, Self::Oldest];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
        }
    }
}

/// One page of kills.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KillPage {
    pub(super) items: Vec<Kill>,
    /// Where the next page begins; `null` on the last one.
    pub(super) next_cursor: Option<String>,
}

/// List kills
///
/// Newest first, unless it is asked for otherwise. A caller with only `sessions:kill` sees its own, and may not ask by `user`
/// or `database`.
#[utoipa::path(
    get, path = "/kills", operation_id = "listKills", tag = "kills", params(Wanted, Paging),
    responses(
        (status = 200, description = "One page", body = KillPage, headers(("Link" = String, description = "The next page (RFC 8288)"))),
        ListProblems,
    ),
)]
pub(super) async fn list(
    request: HttpRequest,
    caller: Authenticated,
    kills: CurrentKills,
    readers: web::Data<Readers>,
) -> Result<HttpResponse, Failure> {
    let only_caller = visible_to(&caller)?;
    let (wanted, paging) = query::wanted::<Paging>(request.query_string(), &["limit", "cursor", "order"])?;
    visits::asks_for(&request, &wanted);
    may_ask(&caller, wanted.asks_for_identities())?;
    let limit = paging.limit()?;
    let oldest_first = paging.order()? == KillOrder::Oldest;
    let place = query::place("cursor", paging.cursor.as_deref(), oldest_first)?;
    let filter = Filter { oldest_first, place, only_caller, ..wanted.filter()? };
    let seat = readers.pages.take(&caller.0.subject).await?;
    let page = kills.audit().page(&filter, limit).await.map_err(|error| unreadable_record(&error))?;
    let mut response = HttpResponse::Ok();
    if let Some(next) = &page.next {
        let query = query::at(&request, "cursor", next);
        response.insert_header((header::LINK, format!("</kills?{query}>; rel=\"next\"")));
    }
    let next_cursor = page.next.map(|cursor| cursor.to_string());
    let items = page.items.into_iter().map(|kill| seen_by(&caller, kill)).collect();
    let page = Held::json(&KillPage { items, next_cursor }, seat)?;
    Ok(response.content_type(header::ContentType::json()).body(page))
}

impl Paging {
    fn limit(&self) -> Result<u32, Problem> {
        match self.limit.as_deref().map(str::parse::<u32>) {
            None => Ok(50),
            Some(Ok(limit @ 1..=500)) => Ok(limit),
            Some(_) => Err(Problem::invalid("limit", "must be a whole number from 1 to 500")),
        }
    }

    fn order(&self) -> Result<KillOrder, Problem> {
        let Some(word) = self.order.as_deref() else { return Ok(KillOrder::Newest) };
        let order = KillOrder::ALL.into_iter().find(|order| order.as_str() == word);
        order.ok_or_else(|| Problem::no_such_word("order", &KillOrder::ALL.map(KillOrder::as_str)))
    }
}
