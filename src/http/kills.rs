//! `POST /sessions/kill` and `GET /kills/{id}`.

use std::{sync::Arc, time::Duration};

use actix_web::{
    FromRequest as _, HttpRequest, HttpResponse, ResponseError as _,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName},
    },
    web,
};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::Instrument as _;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    audit::{AuditError, IdempotencyKey},
    auth::{Caller, Naming, Scope},
    domain::{Kill, Problem, ProblemCode, Selector, Status},
    kill::{
        Kills,
        handle::Ticket,
        intake::{
            allowance::{Allowance, Counted},
            document::KillBody,
            request::{Asked, KillRequest},
            submission::{Context, Submission, Understood, fingerprint},
        },
    },
    notify::follow::Following,
};

use super::{
    Readers, allowance,
    body::{self, Body},
    caller::Authenticated,
    client,
    current::CurrentKills,
    held::Held,
    problem::Failure,
    query, request_id,
    schema::{KillProblems, ReadProblems},
    sight::seen_by,
    spans, tokens,
};

/// Longest `Prefer: wait`, in seconds; a longer wish is cut to it.
const MAX_WAIT: u64 = 300;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is not to this request but to an earlier one with the same key.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// End sessions
///
/// One call for every vendor. The attempt is on record before any vendor sees it, and what is answered is what
/// was recorded. Without `Prefer: wait` the answer comes when the vendor has answered.
#[utoipa::path(
    post, path = "/sessions/kill", operation_id = "killSessions", tag = "kills",
    request_body(content = KillBody, description = "What to end, and why"),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same caller and key give the same kill, never a second one"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` (RFC 7240): answer when the outcome is known, or after N seconds with what is known. What is `unknown` is waited for too, while a look may settle it", example = "wait=10"),
    ),
    responses(
        (status = 200, description = "The status is final", body = KillAnswer, headers(
            ("Location" = String, description = "The record"),
            ("Idempotency-Replayed" = String, description = "`true` where the `Idempotency-Key` was used before: this is the kill that it stands for"),
        )),
        (status = 202, description = "The vendor took it; whether the sessions are gone is not known yet", body = KillAnswer, headers(
            ("Location" = String, description = "The record"),
            ("Idempotency-Replayed" = String, description = "`true` where the `Idempotency-Key` was used before: this is the kill that it stands for"),
        )),
        KillProblems,
    ),
)]
pub(super) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    kills: CurrentKills,
    following: web::Data<Following>,
) -> Result<HttpResponse, Failure> {
    let wait = preferred_wait(request.headers());
    // Its caller may be gone already, and the attempt is on record all the same.
    let taking = actix_web::rt::spawn(take(request, payload, kills.clone()).in_current_span());
    let internal = |_| Problem::new(ProblemCode::Internal, "the gateway failed; see its log");
    let Taken { caller, ticket, allowance, is_encoded } = taking.await.map_err(internal)??;
    let replayed = ticket.as_ref().is_ok_and(|ticket| ticket.replayed);
    let (kill, applied) = match (ticket, wait) {
        (Err(problem), _) => (Err(problem), wait),
        (Ok(ticket), None) => (Ok(ticket.answered().await), None),
        (Ok(ticket), Some(seconds)) => {
            let settled = Box::pin(settled(ticket, &following, &caller, Duration::from_secs(seconds)));
            let (kill, has_waited) = settled.await;
            (Ok(kill), wait.filter(|_| has_waited))
        }
    };
    let answered = kill.map_err(Failure::from).and_then(|kill| answer(&kills, &caller, kill));
    let mut response = answered.unwrap_or_else(|failure| failure.error_response());
    let status = response.status();
    let headers = response.headers_mut();
    if is_encoded && status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        headers.insert(header::ACCEPT_ENCODING, header::HeaderValue::from_static("identity"));
    }
    for (name, value) in allowance::headers(&allowance) {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    if replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, header::HeaderValue::from_static("true"));
    }
    if let Some(applied) = applied.and_then(|seconds| format!("wait={seconds}").parse().ok()) {
        headers.insert(HeaderName::from_static("preference-applied"), applied);
    }
    Ok(response)
}

/// An attempt that is on record, or why it is not.
struct Taken {
    caller: Authenticated,
    ticket: Result<Ticket, Problem>,
    allowance: Allowance,
    /// Whether its body had a content coding.
    is_encoded: bool,
}

/// Reads an attempt and has it recorded.
async fn take(request: HttpRequest, payload: web::Payload, kills: CurrentKills) -> Result<Taken, Failure> {
    let caller = Authenticated::extract(&request).await?;
    let Body { sent, whole, confirm, is_encoded } = body::read(&request, payload).await;
    let key = idempotency_key(request.headers());
    let may_kill = caller.require(&[Scope::SessionsKill, Scope::SessionsKillUrgent]);
    let context = context(&request, &caller, may_kill.is_ok());
    let asked = may_kill
        .and_then(|()| query::none(&request))
        .and(whole)
        .and_then(|body| {
            let request = KillRequest::parse(&body)?.with(confirm);
            request.may_name(kills.targets(), &caller.0.subject)?;
            request.check(kills.targets())
        })
        .map_err(|problem| kills.targets().with_near_alias(&caller.0.subject, alias_of(sent.as_ref()), problem))
        .and_then(|asked| vouched_for(&caller.0, asked))
        .and_then(|asked| kills.targets().check(&caller.0.subject, &asked.order).map(|()| asked))
        .and_then(|asked| may_look_away(&caller, &asked).map(|()| asked));
    let is_preview = asked.as_ref().is_ok_and(|asked| asked.dry_run);
    let counted = if is_preview { Counted::List } else { Counted::Kill };
    let (asked, key) = match (asked, key) {
        (Ok(asked), Ok(key)) => {
            let key = key.map(|key| IdempotencyKey { key, fingerprint: fingerprint(&asked) });
            (Ok(asked), key)
        }
        // What was not understood must not take up a key: corrected, it may be sent again.
        (Ok(_), Err(problem)) | (Err(problem), _) => (Err(problem), None),
    };
    let attempt = Box::new(Submission { context: Context { key, ..context }, request: sent, asked });
    let (ticket, allowance) = kills.attempt(attempt, counted).await;
    Ok(Taken { caller, ticket, allowance, is_encoded })
}

/// The kill once it has ended, or what is known of it after `patience`: while it is `unknown` a look may still settle it.
/// And whether it was waited for: a caller may wait for so many at a time, and is told of others once the vendor has
/// answered.
async fn settled(ticket: Ticket, following: &Following, caller: &Authenticated, patience: Duration) -> (Kill, bool) {
    let until = Instant::now() + patience;
    let kill = ticket.answered_by(until).await;
    if !kill.status.is_open() || Instant::now() >= until {
        return (kill, true);
    }
    match following.wait(&caller.0.subject, kill.id) {
        Ok(waiter) => (waiter.settled(until).await.map_or(kill, Arc::unwrap_or_clone), true),
        Err(_) => (kill, false),
    }
}

/// The alias that a body names.
fn alias_of(sent: Option<&serde_json::Value>) -> Option<&str> {
    sent?.get("target")?.as_str()
}

/// Who asks, and what the token lets it do.
fn context(request: &HttpRequest, caller: &Authenticated, may_kill: bool) -> Context {
    Context {
        caller: caller.0.subject.clone(),
        actor: caller.0.actor.clone(),
        client_id: caller.0.client.clone(),
        token_id: caller.0.token_id.clone(),
        client_address: client::of(request).map(|address| address.to_string()),
        request_id: Some(request_id::of(request)),
        key: None,
        may_kill,
        urgent: caller.0.has(Scope::SessionsKillUrgent),
        literals: caller.0.has(Scope::SessionsStatements),
        understood: Understood::default(),
        trace: spans::of(request),
    }
}

/// What is asked, where it names a person if it has to, and no other than the token does.
///
/// # Errors
/// `invalid` where the token says who acts for whom and the request says otherwise, or where nobody is named who must be;
/// `forbidden` where the token must say it.
fn vouched_for(caller: &Caller, asked: Asked) -> Result<Asked, Problem> {
    match &asked.on_behalf_of {
        _ if caller.actor.is_none() && caller.naming == Naming::ByToken => {
            let sentence = "kills of this caller need a token that says who acts for whom (act, RFC 8693)";
            Err(Problem::new(ProblemCode::Forbidden, sentence))
        }
        None if caller.actor.is_none() && caller.naming == Naming::Required => {
            Err(Problem::invalid("on_behalf_of", "is required of this caller: the person for whom it acts"))
        }
        Some(person) if caller.actor.is_some() && *person != caller.subject => {
            let sentence = "contradicts the token, whose subject is whom somebody acts for: leave it out";
            Err(Problem::invalid("on_behalf_of", sentence))
        }
        _ => Ok(asked),
    }
}

/// The answer to a kill: the kill itself, or why it was not done. The problem of a preview is one of the kill to come.
fn answer(kills: &Kills, caller: &Authenticated, mut kill: Kill) -> Result<HttpResponse, Failure> {
    if let Some(problem) = kill.problem.take_if(|_| kill.status != Status::Preview) {
        return Err(Failure::of_kill(problem, kill.id));
    }
    let mut response = if kill.status.is_final() { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    let (confirm, confirm_until) = kills.confirm(&kill).map(|confirm| (confirm.token, confirm.until)).unzip();
    let location = (header::LOCATION, format!("/kills/{}", kill.id));
    Ok(response.insert_header(location).json(KillAnswer { kill: seen_by(caller, kill), confirm, confirm_until }))
}

/// A kill, and what binds another one to it.
// No Debug: it has a token.
#[derive(Serialize, ToSchema)]
pub(super) struct KillAnswer {
    #[serde(flatten)]
    kill: Kill,
    /// Of a preview: sent as `confirm` with the same target and select, it ends the sessions that are `alive` here and no
    /// others. Only in this answer, never in `GET /kills/{id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm: Option<String>,
    /// From then on it is not taken any more.
    #[serde(with = "crate::clock::rfc3339::option", skip_serializing_if = "Option::is_none")]
    confirm_until: Option<OffsetDateTime>,
}

/// A kill that asks for no look needs a scope for it, and so does one that spares sessions by the literals of their statements:
/// who may not see those would spare nobody.
fn may_look_away(caller: &Authenticated, asked: &Asked) -> Result<(), Problem> {
    if let Selector::Match(wanted) = &asked.order.selector
        && wanted.except.as_ref().is_some_and(|except| except.statement.is_some())
        && !caller.0.has(Scope::SessionsStatements)
    {
        let sentence = format!("select.match.except.statement needs the scope {}", Scope::SessionsStatements);
        return Err(Problem::new(ProblemCode::Forbidden, sentence).at("select.match.except.statement"));
    }
    if asked.look || caller.0.has(Scope::SessionsKillBlind) {
        return Ok(());
    }
    let sentence = format!("\"look\": false needs the scope {}", Scope::SessionsKillBlind);
    Err(Problem::new(ProblemCode::Forbidden, sentence).at("look"))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(&IDEMPOTENCY_KEY);
    let (Some(key), None) = (given.next(), given.next()) else {
        let several = headers.contains_key(&IDEMPOTENCY_KEY);
        let problem = || Problem::invalid("Idempotency-Key", "must be given once");
        return if several { Err(problem()) } else { Ok(None) };
    };
    let visible = |bytes: &[u8]| (1..=255).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    let key = key.to_str().ok().filter(|key| visible(key.as_bytes()));
    let key = key.ok_or_else(|| Problem::invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters"))?;
    if tokens::is_in(key) {
        return Err(Problem::invalid("Idempotency-Key", "must not be a token: it is recorded"));
    }
    Ok(Some(key.to_owned()))
}

/// The seconds of `Prefer: wait=N`; other preferences, and what cannot be read, are ignored as RFC 7240 asks.
fn preferred_wait(headers: &HeaderMap) -> Option<u64> {
    let given = headers.get_all(&PREFER).filter_map(|value| value.to_str().ok());
    let wait = |preference: &str| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        value.trim().trim_matches('"').parse::<u64>().ok().filter(|_| is_wait)
    };
    given.flat_map(|value| value.split(',')).find_map(wait).map(|seconds| seconds.min(MAX_WAIT))
}

/// Read one kill
#[utoipa::path(
    get, path = "/kills/{id}", operation_id = "readKill", tag = "kills",
    params(("id" = Uuid, Path, description = "The kill's id")),
    responses(
        (status = 200, description = "The kill as it is known now", body = Kill),
        ReadProblems,
    ),
)]
pub(super) async fn read_one(
    request: HttpRequest,
    id: web::Path<String>,
    caller: Authenticated,
    kills: CurrentKills,
    readers: web::Data<Readers>,
) -> Result<HttpResponse, Failure> {
    let seat = readers.pages.take(&caller.0.subject).await?;
    let kill = seen_by(&caller, visible(&request, &id, &caller, &kills).await?);
    Ok(HttpResponse::Ok().content_type(header::ContentType::json()).body(Held::json(&kill, seat)?))
}

/// The kill of that id, where this caller may see it.
pub(super) async fn visible(
    request: &HttpRequest,
    id: &str,
    caller: &Authenticated,
    kills: &Kills,
) -> Result<Kill, Problem> {
    let only_caller = visible_to(caller)?;
    query::none(request)?;
    let not_found = || Problem::new(ProblemCode::NotFound, "there is no such kill");
    let id = Uuid::try_parse(id).map_err(|_| not_found())?;
    let kill = kills.audit().find(id).await.map_err(|error| unreadable_record(&error))?;
    kill.filter(|kill| only_caller.as_ref().is_none_or(|caller| *caller == kill.caller)).ok_or_else(not_found)
}

/// Whose kills this caller may see: everybody's, or only its own.
pub(super) fn visible_to(caller: &Authenticated) -> Result<Option<String>, Problem> {
    caller.require(&[Scope::KillsRead, Scope::SessionsKill, Scope::SessionsKillUrgent])?;
    Ok((!caller.0.has(Scope::KillsRead)).then(|| caller.0.subject.clone()))
}

pub(super) fn unreadable_record(error: &AuditError) -> Problem {
    tracing::error!(%error, "the record could not be read");
    Problem::new(ProblemCode::AuditUnavailable, "the record could not be read").retry_after(1)
}
