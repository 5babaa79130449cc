//! Carries requests; the only module that sends anything.
//!
//! It keeps apart what every decision about a kill rests on: [`TransportError::NotConnected`] and
//! [`TransportError::TooLate`] mean that surely no byte of the request left, everything else that is not a complete response is [`TransportError::Lost`]. It never
//! repeats a request and follows no redirect.

mod client;

use std::{fmt, io, sync::mpsc as std_mpsc, thread, time::Duration};

use actix_web::http::{Method, StatusCode, header::HeaderMap};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use url::Url;

/// What to send.
pub struct Request {
    pub method: Method,
    pub url: Url,
    /// Beside these, `Host`, `User-Agent`, `Accept-Encoding` and `Content-Length` are sent.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Longest time from now to the last byte of the response.
    pub timeout: Duration,
}

impl Request {
    /// A post of JSON text.
    #[must_use]
    pub fn json(url: Url, body: String, timeout: Duration) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self { method: Method::POST, url, headers, body: body.into_bytes(), timeout }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        write!(f, "Request({} {}://{host}{})", self.method, self.url.scheme(), self.url.path())
    }
}

/// A complete response.
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
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {} bytes)", self.status, self.body.len())
    }
}

/// Why there is no complete response. The texts name no header and quote no body.
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

/// A request, when it must be begun at the latest, and where its response goes; nobody may be waiting for it any more.
struct Letter {
    request: Request,
    begin_by: Option<Instant>,
    reply: oneshot::Sender<Result<Response, TransportError>>,
}

/// A handle to the thread that sends. The thread ends when the last handle is gone and its exchanges are over.
#[derive(Clone)]
pub struct Transport(mpsc::UnboundedSender<Letter>);

impl Transport {
    /// Starts the thread. `connect_timeout` bounds name resolution and TCP together, and then the TLS handshake.
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
        Ok(Self(letters))
    }

    /// Sends a request once and waits for its complete response. An exchange that has begun runs to its end even
    /// where the caller goes away.
    ///
    /// # Errors
    /// [`TransportError`] says whether bytes may have left.
    pub async fn send(&self, request: Request) -> Result<Response, TransportError> {
        self.post(request, None).await
    }

    /// The same, unless the thread gets to it after `begin_by` only. What connecting takes comes after that.
    pub async fn send_by(&self, begin_by: Instant, request: Request) -> Result<Response, TransportError> {
        self.post(request, Some(begin_by)).await
    }

    async fn post(&self, request: Request, begin_by: Option<Instant>) -> Result<Response, TransportError> {
        let (reply, answer) = oneshot::channel();
        let gone = |_| TransportError::NotConnected("the transport has stopped".to_owned());
        self.0.send(Letter { request, begin_by, reply }).map_err(gone)?;
        answer.await.unwrap_or_else(|_| Err(TransportError::Lost("the exchange was broken off".to_owned())))
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

#[cfg(test)]
pub(super) mod tests;
