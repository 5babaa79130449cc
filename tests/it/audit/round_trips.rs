//! What the record costs: one round trip for one statement.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use killgate::{
    audit::{Audit, Begun, Settings},
    domain::{Kill, Outcome},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::book::{DAY, NOON, answered, attempt, keyed};
use crate::support::postgres::Database;

/// A way to a database on which what is waited for is counted.
struct Counted {
    url: String,
    syncs: Arc<AtomicUsize>,
}

impl Counted {
    async fn to(database: &Database) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = listener.local_addr().unwrap().to_string();
        let url = database.url();
        let far = url.split(['@', '/']).nth(3).unwrap().to_owned();
        let syncs = Arc::new(AtomicUsize::new(0));
        let counted = Self { url: url.replace(&far, &near), syncs: Arc::clone(&syncs) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (client_reads, mut client_writes) = client.into_split();
                let (mut server_reads, server_writes) = TcpStream::connect(&far).await.unwrap().into_split();
                tokio::spawn(count(client_reads, server_writes, Arc::clone(&syncs)));
                tokio::spawn(async move { copy(&mut server_reads, &mut client_writes).await });
            }
        });
        counted
    }

    fn syncs(&self) -> usize {
        self.syncs.load(Ordering::SeqCst)
    }
}

/// Hands on what a client sends, message by message, and counts those after which it waits for an answer; not the simple
/// queries by which a connection is asked for a sign of life.
///
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
async fn count(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, syncs: Arc<AtomicUsize>) -> std::io::Result<()> {
    const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();
    loop {
        let first = message(&mut from).await?;
        to.write_all(&first).await?;
        if first[4..] != SSL_REQUEST {
            break;
        }
    }
    loop {
        let kind = from.read_u8().await?;
        let message = message(&mut from).await?;
        if kind == b'S' {
            syncs.fetch_add(1, Ordering::SeqCst);
        }
        to.write_u8(kind).await?;
        to.write_all(&message).await?;
    }
}

/// The length of a message and the rest of it.
async fn message(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut message = length.to_be_bytes().to_vec();
    message.resize(length as usize, 0);
    from.read_exact(&mut message[4..]).await?;
    Ok(message)
}

/// A kill from its attempt to its end, one with a key, and a reading of it: five statements.
async fn round(audit: &Audit, n: u64) {
    let attempt = attempt(NOON + Duration::from_secs(2 * n));
    let id = attempt.kill.id;
    assert_eq!(audit.begin(&attempt, DAY).await, Ok(Begun::New));
    assert_eq!(audit.mark_sent(id, "here", NOON, NOON).await, Ok(true));
    let done: Kill = answered(&attempt.kill, &[("1111", Outcome::Killed), ("2222", Outcome::Killed)]);
    assert_eq!(audit.conclude(&done, NOON, "answered", None).await, Ok(true));
    let keyed = keyed(NOON + Duration::from_secs(2 * n + 1), &format!("key {n}"), 1);
    assert_eq!(audit.begin(&keyed, DAY).await, Ok(Begun::New));
    assert!(audit.find(id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_statement_is_one_round_trip() {
    const ROUNDS: u64 = 8;
    let database = Database::fresh().await;
    let way = Counted::to(&database).await;
    let settings = Settings {
        database_url: Some(way.url.clone().into()),
        timeout: Duration::from_mins(1),
        max_connections: 2,
        ..Settings::default()
    };
    let audit = Audit::open(&settings).await.unwrap();
    // Connections are made and statements prepared.
    round(&audit, 0).await;
    let before = way.syncs();
    for n in 1..=ROUNDS {
        round(&audit, n).await;
    }
    assert_eq!(way.syncs() - before, 5 * usize::try_from(ROUNDS).unwrap());
    audit.close().await;
}
