//! Why nobody could log in: in every case no statement was sent.

use std::io;

use crate::upstream::{Fault, FaultKind, Stage, transport::reason};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    kind: FaultKind,
    code: Option<String>,
    why: String,
    /// The server has no connection left, at this address at least.
    pub(super) is_full: bool,
}

impl Refusal {
    fn new(kind: FaultKind, code: Option<&str>, why: impl Into<String>) -> Self {
        Self { kind, code: code.map(str::to_owned), why: why.into(), is_full: false }
    }

    /// The login is not taken. What the server said may echo it.
    pub(super) fn denied(code: &str) -> Self {
        Self::new(FaultKind::Denied, Some(code), "the server refused the login")
    }

    /// There is no connection left for the account.
    pub(super) fn full(code: &str) -> Self {
        let why = "the server has no connection left for this account";
        Self { is_full: true, ..Self::new(FaultKind::TargetBusy, Some(code), why) }
    }

    /// The server takes nobody now.
    pub(super) fn busy(code: &str, why: &str) -> Self {
        Self::new(FaultKind::TargetBusy, Some(code), why)
    }

    /// It is no server that could be of use.
    pub(super) fn wrong(code: &str, why: &str) -> Self {
        Self::new(FaultKind::Refused, Some(code), why)
    }

    /// Nobody was reached.
    pub(super) fn unreached(why: &str) -> Self {
        Self::new(FaultKind::NotConnected, None, why)
    }

    /// It is another server than is expected.
    pub(super) fn changed(why: String) -> Self {
        Self::new(FaultKind::TargetChanged, None, why)
    }

    /// What was in the way to the server.
    pub(super) fn of_way(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Self::unreached(&format!("TLS: {}", reason(error)))
            }
            sqlx::Error::Io(error) => Self::unreached(&error.kind().to_string()),
            sqlx::Error::Tls(_) => Self::unreached("the server takes no connections with TLS"),
            sqlx::Error::Configuration(_) => {
                Self::new(FaultKind::Denied, None, "the login needs TLS, or a method that this gateway does not have")
            }
            sqlx::Error::Protocol(_) => {
                Self::new(FaultKind::Denied, None, "the login needs a method that this gateway does not have")
            }
            _ => Self::unreached("the server did not answer as it should"),
        }
    }

    /// Whether it is the login itself that is not taken.
    pub(super) fn is_denied(&self) -> bool {
        self.kind == FaultKind::Denied
    }

    pub(super) fn fault(self, stage: Stage) -> Fault {
        let code = self.code.filter(|code| !code.is_empty());
        Fault { on_the_way: true, ..Fault::new(self.kind, stage) }.saying(code, Some(self.why))
    }
}
