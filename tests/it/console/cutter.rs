//! A proxy whose connections can be cut, and which can keep others away.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// See the module; it goes with its runtime.
#[derive(Debug)]
pub(super) struct Cutter {
    pub(super) address: SocketAddr,
    under_way: Arc<Mutex<JoinSet<()>>>,
    is_open: Arc<AtomicBool>,
}

impl Cutter {
    pub(super) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (under_way, is_open) = (Arc::new(Mutex::new(JoinSet::new())), Arc::new(AtomicBool::new(true)));
        let (carried, lets) = (Arc::clone(&under_way), Arc::clone(&is_open));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                if !lets.load(Ordering::SeqCst) {
                    continue;
                }
                let carry = async move {
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        // Whichever end breaks off.
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                };
                carried.lock().unwrap().spawn(carry);
            }
        });
        Self { address, under_way, is_open }
    }

    /// Cuts whatever is under way, and keeps others away.
    pub(super) fn cut(&self) {
        self.is_open.store(false, Ordering::SeqCst);
        self.under_way.lock().unwrap().abort_all();
    }

    /// Lets others through again.
    pub(super) fn mend(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }
}
