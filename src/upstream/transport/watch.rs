//! The framing of one answer: where it ends, and whether it is whole.
//!
//! The bytes are read by the client's own decoder, so that the two cannot differ about them. What the client does not
//! do is done here: interim answers (RFC 9110, 15.2) are left out, an answer that does not say where it ends is told
//! from one that does, and nothing behind the end is handed on.

use actix_http::{ConnectionType, ResponseHead, Version, h1};
use actix_web::{
    http::{
        Method, StatusCode,
        header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    },
    web::BytesMut,
};
use tokio_util::codec::Decoder;

/// The answer to one request, as far as it has come.
pub(super) struct Watch {
    /// Whether it was asked for the head only.
    head_only: bool,
    state: State,
    /// What came and was not understood yet.
    pending: BytesMut,
    /// Whether the connection may be kept, as the answer's head says.
    keeps: bool,
}

enum State {
    /// Nothing, or interim answers, or a part of the head.
    Head(h1::ClientCodec),
    Body(h1::ClientPayloadCodec),
    /// There was a head, and nobody can tell where the body ends.
    Unframed,
    Whole,
}

impl Watch {
    pub(super) fn new(method: &Method) -> Self {
        let head_only = *method == Method::HEAD;
        Self { head_only, state: State::Head(h1::ClientCodec::default()), pending: BytesMut::new(), keeps: false }
    }

    /// Takes bytes that came, and hands on what the client is to read of them.
    ///
    /// # Errors
    /// They are no answer that can be read; the text quotes nothing of them.
    pub(super) fn take(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<(), &'static str> {
        self.pending.extend_from_slice(bytes);
        while let State::Head(codec) = &mut self.state {
            let came = self.pending.clone();
            let head = codec.decode(&mut self.pending);
            let Some(head) = head.map_err(|_| "the answer is not HTTP, or its head cannot be read")? else {
                return Ok(());
            };
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Err("the answer changes the protocol");
            }
            // Whatever it says of a body, an interim answer has none.
            let codec = std::mem::take(codec);
            if !head.status.is_informational() {
                out.extend_from_slice(&came[..came.len() - self.pending.len()]);
                self.keeps = head.connection_type() == ConnectionType::KeepAlive;
                self.state = self.after(&head, codec)?;
            }
        }
        if let State::Body(codec) = &mut self.state {
            let came = self.pending.clone();
            let is_whole = loop {
                match codec.decode(&mut self.pending).map_err(|_| "the body's framing cannot be read")? {
                    Some(Some(_)) => {}
                    Some(None) => break true,
                    None => break false,
                }
            };
            out.extend_from_slice(&came[..came.len() - self.pending.len()]);
            if is_whole {
                self.state = State::Whole;
            }
        }
        Ok(())
    }

    /// What comes after that head (RFC 9112, 6.3).
    fn after(&self, head: &ResponseHead, codec: h1::ClientCodec) -> Result<State, &'static str> {
        if self.head_only || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Ok(State::Whole);
        }
        let length = head.headers().get(CONTENT_LENGTH);
        let coding = head.headers().get(TRANSFER_ENCODING);
        if length.is_some() && coding.is_some() {
            return Err("the answer says its length in two ways");
        }
        let is_chunked = head.version == Version::HTTP_11
            && coding.is_some_and(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"));
        match codec.message_type() {
            h1::MessageType::Payload if length.is_some() || is_chunked => Ok(State::Body(codec.into_payload_codec())),
            h1::MessageType::None if length.is_some_and(|length| length.as_bytes().trim_ascii() == b"0") => {
                Ok(State::Whole)
            }
            h1::MessageType::Payload | h1::MessageType::None | h1::MessageType::Stream => Ok(State::Unframed),
        }
    }

    /// Whether the client is to read no more: all of the answer was handed on, or all of it that can be told apart.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.state, State::Whole | State::Unframed)
    }

    /// Whether the answer said where it ends, and came up to there.
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self.state, State::Whole)
    }

    /// Whether the connection may carry another request: a whole answer, not a byte more, and the head allows it.
    pub(super) fn keeps(&self) -> bool {
        self.is_whole() && self.keeps && self.pending.is_empty()
    }

    /// Why the answer does not count, where it is not whole.
    pub(super) const fn lack(&self) -> &'static str {
        match self.state {
            State::Head(_) => "the connection ended before the answer",
            State::Body(_) => "the body is shorter than announced",
            State::Unframed => "the answer does not say where it ends",
            State::Whole => "the answer could not be read",
        }
    }
}
