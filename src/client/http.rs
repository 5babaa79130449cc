//! Requests to a gateway, or to an issuer, for commands that are clients.
//!
//! A thread owns the HTTP client, which is not `Send`; whoever asks has a handle. No redirect is followed: what goes with a
//! request is meant for the address that was given. The client takes a body that was cut off for one that has ended, so
//! whoever reads one has to know its end by what is in it.

use std::{fmt, fs, io, path::Path, rc::Rc, sync::Arc, thread, time::Duration};

use actix_web::{
    http::{
        Method, StatusCode,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
    web::Bytes,
};
use awc::error::{ConnectError, SendRequestError};
use futures_util::StreamExt as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use url::Url;

use super::failure::Failure;
use crate::pem;

/// Longest time for a connection with its TLS.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest time from one piece of a body to the next: a stream shows every 15 seconds that it lives.
const SILENCE: Duration = Duration::from_mins(1);
/// How long a connection may be idle and be used again.
const FRESH: Duration = Duration::from_secs(4);
/// Longest body that is read as a whole, in bytes.
const LONGEST: usize = 64 * 1024 * 1024;

/// What to send.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// Longest time until the head of the answer.
    pub(super) patience: Duration,
}

/// The head of an answer, and its body as it comes.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: mpsc::Receiver<Result<Bytes, String>>,
}

/// Why there is no answer.
#[derive(Debug, Clone)]
pub(super) enum NoAnswer {
    /// Surely nothing of the request left.
    NotConnected(String),
    /// It may have arrived.
    Lost(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected(why) => write!(f, "cannot be reached: {why}"),
            Self::Lost(why) => write!(f, "did not answer: {why}"),
        }
    }
}

struct Exchange {
    request: Request,
    reply: oneshot::Sender<Result<Answer, NoAnswer>>,
}

/// A handle to the thread.
#[derive(Clone)]
pub(super) struct Http(mpsc::UnboundedSender<Exchange>);

impl Http {
    /// Trusts the system's roots, or where there are none the world's; or those of a file alone.
    pub(super) fn start(ca_file: Option<&Path>) -> Result<Self, Failure> {
        // Somebody else may have chosen the same provider before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let roots = roots(ca_file)?;
        let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (exchanges, inbox) = mpsc::unbounded_channel();
        let run = move || match actix_web::rt::Runtime::new() {
            Ok(runtime) => runtime.block_on(serve(inbox, Arc::new(tls))),
            // Whoever asks is told that the thread is gone.
            Err(_) => drop(inbox),
        };
        let started = thread::Builder::new().name("client".to_owned()).spawn(run);
        started.map_err(|error| Failure::here(format!("no thread could be made: {error}")))?;
        Ok(Self(exchanges))
    }

    pub(super) async fn send(&self, request: Request) -> Result<Answer, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        let gone = || NoAnswer::NotConnected("the client has stopped".to_owned());
        self.0.send(Exchange { request, reply }).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl Answer {
    /// The next piece of the body; `None` once it has ended, or was cut off.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, NoAnswer> {
        self.body.recv().await.transpose().map_err(NoAnswer::Lost)
    }

    pub(super) async fn whole(mut self) -> Result<Vec<u8>, NoAnswer> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            if body.len() + piece.len() > LONGEST {
                return Err(NoAnswer::Lost("the answer is too large".to_owned()));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

async fn serve(mut inbox: mpsc::UnboundedReceiver<Exchange>, tls: Arc<ClientConfig>) {
    let connector = awc::Connector::new().timeout(CONNECT).handshake_timeout(CONNECT).conn_keep_alive(FRESH);
    #[expect(clippy::disallowed_methods, reason = "a person's own command, which reaches no vendor")]
    let builder = awc::Client::builder();
    let client = builder.connector(connector.rustls_0_23(tls)).disable_redirects().disable_timeout().finish();
    let client = Rc::new(client);
    while let Some(Exchange { request, reply }) = inbox.recv().await {
        let client = Rc::clone(&client);
        actix_web::rt::spawn(async move { exchange(&client, request, reply).await });
    }
}

async fn exchange(client: &awc::Client, request: Request, reply: oneshot::Sender<Result<Answer, NoAnswer>>) {
    let sent = timeout(request.patience, begin(client, request)).await;
    let mut answer = match sent.unwrap_or_else(|_| Err(NoAnswer::Lost("it took too long".to_owned()))) {
        Ok(answer) => answer,
        Err(error) => {
            let _ = reply.send(Err(error));
            return;
        }
    };
    let (pieces, body) = mpsc::channel(8);
    let head = Answer { status: answer.status(), headers: answer.headers().clone(), body };
    // Whoever goes away ends it.
    if reply.send(Ok(head)).is_err() {
        return;
    }
    loop {
        let piece = tokio::select! {
            piece = timeout(SILENCE, answer.next()) => piece,
            () = pieces.closed() => return,
        };
        let piece = match piece {
            Ok(None) => return,
            Ok(Some(Ok(piece))) => Ok(piece),
            Ok(Some(Err(error))) => Err(format!("the answer broke off: {error}")),
            Err(_) => Err("the answer broke off: nothing came for a minute".to_owned()),
        };
        if pieces.send(piece).await.is_err() {
            return;
        }
    }
}

async fn begin(client: &awc::Client, request: Request) -> Result<awc::ClientResponse, NoAnswer> {
    let mut outgoing = client
        .request(request.method, request.url.as_str())
        .insert_header(("user-agent", concat!("killgate/", env!("CARGO_PKG_VERSION"))))
        .insert_header(("accept-encoding", "identity"))
        .no_decompress();
    for (name, value) in request.headers {
        // The value may be a secret, and is quoted nowhere.
        let invalid = || NoAnswer::NotConnected(format!("the header {name} cannot be sent"));
        let value = HeaderValue::try_from(value).map_err(|_| invalid())?;
        outgoing = outgoing.insert_header((HeaderName::from_static(name), value));
    }
    outgoing.send_body(request.body).await.map_err(|error| reason(&error))
}

fn reason(error: &SendRequestError) -> NoAnswer {
    match error {
        SendRequestError::Connect(ConnectError::Disconnected) => {
            NoAnswer::Lost("the connection ended before the answer".to_owned())
        }
        SendRequestError::Connect(ConnectError::Io(error)) => NoAnswer::NotConnected(said(error)),
        SendRequestError::Connect(error) => NoAnswer::NotConnected(error.to_string()),
        SendRequestError::Url(error) => NoAnswer::NotConnected(error.to_string()),
        SendRequestError::Response(_) => NoAnswer::Lost("the answer is not HTTP, or was cut off".to_owned()),
        SendRequestError::Send(error) => NoAnswer::Lost(said(error)),
        other => NoAnswer::Lost(other.to_string()),
    }
}

/// What an error of the system or of TLS says.
fn said(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => format!("TLS: {tls}"),
        None => error.to_string(),
    }
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let name = path.display();
        let pem = fs::read(path).map_err(|error| Failure::wrong(format!("--ca-file: cannot read {name}: {error}")))?;
        let none = || Failure::wrong(format!("--ca-file: {name} has no certificate in PEM"));
        for certificate in pem::certificates(&pem).ok_or_else(none)? {
            let bad = |_| Failure::wrong(format!("--ca-file: a certificate of {name} cannot be used"));
            roots.add(certificate).map_err(bad)?;
        }
        return Ok(roots);
    }
    // What of the system cannot be read is as if it were not there.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(roots)
}
