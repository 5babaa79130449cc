//! Connections: made for an origin, and kept for a moment when they are not in use.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    net::IpAddr,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};
use url::{Host, Url};

use super::egress::{Egress, reason};

/// How long a connection may have been idle to be used again. Servers close theirs after 5 s or more, and a request that
/// meets a connection which is being closed is lost: nobody can tell whether it was read.
const FRESH: Duration = Duration::from_secs(4);
/// How long a connection may live in all, so that a change of the address behind a name is followed.
const OLDEST: Duration = Duration::from_secs(75);
/// How long is waited for connections that are made ahead; what takes longer is made all the same.
const WARM_UP: Duration = Duration::from_secs(1);
/// Most connections to one origin that are made ahead at once.
const AHEAD: usize = 32;

/// What a connection can do.
trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// Where a connection leads, whether it is encrypted, and the way it takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    host: Host,
    port: u16,
    is_tls: bool,
    by: Egress,
}

impl Origin {
    /// The origin of that URL, reached that way; `None` where it has no host, or is neither http nor https.
    pub(super) fn of(url: &Url, by: Egress) -> Option<Self> {
        let is_tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        Some(Self { host: url.host()?.to_owned(), port: url.port_or_known_default()?, is_tls, by })
    }
}

/// A connection to an origin.
pub(super) struct Connection {
    origin: Origin,
    io: Box<dyn Io>,
    made: Instant,
    last_used: Instant,
}

impl Connection {
    fn is_young(&self, now: Instant) -> bool {
        now.duration_since(self.last_used) <= FRESH && now.duration_since(self.made) <= OLDEST
    }

    /// Whether it may be used again: young, open, and nothing on it that nobody asked for.
    fn is_fit(&mut self, now: Instant) -> bool {
        let (mut byte, mut context) = ([0; 1], Context::from_waker(Waker::noop()));
        self.is_young(now) && Pin::new(&mut self.io).poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_pending()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, to)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

/// Makes connections and keeps those that are idle.
pub(super) struct Pool {
    /// Bounds name resolution, TCP and a proxy's answer together, and then the TLS handshake.
    patience: Duration,
    places: RefCell<HashMap<Origin, Rc<RefCell<Place>>>>,
}

/// The connections to one origin.
#[derive(Default)]
struct Place {
    /// The one that was used last is at the end.
    idle: Vec<Connection>,
    /// How many are being made ahead.
    coming: usize,
    /// Since when some are.
    coming_since: Option<Instant>,
    /// Wakes whoever waits for those.
    changed: Rc<Notify>,
}

impl Pool {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, places: RefCell::default() }
    }

    fn place(&self, origin: &Origin) -> Rc<RefCell<Place>> {
        Rc::clone(self.places.borrow_mut().entry(origin.clone()).or_default())
    }

    /// An idle connection, or a new one.
    ///
    /// # Errors
    /// Why none could be made; nothing of a request has left.
    pub(super) async fn take(&self, origin: &Origin) -> Result<Connection, String> {
        let place = self.place(origin);
        let idle = {
            let (mut place, now) = (place.borrow_mut(), Instant::now());
            std::iter::from_fn(|| place.idle.pop()).find_map(|mut idle| idle.is_fit(now).then_some(idle))
        };
        match idle {
            Some(idle) => Ok(idle),
            None => self.make(origin).await,
        }
    }

    /// Keeps a connection for the next exchange.
    pub(super) fn keep(&self, mut connection: Connection) {
        let (place, now) = (self.place(&connection.origin), Instant::now());
        connection.last_used = now;
        let mut place = place.borrow_mut();
        place.idle.retain(|idle| idle.is_young(now));
        place.idle.push(connection);
        place.changed.notify_waiters();
    }

    /// Sees to it that so many connections to an origin are idle, as far as they can be made, and waits a moment for them.
    /// Those that are being made already count, and for what has been waited for long enough nobody waits again.
    pub(super) async fn warm(self: Rc<Self>, origin: Origin, many: usize) {
        let (place, many) = (self.place(&origin), many.min(AHEAD));
        let (missing, since) = {
            let mut place = place.borrow_mut();
            let now = Instant::now();
            place.idle.retain_mut(|idle| idle.is_fit(now));
            let missing = many.saturating_sub(place.idle.len() + place.coming);
            place.coming += missing;
            if place.coming == 0 {
                return;
            }
            (missing, *place.coming_since.get_or_insert(now))
        };
        for _ in 0..missing {
            let (pool, origin, place) = (Rc::clone(&self), origin.clone(), Rc::clone(&place));
            // On its own: whoever waits may go on without it, and it is of use all the same.
            actix_web::rt::spawn(async move {
                let made = pool.make(&origin).await;
                place.borrow_mut().came();
                match made {
                    Ok(connection) => pool.keep(connection),
                    // The exchange that needs it will say so.
                    Err(_) => place.borrow().changed.notify_waiters(),
                }
            });
        }
        let _ = timeout_at(since + WARM_UP, Self::wait(&place, many)).await;
    }

    /// Waits until so many connections are idle, or none is coming any more.
    async fn wait(place: &RefCell<Place>, many: usize) {
        loop {
            let changed = Rc::clone(&place.borrow().changed);
            let mut changed = pin!(changed.notified());
            changed.as_mut().enable();
            if place.borrow().coming == 0 || place.borrow().idle.len() >= many {
                return;
            }
            changed.await;
        }
    }

    async fn make(&self, origin: &Origin) -> Result<Connection, String> {
        let late = |_| "timeout".to_owned();
        let tcp = timeout(self.patience, tcp(origin)).await.map_err(late)?.map_err(|error| reason(&error))?;
        let io: Box<dyn Io> = if origin.is_tls {
            let name = server_name(&origin.host)?;
            let tls = timeout(self.patience, origin.by.tls().connect(name, tcp)).await.map_err(late)?;
            Box::new(tls.map_err(|error| format!("TLS: {}", reason(&error)))?)
        } else {
            Box::new(tcp)
        };
        let now = Instant::now();
        Ok(Connection { origin: origin.clone(), io, made: now, last_used: now })
    }
}

impl Place {
    /// One that was coming is there, or will never be.
    fn came(&mut self) {
        self.coming -= 1;
        if self.coming == 0 {
            self.coming_since = None;
        }
    }
}

async fn tcp(origin: &Origin) -> io::Result<TcpStream> {
    let Origin { host, port, by, .. } = origin;
    let Some(proxy) = by.proxy_to(host, *port) else { return tcp_to(host, *port).await };
    let lost = |error: io::Error| io::Error::new(error.kind(), format!("proxy {}: {error}", proxy.address()));
    let mut stream = tcp_to(proxy.host(), proxy.port()).await.map_err(lost)?;
    proxy.tunnel(&mut stream, host, *port).await.map_err(lost)?;
    Ok(stream)
}

async fn tcp_to(host: &Host, port: u16) -> io::Result<TcpStream> {
    let stream = match host {
        Host::Domain(name) => TcpStream::connect((name.as_str(), port)).await,
        Host::Ipv4(address) => TcpStream::connect((*address, port)).await,
        Host::Ipv6(address) => TcpStream::connect((*address, port)).await,
    }?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn server_name(host: &Host) -> Result<ServerName<'static>, String> {
    match host {
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| "the host name is not valid".to_owned()),
        Host::Ipv4(address) => Ok(ServerName::from(IpAddr::V4(*address))),
        Host::Ipv6(address) => Ok(ServerName::from(IpAddr::V6(*address))),
    }
}
