//! The thread that owns the HTTP client, which is not `Send`.
//!
//! HTTP/1.1 only, for the sake of certainty: an idle HTTP/1.1 connection that the peer has closed is noticed before
//! it is used again, and the `Host` that was signed is the one that is sent.

use std::{
    cell::Cell,
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    body::{BodySize, MessageBody},
    http::{
        Uri, Version,
        header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, USER_AGENT},
    },
    web::Bytes,
};
use awc::error::SendRequestError;
use tokio::{sync::mpsc::UnboundedReceiver, task::JoinSet, time};

use super::{Letter, Request, Response, TransportError};
use crate::vendor::sign::authority;

/// Longest body that is read, in bytes.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// Carries letters until no handle is left, then waits for the exchanges that are under way.
pub(super) async fn serve(mut inbox: UnboundedReceiver<Letter>, connect_timeout: Duration) {
    let client = client(connect_timeout);
    let mut exchanges = JoinSet::new();
    while let Some(Letter { request, begin_by, reply }) = inbox.recv().await {
        while exchanges.try_join_next().is_some() {}
        let client = client.clone();
        exchanges.spawn_local(async move {
            let outcome = match begin_by {
                Some(begin_by) if begin_by < time::Instant::now() => Err(TransportError::TooLate),
                _ => exchange(&client, request).await,
            };
            // The caller may have gone; the exchange ran to its end all the same.
            let _ = reply.send(outcome);
        });
    }
    while exchanges.join_next().await.is_some() {}
}

/// How long a connection may have been idle to be used again. Servers close theirs after 5 s or more, and a request that
/// meets a connection which is being closed is lost: nobody can tell whether it was read.
const FRESH: Duration = Duration::from_secs(4);

fn client(connect_timeout: Duration) -> awc::Client {
    let connector = awc::Connector::new()
        .max_http_version(Version::HTTP_11)
        .timeout(connect_timeout)
        .handshake_timeout(connect_timeout)
        .conn_keep_alive(FRESH)
        .limit(0);
    #[expect(clippy::disallowed_methods, reason = "this is the transport")]
    let builder = awc::Client::builder();
    builder.connector(connector).disable_redirects().disable_timeout().no_default_headers().finish()
}

async fn exchange(client: &awc::Client, request: Request) -> Result<Response, TransportError> {
    let begun = Rc::new(Cell::new(false));
    let timeout = request.timeout;
    let outcome = match time::timeout(timeout, attempt(client, request, &begun)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no complete answer within {timeout:?}")),
    };
    outcome.map_err(|why| if begun.get() { TransportError::Lost(why) } else { TransportError::NotConnected(why) })
}

/// One exchange; `begun` is true from the moment on which bytes of the request may leave.
async fn attempt(client: &awc::Client, request: Request, begun: &Rc<Cell<bool>>) -> Result<Response, String> {
    let uri: Uri = request.url.as_str().parse().map_err(|_| "the URL is not valid".to_owned())?;
    let mut outgoing = client
        .request(request.method, uri)
        .insert_header((HOST, authority(&request.url)))
        .insert_header((USER_AGENT, concat!("killgate/", env!("CARGO_PKG_VERSION"))))
        .insert_header((ACCEPT_ENCODING, "identity"))
        .no_decompress()
        .camel_case();
    for (name, value) in request.headers {
        let valid = (HeaderName::try_from(name.as_str()).ok()).zip(HeaderValue::try_from(value).ok());
        outgoing = outgoing.insert_header(valid.ok_or_else(|| format!("the header `{name}` is not valid"))?);
    }
    let sending = outgoing.send_body(Outgoing { bytes: Bytes::from(request.body), begun: Rc::clone(begun) });
    // The client has just asked for the size in order to box the body. It asks again when it writes the head.
    begun.set(false);
    let mut answer = sending.await.map_err(|error| reason(&error))?;
    let body = answer.body().limit(MAX_BODY).await.map_err(|error| format!("the body broke off: {error}"))?;
    // The client takes the end of the connection for the end of the body. A chunked body that was cut off does not
    // show here (awc 3.11); what is left of it is not JSON any more, and so unreadable to every vendor's script.
    let stated = answer.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if stated.is_some_and(|length: usize| length != body.len()) {
        return Err("the body is shorter than announced".to_owned());
    }
    Ok(Response { status: answer.status(), headers: answer.headers().clone(), body: body.into() })
}

/// A body that knows whether somebody began to write it.
///
/// The head of a request says how long the body is, so no byte of it can be written before the client has asked
/// for the size, and the client does not ask before it has a connection. Its error kinds would not do: the same
/// kind covers a connection that was never made and one that ended before the response did.
struct Outgoing {
    bytes: Bytes,
    begun: Rc<Cell<bool>>,
}

impl MessageBody for Outgoing {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        self.begun.set(true);
        BodySize::Sized(self.bytes.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        self.begun.set(true);
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)))
    }
}

/// What went wrong, in words that quote nothing of the request or the response.
fn reason(error: &SendRequestError) -> String {
    match error {
        SendRequestError::Url(error) => error.to_string(),
        SendRequestError::Connect(awc::error::ConnectError::Disconnected) => {
            "the connection ended before the answer".to_owned()
        }
        SendRequestError::Connect(error) => error.to_string(),
        SendRequestError::Send(error) => format!("the connection broke while sending: {}", error.kind()),
        SendRequestError::Response(_) => "the connection broke before the answer, or the answer is not HTTP".to_owned(),
        SendRequestError::Timeout => "timeout".to_owned(),
        _ => "the request could not be sent".to_owned(),
    }
}
