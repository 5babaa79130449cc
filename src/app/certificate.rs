//! The gateway's own certificate, and whose certificates it takes: read from files, and again when they change.
//!
//! The invariant: what is shown goes together. A certificate that does not belong to its key, or cannot be read, takes the
//! place of nothing.

use std::{
    fs,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context as _;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use time::OffsetDateTime;
use tokio::{sync::Notify, task::JoinHandle, time::timeout};

use crate::{clock::Clock, config::ServerTls, metrics::Metrics, pem, upstream::transport::out_of_time};

mod age;

use age::Age;

/// How often is looked whether the files have changed.
const EVERY: Duration = Duration::from_secs(2);

/// What the files say.
#[derive(Debug)]
struct Read {
    /// The files as they were, to notice that they are others.
    files: Files,
    certified: Arc<CertifiedKey>,
    /// From when and until when the certificate is good, as far as that can be read.
    validity: Option<(OffsetDateTime, OffsetDateTime)>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// The bytes of certificate, key and clients' authorities.
#[derive(PartialEq, Eq)]
struct Files([Vec<u8>; 3]);

/// Without the key.
impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Files")
    }
}

/// The certificate in force, for handshakes to come.
#[derive(Debug)]
struct Shown {
    current: RwLock<Arc<Read>>,
    is_client_needed: bool,
    provider: Arc<CryptoProvider>,
}

/// The task that reads the files again.
#[derive(Debug)]
pub(super) struct Certificate {
    wake: Arc<Notify>,
    watching: JoinHandle<()>,
}

impl Certificate {
    /// Reads the files, and again whenever they change; and what a server needs of them.
    ///
    /// # Errors
    /// What is wrong with the files, by the key that names them.
    pub(super) fn watch(
        settings: &ServerTls,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<(Self, ServerConfig)> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let read = Read::from(settings, Files::read(settings)?, &provider)?;
        let mut teller = Teller { clock, metrics, age: Age::default() };
        teller.tell(&read);
        let is_client_needed = settings.clients_required;
        let has_clients = read.clients.is_some();
        let shown = Shown { current: RwLock::new(Arc::new(read)), is_client_needed, provider: Arc::clone(&provider) };
        let shown = Arc::new(shown);
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let server = if has_clients {
            builder.with_client_cert_verifier(Arc::clone(&shown) as Arc<dyn ClientCertVerifier>)
        } else {
            builder.with_no_client_auth()
        };
        let mut server = server.with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        if has_clients {
            // A session that is taken up again would bring a caller's certificate along without anybody looking at it.
            server.session_storage = Arc::new(NoServerSessionStorage {});
        }
        let wake = Arc::new(Notify::new());
        let watching = tokio::spawn(keep(settings.clone(), shown, Arc::clone(&wake), teller));
        Ok((Self { wake, watching }, server))
    }

    /// Reads the files once. Answers why callers do not take the certificate at this time, where they do not.
    ///
    /// # Errors
    /// What is wrong with the files, by the key that names them.
    pub(super) fn check(settings: &ServerTls) -> anyhow::Result<Option<&'static str>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        Ok(Read::from(settings, Files::read(settings)?, &provider)?.out_of_time(Clock::system().now()))
    }

    /// Looks at the files now.
    pub(super) fn read_again(&self) {
        self.wake.notify_one();
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn keep(settings: ServerTls, shown: Arc<Shown>, wake: Arc<Notify>, mut teller: Teller) {
    let mut told = None;
    loop {
        let _ = timeout(EVERY, wake.notified()).await;
        let (settings, before) = (settings.clone(), shown.current());
        let provider = Arc::clone(&shown.provider);
        let read = tokio::task::spawn_blocking(move || {
            let files = Files::read(&settings)?;
            if files == before.files { Ok(None) } else { Read::from(&settings, files, &provider).map(Some) }
        });
        match read.await {
            Ok(Ok(None)) => told = None,
            Ok(Ok(Some(read))) => {
                teller.age = Age::default();
                *shown.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
                tracing::info!("server.tls: the certificate was read again");
                told = None;
            }
            // Somebody may be in the middle of writing both files; once is enough.
            Ok(Err(error)) => {
                let error = format!("{error:#}");
                if told.as_ref() != Some(&error) {
                    tracing::warn!(error, "server.tls: the files have changed and are not good; the old ones stay");
                }
                told = Some(error);
            }
            Err(_) => {}
        }
        teller.tell(&shown.current());
    }
}

/// Tells how long the certificate is good yet.
#[derive(Debug)]
struct Teller {
    clock: Clock,
    metrics: Arc<Metrics>,
    age: Age,
}

impl Teller {
    /// In the log once a day, from some days before its end on; in the metrics always.
    fn tell(&mut self, read: &Read) {
        let Some(validity @ (_, not_after)) = read.validity else { return };
        let now = self.clock.now();
        self.metrics.certificate(not_after);
        if !self.age.is_to_be_told(validity, now) {
            return;
        }
        if let Some(why) = read.out_of_time(now) {
            tracing::warn!(why, %not_after, "server.tls: callers will not take this certificate");
        } else {
            let days = (not_after - now).whole_days();
            tracing::warn!(days, %not_after, "server.tls: the certificate ends soon");
        }
    }
}

impl Files {
    fn read(settings: &ServerTls) -> anyhow::Result<Self> {
        let read = |key: &str, path| {
            fs::read(path).map_err(|error| anyhow::anyhow!("{key}: cannot be read: {}", error.kind()))
        };
        let clients = settings.client_ca_file.as_ref().map(|path| read("client_ca_file", path)).transpose()?;
        Ok(Self([
            read("certificate_file", &settings.certificate_file)?,
            read("key_file", &settings.key_file)?,
            clients.unwrap_or_default(),
        ]))
    }
}

impl Read {
    fn from(settings: &ServerTls, files: Files, provider: &Arc<CryptoProvider>) -> anyhow::Result<Self> {
        let [certificate, key, clients] = &files.0;
        let chain = certificates(certificate).context("certificate_file")?;
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|_| anyhow::anyhow!("key_file: holds no private key (PEM)"))?;
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                anyhow::anyhow!("key_file: is not the key of the certificate in certificate_file")
            }
            error => anyhow::Error::new(error).context("key_file"),
        })?;
        let clients = settings.client_ca_file.is_some().then(|| verifier(clients, provider)).transpose()?;
        let validity = certified.cert.first().and_then(|certificate| pem::validity(certificate));
        Ok(Self { certified: Arc::new(certified), validity, clients, files })
    }

    /// Why callers do not take the certificate at that time, where they do not.
    fn out_of_time(&self, now: OffsetDateTime) -> Option<&'static str> {
        let (not_before, not_after) = self.validity?;
        if now < not_before {
            out_of_time(&CertificateError::NotValidYet)
        } else if now > not_after {
            out_of_time(&CertificateError::Expired)
        } else {
            None
        }
    }
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    pem::certificates(pem).context("holds no certificate (PEM)")
}

fn verifier(pem: &[u8], provider: &Arc<CryptoProvider>) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem).context("client_ca_file")? {
        roots.add(certificate).context("client_ca_file")?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    builder.build().context("client_ca_file")
}

impl Shown {
    fn current(&self) -> Arc<Read> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn clients(&self) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
        self.current().clients.clone().ok_or_else(|| rustls::Error::General("nobody's certificate is taken".to_owned()))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current().certified))
    }
}

/// As the authorities of now have it.
impl ClientCertVerifier for Shown {
    fn client_auth_mandatory(&self) -> bool {
        self.is_client_needed
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.clients()?.verify_client_cert(certificate, others, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.clients()?.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.clients()?.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
