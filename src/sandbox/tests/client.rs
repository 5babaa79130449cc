//! A client that sends exactly what it is told, and signs when asked.

use std::{io, time::Instant};

use serde_json::{Value, json};
use time::{OffsetDateTime, macros::format_description};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::super::{
    Headers, Sandbox, demo,
    log::Incoming,
    verify::{
        alibaba_canonical, alibaba_signature, huawei_canonical, huawei_signature, sha256_hex, tencent_canonical,
        tencent_signature,
    },
};
use crate::clock::Clock;

/// A request to be.
#[derive(Clone)]
pub(super) struct Ask {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back before the connection closed.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: Headers,
    pub(super) body: Vec<u8>,
}

impl Ask {
    pub(super) fn new(method: &str, target: &str, body: &str) -> Self {
        let headers = [("host", "sandbox.example.com"), ("content-type", "application/json"), ("connection", "close")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { method: method.into(), target: target.into(), headers, body: body.as_bytes().to_vec() }
    }

    /// A call to Huawei about an instance, signed with the demo keys.
    pub(super) fn huawei(method: &str, rest: &str, body: &Value) -> Self {
        Self::huawei_unsigned(method, rest, body).sign_huawei(Clock::system().now())
    }

    pub(super) fn huawei_unsigned(method: &str, rest: &str, body: &Value) -> Self {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Self::new(method, &format!("/v3/{}/instances/{rest}", demo::HUAWEI_PROJECT_ID), &body)
    }

    /// A call to DCDB, signed with the demo keys.
    pub(super) fn tencent(action: &str, body: &Value) -> Self {
        Self::tencent_unsigned(action, body).sign_tencent(Clock::system().now())
    }

    pub(super) fn tencent_unsigned(action: &str, body: &Value) -> Self {
        Self::new("POST", "/", &body.to_string()).header("x-tc-action", action).header("x-tc-version", "2018-04-11")
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(held, _)| held != name);
        self
    }

    pub(super) fn body(mut self, body: &str) -> Self {
        self.body = body.as_bytes().to_vec();
        self
    }

    fn incoming(&self) -> Incoming {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        Incoming {
            arrived: Instant::now(),
            at: OffsetDateTime::UNIX_EPOCH,
            method: self.method.clone(),
            path: path.into(),
            query: query.into(),
            headers: self.headers.iter().cloned().collect(),
            body: self.body.clone(),
        }
    }

    pub(super) fn sign_huawei(self, at: OffsetDateTime) -> Self {
        self.sign_huawei_with(at, demo::HUAWEI_ACCESS_KEY, demo::HUAWEI_SECRET_KEY)
    }

    pub(super) fn sign_huawei_with(self, at: OffsetDateTime, key: &str, secret: &str) -> Self {
        let date = at.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap();
        let ask = self.header("x-sdk-date", &date);
        let mut signed: Vec<_> = ask.headers.iter().map(|(name, _)| name.as_str()).collect();
        signed.retain(|name| *name != "connection");
        signed.sort_unstable();
        let signature = huawei_signature(&huawei_canonical(&ask.incoming(), &signed).unwrap(), &date, secret);
        let list = signed.join(";");
        let header = format!("SDK-HMAC-SHA256 Access={key}, SignedHeaders={list}, Signature={signature}");
        ask.header("authorization", &header)
    }

    /// A call to Alibaba's DAS, signed with the demo keys.
    pub(super) fn alibaba(action: &str, query: &str, nonce: &str) -> Self {
        let ask = Self::new("POST", &format!("/?{query}"), "").header("x-acs-action", action);
        ask.header("x-acs-version", "2020-01-16").sign_alibaba_with(
            Clock::system().now(),
            nonce,
            demo::ALIBABA_ACCESS_KEY_ID,
            demo::ALIBABA_ACCESS_KEY_SECRET,
        )
    }

    pub(super) fn sign_alibaba_with(self, at: OffsetDateTime, nonce: &str, id: &str, secret: &str) -> Self {
        let date = at.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z")).unwrap();
        let ask = self.without("authorization").header("x-acs-date", &date).header("x-acs-signature-nonce", nonce);
        let payload = sha256_hex(&ask.body);
        let ask = ask.header("x-acs-content-sha256", &payload);
        let mut signed: Vec<_> = ask.headers.iter().map(|(name, _)| name.as_str()).collect();
        signed.retain(|name| *name == "host" || name.starts_with("x-acs-"));
        signed.sort_unstable();
        let signature = alibaba_signature(&alibaba_canonical(&ask.incoming(), &signed).unwrap(), secret);
        let list = signed.join(";");
        let header = format!("ACS3-HMAC-SHA256 Credential={id},SignedHeaders={list},Signature={signature}");
        ask.header("authorization", &header)
    }

    pub(super) fn sign_tencent(self, at: OffsetDateTime) -> Self {
        self.sign_tencent_with(at, demo::TENCENT_SECRET_ID, demo::TENCENT_SECRET_KEY, "dcdb")
    }

    pub(super) fn sign_tencent_with(self, at: OffsetDateTime, id: &str, secret: &str, service: &str) -> Self {
        let timestamp = at.unix_timestamp().to_string();
        let scope = format!("{}/{service}/tc3_request", at.date());
        let ask = self.header("x-tc-timestamp", &timestamp);
        let canonical = tencent_canonical(&ask.incoming(), &["content-type", "host"]).unwrap();
        let signature = tencent_signature(&canonical, &timestamp, &scope, secret);
        let header =
            format!("TC3-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders=content-type;host, Signature={signature}");
        ask.header("authorization", &header)
    }

    /// Sends and reads until the server closes; nothing but a complete head is `Ok`.
    pub(super) async fn try_send(&self, sandbox: &Sandbox) -> io::Result<Got> {
        let mut stream = self.open(sandbox).await?;
        let mut raw = vec![];
        stream.read_to_end(&mut raw).await?;
        let end = raw.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let head = String::from_utf8_lossy(&raw[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap();
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Got { status, headers: lines.filter_map(header).collect(), body: raw[end + 4..].to_vec() })
    }

    /// Sends, and leaves the reading to the caller.
    pub(super) async fn open(&self, sandbox: &Sandbox) -> io::Result<TcpStream> {
        let mut head = format!("{} {} HTTP/1.1\r\ncontent-length: {}\r\n", self.method, self.target, self.body.len());
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let mut stream = TcpStream::connect(sandbox.addr).await?;
        stream.write_all(&[head.as_bytes(), b"\r\n", &self.body].concat()).await?;
        Ok(stream)
    }

    pub(super) async fn send(&self, sandbox: &Sandbox) -> Got {
        self.try_send(sandbox).await.unwrap()
    }

    /// Sends and expects this refusal.
    pub(super) async fn refused(&self, sandbox: &Sandbox, status: u16, code: &str) -> Got {
        let got = self.send(sandbox).await;
        assert_eq!((got.status, got.code().as_str()), (status, code), "{}", got.text());
        got
    }
}

impl Got {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| json!({"not json": self.text()}))
    }

    /// The code of a refusal in whatever clothing.
    pub(super) fn code(&self) -> String {
        let body = self.json();
        let places = ["/error_code", "/Response/Error/Code", "/error/code", "/Code"];
        let found = places.iter().find_map(|place| body.pointer(place));
        found.map(|code| code.as_str().map_or_else(|| code.to_string(), Into::into)).unwrap_or_default()
    }
}
