//! The thread that owns the HTTP client, which is not `Send`.
//!
//! HTTP/1.1 only, for the sake of certainty: an idle HTTP/1.1 connection that the peer has closed is noticed before
//! it is used again, and the `Host` that was signed is the one that is sent.
//!
//! The client writes requests and reads answers. Connections are made and kept in [`connect`](super::connect), and what
//! the client has in its hands is a [`Line`], which is a fresh connection to it each time.

use std::{future::ready, rc::Rc, time::Duration};

use actix_service::fn_service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use actix_web::http::{
    Uri,
    header::{ACCEPT_ENCODING, HOST, HeaderName, HeaderValue, USER_AGENT},
};
use awc::error::SendRequestError;
use futures_util::StreamExt;
use tokio::{
    sync::{Semaphore, SemaphorePermit, mpsc::UnboundedReceiver},
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    Egress, Exchange, Letter, Request, Response, TransportError,
    coding::{Undone, decoded},
    connect::{Origin, Pool},
    line::{End, Line},
};
use crate::upstream::sign::authority;

/// How many bodies of more than [`Request::USUAL`] are read at once.
const LARGE_AT_ONCE: usize = 1;

tokio::task_local! {
    /// What the client gets when it asks for a connection, in the task of one exchange.
    static LINE: Line;
}

/// What exchanges share.
struct Client {
    http: awc::Client,
    pool: Rc<Pool>,
    large: Semaphore,
}

/// Carries letters until no handle is left, then waits for the exchanges that are under way.
pub(super) async fn serve(mut inbox: UnboundedReceiver<Letter>, connect_timeout: Duration) {
    let pool = Rc::new(Pool::new(connect_timeout));
    let client = Rc::new(Client { http: http(), pool, large: Semaphore::new(LARGE_AT_ONCE) });
    let mut exchanges = JoinSet::new();
    while let Some(letter) = inbox.recv().await {
        while exchanges.try_join_next().is_some() {}
        match letter {
            Letter::Exchange(exchange) => {
                let client = Rc::clone(&client);
                exchanges.spawn_local(async move {
                    let Exchange { request, by, begin_by, is_status_enough, reply } = exchange;
                    // The caller may have gone; the exchange ran to its end all the same.
                    let _ = reply.send(client.exchange(request, by, begin_by, is_status_enough).await);
                });
            }
            Letter::Warm { url, by, many, done } => {
                let Some(origin) = Origin::of(&url, by) else { continue };
                let warm = Rc::clone(&client.pool).warm(origin, many);
                actix_web::rt::spawn(async move {
                    warm.await;
                    let _ = done.send(());
                });
            }
        }
    }
    while exchanges.join_next().await.is_some() {}
}

/// A client whose every connection is the line of the exchange that it works for.
fn http() -> awc::Client {
    let line = fn_service(|info: ConnectInfo<Uri>| {
        let line = LINE.try_with(Line::clone).map_err(|_| ConnectError::Unresolved);
        ready(line.map(|line| Connection::new(info.request().clone(), line)))
    });
    let connector = awc::Connector::new().connector(line).conn_keep_alive(Duration::ZERO).limit(0);
    #[expect(clippy::disallowed_methods, reason = "this is the transport")]
    let builder = awc::Client::builder();
    builder.connector(connector).disable_redirects().disable_timeout().no_default_headers().finish()
}

impl Client {
    async fn exchange(
        &self,
        request: Request,
        by: Egress,
        begin_by: Option<Instant>,
        is_status_enough: bool,
    ) -> Result<Response, TransportError> {
        let not_connected = |why: &str| TransportError::NotConnected(why.to_owned());
        let timeout = request.timeout;
        let deadline = Instant::now() + timeout;
        let late = || format!("no complete answer within {timeout:?}");
        let origin = Origin::of(&request.url, by).ok_or_else(|| not_connected("the URL is not valid"))?;
        let connection = timeout_at(deadline, self.pool.take(&origin)).await;
        let connection = connection.map_err(|_| not_connected(&late()))?.map_err(TransportError::NotConnected)?;
        let line = Line::new(connection, &request.method, begin_by);
        let attempt = LINE.scope(line.clone(), self.attempt(request, is_status_enough));
        let outcome = timeout_at(deadline, attempt).await.unwrap_or_else(|_| Err(late()));
        let End { connection, begun, late, lack } = line.end();
        if let Some(connection) = connection {
            self.pool.keep(connection);
        }
        match (outcome, lack) {
            (Err(_), _) if late => Err(TransportError::TooLate),
            (Err(why), _) if !begun => Err(TransportError::NotConnected(why)),
            (Ok(_), Some(lack)) if !is_status_enough => Err(TransportError::Lost(lack.to_owned())),
            (Err(why), lack) => Err(TransportError::Lost(lack.map_or(why, str::to_owned))),
            (Ok(response), _) => Ok(response),
        }
    }

    /// Writes a request and reads the answer, on the line of this task.
    async fn attempt(&self, request: Request, is_status_enough: bool) -> Result<Response, String> {
        let invalid = || "the URL is not valid".to_owned();
        let mut url = request.url.clone();
        // The line is encrypted where it has to be; the client must not do so again.
        url.set_scheme("http").map_err(|()| invalid())?;
        let uri: Uri = url.as_str().parse().map_err(|_| invalid())?;
        let mut outgoing = self
            .http
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
        let mut answer = outgoing.send_body(request.body).await.map_err(|error| reason(&error))?;
        let body = match self.body(&mut answer, request.longest).await {
            Err(_) if is_status_enough => vec![],
            body => body?,
        };
        Ok(Response { status: answer.status(), headers: answer.headers().clone(), body })
    }

    /// Reads a body of at most `longest` bytes. Large ones come one after the other, so that many of them do not take all
    /// memory.
    async fn body<S>(&self, answer: &mut awc::ClientResponse<S>, longest: usize) -> Result<Vec<u8>, String>
    where
        awc::ClientResponse<S>:
            futures_util::Stream<Item = Result<actix_web::web::Bytes, awc::error::PayloadError>> + Unpin,
    {
        let too_large = || "the body is too large".to_owned();
        let (mut body, mut place): (Vec<u8>, Option<SemaphorePermit<'_>>) = (Vec::new(), None);
        while let Some(bytes) = answer.next().await {
            let bytes = bytes.map_err(|error| format!("the body broke off: {error}"))?;
            if body.len() + bytes.len() > longest {
                return Err(too_large());
            }
            if place.is_none() && body.len() + bytes.len() > Request::USUAL {
                place = self.large.acquire().await.ok();
            }
            body.extend_from_slice(&bytes);
        }
        decoded(answer.headers(), body, longest).map_err(|undone| match undone {
            Undone::TooLarge => too_large(),
            Undone::Broken => "the body cannot be unpacked".to_owned(),
        })
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
