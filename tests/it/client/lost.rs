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
use crate::support::{
    gateway::{Engine, Gateway},
    patience::in_time,
};

#[derive(Debug, Clone, Copy)]
enum Told {
    Bytes(usize),
    Instead(&'static str),
}

use Told::{Bytes, Instead};

/// Stands between a client and a gateway, and breaks the first connections whose request has that word, once the gateway has begun
/// to answer. What is told in its place is so many bytes of it, or what a proxy says.
struct Breaker {
    address: SocketAddr,
    broken: Arc<AtomicUsize>,
}

impl Breaker {
    async fn before(gateway: &Gateway, word: &'static str, times: usize, told: Told) -> Self {
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

async fn pass(mut client: TcpStream, to: SocketAddr, word: &str, times: usize, told: Told, broken: &AtomicUsize) {
    // One exchange for each connection to the gateway, so that each request is seen.
    let Some(request) = request_of(&mut client).await else { return };
    let mut gateway = TcpStream::connect(to).await.unwrap();
    let request = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    gateway.write_all(request.as_bytes()).await.unwrap();
    if request.contains(word) && broken.load(Ordering::SeqCst) < times {
        let mut answer = vec![0; 4096];
        let length = gateway.read(&mut answer).await.unwrap();
        broken.fetch_add(1, Ordering::SeqCst);
        let told = match told {
            Bytes(count) => &answer[..length.min(count)],
            Instead(text) => text.as_bytes(),
        };
        client.write_all(told).await.unwrap();
        return;
    }
    // It closes once it has answered.
    let _ = copy_bidirectional(&mut client, &mut gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_whose_answer_was_lost_is_sent_again_and_is_the_same_one() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let breaker = Breaker::before(&gateway, "\"confirm\"", 2, Bytes(0)).await;
    let killed = breaker.person().run("kill orders-ro 2075425 -m test --yes").await;
    assert!(killed.assert(0).stdout.contains("killed"), "{killed:?}");
    assert_eq!(breaker.broken.load(Ordering::SeqCst), 2);
    assert_eq!(statuses(&gateway).await, ["succeeded", "preview"]);
    assert_eq!(gateway.clouds.calls_for(killgate::sandbox::Action::TaurusdbKill).len(), 1);
}

const AWAY: &str =
    "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>";
const ELSEWHERE: &str =
    "HTTP/1.1 307 Temporary Redirect\r\nlocation: /x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_that_a_proxy_answered_for_is_sent_again_and_is_the_same_one() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let breaker = Breaker::before(&gateway, "\"confirm\"", 2, Instead(AWAY)).await;
    let killed = breaker.person().run("kill orders-ro 2075425 -m test --yes").await;
    assert!(killed.assert(0).stdout.contains("killed"), "{killed:?}");
    assert_eq!(statuses(&gateway).await, ["succeeded", "preview"]);
    assert_eq!(gateway.clouds.calls_for(killgate::sandbox::Action::TaurusdbKill).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_a_kill_was_taken_that_a_proxy_answered_for_is_not_known() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let breaker = Breaker::before(&gateway, "\"confirm\"", usize::MAX, Instead(ELSEWHERE)).await;
    let lost = breaker.person().run("kill orders-ro 2075425 -m test --yes --key mine").await;
    let told = &lost.assert(8).stderr;
    assert!(told.contains("whether it took the kill is not known") && told.contains("mine"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_stream_can_be_had_the_record_tells_when_a_kill_is_over() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    for (told, words) in [
        (Bytes(0), "kill orders-shard-1 1111 -m test --yes --timeout 60m"),
        (Bytes(200), "kill orders-shard-1 1112 -m test --yes --timeout 60m"),
        (Instead(AWAY), "kill shop --user report -m test --yes --timeout 60m"),
    ] {
        let breaker = Breaker::before(&gateway, "/events", usize::MAX, told).await;
        let killed = in_time(breaker.person().run(words)).await;
        assert_eq!(statuses(&gateway).await[0], "succeeded", "{killed:?}");
        killed.assert(0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_lost_is_taken_up_where_it_ended() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let breaker = Breaker::before(&gateway, "/events", 2, Bytes(4096)).await;
    let killed = breaker.person().run("kill orders-shard-1 1111 -m test --yes").await;
    assert!(killed.assert(0).stdout.contains("killed"), "{killed:?}");
    assert_eq!(statuses(&gateway).await, ["succeeded", "preview"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_was_lost_is_asked_for_once_more() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    let breaker = Breaker::before(&gateway, "/targets", 1, Bytes(0)).await;
    assert!(breaker.person().run("targets").await.assert(0).stdout.contains("orders-ro"));
    let breaker = Breaker::before(&gateway, "/targets", 2, Bytes(0)).await;
    let lost = breaker.person().run("targets").await;
    assert!(lost.assert(1).stderr.contains("did not answer"), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_gateway_was_asked_for_a_preview_only_and_has_ended_nobody() {
    let stranger = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let person = Person::with(&format!("http://{}", stranger.local_addr().unwrap()), "token");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = stranger.accept().await {
            let _ = request_of(&mut client).await;
            let page =
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>";
            let _ = client.write_all(page.as_bytes()).await;
        }
    });
    for words in ["preview orders-ro 1", "kill orders-ro 1 -m test --yes", "targets"] {
        let told = person.run(words).await;
        assert!(told.assert(1).stderr.contains("is that the address of a killgate?"), "{words}: {told:?}");
    }
}

/// The kill is on record and was sent: where nobody tells any more what became of it, that is not "no answer".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_whose_gateway_is_gone_is_open() {
    let gateway = Gateway::start(Engine::Sqlite).await;
    // Nothing of it is told after it is on record.
    let breaker = Breaker::before(&gateway, "GET /kills/", usize::MAX, Bytes(0)).await;
    gateway.clouds.misbehave(killgate::sandbox::Action::DcdbFlow, killgate::sandbox::Behaviour::Hang);
    let words = "kill orders-shard-1 1111 -m test --yes --timeout 1s";
    let open = breaker.person().run(words).await;
    assert!(open.assert(7).stderr.contains("the kill goes on; `killgate watch"), "{open:?}");
    // Of one that was never heard of nothing is known.
    let watched = breaker.person().run("watch 01990000-0000-7000-8000-000000000000 --timeout 1s").await;
    assert!(watched.assert(1).stderr.contains("did not answer"), "{watched:?}");
}
