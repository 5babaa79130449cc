//! Certificates as files hold them.

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

/// The certificates of a PEM file; `None` where there is not one at least, or anything that is none.
pub(crate) fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty())
}
