//! The body of a request: read within bounds of size and time, and kept for the record however it turns out.
//!
//! The invariant: neither a token nor a confirm is in anything that is recorded of its body.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest,
    http::header,
    web::{self, Bytes, Payload},
};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::Value;
use tokio::{sync::watch, time::sleep};

use crate::{
    domain::{Problem, ProblemCode},
    kill::policy::confirm::{Given, MASK, without_tokens},
    metrics::Metrics,
};

use super::tokens;

/// Largest body, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// Longest time for all of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much is kept of what is not JSON, in characters.
const KEPT: usize = 4096;

/// What came in.
#[derive(Debug)]
pub(super) struct Body {
    /// What is recorded of it: JSON as it is, the beginning of anything else as a text; `None` where nothing came.
    pub(super) sent: Option<Value>,
    /// All of it, or why it is not read any further.
    ///
    /// A word stands in it wherever a token or a confirm was.
    pub(super) whole: Result<Vec<u8>, Problem>,
    /// Its member `confirm`.
    pub(super) confirm: Option<Given>,
    /// Whether it has a content coding, of which none is taken.
    pub(super) is_encoded: bool,
}

/// What bodies that are being read have in common.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// Becomes true when the gateway is told to stop: it does not wait for what callers have not sent.
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) metrics: Arc<Metrics>,
}

/// The member alone, whatever else there is.
#[derive(Deserialize)]
struct Confirmed {
    confirm: Option<String>,
}

/// Reads the body; what is beyond the largest stays unread.
pub(super) async fn read(request: &HttpRequest, payload: Payload) -> Body {
    let mut bytes = Vec::new();
    let came = receive(request, payload, &mut bytes).await;
    let given = request.headers().get(header::AUTHORIZATION).and_then(|given| given.to_str().ok());
    let own = given.and_then(|given| given.split_once(' ')).map_or("", |(_, token)| token.trim());
    let bytes = masked(bytes, |text| tokens::without(own, text));
    let confirm = serde_json::from_slice::<Confirmed>(&bytes).ok().and_then(|body| body.confirm);
    let bytes = masked(bytes, without_tokens);
    let mut sent = kept(&bytes, came.is_ok());
    // Of whatever form: it may be most of one.
    if let Some(member @ Value::String(_)) = sent.as_mut().and_then(|sent| sent.get_mut("confirm")) {
        *member = MASK.into();
    }
    let is_encoded = is_encoded(request);
    let whole = is_called_json(request).and_then(|()| is_plain(is_encoded)).and(came).map(|()| bytes);
    Body { sent, whole, confirm: confirm.map(Given::from), is_encoded }
}

/// Reads into `bytes` as far as it comes.
async fn receive(request: &HttpRequest, payload: Payload, bytes: &mut Vec<u8>) -> Result<(), Problem> {
    let Some(reading) = request.app_data::<web::Data<Reading>>() else {
        return Err(Problem::new(ProblemCode::Internal, "reading is not set up"));
    };
    let mut stopping = reading.stopping.clone();
    let _counted = Counted::new(reading.metrics.clone());
    tokio::select! {
        biased;
        came = all_of(payload, bytes) => came,
        () = sleep(PATIENCE) => {
            let sentence = format!("the body was not whole within {} seconds", PATIENCE.as_secs());
            Err(Problem::new(ProblemCode::TooSlow, sentence))
        }
        _ = stopping.wait_for(|stopping| *stopping) => {
            let sentence = "the gateway is stopping and does not wait for the rest of the body";
            Err(Problem::new(ProblemCode::Overloaded, sentence).retry_after(1))
        }
    }
}

async fn all_of(mut payload: Payload, bytes: &mut Vec<u8>) -> Result<(), Problem> {
    while let Some(chunk) = payload.next().await {
        let chunk: Bytes =
            chunk.map_err(|error| Problem::new(ProblemCode::Malformed, format!("the body did not arrive: {error}")))?;
        let room = MAX_BODY - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Err(Problem::new(ProblemCode::TooLarge, format!("the body may have at most {MAX_BODY} bytes")));
        }
    }
    Ok(())
}

/// Counts one body as being read for as long as it lives.
struct Counted(Arc<Metrics>);

impl Counted {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.bodies().inc();
        Self(metrics)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.bodies().dec();
    }
}

fn is_called_json(request: &HttpRequest) -> Result<(), Problem> {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let sentence = "the body must be JSON: send Content-Type: application/json";
    Err(Problem::new(ProblemCode::UnsupportedMediaType, sentence))
}

fn is_encoded(request: &HttpRequest) -> bool {
    let given = request.headers().get_all(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
    let mut codings = given.flat_map(|value| value.split(',')).map(str::trim).filter(|coding| !coding.is_empty());
    codings.any(|coding| !coding.eq_ignore_ascii_case("identity"))
}

fn is_plain(is_encoded: bool) -> Result<(), Problem> {
    if !is_encoded {
        return Ok(());
    }
    let sentence = "the body must be sent as it is: without Content-Encoding";
    Err(Problem::new(ProblemCode::UnsupportedMediaType, sentence))
}

/// The body with words where secrets were; as it came where it has none, also where it is no text.
fn masked(bytes: Vec<u8>, mask: impl Fn(&str) -> String) -> Vec<u8> {
    let text = String::from_utf8_lossy(&bytes);
    let plain = tokens::spelled_out(&text);
    let masked = mask(&plain);
    if masked == *plain { bytes } else { masked.into_bytes() }
}

fn kept(bytes: &[u8], is_whole: bool) -> Option<Value> {
    if bytes.is_empty() {
        return None;
    }
    if is_whole && let Ok(json) = serde_json::from_slice(bytes) {
        return Some(json);
    }
    let text = String::from_utf8_lossy(bytes);
    let mut beginning: String = text.chars().take(KEPT).collect();
    if beginning.len() < text.len() {
        beginning.push('…');
    }
    Some(Value::String(beginning))
}
