//! A TCP proxy that loses an answer.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Passes everything on, until a client sends a certain text: that is passed on too, what the server answers is not, and both
/// connections end. It happens once.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: String,
    serving: JoinHandle<()>,
}

impl Proxy {
    /// Before the server at an address.
    pub(crate) async fn start(server: &str, text: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let (server, is_spent) = (server.to_owned(), Arc::new(AtomicBool::new(false)));
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let there = TcpStream::connect(&server).await.expect("the server");
                tokio::spawn(pass(client, there, text, Arc::clone(&is_spent)));
            }
        });
        Self { address, serving }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, text: &str, is_spent: Arc<AtomicBool>) {
    let (mut asked, mut answered) = ([0; 16384], [0; 16384]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let bytes = match read { Ok(length @ 1..) => &asked[..length], _ => return };
                if server.write_all(bytes).await.is_err() {
                    return;
                }
                if contains(bytes, text) && !is_spent.swap(true, Ordering::SeqCst) {
                    // It has done what it was asked for once it answers.
                    let _ = server.read(&mut answered).await;
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let bytes = match read { Ok(length @ 1..) => &answered[..length], _ => return };
                if client.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
