//! A connection that breaks in the middle: the kill is the same kill, and following goes on.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::kit::{ALL, Person, request_of, statuses};
use crate::support::gateway::{Engine, Gateway};

/// Stands between a client and a gateway, and breaks the first connections whose request has that word, once the gateway has begun
/// to answer. The answer is lost but for so many bytes.
struct Breaker {
    address: SocketAddr,
    broken: Arc<AtomicUsize>,
}

impl Breaker {
    async fn before(gateway: &Gateway, word: &'static str, times: usize, told: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, to) = (listener.local_addr().unwrap(), gateway.app.address());
        let broken = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&broken);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                tokio::spawn(async move { pass(client, to, word, times, told, &counted).await });
            }
        });
        Self { address, broken }
    }

    fn person(&self) -> Person {
        Person::with(&format!("http://{}", self.address), &Gateway::token("anna", ALL))
    }
}

async fn pass(mut client: TcpStream, to: SocketAddr, word: &str, times: usize, told: usize, broken: &AtomicUsize) {
    // One exchange for each connection to the gateway, so that each request is seen.
    let Some(request) = request_of(&mut client).await else { return };
    let mut gateway = TcpStream::connect(to).await.unwrap();
    let request = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    gateway.write_all(request.as_bytes()).await.unwrap();
    if request.contains(word) && broken.load(Ordering::SeqCst) < times {
        let mut answer = vec![0; 4096];
        let length = gateway.read(&mut answer).await.unwrap();
        broken.fetch_add(1, Ordering::SeqCst);
        client.write_all(&answer[..length.min(told)]).await.unwrap();
        return;
    }
    // It closes once it has answered.
    let _ = copy_bidirectional(&mut client, &mut gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_whose_answer_was_lost_is_sent_again_and_is_the_same_one() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let breaker = Breaker::before(&gateway, "\"confirm\"", 2, 0).await;
    let killed = breaker.person().run("kill orders-ro 2075425 -m test --yes").await;
    assert!(killed.assert(0).stdout.contains("killed"), "{killed:?}");
    assert_eq!(breaker.broken.load(Ordering::SeqCst), 2);
    assert_eq!(statuses(&gateway).await, ["succeeded", "preview"]);
    assert_eq!(gateway.clouds.calls_for(killgate::sandbox::Action::TaurusdbKill).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_lost_is_taken_up_where_it_ended() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let breaker = Breaker::before(&gateway, "/events", 2, 4096).await;
    let killed = breaker.person().run("kill orders-shard-1 1111 -m test --yes").await;
    assert!(killed.assert(0).stdout.contains("killed"), "{killed:?}");
    assert_eq!(statuses(&gateway).await, ["succeeded", "preview"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_was_lost_is_asked_for_once_more() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let breaker = Breaker::before(&gateway, "/targets", 1, 0).await;
    assert!(breaker.person().run("targets").await.assert(0).stdout.contains("orders-ro"));
    let breaker = Breaker::before(&gateway, "/targets", 2, 0).await;
    let lost = breaker.person().run("targets").await;
    assert!(lost.assert(1).stderr.contains("did not answer"), "{lost:?}");
}
