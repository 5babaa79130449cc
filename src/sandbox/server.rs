//! The server that speaks for the simulated clouds, on threads of its own.

use std::{
    any::Any,
    fmt,
    io::{self, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
    sync::mpsc,
    thread::JoinHandle,
    time::Instant,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    body::SizedStream,
    dev::{Extensions, ServerHandle},
    http::StatusCode,
    rt::{System, net::TcpStream as AsyncTcpStream, time::sleep},
    web::{self, Bytes},
};
use futures_util::stream::{self, StreamExt};

use super::{
    Clouds, Headers,
    answer::Answer,
    control,
    handler::{self, Delivery},
    log::Incoming,
};

/// Bodies may have 12 MB, as at the vendor.
const MAX_BODY: usize = 12 << 20;

/// Simulated clouds at work; they stop when this is dropped.
pub struct Sandbox {
    pub addr: SocketAddr,
    /// `http://` and the address: an endpoint for every vendor, IAM included.
    pub url: String,
    pub clouds: Clouds,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Serves these clouds at that address; port 0 takes any free one. It runs on a thread and a runtime of its
    /// own, so it may be started from anywhere.
    pub fn start(listen: SocketAddr, clouds: Clouds) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        let addr = listener.local_addr()?;
        let (started, handle) = mpsc::channel();
        let served = clouds.clone();
        let serve = move || System::new().block_on(serve(listener, served, started));
        let thread = std::thread::Builder::new().name("sandbox".into()).spawn(serve)?;
        let handle = handle.recv().map_err(|_| io::Error::other("the sandbox did not start"))??;
        Ok(Self { addr, url: format!("http://{addr}"), clouds, handle, thread: Some(thread) })
    }

    /// Stops; connections that are still open, hanging ones included, are closed.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // The command is on its way when the call returns; the thread ends when it is carried out.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to stop.
            thread.join().unwrap_or_default();
        }
    }
}

async fn serve(listener: TcpListener, clouds: Clouds, started: mpsc::Sender<io::Result<ServerHandle>>) {
    let clouds = web::Data::new(clouds);
    let app = move || {
        App::new()
            .app_data(clouds.clone())
            .app_data(web::PayloadConfig::new(MAX_BODY))
            .configure(control::routes)
            .default_service(web::to(answer))
    };
    let server = HttpServer::new(app).workers(1).disable_signals().on_connect(remember_socket).listen(listener);
    let server = match server {
        Ok(server) => server.run(),
        Err(error) => return started.send(Err(error)).unwrap_or_default(),
    };
    started.send(Ok(server.handle())).unwrap_or_default();
    if let Err(error) = server.await {
        tracing::error!(%error, "the sandbox stopped");
    }
}

/// A second handle on the connection's socket, for what the server would not do.
struct Socket(TcpStream);

fn remember_socket(connection: &dyn Any, data: &mut Extensions) {
    let stream = connection.downcast_ref::<AsyncTcpStream>();
    if let Some(Ok(twin)) = stream.map(|stream| stream.as_fd().try_clone_to_owned()) {
        data.insert(Socket(twin.into()));
    }
}

fn cut(request: &HttpRequest) {
    if let Some(socket) = request.conn_data::<Socket>() {
        // It may be closed already, which is what is wanted.
        socket.0.shutdown(Shutdown::Both).unwrap_or_default();
    }
}

async fn answer(request: HttpRequest, body: Bytes, clouds: web::Data<Clouds>) -> HttpResponse {
    let (answer, delivery) = {
        let mut state = clouds.state();
        let incoming = incoming(&request, &body, state.clock.now());
        handler::receive(&mut state, incoming)
    };
    match delivery {
        Delivery::Plain => whole(answer),
        Delivery::After(time) => {
            sleep(time).await;
            whole(answer)
        }
        Delivery::Held(mut held) => {
            // The sender lives as long as the clouds.
            held.changed().await.unwrap_or_default();
            whole(answer)
        }
        Delivery::Never => std::future::pending().await,
        Delivery::Closed => {
            cut(&request);
            HttpResponse::NoContent().finish()
        }
        Delivery::Half if answer.body.is_empty() => {
            cut(&request);
            HttpResponse::NoContent().finish()
        }
        Delivery::Half => half(answer),
        Delivery::Interim(interim) => {
            write(&request, &interim.bytes());
            sleep(interim.pause).await;
            if interim.ends {
                cut(&request);
            }
            whole(answer)
        }
        Delivery::Raw { bytes, closes } => {
            write(&request, &bytes);
            if !closes {
                return std::future::pending().await;
            }
            cut(&request);
            HttpResponse::NoContent().finish()
        }
    }
}

/// Writes past the server.
fn write(request: &HttpRequest, bytes: &[u8]) {
    if let Some(socket) = request.conn_data::<Socket>() {
        // The peer may have gone, which is no matter here.
        (&socket.0).write_all(bytes).unwrap_or_default();
    }
}

fn incoming(request: &HttpRequest, body: &Bytes, at: time::OffsetDateTime) -> Incoming {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = request.headers().iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
    Incoming {
        arrived: Instant::now(),
        at,
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers: headers.collect::<Headers>(),
        body: body.to_vec(),
    }
}

fn head(answer: &Answer) -> actix_web::HttpResponseBuilder {
    let mut head = HttpResponse::build(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK));
    if let Some(kind) = &answer.content_type {
        head.content_type(kind.as_str());
    }
    for (name, value) in &answer.headers {
        head.insert_header((name.as_str(), value.as_str()));
    }
    head
}

fn whole(answer: Answer) -> HttpResponse {
    head(&answer).body(answer.body)
}

/// Announces the whole body and sends half of it. The pause lets the half leave before the stream fails and the
/// connection with it.
fn half(answer: Answer) -> HttpResponse {
    let length = answer.body.len() as u64;
    let mut head = head(&answer);
    let mut body = answer.body;
    body.truncate(body.len() / 2);
    let broken = async {
        tokio::task::yield_now().await;
        Err(io::Error::other("cut off on purpose"))
    };
    let stream = stream::iter([Ok(Bytes::from(body))]).chain(stream::once(broken));
    head.body(SizedStream::new(length, Box::pin(stream)))
}
