//! A company's own authority, and servers with its certificates.

use std::{net::SocketAddr, path::Path, sync::Arc};

use killgate::{
    clock::Clock,
    upstream::transport::{Egress, PublicRoots, Transport},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::support::patience::PATIENCE;

/// Somebody who signs certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

/// A certificate and its key, as PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// For whom and for how long a certificate is.
#[derive(Clone, Copy)]
pub(super) enum For {
    /// The address that tests listen on.
    Us,
    /// The same until yesterday.
    UsBefore,
    /// The same until the day after tomorrow.
    UsSoon,
    Others,
    Client,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut authority = CertificateParams::new(vec![]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = authority.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(authority, key), pem }
    }

    pub(super) fn issue(&self, whom: For) -> Issued {
        let name = if matches!(whom, For::Others) { "db.example.com" } else { "127.0.0.1" };
        let mut asked = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let now = Clock::system().now();
        asked.not_before = now - time::Duration::days(10);
        let days = match whom {
            For::UsBefore => -1,
            For::UsSoon => 2,
            For::Us | For::Others | For::Client => 10,
        };
        asked.not_after = now + time::Duration::days(days);
        if matches!(whom, For::Client) {
            asked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
        self.sign(&asked)
    }

    /// A caller's certificate with that URI in it, good for so many days from now on.
    pub(super) fn issue_to(&self, uri: &str, days: i64) -> Issued {
        let mut asked = CertificateParams::new(vec![]).unwrap();
        asked.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        asked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let now = Clock::system().now();
        asked.not_before = now - time::Duration::days(10);
        asked.not_after = now + time::Duration::days(days);
        self.sign(&asked)
    }

    fn sign(&self, asked: &CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = asked.signed_by(&key, &self.issuer).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// What a client of its own believes.
    pub(super) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        roots
    }

    /// A client that believes this authority alone.
    pub(super) fn client(&self) -> Transport {
        let egress = Egress::new(PublicRoots::None, &[self.pem.as_bytes()]).unwrap();
        Transport::start(PATIENCE).unwrap().by(egress)
    }

    /// The key and value that make a section believe this authority, kept in that folder.
    pub(super) fn ca_file(&self, folder: &Path, name: &str) -> String {
        let path = folder.join(name);
        std::fs::write(&path, &self.pem).unwrap();
        format!("ca_file = \"{}\"\n", path.display())
    }
}

impl Issued {
    /// Writes both where a gateway finds them.
    pub(super) fn write(&self, folder: &Path) {
        std::fs::write(folder.join("key.pem"), &self.key).unwrap();
        std::fs::write(folder.join("certificate.pem"), &self.certificate).unwrap();
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()]
    }

    pub(super) fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// Takes connections by TLS with that certificate, and hands on what they carry to a plain server; gives its URL.
pub(super) async fn front(issued: &Issued, to: &str) -> String {
    // Another test may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let to: SocketAddr = to.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let server =
        ServerConfig::builder().with_no_client_auth().with_single_cert(issued.chain(), issued.private()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let (mut near, mut far) = (acceptor.accept(stream).await?, TcpStream::connect(to).await?);
                copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    url
}
