//! A proxy on the way out: it is told where to connect to (`CONNECT`, RFC 9110, section 9.3.6), and carries bytes from then on.
//!
//! What the tunnel carries is encrypted as it would be without a proxy, so the proxy sees hosts and no secrets.

use std::{fmt, io, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use url::{Host, Url};

use crate::domain::Network;

/// Longest head of a proxy's answer that is read, in bytes.
const LONGEST: usize = 16 * 1024;

/// A proxy, and how it knows this gateway.
#[derive(Clone)]
pub struct Proxy {
    host: Host,
    port: u16,
    /// The value of `Proxy-Authorization`.
    authorization: Option<SecretString>,
}

impl Proxy {
    /// The proxy of an http URL; it may have user and password, and nothing else but host and port.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok().filter(|url| url.scheme() == "http")?;
        let is_plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let (host, port) = (url.host()?.to_owned(), url.port_or_known_default()?);
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let is_known = !url.username().is_empty() || url.password().is_some();
        let authorization = is_known.then(|| {
            let who = format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
            SecretString::from(format!("Basic {}", STANDARD.encode(who)))
        });
        is_plain.then_some(Self { host, port, authorization })
    }

    /// Host and port, as they may be shown.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub(super) const fn host(&self) -> &Host {
        &self.host
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Has the proxy connect to a host, on a connection to the proxy.
    ///
    /// # Errors
    /// Why it did not; nothing has left for the host.
    pub(super) async fn tunnel(&self, stream: &mut TcpStream, host: &Host, port: u16) -> io::Result<()> {
        let mut head = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(authorization) = &self.authorization {
            head.extend(["Proxy-Authorization: ", authorization.expose_secret(), "\r\n"]);
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut seen = vec![];
        // Byte by byte: what comes after the head is not the proxy's.
        while !seen.ends_with(b"\r\n\r\n") {
            if seen.len() >= LONGEST {
                return Err(io::Error::other("the proxy's answer is too long"));
            }
            seen.push(stream.read_u8().await?);
        }
        match status(&seen) {
            Some(200..=299) => Ok(()),
            // Some proxies take the one for the other.
            Some(status @ (401 | 407)) => {
                Err(io::Error::other(format!("the proxy wants another user or password (HTTP {status})")))
            }
            Some(status) => Err(io::Error::other(format!("the proxy refuses to connect (HTTP {status})"))),
            None => Err(io::Error::other("the proxy does not speak HTTP")),
        }
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let line = str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

/// Shows no password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())
    }
}

/// Whom is connected to without a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spared {
    who: Who,
    /// Which of its ports; `None`: all.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Everybody,
    Loopback,
    Network(Network),
    /// A host, and all whose names end with it and a dot before it; in lower case.
    Domain(String),
}

impl Spared {
    /// This machine never needs a proxy.
    pub(super) const LOOPBACK: [Self; 1] = [Self { who: Who::Loopback, port: None }];

    /// `*`, a host, a domain with or without a dot before it, an address or a network; perhaps with `:PORT`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let of = |who| Self { who, port: None };
        if text == "*" {
            return Some(of(Who::Everybody));
        }
        if let Some(network) = Network::parse(text.trim_matches(['[', ']'])) {
            return Some(of(Who::Network(network)));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        if let Some(network) = Network::parse(host.trim_matches(['[', ']'])) {
            return Some(Self { who: Who::Network(network), port });
        }
        let name = host.strip_prefix("*.").or_else(|| host.strip_prefix('.')).unwrap_or(host);
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let is_name = (1..=253).contains(&name.len()) && name.bytes().all(fine);
        is_name.then(|| Self { who: Who::Domain(name.to_ascii_lowercase()), port })
    }

    pub(super) fn fits(&self, host: &Host, port: u16) -> bool {
        let address = match host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(*address)),
            Host::Ipv6(address) => Some(IpAddr::V6(*address)),
        };
        let is_meant = match (&self.who, host, address) {
            (Who::Everybody, ..) => true,
            (Who::Loopback, Host::Domain(name), _) => name == "localhost",
            (Who::Loopback, _, Some(address)) => address.to_canonical().is_loopback(),
            (Who::Network(network), _, Some(address)) => network.contains(address),
            (Who::Domain(domain), Host::Domain(name), _) => {
                let rest = name.to_ascii_lowercase();
                let rest = rest.trim_end_matches('.').strip_suffix(domain.as_str()).map(str::to_owned);
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            _ => false,
        };
        is_meant && self.port.is_none_or(|meant| meant == port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_known_by_its_url_and_its_password_is_not_shown() {
        let proxy = Proxy::parse("http://us%40er:can%3Aary@proxy.example.com:3128").unwrap();
        assert_eq!(proxy.address(), "proxy.example.com:3128");
        assert_eq!(proxy.authorization.as_ref().unwrap().expose_secret(), "Basic dXNAZXI6Y2FuOmFyeQ==");
        assert_eq!(format!("{proxy:?}"), "proxy.example.com:3128");
        assert_eq!(Proxy::parse("http://[fd00::1]").unwrap().address(), "[fd00::1]:80");
        for bad in ["", "proxy:3128", "https://proxy", "http://", "http://proxy/path", "http://proxy?a", "socks5://p"] {
            assert!(Proxy::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn whom_is_reached_directly_is_told_by_host_domain_address_or_network() {
        for (spared, near, far) in [
            ("example.com", "https://a.example.com", "https://badexample.com"),
            (".Example.com", "https://EXAMPLE.com", "https://example.org"),
            ("*.example.com", "https://a.example.com.", "https://example.com.evil.org"),
            ("10.0.0.0/8", "http://10.1.2.3", "http://11.1.2.3"),
            ("fd00::1", "http://[fd00::1]:8080", "http://[fd00::2]"),
            ("example.com:8443", "https://example.com:8443", "https://example.com"),
            ("10.1.2.3:443", "https://10.1.2.3", "http://10.1.2.3"),
        ] {
            let spared = Spared::parse(spared).unwrap();
            let fits = |url: &str| {
                let url = Url::parse(url).unwrap();
                spared.fits(&url.host().unwrap().to_owned(), url.port_or_known_default().unwrap())
            };
            assert!(fits(near) && !fits(far), "{spared:?}");
        }
        assert!(Spared::parse("*").unwrap().fits(&Host::Domain("anybody".to_owned()), 1));
        for bad in ["", "a b", "host:port", "http://a", "a/8"] {
            assert_eq!(Spared::parse(bad), None, "{bad}");
        }
    }
}
