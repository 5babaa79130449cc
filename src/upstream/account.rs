//! An account: who killgate is to a vendor, and what carries its calls.
//!
//! It sends a call once and gives back the reply. It knows nothing of sessions, reads no meaning into a reply and repeats
//! nothing: whether a call may be sent again is for [`crate::dispatch`] to say. What carries the calls is a [`Carrier`]:
//! the HTTP of a [cloud](CloudAccount), or the protocol of [database servers](server::ServerAccount).

mod cloud;
pub mod server;

use std::{fmt, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::future::BoxFuture;
use time::OffsetDateTime;
use tokio::time::Instant;

pub use self::cloud::{CloudAccount, Settings};
use super::{Call, Fault, Reply, Site, Stage, redact::Redactor};
use crate::domain::VendorName;

/// Carries the calls of an account.
pub trait Carrier: fmt::Debug + Send + Sync {
    /// What a vendor counts calls to that node as.
    fn counted_as(&self, vendor: VendorName, node: Option<&str>) -> Counted;

    /// Where calls to that node go.
    fn endpoint(&self, vendor: VendorName, node: Option<&str>) -> Endpoint;

    /// Which of its cloud's sites it is at, where there are several.
    fn site(&self) -> Site {
        Site::default()
    }

    /// See [`Account::send`].
    fn send<'a>(
        &'a self,
        vendor: VendorName,
        call: &'a Call,
        times: Times,
    ) -> BoxFuture<'a, (Stamp, Result<Reply, Fault>)>;

    /// See [`Account::warm`].
    fn warm(&self, vendor: VendorName, many: usize) -> BoxFuture<'_, ()>;

    /// See [`Account::renew`].
    fn renew(&self, stamp: Stamp) -> BoxFuture<'_, Result<bool, Fault>>;

    /// See [`Account::good_until`].
    fn good_until(&self) -> BoxFuture<'_, Option<Result<OffsetDateTime, Fault>>>;

    /// See [`Account::redactor`].
    fn redactor(&self) -> Redactor;
}

/// What a vendor counts together: calls under the same credentials at the same place, whatever the configuration calls
/// them. It tells nothing of the credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Counted(String);

impl Counted {
    /// Calls to that vendor that have all of this in common.
    #[must_use]
    pub fn of(vendor: VendorName, common: &[&str]) -> Self {
        let digest = digest(&SHA256, common.join("\n").as_bytes());
        let short = digest.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Self(format!("{vendor}/{short:016x}"))
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What fails together: where calls go, whoever makes them. It is no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint(pub String);

/// When a call must have begun, where that matters, and when it must be over.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub timeout: Duration,
    pub deadline: Instant,
    pub begin_by: Option<Instant>,
}

/// Which credentials a call went out with; says to [`Account::renew`] what did not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub stage: Stage,
    pub timeout: Duration,
    /// Counts the temporary credentials of this account from 1; 0 for none.
    pub generation: u64,
}

/// One account.
#[derive(Debug)]
pub struct Account {
    name: String,
    carrier: Box<dyn Carrier>,
}

impl Account {
    #[must_use]
    pub fn new(name: String, carrier: impl Carrier + 'static) -> Self {
        Self { name, carrier: Box::new(carrier) }
    }

    /// The name in configuration and records.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the vendor counts this account's calls to a node as; where nodes are not told apart, or none is meant, `None`.
    #[must_use]
    pub fn counted_as(&self, vendor: VendorName, node: Option<&str>) -> Counted {
        self.carrier.counted_as(vendor, node)
    }

    /// Where this account's calls to a node go: what is down there is down for all who call there, and for nobody else.
    #[must_use]
    pub fn endpoint(&self, vendor: VendorName, node: Option<&str>) -> Endpoint {
        self.carrier.endpoint(vendor, node)
    }

    /// Which of its cloud's sites it is at, where there are several.
    #[must_use]
    pub fn site(&self) -> Site {
        self.carrier.site()
    }

    /// Sends a call once; `timeout` bounds all of it, a login included. What was not begun by `begin_by`, perhaps for a
    /// login, is [`FaultKind::TooLate`](super::FaultKind::TooLate) and not sent.
    ///
    /// # Errors
    /// Beside what became of it on its way, a fault for a call that never left:
    /// [`FaultKind::Denied`](super::FaultKind::Denied) where the credentials were refused a short while ago,
    /// [`FaultKind::Refused`](super::FaultKind::Refused) for one that this account cannot carry, and what
    /// [`renew`](Self::renew) says where credentials had to be fetched first.
    pub async fn send(
        &self,
        vendor: VendorName,
        call: &Call,
        timeout: Duration,
        begin_by: Option<Instant>,
    ) -> (Stamp, Result<Reply, Fault>) {
        let times = Times { timeout, deadline: Instant::now() + timeout, begin_by };
        self.carrier.send(vendor, call, times).await
    }

    /// Sees to it that so many connections for that vendor are ready, as far as that can be done in a moment, so that a
    /// call leaves when its turn comes.
    pub async fn warm(&self, vendor: VendorName, many: usize) {
        self.carrier.warm(vendor, many).await;
    }

    /// After a [`FaultKind::TokenExpired`](super::FaultKind::TokenExpired): gets new credentials, unless somebody already
    /// did since the stamp.
    ///
    /// True where a repetition makes sense; false where it does not: keys that stay cannot be renewed, and where what was
    /// fetched for this reason a moment ago was never taken, or the source gives the same again, nothing is won.
    ///
    /// # Errors
    /// The source gave none, and so nothing of a kill left: [`FaultKind::Denied`](super::FaultKind::Denied) (remembered for a
    /// minute, as clouds lock users), [`FaultKind::Throttled`](super::FaultKind::Throttled),
    /// [`FaultKind::Refused`](super::FaultKind::Refused), or [`FaultKind::Credentials`](super::FaultKind::Credentials)
    /// where the source was not reached or did not answer as it should.
    pub async fn renew(&self, stamp: Stamp) -> Result<bool, Fault> {
        self.carrier.renew(stamp).await
    }

    /// Until when its credentials of this moment are good, which are fetched where there are none yet; `None` where they
    /// have no end, or none that is known here.
    ///
    /// # Errors
    /// As [`renew`](Self::renew).
    pub async fn good_until(&self) -> Option<Result<OffsetDateTime, Fault>> {
        self.carrier.good_until().await
    }

    /// Takes this account's secrets out of text, the temporary ones of this moment included.
    #[must_use]
    pub fn redactor(&self) -> Redactor {
        self.carrier.redactor()
    }
}
