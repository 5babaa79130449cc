//! Where a request comes from: the other end of the connection, or what proxies that are trusted say of it.
//!
//! Each proxy adds the address that it was spoken to from at the end of `X-Forwarded-For` (or of `Forwarded`, RFC 7239),
//! and whatever stood before may be made up. So the addresses are walked from the last one on, as long as each is a
//! trusted proxy's. The invariant: no address is believed that a trusted proxy did not see itself.

use std::net::{IpAddr, SocketAddr};

use actix_web::{
    HttpMessage as _, HttpRequest,
    dev::ServiceRequest,
    http::header::{self, HeaderMap, HeaderName},
    web,
};

use crate::domain::Network;

/// The proxies that are believed.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies(pub(super) Vec<Network>);

/// The address of a request, once it was found.
#[derive(Debug, Clone)]
struct Address(Option<IpAddr>);

/// Finds where a request comes from, for all who ask later.
pub(super) fn find(request: &ServiceRequest) {
    // A socket for IPv6 writes the addresses of IPv4 in its own way.
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let proxies = request.app_data::<web::Data<Proxies>>();
    let address = peer.map(|peer| proxies.map_or(peer, |proxies| proxies.client(peer, request.headers())));
    request.extensions_mut().insert(Address(address));
}

/// Whether a proxy that is believed sends it.
pub(super) fn is_of_proxy(request: &HttpRequest) -> bool {
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let proxies = request.app_data::<web::Data<Proxies>>();
    peer.zip(proxies).is_some_and(|(peer, proxies)| proxies.trust(peer))
}

/// Where a request comes from.
pub(super) fn of(request: &HttpRequest) -> Option<IpAddr> {
    request.extensions().get::<Address>().and_then(|address| address.0)
}

/// The same before it has come to its handler.
pub(super) fn of_service(request: &ServiceRequest) -> Option<IpAddr> {
    request.extensions().get::<Address>().and_then(|address| address.0)
}

impl Proxies {
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trust(peer) {
            return peer;
        }
        let walked = |name: &HeaderName, address: fn(&str) -> Option<IpAddr>| {
            headers.contains_key(name).then(|| self.walk(peer, elements(headers, name), address))
        };
        let old = walked(&header::X_FORWARDED_FOR, host);
        let new = walked(&header::FORWARDED, forwarded_for);
        match (old, new) {
            (Some(old), Some(new)) if old == new => old,
            // A proxy that writes one of them may hand on the other one, which anybody may have written.
            (Some(_), Some(_)) | (None, None) => peer,
            (Some(address), None) | (None, Some(address)) => address,
        }
    }

    /// The last address that is not trusted, or the last one that was come to where that cannot be told.
    fn walk<'h>(
        &self,
        peer: IpAddr,
        elements: impl Iterator<Item = &'h str>,
        address: fn(&str) -> Option<IpAddr>,
    ) -> IpAddr {
        let mut known = peer;
        for element in elements {
            match address(element) {
                Some(next) if self.trust(next) => known = next,
                Some(next) => return next,
                None => break,
            }
        }
        known
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// The elements of a header from the last to the first, over all its lines; one that is no text reads as none at all.
fn elements<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines: Vec<&str> = headers.get_all(name).map(|line| line.to_str().unwrap_or("?")).collect();
    lines.into_iter().rev().flat_map(backwards).map(str::trim).filter(|element| !element.is_empty())
}

/// The parts of a line between its commas, from the last to the first. Read backwards, so that a quote somebody left
/// open does not swallow what a proxy wrote behind it.
fn backwards(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut quoted = false;
        let comma = text.bytes().rposition(|byte| {
            quoted ^= byte == b'"';
            byte == b',' && !quoted
        });
        rest = comma.map(|at| &text[..at]);
        Some(comma.map_or(text, |at| &text[at + 1..]))
    })
}

/// The address in an element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let value = element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
    })?;
    host(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

/// An address with a port or without, in brackets or without.
fn host(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip()).ok();
    let address = text.parse().ok().or_else(bracketed).or_else(with_port)?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[actix_web::test]
    async fn an_ipv4_client_is_recorded_as_such_where_the_gateway_listens_on_ipv6() {
        for (peer, address) in [
            ("[::ffff:203.0.113.9]:4711", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("[2001:db8::9]:4711", "2001:db8::9"),
        ] {
            let request = TestRequest::default().peer_addr(peer.parse().unwrap()).to_srv_request();
            find(&request);
            assert_eq!(of_service(&request).map(|address| address.to_string()).as_deref(), Some(address), "{peer}");
        }
    }
}
