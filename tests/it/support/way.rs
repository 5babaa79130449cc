//! A proxy between a gateway and its server, which does to what goes through what a test says.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::oneshot,
};

use super::patience::in_time;

/// See the module; it goes with its runtime.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    rules: Arc<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    /// Whoever waits for these bytes of a client's.
    held: Mutex<Option<(Vec<u8>, oneshot::Sender<Held>)>>,
    /// What of a server's is put otherwise.
    otherwise: Mutex<Option<(Vec<u8>, Vec<u8>)>>,
}

/// Bytes that were held before they got to the server.
#[derive(Debug)]
pub(crate) struct Held(oneshot::Sender<Then>);

/// What becomes of bytes that were held.
#[derive(Debug)]
pub(crate) enum Then {
    /// They go on.
    Pass,
    /// They never arrive, and the connection is cut.
    Cut,
    /// They arrive, and the connection is cut before anything comes back.
    PassAndCut,
}

/// An address at which nobody listens, nor ever does as long as the socket is kept.
pub(crate) fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

impl Held {
    pub(crate) fn then(self, then: Then) {
        self.0.send(then).expect("the connection");
    }
}

impl Proxy {
    pub(crate) async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (address, rules) = (listener.local_addr().expect("an address"), Arc::new(Rules::default()));
        let of_all = Arc::clone(&rules);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = TcpStream::connect(&server).await {
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    let back = tokio::spawn(carry_back(from_server, to_client, Arc::clone(&of_all)));
                    let rules = Arc::clone(&of_all);
                    tokio::spawn(async move {
                        carry(from_client, to_server, &rules, || back.abort()).await;
                        back.abort();
                    });
                }
            }
        });
        Self { address, rules }
    }

    /// The next message of a client's with these bytes, held.
    pub(crate) fn hold(&self, bytes: &str) -> impl Future<Output = Result<Held, oneshot::error::RecvError>> + use<> {
        let (reached, held) = oneshot::channel();
        *self.rules.held.lock().unwrap() = Some((bytes.into(), reached));
        in_time(held)
    }

    /// Puts these bytes of the server's as those, which are as many.
    pub(crate) fn put(&self, bytes: &str, otherwise: &str) {
        assert_eq!(bytes.len(), otherwise.len());
        *self.rules.otherwise.lock().unwrap() = Some((bytes.into(), otherwise.into()));
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, rules: &Rules, cut: impl Fn()) {
    let mut bytes = vec![0; 1 << 20];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let held = rules.held.lock().unwrap().take_if(|(wanted, _)| find(&bytes[..count], wanted).is_some());
        let (tell, told) = oneshot::channel();
        let then = match held.map(|(_, reached)| reached.send(Held(tell))) {
            Some(Ok(())) => told.await.unwrap_or(Then::Pass),
            Some(Err(_)) | None => Then::Pass,
        };
        match then {
            Then::Pass => {}
            Then::Cut => return,
            Then::PassAndCut => cut(),
        }
        if to.write_all(&bytes[..count]).await.is_err() || matches!(then, Then::PassAndCut) {
            return;
        }
    }
}

async fn carry_back(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, rules: Arc<Rules>) {
    let mut bytes = vec![0; 1 << 20];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if let Some((wanted, otherwise)) = &*rules.otherwise.lock().unwrap() {
            while let Some(at) = find(&bytes[..count], wanted) {
                bytes[at..at + otherwise.len()].copy_from_slice(otherwise);
            }
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
