//! What holds for a connection as a whole: how long its client may leave unread what it was sent, how many requests one may
//! have under way, and the certificate that its client has shown.

use std::{any::Any, cell::Cell, rc::Rc, time::Duration};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{
    Error, HttpRequest, ResponseError as _,
    body::{BoxBody, MessageBody},
    dev::{Extensions, ServiceRequest, ServiceResponse},
    http::Version,
    middleware::Next,
    rt::net::TcpStream,
};

use super::{answers, problem::Failure};
use crate::{
    auth::ClientCertificate,
    domain::{Problem, ProblemCode},
};

/// How long a client may leave unread what it was sent before its connection is broken.
const UNREAD: Duration = Duration::from_mins(1);

/// How many requests one connection of HTTP/2 may have under way. The server sets its clients no limit, and a request that its
/// client takes back is worked on to its end: more than this are turned away before anything is done for them.
pub const MOST_STREAMS: usize = 512;

/// How many requests of a connection are under way.
#[derive(Debug, Clone, Default)]
struct UnderWay(Rc<Cell<usize>>);

/// One of them.
struct One(UnderWay);

impl UnderWay {
    fn one(&self) -> Option<One> {
        let many = self.0.get();
        (many < MOST_STREAMS).then(|| {
            self.0.set(many + 1);
            One(self.clone())
        })
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get().saturating_sub(1));
    }
}

/// Notes what is known of a connection; to be called for each as it is made.
pub fn begin(connection: &dyn Any, known: &mut Extensions) {
    limit_unread(connection);
    known.insert(UnderWay::default());
    let session = connection.downcast_ref::<TlsStream<TcpStream>>().map(|stream| stream.get_ref().1);
    let shown = session.and_then(|session| session.peer_certificates()?.first());
    if let Some(certificate) = shown.and_then(|shown| ClientCertificate::read(shown)) {
        known.insert(certificate);
    }
}

/// The certificate that the client of the request's connection has shown.
pub(super) fn certificate_of(request: &HttpRequest) -> Option<&ClientCertificate> {
    request.conn_data()
}

/// Breaks connections whose client does not read what it is sent: the server itself waits for a client for as long as the
/// connection stands.
pub fn limit_unread(connection: &dyn Any) {
    #[cfg(target_os = "linux")]
    let plain = connection.downcast_ref::<TcpStream>();
    #[cfg(target_os = "linux")]
    let encrypted = connection.downcast_ref::<TlsStream<TcpStream>>().map(|stream| stream.get_ref().0);
    #[cfg(target_os = "linux")]
    if let Some(connection) = plain.or(encrypted)
        && let Err(error) = socket2::SockRef::from(connection).set_tcp_user_timeout(Some(UNREAD))
    {
        tracing::warn!(%error, "how long a client may leave its answer unread cannot be limited");
    }
}

/// Turns away what is too much for one connection. A connection of HTTP/1.1 has one request at a time.
pub(super) async fn within_limit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if request.version() != Version::HTTP_2 {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let under_way = request.request().conn_data::<UnderWay>().map(UnderWay::one);
    let Some(None) = under_way else {
        return Ok(answers::keeping(next.call(request).await?, under_way));
    };
    let sentence =
        format!("this connection has {MOST_STREAMS} requests under way: wait for some of them, or make another");
    let refused = Failure::from(Problem::new(ProblemCode::Overloaded, sentence)).error_response();
    Ok(request.into_response(refused))
}
