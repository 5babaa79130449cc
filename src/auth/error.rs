//! Why a caller is not known. The reasons are fixed texts: none can repeat a part of a token.

use thiserror::Error;

/// Why a request has no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthError {
    #[error("no bearer token")]
    Missing,
    #[error("not a JWT")]
    Malformed,
    #[error("longer than 16 KiB")]
    TooLong,
    #[error("algorithm not allowed")]
    AlgorithmNotAllowed,
    #[error("critical header not understood")]
    CriticalHeader,
    #[error("signed with an unknown key")]
    UnknownKey,
    /// No key set was ever fetched.
    #[error("the issuer's keys cannot be fetched")]
    KeysUnavailable,
    #[error("bad signature")]
    BadSignature,
    #[error("wrong issuer")]
    WrongIssuer,
    #[error("wrong audience")]
    WrongAudience,
    #[error("expiry missing")]
    ExpiryMissing,
    #[error("expired")]
    Expired,
    #[error("not yet valid")]
    NotYetValid,
    #[error("subject missing")]
    SubjectMissing,
    #[error("malformed claim")]
    MalformedClaim,
}

impl AuthError {
    /// The value of `WWW-Authenticate` (RFC 6750, section 3). Without a token there is nothing to call wrong.
    #[must_use]
    pub fn challenge(self) -> String {
        match self {
            Self::Missing => r#"Bearer realm="killgate""#.to_owned(),
            _ => format!(r#"Bearer realm="killgate", error="invalid_token", error_description="{self}""#),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_why_where_there_was_a_token() {
        assert_eq!(AuthError::Missing.challenge(), r#"Bearer realm="killgate""#);
        let expected = r#"Bearer realm="killgate", error="invalid_token", error_description="expired""#;
        assert_eq!(AuthError::Expired.challenge(), expected);
    }
}
