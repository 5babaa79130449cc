//! A collector of spans: takes posts of OTLP over HTTP at an address of its own, and counts what it was told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use killgate::chain::hex;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value},
    trace::v1::Span,
};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::patience::eventually;

/// How a collector answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Takes,
    Fails,
    /// Never answers.
    Hangs,
}

/// A span as it was told, with everything in words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) name: String,
    /// As OTLP numbers them: 1 internal, 2 server, 3 client.
    pub(crate) kind: i32,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty at the beginning of a trace.
    pub(crate) parent: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// The ids of the spans that it has links to.
    pub(crate) links: Vec<String>,
    pub(crate) failed: bool,
}

impl Told {
    fn of(span: Span) -> Self {
        Self {
            name: span.name,
            kind: span.kind,
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            attributes: words(span.attributes),
            links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
            failed: span.status.is_some_and(|status| status.code == 2),
        }
    }

    pub(crate) fn has(&self, name: &str, value: &str) -> bool {
        self.attributes.get(name).is_some_and(|has| has == value)
    }
}

fn words(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let word = |value| match value {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => format!("#{number}"),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|pair| (pair.key, word(pair.value.and_then(|value| value.value)))).collect()
}

/// The head and the body of a post.
type Post = (String, Vec<u8>);

/// Takes posts.
#[derive(Debug, Clone)]
pub(crate) struct Collector {
    address: String,
    mood: Arc<Mutex<Mood>>,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Collector {
    pub(crate) async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let collector = Self { address, mood: Arc::new(Mutex::new(mood)), posts: Arc::default() };
        let listening = collector.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(listening.clone().answer(connection));
            }
        });
        collector
    }

    /// A `[traces]` section that leads here.
    pub(crate) fn section(&self) -> String {
        format!("\n[traces]\nendpoint = \"http://{}\"\n", self.address)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Heads and bodies as they came.
    pub(crate) fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    /// What was told of the gateways that told it.
    pub(crate) fn resources(&self) -> Vec<BTreeMap<String, String>> {
        let told = self.requests().into_iter().flat_map(|request| request.resource_spans);
        told.map(|told| words(told.resource.unwrap().attributes)).collect()
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        self.posts().iter().map(|(_, body)| ExportTraceServiceRequest::decode(body.as_slice()).unwrap()).collect()
    }

    /// Every span so far.
    pub(crate) fn spans(&self) -> Vec<Told> {
        let scopes = self.requests().into_iter().flat_map(|request| request.resource_spans);
        scopes.flat_map(|told| told.scope_spans).flat_map(|scope| scope.spans).map(Told::of).collect()
    }

    /// The first span that is so, once there is one.
    pub(crate) async fn span(&self, what: &str, is_so: impl Fn(&Told) -> bool) -> Told {
        let found = async || self.spans().into_iter().find(&is_so);
        eventually(&format!("a span {what}"), found).await
    }

    async fn answer(self, mut connection: TcpStream) {
        let Some(post) = read(&mut connection).await else { return };
        let mood = *self.mood.lock().unwrap();
        if mood == Mood::Hangs {
            // Until whoever told it has given up.
            let _ = connection.read(&mut [0; 16]).await;
            return;
        }
        let status = if mood == Mood::Takes { 200 } else { 500 };
        if mood == Mood::Takes {
            self.posts.lock().unwrap().push(post);
        }
        let answer = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        // Whoever was killed meanwhile does not read it.
        let _ = connection.write_all(answer.as_bytes()).await;
    }
}

/// One whole request; `None` if it broke off.
async fn read(connection: &mut TcpStream) -> Option<Post> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.to_ascii_lowercase();
            let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if length == Some(bytes.len() - end - 4) {
                return Some((head, bytes.split_off(end + 4)));
            }
        }
        match connection.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    }
}
