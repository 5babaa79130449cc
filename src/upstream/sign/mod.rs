//! What the clouds' signatures are made of, and made from.
//!
//! A signer, of which each cloud has its own, is a pure function of a request, the keys and a time: it says which headers
//! to add, reads no clock and sends nothing. None shows a secret: a canonical request may contain a token, so it never
//! leaves its module.

pub(super) mod canonical;
pub(super) mod text;

use std::fmt;

use actix_web::http::Method;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

pub use text::{authority, encode, query};

/// An access key at one cloud.
#[derive(Clone)]
pub struct Keys {
    /// The public half: Huawei's access key, Tencent's secret id, Alibaba's access key id.
    pub id: String,
    pub secret: SecretString,
    /// Comes with temporary keys and is sent along.
    pub token: Option<SecretString>,
}

impl Keys {
    /// What nobody may see, the public half too.
    #[must_use]
    pub fn secrets(&self) -> Vec<&str> {
        let secrets = self.private().into_iter().map(ExposeSecret::expose_secret);
        secrets.chain([self.id.as_str()]).collect()
    }

    /// The same without the public half.
    #[must_use]
    pub fn private(&self) -> Vec<&SecretString> {
        std::iter::once(&self.secret).chain(&self.token).collect()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start: String = self.id.chars().take(4).collect();
        f.debug_struct("Keys").field("id", &format_args!("{start}…")).finish_non_exhaustive()
    }
}

/// A request as it will be sent, but for what the signer adds.
#[derive(Clone, Copy)]
pub struct Unsigned<'a> {
    pub method: &'a Method,
    pub url: &'a Url,
    /// No name twice; `Host` is taken from the URL.
    pub headers: &'a [(String, String)],
    pub body: &'a [u8],
}

impl fmt::Debug for Unsigned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsigned").field("method", self.method).field("path", &self.url.path()).finish_non_exhaustive()
    }
}
