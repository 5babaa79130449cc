//! Who calls, and what they may do.

use std::{collections::BTreeSet, fmt};

use time::OffsetDateTime;

/// Something a caller may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// End sessions, and read one's own kills.
    SessionsKill,
    /// End sessions ahead of others who wait for their turn.
    SessionsKillUrgent,
    /// End sessions that nobody looked at.
    SessionsKillBlind,
    /// List live sessions.
    SessionsRead,
    /// See the statements that live sessions run.
    SessionsStatements,
    /// Read all kills.
    KillsRead,
    /// Export all kills.
    KillsExport,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 7] = [
        Self::SessionsKill,
        Self::SessionsKillUrgent,
        Self::SessionsKillBlind,
        Self::SessionsRead,
        Self::SessionsStatements,
        Self::KillsRead,
        Self::KillsExport,
    ];

    /// The word in tokens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SessionsKill => "sessions:kill",
            Self::SessionsKillUrgent => "sessions:kill:urgent",
            Self::SessionsKillBlind => "sessions:kill:blind",
            Self::SessionsRead => "sessions:read",
            Self::SessionsStatements => "sessions:statements",
            Self::KillsRead => "kills:read",
            Self::KillsExport => "kills:export",
        }
    }

    /// The scope of that word; other words are for other services.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a caller has to say who is behind its kills; what asks for more is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Naming {
    /// It may.
    Free,
    /// By the token's `act`, or in each request.
    Required,
    /// By the token's `act`.
    ByToken,
}

/// The authenticated subject of a token, or whom a certificate stands for. All texts have 1 to 255 characters and none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `sub`, behind the prefix of its issuer.
    pub subject: String,
    /// What the token grants, as far as it is known here.
    pub scopes: BTreeSet<Scope>,
    /// The claim that they are from, or `certificate`; `None` where there is none of those that may hold them.
    pub scopes_from: Option<String>,
    /// Whether its kills have to name a person.
    pub naming: Naming,
    /// `act.sub` (RFC 8693): who acts in the subject's name.
    pub actor: Option<String>,
    /// `azp` or `client_id`: the program that asked for the token.
    pub client: Option<String>,
    /// `jti`; of a certificate, `certificate:` and its SHA-256 as hexadecimal digits.
    pub token_id: Option<String>,
    /// `exp`, or when the certificate ends.
    pub expires_at: OffsetDateTime,
    /// When the token is good no more: `exp` and the leeway that other clocks have.
    pub good_until: OffsetDateTime,
}

impl Caller {
    /// Whether the token grants that scope.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_has_a_word_of_its_own() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(&scope.to_string()), Some(scope));
        }
        assert_eq!(Scope::parse("sessions"), None);
    }
}
