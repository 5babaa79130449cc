//! Answers as they come over a wire that is not kind: with others before them, without an end, in other writing.

use std::{io::Write, time::Duration};

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, macros::format_description};

use super::{answer::Answer, behaviour::millis};

/// Interim answers (RFC 9110, 15.2), and then the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interim {
    /// The status of each, in order.
    pub statuses: Vec<u16>,
    /// How long after them the answer comes.
    #[serde(default, rename = "pause_ms", with = "millis")]
    pub pause: Duration,
    /// Whether the connection ends after them instead.
    #[serde(default)]
    pub ends: bool,
}

impl Interim {
    /// These at once, and the answer after them.
    #[must_use]
    pub fn then_the_answer(statuses: &[u16]) -> Self {
        Self { statuses: statuses.to_vec(), pause: Duration::ZERO, ends: false }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let head = |status| format!("HTTP/1.1 {status} Interim\r\nX-Interim: 1\r\n\r\n");
        self.statuses.iter().map(head).collect::<Vec<_>>().concat().into_bytes()
    }
}

/// How an answer is framed; the connection ends after all but the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    /// It says nothing of where it ends.
    NoLength,
    /// It comes in chunks and ends before the first.
    CutBeforeChunks,
    /// It ends within the size of a chunk.
    CutInSize,
    /// All of the body is there, and the chunk that ends it is not.
    CutBeforeTheLastChunk,
    /// It says its length in two ways.
    TwoLengths,
    /// Whole, and then another answer that nobody asked for.
    WithAnother,
}

impl Frame {
    /// All that goes over the wire.
    pub(super) fn bytes(self, answer: &Answer) -> Vec<u8> {
        let Answer { status, body, .. } = answer;
        let (size, length) = (format!("{:x}", body.len()), body.len());
        let (framing, before, after) = match self {
            Self::NoLength => (String::new(), String::new(), ""),
            Self::CutBeforeChunks | Self::CutInSize => ("Transfer-Encoding: chunked\r\n".into(), String::new(), ""),
            // Of an empty body that chunk would be all.
            Self::CutBeforeTheLastChunk if length == 0 => return Self::CutBeforeChunks.bytes(answer),
            Self::CutBeforeTheLastChunk => ("Transfer-Encoding: chunked\r\n".into(), format!("{size}\r\n"), "\r\n"),
            Self::TwoLengths => {
                let framing = format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n");
                (framing, format!("{size}\r\n"), "\r\n0\r\n\r\n")
            }
            Self::WithAnother => {
                let another = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                (format!("Content-Length: {length}\r\n"), String::new(), another)
            }
        };
        let headers: Vec<String> = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let headers = headers.concat();
        let mut bytes = format!("HTTP/1.1 {status} Answer\r\n{headers}{framing}\r\n{before}").into_bytes();
        match self {
            Self::CutBeforeChunks => {}
            Self::CutInSize => bytes.extend(b"1"),
            _ => bytes.extend([body, after.as_bytes()].concat()),
        }
        bytes
    }
}

/// How the body of an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writing {
    Gzip,
    Deflate,
    /// With the mark of UTF-8 before it.
    Marked,
    /// With bytes that are not UTF-8, half a surrogate pair and control characters in texts.
    Foreign,
}

impl Writing {
    pub(super) fn write(self, mut answer: Answer) -> Answer {
        let coding = match self {
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Marked | Self::Foreign => None,
        };
        answer.headers.extend(coding.map(|coding| ("Content-Encoding".to_owned(), coding.to_owned())));
        let body = std::mem::take(&mut answer.body);
        answer.body = match self {
            Self::Gzip => {
                let mut out = GzEncoder::new(vec![], Compression::default());
                out.write_all(&body).and_then(|()| out.finish()).unwrap_or_default()
            }
            Self::Deflate => {
                let mut out = ZlibEncoder::new(vec![], Compression::default());
                out.write_all(&body).and_then(|()| out.finish()).unwrap_or_default()
            }
            Self::Marked => [b"\xEF\xBB\xBF", body.as_slice()].concat(),
            Self::Foreign => foreign(&body),
        };
        answer
    }
}

/// The same object with a member that nobody knows, and with statements of a client that writes GBK.
fn foreign(body: &[u8]) -> Vec<u8> {
    const NOTE: &[u8] = b"\"note\":\"\xD6\xD0\xCE\xC4 \\ud83d M\xFCller \x01\n\"";
    let Some(rest) = body.strip_prefix(b"{") else { return body.to_vec() };
    let comma: &[u8] = if rest.first() == Some(&b'}') { b"" } else { b"," };
    let mut out = [b"{", NOTE, comma].concat();
    let mut rest = rest;
    while let Some(at) = rest.windows(7).position(|word| word == b"select ") {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(b"select /* \xB1\xA8\xB1\xED \\ud83d */ ");
        rest = &rest[at + 7..];
    }
    out.extend_from_slice(rest);
    out
}

/// A time as HTTP writes it.
pub(super) fn http_date(at: OffsetDateTime) -> String {
    let format =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    at.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default()
}
