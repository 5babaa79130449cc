//! Keys that the simulated clouds give out for a while, and the machine whose metadata services give some of them.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{demo, state::State};
use crate::clock;

/// Temporary keys that were given out.
#[derive(Clone)]
pub(super) struct Issued {
    pub(super) cloud: &'static str,
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: String,
    pub(super) expires: OffsetDateTime,
    pub(super) revoked: bool,
}

impl Issued {
    /// Whether they are what a call says, and still good.
    pub(super) fn is_good(&self, token: Option<&str>, at: OffsetDateTime) -> bool {
        token == Some(self.token.as_str()) && at < self.expires && !self.revoked
    }
}

/// How Huawei's metadata service wants to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    /// It has no tokens.
    First,
    /// With a token or without.
    Both,
    /// With a token of its own.
    Second,
}

/// The machine that the metadata services are of.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) metadata: Metadata,
    /// Whether it has an agency.
    pub(super) has_agency: bool,
    pub(super) role: Option<String>,
    /// How long keys of its agency or role live.
    pub(super) key_life: Duration,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            metadata: Metadata::Second,
            has_agency: true,
            role: Some(demo::TENCENT_ROLE.into()),
            key_life: Duration::from_hours(1),
        }
    }
}

impl State {
    /// New keys at that cloud, which live so long.
    pub(super) fn issue(&mut self, cloud: &'static str, life: Duration, at: OffsetDateTime) -> Issued {
        let text = |count: usize| (0..count).map(|_| clock::id_at(at).simple().to_string()).collect::<String>();
        let start = if cloud == "tencent" { "AKID" } else { "HST" };
        let issued = Issued {
            cloud,
            id: format!("{start}{}", text(1).to_ascii_uppercase()),
            secret: text(1),
            // Real ones are opaque, long, and want to be encoded.
            token: format!("temporary/{}+{}==", text(4), text(4)),
            expires: at + life,
            revoked: false,
        };
        self.issued.push(issued.clone());
        issued
    }

    /// The keys of the machine's agency or role: the same ones until a sixth of their life is left.
    pub(super) fn machine_keys(&mut self, cloud: &'static str, at: OffsetDateTime) -> Issued {
        let life = self.machine.key_life;
        let latest = self.machine_ids.get(cloud).and_then(|id| self.issued(cloud, id));
        let latest = latest.filter(|keys| !keys.revoked && keys.expires - at > life / 6).cloned();
        let keys = latest.unwrap_or_else(|| self.issue(cloud, life, at));
        self.machine_ids.insert(cloud, keys.id.clone());
        keys
    }

    /// Temporary keys of that id.
    pub(super) fn issued(&self, cloud: &str, id: &str) -> Option<&Issued> {
        self.issued.iter().find(|keys| keys.cloud == cloud && keys.id == id)
    }

    /// A token of the metadata service.
    pub(super) fn metadata_token(&mut self, life: Duration, at: OffsetDateTime) -> String {
        let token = Uuid::simple(clock::id_at(at)).to_string();
        self.metadata_tokens.insert(token.clone(), at + life);
        token
    }
}
