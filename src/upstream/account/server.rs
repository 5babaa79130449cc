//! An account at database servers: logs in and runs statements by the server's own protocol.
//!
//! It knows the servers' addresses, the login and how the connections are kept safe. The invariants: a node has one
//! connection of this gateway's at most, which goes when nobody uses it; a statement that may kill leaves once, on a
//! connection whose server is the one that the account expects; and a connection is never used again after a statement
//! whose answer was not read to its end.

mod login;
mod mysql;
mod node;
mod postgres;
mod wire;

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;

use self::node::Node;
use super::{Carrier, Counted, Endpoint, Stamp, Times};
use crate::{
    domain::VendorName,
    upstream::{Call, Content, Fault, FaultKind, Protocol, Reply, redact::Redactor},
};

/// A server's name or address, and its port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Without brackets where it is IPv6.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Where one server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    pub usual: Address,
    /// Another address of the same server, which is tried where the server has no connection left at the usual one: MySQL's
    /// administrative port, MariaDB's extra port.
    pub reserved: Option<Address>,
}

/// How connections are kept safe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tls {
    /// The certificate is signed by a known authority and is for that name.
    #[default]
    Verify,
    /// The certificate is signed by a known authority, whoever it is for.
    VerifyCa,
    /// Plain text.
    Off,
}

/// How sessions of MySQL's and MariaDB's are ended: where a provider gives nobody the right to do it by statement, it has
/// procedures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KillWith {
    /// `KILL`.
    #[default]
    Statement,
    /// `mysql.rds_kill`, `mysql.rds_kill_query` and, for MariaDB, `mysql.rds_kill_query_id`: Amazon RDS and Aurora.
    Rds,
    /// `mysql.az_kill` and `mysql.az_kill_query`: Azure.
    Azure,
}

impl KillWith {
    /// A statement with what stands in it for the account's way.
    fn written(self, text: &str) -> Cow<'_, str> {
        if !text.contains('{') {
            return Cow::Borrowed(text);
        }
        let [session, query, query_id] = match self {
            Self::Statement => ["KILL ", "KILL QUERY ", "KILL QUERY ID "],
            Self::Rds => ["CALL mysql.rds_kill", "CALL mysql.rds_kill_query", "CALL mysql.rds_kill_query_id"],
            // It knows no ids of statements, and no server of MariaDB's any more.
            Self::Azure => ["CALL mysql.az_kill", "CALL mysql.az_kill_query", "KILL QUERY ID "],
        };
        let text = text.replace("{kill}", session).replace("{kill_query}", query);
        Cow::Owned(text.replace("{kill_query_id}", query_id))
    }
}

/// What must be true of a server before it takes a kill; what is not said may be anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// PostgreSQL's `system_identifier`: the same on a primary and its physical standbys.
    pub system_identifier: Option<String>,
    /// MySQL's `server_uuid`, or MariaDB's `server_uid`.
    pub server_uuid: Option<String>,
    /// Whether it takes writes.
    pub writable: Option<bool>,
}

/// An account at database servers as configured.
#[derive(Debug, Clone)]
pub struct Settings {
    pub protocol: Protocol,
    pub username: String,
    pub password: SecretString,
    /// The servers, by the account's names for them; one at least.
    pub nodes: BTreeMap<String, Addresses>,
    /// Whom to log in at; `None`: the server's own.
    pub database: Option<String>,
    pub tls: Tls,
    /// Certificates of authorities beside the web's, as PEM.
    pub authorities: Option<Vec<u8>>,
    pub expected: Expected,
    pub kill_with: KillWith,
}

/// See the module.
pub struct ServerAccount {
    settings: Arc<Settings>,
    nodes: BTreeMap<String, Arc<Node>>,
}

impl ServerAccount {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let node = |(name, addresses): (&String, &Addresses)| {
            (name.clone(), Arc::new(Node::new(Arc::clone(&settings), addresses.clone())))
        };
        Self { nodes: settings.nodes.iter().map(node).collect(), settings }
    }

    /// The node of that name, or the only one.
    fn node(&self, name: Option<&str>) -> Option<&Arc<Node>> {
        match name {
            Some(name) => self.nodes.get(name),
            None => self.nodes.values().next().filter(|_| self.nodes.len() == 1),
        }
    }

    async fn carry(&self, call: &Call, times: Times) -> Result<Reply, Fault> {
        let fault = |kind| Fault { before_endpoint: true, ..Fault::new(kind, call.stage) };
        let statements = call.statements().ok_or_else(|| fault(FaultKind::Refused))?;
        let node = self.node(statements.node.as_deref()).ok_or_else(|| fault(FaultKind::TargetNotFound))?;
        let (node, work) = (Arc::clone(node), call.clone());
        // To its end, whether or not anybody waits for it: half a statement would be lost.
        let results = tokio::spawn(async move { node.run(&work, times).await }).await;
        let results = results.map_err(|_| Fault::new(FaultKind::Lost, call.stage))??;
        Ok(Reply { stage: call.stage, effect: call.effect, content: Content::Results(results) })
    }
}

impl fmt::Debug for ServerAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerAccount").field("nodes", &self.settings.nodes).finish_non_exhaustive()
    }
}

impl Carrier for ServerAccount {
    /// The login and the server: what one node has to bear is its own.
    fn counted_as(&self, vendor: VendorName, node: Option<&str>) -> Counted {
        let Endpoint(endpoint) = self.endpoint(vendor, node);
        Counted::of(vendor, &["login", &self.settings.username, "", &endpoint])
    }

    fn endpoint(&self, _: VendorName, node: Option<&str>) -> Endpoint {
        let address = self.node(node).map(|node| node.addresses().usual.to_string().to_ascii_lowercase());
        Endpoint(address.unwrap_or_default())
    }

    fn send<'a>(&'a self, _: VendorName, call: &'a Call, times: Times) -> BoxFuture<'a, (Stamp, Result<Reply, Fault>)> {
        let stamp = Stamp { stage: call.stage, timeout: times.timeout, generation: 0 };
        async move { (stamp, self.carry(call, times).await) }.boxed()
    }

    /// There is one connection, and who comes first makes it.
    fn warm(&self, _: VendorName, _: usize) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    fn renew(&self, _: Stamp) -> BoxFuture<'_, Result<bool, Fault>> {
        async { Ok(false) }.boxed()
    }

    fn good_until(&self) -> BoxFuture<'_, Option<Result<OffsetDateTime, Fault>>> {
        async { None }.boxed()
    }

    fn redactor(&self) -> Redactor {
        Redactor::new([self.settings.password.expose_secret()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_written_in_the_accounts_way_to_end_sessions() {
        let written = |way: KillWith| {
            ["{kill}(@k)", "{kill_query}(@k)", "{kill_query_id}(@q)", "SELECT 1"]
                .map(|text| way.written(text).into_owned())
        };
        assert_eq!(written(KillWith::Statement), ["KILL (@k)", "KILL QUERY (@k)", "KILL QUERY ID (@q)", "SELECT 1"]);
        assert_eq!(
            written(KillWith::Rds),
            [
                "CALL mysql.rds_kill(@k)",
                "CALL mysql.rds_kill_query(@k)",
                "CALL mysql.rds_kill_query_id(@q)",
                "SELECT 1"
            ]
        );
        assert_eq!(written(KillWith::Azure)[..2], ["CALL mysql.az_kill(@k)", "CALL mysql.az_kill_query(@k)"]);
    }
}
