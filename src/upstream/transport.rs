//! Carries requests; the only module that sends anything.
//!
//! It keeps apart what every decision about a kill rests on: [`TransportError::NotConnected`] and
//! [`TransportError::TooLate`] mean that surely no byte of the request left, everything else that is not a whole response
//! is [`TransportError::Lost`]. A response is whole where it said where it ends and came up to there. It never repeats a
//! request and follows no redirect.

mod client;
mod coding;
mod connect;
mod egress;
mod later;
mod line;
mod proxy;
mod watch;
mod ways;

use std::{fmt, io, sync::mpsc as std_mpsc, thread, time::Duration};

use actix_web::http::{Method, StatusCode, header::HeaderMap};
use thiserror::Error;
use time::OffsetDateTime;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use url::Url;

pub(crate) use egress::out_of_time;
pub(super) use egress::reason;
pub use egress::{Egress, PublicRoots, system};
pub use proxy::{Proxy, Spared};
pub use ways::Ways;

/// What to send.
pub struct Request {
    pub method: Method,
    pub url: Url,
    /// Beside these, `Host`, `User-Agent`, `Accept-Encoding` and `Content-Length` are sent.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Longest time from now to the last byte of the response.
    pub timeout: Duration,
    /// Longest body that is read, in bytes; also after it was unpacked.
    pub longest: usize,
}

impl Request {
    /// The usual `longest`.
    pub const USUAL: usize = 8 * 1024 * 1024;

    /// A post of JSON text.
    #[must_use]
    pub fn json(url: Url, body: String, timeout: Duration) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self { method: Method::POST, url, headers, body: body.into_bytes(), timeout, longest: Self::USUAL }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        write!(f, "Request({} {}://{host}{})", self.method, self.url.scheme(), self.url.path())
    }
}

/// A response.
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header, where it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long the peer asks to wait before the next request, in whole seconds and at most a day, where it does.
    #[must_use]
    pub fn retry_after(&self, now: OffsetDateTime) -> Option<Duration> {
        later::wait(self.header("retry-after")?, now)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {} bytes)", self.status, self.body.len())
    }
}

/// Why there is no whole response. The texts name no header and quote no body.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransportError {
    /// Surely no byte of the request left.
    #[error("no connection was made: {0}")]
    NotConnected(String),
    /// Its time was over before it was begun: surely no byte of the request left.
    #[error("it was too late to begin")]
    TooLate,
    /// Bytes of the request may have left.
    #[error("the answer was lost: {0}")]
    Lost(String),
}

/// What the thread is asked for; nobody may be waiting for it any more.
enum Letter {
    Exchange(Exchange),
    /// So many idle connections to that URL's origin.
    Warm {
        url: Url,
        by: Egress,
        many: usize,
        done: oneshot::Sender<()>,
    },
}

/// A request, when its first byte must have left at the latest, and where its response goes.
struct Exchange {
    request: Request,
    by: Egress,
    begin_by: Option<Instant>,
    is_status_enough: bool,
    reply: oneshot::Sender<Result<Response, TransportError>>,
}

/// A handle to the thread that sends, and the way its requests take. The thread ends when the last handle is gone and its
/// exchanges are over.
#[derive(Clone)]
pub struct Transport {
    letters: mpsc::UnboundedSender<Letter>,
    by: Egress,
}

impl Transport {
    /// Starts the thread. `connect_timeout` bounds name resolution, TCP and a proxy's answer together, and then the TLS
    /// handshake. Whom the web believes is believed.
    ///
    /// # Errors
    /// No thread, or no event loop, could be made.
    pub fn start(connect_timeout: Duration) -> io::Result<Self> {
        // Somebody else may have chosen the same provider before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (letters, inbox) = mpsc::unbounded_channel();
        let (started, starting) = std_mpsc::sync_channel(1);
        thread::Builder::new().name("transport".to_owned()).spawn(move || match actix_web::rt::Runtime::new() {
            Ok(runtime) => {
                let _ = started.send(Ok(()));
                runtime.block_on(client::serve(inbox, connect_timeout));
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        })?;
        starting.recv().map_err(io::Error::other)??;
        Ok(Self { letters, by: Egress::web() })
    }

    /// The same thread by another way.
    #[must_use]
    pub fn by(&self, by: Egress) -> Self {
        Self { letters: self.letters.clone(), by }
    }

    /// The same thread, and never through a proxy.
    #[must_use]
    pub fn directly(&self) -> Self {
        self.by(self.by.through(None, vec![]))
    }

    /// Sends a request once and waits for its whole response. An exchange that has begun runs to its end even
    /// where the caller goes away.
    ///
    /// # Errors
    /// [`TransportError`] says whether bytes may have left.
    pub async fn send(&self, request: Request) -> Result<Response, TransportError> {
        self.post(request, None, false).await
    }

    /// The same, unless its first byte could leave after `begin_by` only. A connection that was made meanwhile is kept,
    /// for the next one.
    pub async fn send_by(&self, begin_by: Instant, request: Request) -> Result<Response, TransportError> {
        self.post(request, Some(begin_by), false).await
    }

    /// The same as [`send`](Self::send) for whom the head of the response is enough: whatever becomes of the body, it is
    /// taken, as far as it came.
    pub async fn deliver(&self, request: Request) -> Result<Response, TransportError> {
        self.post(request, None, true).await
    }

    /// Sees to it that so many connections to a URL's origin are ready, and waits for those that can be made in a second.
    pub async fn warm(&self, url: Url, many: usize) {
        let (done, is_done) = oneshot::channel();
        // Whoever sends then hears what is wrong.
        if self.letters.send(Letter::Warm { url, by: self.by.clone(), many, done }).is_ok() {
            let _ = is_done.await;
        }
    }

    async fn post(
        &self,
        request: Request,
        begin_by: Option<Instant>,
        is_status_enough: bool,
    ) -> Result<Response, TransportError> {
        let (reply, answer) = oneshot::channel();
        let gone = |_| TransportError::NotConnected("the transport has stopped".to_owned());
        let exchange = Exchange { request, by: self.by.clone(), begin_by, is_status_enough, reply };
        self.letters.send(Letter::Exchange(exchange)).map_err(gone)?;
        answer.await.unwrap_or_else(|_| Err(TransportError::Lost("the exchange was broken off".to_owned())))
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transport").field(&self.by).finish()
    }
}

#[cfg(test)]
pub(super) mod tests;
