//! A gateway, as its clients see it.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use url::Url;
use uuid::Uuid;

use super::{
    exit::Exit,
    failure::Failure,
    http::{Answer, Http, NoAnswer, Request},
};
use crate::config::Secret;

/// Longest time for an answer: a kill may wait for its turn at the vendor, for a list and for the vendor's answer.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long a kill is sent again under its key after its answer was lost.
const AGAIN: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Gateway {
    url: Url,
    token: Secret,
    http: Http,
}

/// An answer in JSON, as it came.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) text: String,
    /// Its key was used before: this is what it stands for.
    pub(super) is_replayed: bool,
}

impl Document {
    /// What is read of it.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.text).map_err(|error| {
            Failure::here(format!("the gateway's answer was not understood: {error}"))
                .hint("is it of another version? `killgate --version` tells this one's")
        })
    }

    pub(super) fn value(&self) -> Result<Value, Failure> {
        self.read()
    }
}

impl Gateway {
    pub(super) const fn new(url: Url, token: Secret, http: Http) -> Self {
        Self { url, token, http }
    }

    /// What a path answers that only reads. What was lost on the way is asked for once more.
    pub(super) async fn get(&self, path: &[&str], query: &str) -> Result<Document, Failure> {
        let mut answer = self.read_once(path, query).await;
        if matches!(answer, Err(Lost::OnTheWay(_))) {
            answer = self.read_once(path, query).await;
        }
        answer.map_err(|lost| lost.failure(&self.url))
    }

    /// The same as it comes, for files and streams.
    pub(super) async fn stream(
        &self,
        path: &[&str],
        query: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Answer, Failure> {
        let request = self.request(Method::GET, path, query, headers, vec![]);
        let answer = self.http.send(request).await.map_err(|error| unreachable(&self.url, &error))?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(problem(answer).await.unwrap_or_else(|error| unreachable(&self.url, &error)))
    }

    /// Asks for a preview under that key: however often it is sent, it is the same one, and it ends nobody.
    pub(super) async fn preview(&self, body: &Value, key: &str) -> Result<Document, Failure> {
        self.until_answered(body, key, None).await.map_err(|(lost, _)| lost.failure(&self.url))
    }

    /// Asks for a kill under that key: however often it is sent, it is the same one. `wait` is how long the answer may wait for an
    /// outcome, in seconds; without it the answer comes when the vendor has answered.
    pub(super) async fn kill(&self, body: &Value, key: &str, wait: Option<u32>) -> Result<Document, Failure> {
        let answer = self.until_answered(body, key, wait).await;
        answer.map_err(|(lost, may_be_taken)| lost.of_kill(&self.url, key, may_be_taken))
    }

    /// Sends it again until it is answered; with what went wrong whether any of the tries may have arrived.
    async fn until_answered(&self, body: &Value, key: &str, wait: Option<u32>) -> Result<Document, (Lost, bool)> {
        let until = Instant::now() + AGAIN;
        let mut pause = Duration::from_millis(250);
        let mut may_be_taken = false;
        loop {
            let lost = match self.kill_once(body, key, wait).await {
                Ok(document) => return Ok(document),
                Err(lost) => lost,
            };
            may_be_taken |= matches!(lost, Lost::OnTheWay(NoAnswer::Lost(_)) | Lost::Foreign(..));
            if !lost.is_worth_another_try() || Instant::now() + pause > until {
                return Err((lost, may_be_taken));
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    async fn kill_once(&self, body: &Value, key: &str, wait: Option<u32>) -> Result<Document, Lost> {
        let mut headers = vec![("content-type", "application/json".to_owned()), ("idempotency-key", key.to_owned())];
        headers.extend(wait.map(|seconds| ("prefer", format!("wait={seconds}"))));
        let body = body.to_string().into_bytes();
        self.document(self.request(Method::POST, &["sessions", "kill"], "", &headers, body)).await
    }

    async fn read_once(&self, path: &[&str], query: &str) -> Result<Document, Lost> {
        self.document(self.request(Method::GET, path, query, &[], vec![])).await
    }

    async fn document(&self, request: Request) -> Result<Document, Lost> {
        let answer = self.http.send(request).await.map_err(Lost::OnTheWay)?;
        let status = answer.status;
        if !status.is_success() {
            let failure = Box::new(problem(answer).await.map_err(Lost::OnTheWay)?);
            let is_ours = failure.problem.is_some();
            return Err(if is_ours { Lost::Problem(failure) } else { Lost::Foreign(status, failure) });
        }
        if status == StatusCode::NO_CONTENT {
            return Ok(Document { text: "null".to_owned(), is_replayed: false });
        }
        if !answer.header("content-type").is_some_and(|kind| kind.contains("json")) {
            return Err(Lost::Foreign(status, Box::new(foreign(status.as_u16()))));
        }
        let is_replayed = answer.header("idempotency-replayed") == Some("true");
        let body = answer.whole().await.map_err(Lost::OnTheWay)?;
        let cut_off = || Lost::OnTheWay(NoAnswer::Lost("the answer was cut off, or is no JSON".to_owned()));
        let text = String::from_utf8(body).map_err(|_| cut_off())?;
        serde_json::from_str::<serde::de::IgnoredAny>(&text).map_err(|_| cut_off())?;
        Ok(Document { text, is_replayed })
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Request {
        let mut headers = headers.to_vec();
        headers.push(("authorization", format!("Bearer {}", self.token.expose())));
        Request { method, url: at(&self.url, path, query), headers, body, patience: PATIENCE }
    }
}

/// A fresh key for a kill.
pub(super) fn fresh_key() -> String {
    Uuid::now_v7().to_string()
}

/// Pairs as a query has them.
pub(super) fn encode(pairs: &[(String, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// An address below another one.
pub(super) fn at(base: &Url, path: &[&str], query: &str) -> Url {
    let mut url = base.clone();
    // What cannot be a base was refused before.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url.set_query(Some(query).filter(|query| !query.is_empty()));
    url
}

/// Why there is no document.
enum Lost {
    OnTheWay(NoAnswer),
    /// An answer with that status that is no gateway's: of whoever stands before it, mostly, and may have passed the request on.
    Foreign(StatusCode, Box<Failure>),
    Problem(Box<Failure>),
}

impl Lost {
    /// Whether the same request under the same key may be answered by now.
    fn is_worth_another_try(&self) -> bool {
        match self {
            Self::OnTheWay(_) => true,
            Self::Foreign(status, _) => matches!(status.as_u16(), 502..=504),
            Self::Problem(failure) => failure.code() == "in_progress",
        }
    }

    fn failure(self, url: &Url) -> Failure {
        match self {
            Self::OnTheWay(error) => unreachable(url, &error),
            Self::Foreign(_, failure) | Self::Problem(failure) => *failure,
        }
    }

    /// Of a kill: `may_be_taken` where one of its tries may have arrived.
    fn of_kill(self, url: &Url, key: &str, may_be_taken: bool) -> Failure {
        let mut failure = self.failure(url);
        if failure.code() == "in_progress" {
            // The gateway works on this very kill.
            failure.exit = Exit::Open;
        } else if failure.code() == "internal" && failure.kill_id().is_some() {
            // It broke off somewhere, and what the vendor was asked before is on record.
            failure.exit = Exit::Unknown;
        } else if may_be_taken && failure.kill_id().is_none() {
            failure.exit = Exit::Unknown;
            failure.sentence = format!("{}; whether it took the kill is not known", failure.sentence);
            failure.hint =
                Some(format!("`killgate kills --since 1h` tells what is on record; the key of this kill was {key}"));
        }
        failure
    }
}

fn unreachable(url: &Url, error: &NoAnswer) -> Failure {
    let place = &url[..url::Position::BeforePath];
    let is_about_trust = matches!(error, NoAnswer::NotConnected(why) if why.contains("certificate"));
    let hint = if is_about_trust {
        "--ca-file or KILLGATE_CA_FILE names the certificates that are believed"
    } else {
        "--url or KILLGATE_URL says where it is"
    };
    Failure::here(format!("the gateway at {place} {error}")).hint(hint)
}

fn foreign(status: u16) -> Failure {
    Failure::here(format!("the gateway answered HTTP {status}, and not as one does"))
        .hint("is that the address of a killgate? See --url")
}

async fn problem(answer: Answer) -> Result<Failure, NoAnswer> {
    let status = answer.status.as_u16();
    let retry_after = answer.header("retry-after").map(str::to_owned);
    if answer.status.is_redirection() {
        let failure = Failure::here(format!("the gateway answered HTTP {status}, which leads elsewhere"));
        return Ok(failure.hint("give the address that it leads to: a token is sent nowhere else"));
    }
    let body = answer.whole().await?;
    Ok(Failure::answered(status, &body, retry_after.as_deref()))
}
