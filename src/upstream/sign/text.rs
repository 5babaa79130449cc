//! Encodings and digests that the signatures are made of.

use aws_lc_rs::{digest, hmac};
use url::Url;

/// The authority as it stands in the Host header: host, and port only where it is not the scheme's own.
#[must_use]
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Percent-encodes every byte but `A-Z a-z 0-9 - _ . ~`, in upper-case hex.
#[must_use]
pub fn encode(text: impl AsRef<[u8]>) -> String {
    encode_but(text.as_ref(), b"")
}

/// As [`encode`], and leaves the bytes of `plain` alone too.
pub(in crate::upstream) fn encode_but(text: &[u8], plain: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            push_hex(&mut out, byte, b"0123456789ABCDEF");
        }
    }
    out
}

/// Undoes percent-encoding, once; a plus sign stays a plus sign, and so does a lone per cent sign.
pub(in crate::upstream) fn decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => nibble(*high).zip(nibble(*low)),
            _ => None,
        };
        out.push(escaped.map_or(*first, |(high, low)| high << 4 | low));
        rest = if escaped.is_some() { &rest[3..] } else { tail };
    }
    out
}

/// A query in canonical form: pairs sorted by name, then by value, as bytes before they are encoded.
#[must_use]
pub fn query<N: AsRef<[u8]> + Ord, V: AsRef<[u8]> + Ord>(mut pairs: Vec<(N, V)>) -> String {
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

pub(in crate::upstream) fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// HMAC-SHA256, 32 raw bytes.
pub(in crate::upstream) fn hmac_sha256(key: &[u8], message: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes())
}

pub(in crate::upstream) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        push_hex(&mut out, *byte, b"0123456789abcdef");
    }
    out
}

fn push_hex(out: &mut String, byte: u8, digits: &[u8; 16]) {
    out.push(char::from(digits[usize::from(byte >> 4)]));
    out.push(char::from(digits[usize::from(byte & 15)]));
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_undoes_encoding_and_leaves_odd_per_cent_signs_alone() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)), all);
        assert_eq!(decode("a+b%2fc%zz%"), b"a+b/c%zz%");
        assert_eq!(encode("/ ä~"), "%2F%20%C3%A4~");
    }

    #[test]
    fn the_authority_has_a_port_only_where_it_is_not_the_schemes_own() {
        let of = |text: &str| authority(&Url::parse(text).unwrap());
        assert_eq!(of("https://a.example:443/x"), "a.example");
        assert_eq!(of("http://127.0.0.1:18443/"), "127.0.0.1:18443");
        assert_eq!(of("https://[::1]:8443/"), "[::1]:8443");
    }
}
