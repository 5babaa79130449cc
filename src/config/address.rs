//! Where the gateway may send: https, or http where nobody can listen in or the operator says so.

use url::{Host, Url};

/// What [`endpoint`] expects, for errors.
pub(super) const ENDPOINT: &str = "must be an https URL (http is allowed to loopback or with allow_http = true) \
     without user, query or fragment";

/// The base address of a service: port and path are fine; user, query and fragment, which may hold secrets, are not.
pub(crate) fn endpoint(text: &str, allow_http: bool) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let allowed = match url.scheme() {
        "https" => true,
        "http" => allow_http || is_loopback(&url),
        _ => false,
    };
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    (allowed && plain && url.fragment().is_none() && url.has_host()).then_some(url)
}

/// Where clouds have their metadata services, which speak plain http inside the machine's own network: the one address of
/// all clouds, which is link-local, and Tencent's name for its own.
const METADATA_SERVICES: [&str; 2] = ["169.254.169.254", "metadata.tencentyun.com"];

/// What [`metadata`] expects, for errors.
pub(super) const METADATA: &str = "must be an https URL (http is allowed to 169.254.169.254, to metadata.tencentyun.com and \
     to loopback) without user, query or fragment";

/// The base address of a metadata service.
pub(super) fn metadata(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_known = url.host_str().is_some_and(|host| METADATA_SERVICES.contains(&host));
    endpoint(text, is_known)
}

/// What [`key_set`] expects, for errors.
pub(super) const KEY_SET: &str = "must be an https URL (http is allowed to loopback or with allow_http = true) \
     without user or fragment";

/// The address of a key set: as an endpoint's, and a query is fine, since some issuers tell their key sets apart by it.
pub(super) fn key_set(text: &str, allow_http: bool) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    endpoint(&without_query(&url), allow_http).map(|_| url)
}

/// An origin exactly as a browser writes it: in `Origin` it is compared byte by byte.
pub(super) fn origin(text: &str) -> Option<String> {
    let origin = endpoint(text, false)?.origin().ascii_serialization();
    // A host may have a star, which would look like a pattern here.
    (origin == text && !text.contains('*')).then_some(origin)
}

/// The address as it may be shown: without its query, which may hold a secret.
#[must_use]
pub fn without_query(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.into()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_goes_to_loopback_only_unless_the_operator_says_so() {
        for fine in [
            "https://das.example.com",
            "https://das.example.com:8443/prefix",
            "http://localhost:9000",
            "http://127.1.2.3:9000/das",
            "http://[::1]:9000",
        ] {
            assert!(endpoint(fine, false).is_some(), "{fine}");
        }
        for bad in ["http://das.example.com", "http://localhost.example.com", "http://10.0.0.1", "http://[::2]"] {
            assert!(endpoint(bad, false).is_none(), "{bad}");
            assert!(endpoint(bad, true).is_some(), "{bad}");
        }
    }

    #[test]
    fn a_metadata_service_is_asked_over_http_at_its_own_address_and_nowhere_else() {
        for fine in [
            "http://169.254.169.254",
            "http://metadata.tencentyun.com/",
            "http://127.0.0.1:9000",
            "https://metadata.example.com",
        ] {
            assert!(metadata(fine).is_some(), "{fine}");
        }
        for bad in [
            "http://169.254.169.253",
            "http://metadata.tencentyun.com.example.com",
            "http://10.0.0.1",
            "http://u@169.254.169.254",
            "ftp://169.254.169.254",
        ] {
            assert!(metadata(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_key_set_may_have_a_query_which_is_not_shown() {
        let url = key_set("https://sso.example.com/keys?p=canary&x=1", false).unwrap();
        assert_eq!(url.query(), Some("p=canary&x=1"));
        assert_eq!(without_query(&url), "https://sso.example.com/keys");
        for bad in [
            "https://user:canary@sso.example.com/keys",
            "https://sso.example.com/keys?a#b",
            "http://sso.example.com/?a",
        ] {
            assert!(key_set(bad, false).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for fine in
            ["https://portal.example.com", "https://portal.example.com:8443", "http://localhost:3000", "http://[::1]"]
        {
            assert_eq!(origin(fine).as_deref(), Some(fine));
        }
        for bad in [
            "*",
            "null",
            "https://*.example.com",
            "https://portal.example.com/",
            "https://portal.example.com:443",
            "https://Portal.example.com",
            "https://portal.example.com/app",
            "http://portal.example.com",
            "portal.example.com",
        ] {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }

    #[test]
    fn whatever_is_no_plain_address_is_refused() {
        for bad in [
            "",
            "das.example.com",
            "ftp://das.example.com",
            "https://",
            "https://user@das.example.com",
            "https://user:pass@das.example.com",
            "https://das.example.com/?a=b",
            "https://das.example.com/#a",
            "unix:/run/das",
        ] {
            assert!(endpoint(bad, true).is_none(), "{bad}");
        }
    }
}
