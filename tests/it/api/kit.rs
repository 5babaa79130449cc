//! What the scenarios share: checking problems against the contract and the document, and sending odd bytes.

use std::sync::LazyLock;

use killgate::http;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    gateway::{Answer, Gateway},
    patience::in_time,
};

/// An operation as the OpenAPI document names it.
pub(crate) type Operation = (&'static str, &'static str);

pub(crate) const KILL: Operation = ("post", "/sessions/kill");
pub(crate) const LIST: Operation = ("get", "/kills");
pub(crate) const READ: Operation = ("get", "/kills/{id}");

/// Limits under which a vendor's throttling is told at once, and nothing waits for a turn for long.
pub(crate) const IMPATIENT: &str = "
[vendors.gaussdb]
max_wait_ms = 240
[vendors.das]
max_wait_ms = 240
[vendors.taurusdb]
max_wait_ms = 240
[vendors.dcdb]
max_wait_ms = 240
requests_per_second = 1000
";

pub(crate) fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(http::document()).unwrap());
    &DOCUMENT
}

/// Checks that the answer is that problem, and one that the document knows of the operation.
pub(crate) fn assert_problem(answer: &Answer, (method, path): Operation, status: u16, code: &str) {
    let body = &answer.body;
    assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{body}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{body}");
    assert_eq!(body["status"], status, "{body}");
    assert_eq!(body["type"], format!("urn:killgate:problem:{code}"), "{body}");
    for member in ["title", "detail"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {body}");
    }
    let known = &document()["paths"][path][method]["responses"][status.to_string()];
    let says = known["description"].as_str().unwrap_or_default();
    assert!(says.contains(&format!("`{code}`")), "{method} {path} does not document {status} {code}");
    assert!(known["content"]["application/problem+json"].is_object(), "{known}");
}

/// Checks a problem of a kill, and that its record says the same.
pub(crate) async fn assert_recorded(gateway: &Gateway, answer: &Answer, status: u16, code: &str, kill: &str) -> Value {
    assert_problem(answer, KILL, status, code);
    assert_eq!(answer.header("location"), Some(format!("/kills/{}", answer.kill_id()).as_str()));
    let record = gateway.record(answer.kill_id()).await;
    assert_eq!((&record["status"], &record["problem"]["code"]), (&json!(kill), &json!(code)), "{record}");
    assert!(record["completed_at"].is_string(), "{record}");
    record
}

/// How many kills are on record.
pub(crate) async fn recorded(gateway: &Gateway) -> usize {
    gateway.read("/kills?limit=500").await.body["items"].as_array().expect("a list").len()
}

/// Writes exactly these bytes to a new connection and reads until it is closed.
pub(crate) async fn exchange(gateway: &Gateway, request: &[u8]) -> String {
    let mut connection = TcpStream::connect(gateway.app.address()).await.expect("a gateway that listens");
    // Whoever refuses a body early may stop reading it; what was answered is what counts.
    let _ = in_time(connection.write_all(request)).await;
    let mut answer = vec![];
    let _ = in_time(connection.read_to_end(&mut answer)).await;
    String::from_utf8(answer).expect("text")
}
