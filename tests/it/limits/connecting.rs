//! Connections that take long to be made: the limit holds for when calls leave, not for when somebody began to connect.

use std::{net::SocketAddr, time::Duration};

use killgate::sandbox::Action;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use super::{all, assert_accepted, ids, sent, shards};
use crate::support::{gateway::Engine, lateness::Lateness, patience::eventually};

/// An address at which connecting hangs: its queue is full, and the kernel drops what else comes.
async fn full() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut fillers = vec![];
    while let Ok(filler) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        fillers.push(filler.unwrap());
    }
    (listener, fillers)
}

/// How many connections to that port have been begun and not made.
fn begun(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let is_begun = |line: &&str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        columns[2].ends_with(&format!(":{port:04X}")) && columns[3] == "02"
    };
    table.lines().skip(1).filter(is_begun).count()
}

/// Carries every connection on to the clouds, a crowd of them at once.
async fn carry(listener: TcpListener, to: SocketAddr) {
    while let Ok((mut from, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut to = TcpStream::connect(to).await.unwrap();
            let _ = copy_bidirectional(&mut from, &mut to).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_whose_connections_took_long_do_not_leave_together_in_a_later_second() {
    let lateness = Lateness::watch();
    let (listener, fillers) = full().await;
    let address = listener.local_addr().unwrap();
    let more = format!(
        "[accounts.tencent-test]\ncloud = 'tencent'\nregion = '{}'\nsecret_id = '{}'\nsecret_key = '{}'\n\
         endpoints.dcdb = 'http://{address}'\nvendors.dcdb = {{ reserved_percent = 0, max_wait_ms = 60000 }}\n",
        killgate::sandbox::demo::TENCENT_REGION,
        killgate::sandbox::demo::TENCENT_SECRET_ID,
        killgate::sandbox::demo::TENCENT_SECRET_KEY,
    );
    let (gateway, targets) = shards(Engine::Sqlite, 40, &more).await;
    let to = gateway.sandbox.addr;
    let bodies: Vec<_> = targets.iter().map(|target| ids(target, &[1])).collect();
    let opened = async {
        eventually("many connections are begun", async || (begun(address.port()) >= 20).then_some(())).await;
        tokio::spawn(carry(listener, to));
        drop(fillers);
    };
    let (answers, ()) = tokio::join!(all(&gateway, &bodies), opened);
    assert_accepted(&answers);
    let calls = gateway.clouds.calls_for(Action::DcdbKill);
    assert_eq!((calls.len(), sent(&gateway.clouds).concat().len()), (40, 40), "each was sent once");
    // The connections that were begun first are accepted one after another, with calls in them by then. Calls that had not
    // waited for their connections would come all together. What is carried on is two more tasks late, and the pings know
    // nothing of these.
    lateness.assert_kept_by_way_of(&calls, 20, Duration::from_millis(750)).await;
}
