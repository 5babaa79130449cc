//! Somebody who is told of kills: takes posts at an address of its own, and answers as it was told to.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use killgate::clock::Clock;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::patience::eventually;

/// What test webhooks are signed with.
pub(crate) const SECRET: &str = "a-key-that-only-the-tests-know-02";

/// How a post is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Status(u16),
    /// Elsewhere.
    Redirect(String),
    /// Not before so many seconds, told as a date.
    Later(i64),
    /// Taken, without a word of where the answer ends, after an interim answer.
    Curt,
    /// Never.
    Hang,
}

/// A post as it came.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Post {
    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn status(&self) -> String {
        self.json()["data"]["status"].as_str().unwrap().to_owned()
    }

    /// Verifies the signature as a receiver does.
    pub(crate) fn verify(&self) {
        let (scheme, signature) = self.headers["webhook-signature"].split_once(',').unwrap();
        assert_eq!(scheme, "v1");
        let signed = format!("{}.{}.{}", self.id(), self.headers["webhook-timestamp"], self.body);
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        hmac::verify(&key, signed.as_bytes(), &STANDARD.decode(signature).unwrap()).expect("it is signed with the key");
    }
}

/// Takes posts.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    url: String,
    posts: Arc<Mutex<Vec<Post>>>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    /// How posts are answered once nothing else is said.
    usually: Reply,
    /// Posts that hang now, and the most that ever did at once.
    hanging: Arc<Mutex<(usize, usize)>>,
}

impl Receiver {
    /// Answers with these, one after the other, and with 204 from then on.
    pub(crate) async fn replying(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::start(replies, Reply::Status(204)).await
    }

    /// Answers always so.
    pub(crate) async fn always(usually: Reply) -> Self {
        Self::start([], usually).await
    }

    async fn start(replies: impl IntoIterator<Item = Reply>, usually: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks/killgate", listener.local_addr().unwrap());
        let replies = Arc::new(Mutex::new(replies.into_iter().collect()));
        let receiver = Self { url, posts: Arc::default(), replies, usually, hanging: Arc::default() };
        let listening = receiver.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(listening.clone().answer(connection));
            }
        });
        receiver
    }

    /// A `[webhooks.NAME]` section that leads here.
    pub(crate) fn section(&self, name: &str) -> String {
        format!("\n[webhooks.{name}]\nurl = \"{}\"\nsecret = \"{SECRET}\"\n", self.url)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    /// All posts, once there are so many.
    pub(crate) async fn got(&self, count: usize) -> Vec<Post> {
        let enough = async || Some(self.posts()).filter(|posts| posts.len() >= count);
        eventually(&format!("{count} posts"), enough).await
    }

    /// The most posts that hung at the same time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.hanging.lock().unwrap().1
    }

    /// Waits until whoever posted has given up.
    async fn hang(&self, connection: &mut TcpStream) {
        {
            let mut hanging = self.hanging.lock().unwrap();
            hanging.0 += 1;
            hanging.1 = hanging.1.max(hanging.0);
        }
        let _ = connection.read(&mut [0; 16]).await;
        self.hanging.lock().unwrap().0 -= 1;
    }

    async fn answer(self, mut connection: TcpStream) {
        let Some(post) = read(&mut connection).await else { return };
        self.posts.lock().unwrap().push(post);
        let reply = self.replies.lock().unwrap().pop_front().unwrap_or_else(|| self.usually.clone());
        let mut answer = match &reply {
            Reply::Hang => return self.hang(&mut connection).await,
            Reply::Status(status) => format!("HTTP/1.1 {status} Whatever\r\n"),
            Reply::Curt => {
                let curt = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.0 200 OK\r\n\r\ndone";
                return connection.write_all(curt).await.unwrap_or_default();
            }
            Reply::Later(seconds) => {
                let format = time::macros::format_description!(
                    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
                );
                let at = Clock::system().now() + time::Duration::seconds(*seconds);
                format!("HTTP/1.1 503 Later\r\nRetry-After: {}\r\n", at.format(format).unwrap())
            }
            Reply::Redirect(to) => format!("HTTP/1.1 307 Elsewhere\r\nLocation: {to}\r\n"),
        };
        write!(answer, "Content-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        // Whoever was killed meanwhile does not read it.
        let _ = connection.write_all(answer.as_bytes()).await;
    }
}

/// One whole request; `None` if it broke off.
async fn read(connection: &mut TcpStream) -> Option<Post> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            assert!(head.starts_with("POST /hooks/killgate HTTP/1.1\r\n"), "{head}");
            let pairs = head.lines().filter_map(|line| line.split_once(": "));
            let headers: BTreeMap<_, _> =
                pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
            if headers["content-length"].parse() == Ok(body.len()) {
                return Some(Post { headers, body: body.to_owned() });
            }
        }
        match connection.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    }
}
