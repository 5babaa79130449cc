//! A path that stands before the gateway's own where a proxy puts it below others: `X-Forwarded-Prefix`.
//!
//! The invariants: it is believed of a proxy that is trusted, and of nobody else; and it is a path and nothing more, so that no
//! link leads to another host.

use actix_web::{
    Error, HttpMessage as _, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
};

use super::client;

const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// Longest prefix that is believed, in bytes.
const LONGEST: usize = 128;

#[derive(Debug, Clone)]
struct Prefix(String);

/// What stands before the paths of this gateway: `/` and segments, or nothing.
pub(super) fn of(request: &HttpRequest) -> String {
    request.extensions().get::<Prefix>().map(|prefix| prefix.0.clone()).unwrap_or_default()
}

/// Puts it before the paths in `Location` and `Link`.
pub(super) async fn put_before(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let told = client::is_of_proxy(request.request()).then(|| told(request.headers())).flatten();
    let Some(prefix) = told else { return next.call(request).await };
    request.extensions_mut().insert(Prefix(prefix.clone()));
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    for (name, before) in [(header::LOCATION, ""), (header::LINK, "<")] {
        let path = headers.get(&name).and_then(|value| value.to_str().ok()?.strip_prefix(before));
        let path = path.filter(|path| path.starts_with('/') && !path.starts_with("//"));
        if let Some(value) = path.and_then(|path| HeaderValue::try_from(format!("{before}{prefix}{path}")).ok()) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

/// The prefix in the headers, where there is one and it is well formed: segments of letters, digits, `-`, `_` and `~`.
fn told(headers: &HeaderMap) -> Option<String> {
    let mut lines = headers.get_all(X_FORWARDED_PREFIX);
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let path = line.to_str().ok()?.trim();
    let path = path.strip_suffix('/').unwrap_or(path);
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~');
    let mut segments = path.strip_prefix('/')?.split('/');
    let fits = segments.all(|segment| !segment.is_empty() && segment.bytes().all(is_fine));
    (fits && path.len() <= LONGEST).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_path_of_segments_and_nothing_else() {
        let told = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(X_FORWARDED_PREFIX, HeaderValue::from_str(value).unwrap());
            }
            told(&headers)
        };
        for (given, prefix) in [("/killgate", "/killgate"), ("/ops/kill-gate_2/", "/ops/kill-gate_2"), (" /a ", "/a")] {
            assert_eq!(told(&[given]).as_deref(), Some(prefix), "{given}");
        }
        let (longest, too_long) = (format!("/{}", "a".repeat(127)), format!("/{}", "a".repeat(128)));
        assert_eq!(told(&[&longest]), Some(longest.clone()));
        for bad in [
            "",
            "/",
            "//",
            "//evil.example",
            "/a//b",
            "/..",
            "/a/../b",
            "/.",
            "a",
            "https://evil.example/",
            "/a b",
            "/a?b",
            "/a#b",
            "/a%2fb",
            "/a\\b",
            "/a,/b",
            "/a\"",
            "/a>",
            &too_long,
        ] {
            assert_eq!(told(&[bad]), None, "{bad}");
        }
        assert_eq!(told(&["/a", "/a"]), None);
        assert_eq!(told(&[]), None);
    }
}
