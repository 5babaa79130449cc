//! `GET /kills/{id}/events`: what happens to a kill, as it happens (server-sent events).

use std::{fmt::Display, io, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderMap, HeaderName},
    web::{self, Bytes},
};
use futures_util::stream;
use serde::Serialize;
use tracing::Span;
use utoipa::ToSchema;

use crate::{
    domain::{KillId, Problem},
    kill::Kills,
    notify::follow::{Following, Told},
};

use super::{
    Readers, answers,
    caller::Authenticated,
    current::CurrentKills,
    kills::{unreadable_record, visible},
    problem::Failure,
    schema::StreamProblems,
    sight::{hide, seen_by, sees_identities},
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Asks reverse proxies not to gather what should arrive at once.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One event of a stream, as its lines have it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "what the document says of lines that `block` writes")]
pub(super) struct StreamedEvent {
    /// The `seq` of the change. The last event of all has none.
    #[schema(example = "2", pattern = "^[1-9][0-9]*$", nullable = false)]
    id: Option<String>,
    /// The `kind` of the change, or `kill` where the whole kill comes.
    #[schema(example = "sent")]
    event: String,
    /// A `KillEvent`, or after `kill` a `Kill`.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// Follow one kill
///
/// Server-sent events: each change of the kill, from the first on, then each as it comes, whichever gateway it happens
/// on. `id` is the number of the change, `event` its kind, `data` a `KillEvent`. Once the status is final, or nothing more
/// will be learned, comes a last `event: kill` whose `data` is the whole kill as `GET /kills/{id}` shows it, and the
/// stream ends. A comment line every 15 seconds is a sign of life.
///
/// A stream also ends when the token runs out, after 20 minutes, and when the gateway stops; then begin again with
/// `Last-Event-ID`. With the `id` of the last event of a kill that is over there is nothing more to tell: 204. A caller with only `sessions:kill` follows its own kills.
#[utoipa::path(
    get, path = "/kills/{id}/events", operation_id = "followKill", tag = "kills",
    params(
        ("id" = Uuid, Path, description = "The kill's id"),
        ("Last-Event-ID" = Option<u32>, Header, description = "The `id` of the last event that was received: what came after it is sent", example = 2),
    ),
    responses(
        (status = 200, description = "The stream of events (server-sent events), each as the schema has it", body = inline(StreamedEvent), content_type = "text/event-stream"),
        (status = 204, description = "Nothing more will come: all events were received before"),
        StreamProblems,
    ),
)]
pub(super) async fn follow(
    request: HttpRequest,
    id: web::Path<String>,
    caller: Authenticated,
    kills: CurrentKills,
    following: web::Data<Following>,
    readers: web::Data<Readers>,
) -> Result<HttpResponse, Failure> {
    let seat = readers.pages.take(&caller.0.subject).await?;
    let kill = visible(&request, &id, &caller, &kills).await?;
    let after = last_event_id(request.headers())?;
    let mut response = HttpResponse::Ok();
    response
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((ACCEL_BUFFERING, "no"));
    if after > 0 && is_all_of(&kills, kill.id, after).await? {
        // Whoever follows with an EventSource does not ask again then.
        return Ok(HttpResponse::NoContent().finish());
    }
    // A stream has a seat of its own.
    drop(seat);
    if answers::is_head(&request) {
        return Ok(response.streaming(stream::empty::<io::Result<Bytes>>()));
    }
    let follower = following.follow(&caller.0.subject, &kill, after, caller.0.good_until)?;
    let pieces = stream::try_unfold((follower, caller, Span::current()), async |(mut follower, caller, span)| {
        match follower.next().await {
            Ok(told) => Ok(told.map(|told| (written(told, &caller), (follower, caller, span)))),
            // An error in the middle of a body closes the connection without the body's end.
            Err(error) => {
                span.in_scope(|| tracing::error!(%error, "the record could not be read, so a stream is cut off"));
                Err(io::Error::other("the record could not be read"))
            }
        }
    });
    Ok(response.streaming(pieces))
}

/// Whether the kill is over and has no event after that one.
async fn is_all_of(kills: &Kills, kill: KillId, after: i32) -> Result<bool, Problem> {
    let progress = kills.audit().progress(&[kill]).await.map_err(|error| unreadable_record(&error))?;
    Ok(progress.iter().all(|come| come.is_over && come.seq <= after))
}

/// The number of the last event that was received; 0 where there was none.
fn last_event_id(headers: &HeaderMap) -> Result<i32, Problem> {
    let Some(given) = headers.get(&LAST_EVENT_ID) else { return Ok(0) };
    let digits = given.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| Problem::invalid("Last-Event-ID", "must be the id of an event of this kill"))
}

/// What that caller may see of it.
fn written(told: Told, caller: &Authenticated) -> Bytes {
    match told {
        Told::Event(mut event) => {
            if !sees_identities(caller) {
                event.sessions.iter_mut().for_each(hide);
            }
            block(&format_args!("id: {}\nevent: {}\n", event.seq, event.kind), &event)
        }
        Told::Over(kill) => block(&"event: kill\n", &seen_by(caller, Arc::unwrap_or_clone(kill))),
        Told::Alive => Bytes::from_static(b":\n\n"),
    }
}

/// One event: its head and its data, which is JSON and so without a line break.
fn block(head: &impl Display, data: &impl Serialize) -> Bytes {
    // Every key of an event or a kill is a text, so it is always written.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("{head}data: {data}\n\n").into()
}
