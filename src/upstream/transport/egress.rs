//! How peers are reached: whom to believe, and through which proxy.
//!
//! The invariant: a connection is used again by those alone who would have made it the same way.

use std::{
    fmt,
    hash::{Hash, Hasher},
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustls::{CertificateError, ClientConfig, RootCertStore, pki_types::CertificateDer};
use tokio_rustls::TlsConnector;

use super::proxy::{Proxy, Spared};
use crate::pem;

/// The authorities that everybody knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PublicRoots {
    /// Those that browsers know, as of when this program was built.
    #[default]
    Web,
    /// Those that the operating system knows.
    System,
    /// Nobody.
    None,
}

/// Every way is another one.
static WAYS: AtomicU64 = AtomicU64::new(0);

/// A way to reach peers. Clones are the same.
#[derive(Clone)]
pub struct Egress(Arc<Way>);

struct Way {
    number: u64,
    tls: TlsConnector,
    proxy: Option<Proxy>,
    spared: Vec<Spared>,
}

impl Egress {
    /// Believes the authorities that everybody knows and those whose certificates are given as PEM.
    ///
    /// # Errors
    /// Why one of them cannot be believed, or why nobody can.
    pub fn new(public: PublicRoots, authorities: &[&[u8]]) -> Result<Self, String> {
        // Somebody else may have chosen the same provider before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        match public {
            PublicRoots::Web => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            PublicRoots::System => {
                // Some of a system's are of a kind that nobody needs any more.
                roots.add_parsable_certificates(system()?);
            }
            PublicRoots::None => {}
        }
        for pem in authorities {
            for certificate in pem::certificates(pem).ok_or("a certificate of an authority is not PEM")? {
                roots
                    .add(certificate)
                    .map_err(|error| format!("a certificate of an authority is not good: {error}"))?;
            }
        }
        Ok(Self::believing(roots))
    }

    /// Believes whom the web believes.
    pub(super) fn web() -> Self {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        Self::believing(roots)
    }

    fn believing(roots: RootCertStore) -> Self {
        let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = TlsConnector::from(Arc::new(tls));
        Self(Arc::new(Way { number: next(), tls, proxy: None, spared: vec![] }))
    }

    /// The same through a proxy, but for those who are reached directly.
    #[must_use]
    pub fn through(&self, proxy: Option<Proxy>, spared: Vec<Spared>) -> Self {
        Self(Arc::new(Way { number: next(), tls: self.0.tls.clone(), proxy, spared }))
    }

    pub(super) fn tls(&self) -> &TlsConnector {
        &self.0.tls
    }

    /// The proxy on the way to that host and port.
    pub(super) fn proxy_to(&self, host: &url::Host, port: u16) -> Option<&Proxy> {
        let is_near = Spared::LOOPBACK.iter().chain(&self.0.spared).any(|spared| spared.fits(host, port));
        self.0.proxy.as_ref().filter(|_| !is_near)
    }
}

/// The certificates of the authorities that the operating system knows.
///
/// # Errors
/// There are none.
pub fn system() -> Result<Vec<CertificateDer<'static>>, String> {
    let loaded = rustls_native_certs::load_native_certs();
    if loaded.certs.is_empty() {
        return Err("the system knows no certificates of authorities".to_owned());
    }
    Ok(loaded.certs)
}

fn next() -> u64 {
    WAYS.fetch_add(1, Ordering::Relaxed)
}

impl PartialEq for Egress {
    fn eq(&self, other: &Self) -> bool {
        self.0.number == other.0.number
    }
}

impl Eq for Egress {}

impl Hash for Egress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.number.hash(state);
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("proxy", &self.0.proxy).finish_non_exhaustive()
    }
}

/// What went wrong between two peers, without the other's own words where there may be any.
pub(in crate::upstream) fn reason(error: &io::Error) -> String {
    let rustls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match rustls {
        Some(error) => handshake(error),
        None if error.kind() == io::ErrorKind::InvalidData => "the handshake failed".to_owned(),
        None => error.to_string(),
    }
}

/// Why a certificate is none at this time, where that is what is wrong with it.
pub(crate) const fn out_of_time(error: &CertificateError) -> Option<&'static str> {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Some("the certificate has expired"),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Some("the certificate is not valid yet")
        }
        _ => None,
    }
}

fn handshake(error: &rustls::Error) -> String {
    let sentence = match error {
        rustls::Error::InvalidCertificate(error) => out_of_time(error).unwrap_or(match error {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the certificate is for another name"
            }
            // One that is called like an authority here is another one all the same.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the certificate is of an authority that is not known here (ca_file)"
            }
            CertificateError::Revoked => "the certificate was revoked",
            _ => "the certificate is not good",
        }),
        rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired) => {
            "the peer wants a certificate of this gateway's"
        }
        rustls::Error::AlertReceived(_) => "the peer broke the handshake off",
        rustls::Error::InvalidMessage(_) => "the peer does not speak TLS",
        _ => "the handshake failed",
    };
    sentence.to_owned()
}
