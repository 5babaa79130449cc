//! `[server]`: where the gateway listens, how it stops and what it logs.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tracing_subscriber::EnvFilter;

use super::{address, section::Section};
use crate::domain::Network;

/// How the gateway runs.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address and port to listen on; 127.0.0.1:8080 by default.
    pub listen: SocketAddr,
    /// Threads that answer requests: 1 to 64, 2 by default.
    pub workers: usize,
    /// `shutdown_grace_ms`: how long requests under way may take once the gateway is told to stop: 0 to 600000 ms,
    /// 30000 by default.
    pub shutdown_grace: Duration,
    /// `drain_ms`: how long `/readyz` says no while requests are still taken once the gateway is told to stop: 0 to
    /// 600000 ms, 0 by default.
    pub drain: Duration,
    /// `max_streams`: how many callers may follow kills at a time: 1 to 100000, 256 by default.
    pub max_streams: usize,
    /// `trusted_proxies`: whose `X-Forwarded-For` and `Forwarded` are believed; nobody's by default.
    pub trusted_proxies: Vec<Network>,
    /// `cors_origins`: pages of which other origins may ask, each as browsers write it; none by default.
    pub cors_origins: Vec<String>,
    pub log: Log,
    /// `[server.tls]`; without it callers come in plain text.
    pub tls: Option<ServerTls>,
}

/// `[server.tls]`: the gateway's own certificate. The files are read at the start, and again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// `certificate_file`: the certificate and those between it and its authority, as PEM.
    pub certificate_file: PathBuf,
    /// `key_file`: its private key, as PEM.
    pub key_file: PathBuf,
    /// `client_ca_file`: authorities of which callers may show a certificate, as PEM.
    pub client_ca_file: Option<PathBuf>,
    /// `clients_required`: whether they have to; false by default.
    pub clients_required: bool,
}

/// `[server.log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `human` by default.
    pub format: LogFormat,
    /// What is logged, in the words of tracing's `EnvFilter`; `info` by default.
    pub filter: String,
}

/// What a log line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

const PROXIES: &str = "must be a list of addresses and networks such as 10.0.0.0/8";

const ORIGINS: &str = "must be a list of origins as browsers write them, such as https://portal.example.com: https (http to \
     loopback), a host, and a port where it is not the usual one";

impl Server {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let listen = section
            .parsed("listen", "must be an address and port such as 127.0.0.1:8080", |text| text.trim().parse().ok());
        let grace = section.number("shutdown_grace_ms", 0..=600_000).unwrap_or(30_000);
        let drain = section.number("drain_ms", 0..=600_000).unwrap_or(0);
        Self {
            listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            workers: section.number("workers", 1..=64).unwrap_or(2),
            shutdown_grace: Duration::from_millis(grace),
            drain: Duration::from_millis(drain),
            max_streams: section.number("max_streams", 1..=100_000).map_or(256, |most: u32| most as usize),
            trusted_proxies: section.list_of("trusted_proxies", PROXIES, Network::parse).unwrap_or_default(),
            cors_origins: section.list_of("cors_origins", ORIGINS, address::origin).unwrap_or_default(),
            log: section.table("log", Log::read),
            tls: section.table_if_set("tls", ServerTls::read),
        }
    }
}

impl ServerTls {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        section.require(&["certificate_file", "key_file"]);
        let mut path = |key| section.text(key).map(PathBuf::from);
        let (certificate_file, key_file, client_ca_file) =
            (path("certificate_file"), path("key_file"), path("client_ca_file"));
        let clients_required = section.flag("clients_required").unwrap_or(false);
        if clients_required && !section.has("client_ca_file") {
            section.problem("clients_required", "needs client_ca_file");
        }
        Some(Self { certificate_file: certificate_file?, key_file: key_file?, client_ca_file, clients_required })
    }
}

impl Log {
    fn read(section: &mut Section<'_>) -> Self {
        let format = section.parsed("format", "must be human or json", |text| match text {
            "human" => Some(LogFormat::Human),
            "json" => Some(LogFormat::Json),
            _ => None,
        });
        let filter = section.parsed("filter", "must be a filter such as info,killgate=debug", |text| {
            EnvFilter::try_new(text).is_ok().then(|| text.to_owned())
        });
        Self { format: format.unwrap_or(LogFormat::Human), filter: filter.unwrap_or_else(|| "info".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, read};

    #[test]
    fn an_empty_section_has_the_defaults() {
        let server = read("").server;
        assert_eq!(server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!((server.workers, server.shutdown_grace.as_secs(), server.max_streams), (2, 30, 256));
        assert!(server.drain.is_zero());
        assert!(server.trusted_proxies.is_empty() && server.cors_origins.is_empty());
        assert_eq!((server.log.format, server.log.filter.as_str()), (super::LogFormat::Human, "info"));
    }

    #[test]
    fn a_certificate_needs_its_key() {
        assert!(read("").server.tls.is_none());
        let tls = read("[server.tls]\ncertificate_file = 'a.pem'\nkey_file = 'b.pem'").server.tls.unwrap();
        assert_eq!((tls.key_file.to_str(), tls.client_ca_file, tls.clients_required), (Some("b.pem"), None, false));
        assert_eq!(
            problems("[server.tls]\ncertificate_file = 'a.pem'\nclients_required = true\nca = 1"),
            [
                "server.tls.key_file: required",
                "server.tls.clients_required: needs client_ca_file",
                "server.tls.ca: unknown key, expected one of certificate_file, key_file, client_ca_file, clients_required",
            ]
        );
    }

    #[test]
    fn each_bad_value_is_told_with_its_path() {
        let toml = "[server]\nlisten = 'here'\nworkers = 65\nshutdown_grace_ms = -1\ndrain_ms = -1\nmax_streams = 0\ntrusted_proxies = ['10.0.0.0/33']\ncors_origins = ['*']\nlog.format = 'xml'\n\
                    log.filter = 'a=b=c'\nlistn = '127.0.0.1:1'";
        assert_eq!(
            problems(toml),
            [
                "server.listen: must be an address and port such as 127.0.0.1:8080",
                "server.shutdown_grace_ms: must be a whole number from 0 to 600000, not -1",
                "server.drain_ms: must be a whole number from 0 to 600000, not -1",
                "server.workers: must be a whole number from 1 to 64, not 65",
                "server.max_streams: must be a whole number from 1 to 100000, not 0",
                "server.trusted_proxies: must be a list of addresses and networks such as 10.0.0.0/8",
                "server.cors_origins: must be a list of origins as browsers write them, such as https://portal.example.com: https (http to loopback), a host, and a port where it is not the usual one",
                "server.log.format: must be human or json",
                "server.log.filter: must be a filter such as info,killgate=debug",
                "server.listn: unknown key, expected one of listen, shutdown_grace_ms, drain_ms, workers, max_streams, trusted_proxies, cors_origins, log, tls",
            ]
        );
    }
}
