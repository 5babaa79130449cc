//! Why a caller is not known. The reasons are fixed texts: none can repeat a part of a token.

use thiserror::Error;

/// Why a request has no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthError {
    #[error("no bearer token")]
    Missing,
    #[error("no bearer token, and the certificate of this connection stands for no caller")]
    UnknownCertificate,
    #[error("no bearer token, and the certificate of this connection stands for several callers")]
    AmbiguousCertificate,
    #[error("no bearer token, and the certificate of this connection has expired: make another connection")]
    CertificateExpired,
    #[error("no bearer token, and a certificate stands for none where a browser sends the request")]
    CertificateOfBrowser,
    #[error("not a JWT")]
    Malformed,
    #[error("longer than 16 KiB")]
    TooLong,
    #[error("algorithm not allowed")]
    AlgorithmNotAllowed,
    #[error("critical header not understood")]
    CriticalHeader,
    #[error("type of token not allowed")]
    WrongType,
    #[error("signed with an unknown key")]
    UnknownKey,
    /// There is no key set, or the one there is has grown too old.
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
    /// The claim of that name.
    #[error("malformed claim {0}")]
    MalformedClaim(&'static str),
}

impl AuthError {
    /// One word for the reason, for metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::UnknownCertificate => "unknown_certificate",
            Self::AmbiguousCertificate => "ambiguous_certificate",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateOfBrowser => "certificate_of_browser",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::CriticalHeader => "critical_header",
            Self::WrongType => "wrong_type",
            Self::UnknownKey => "unknown_key",
            Self::KeysUnavailable => "keys_unavailable",
            Self::BadSignature => "bad_signature",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::ExpiryMissing => "expiry_missing",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::SubjectMissing => "subject_missing",
            Self::MalformedClaim(_) => "malformed_claim",
        }
    }

    /// The value of `WWW-Authenticate` (RFC 6750, section 3). Without a token there is nothing to call wrong.
    #[must_use]
    pub fn challenge(self) -> String {
        match self {
            Self::Missing
            | Self::UnknownCertificate
            | Self::AmbiguousCertificate
            | Self::CertificateExpired
            | Self::CertificateOfBrowser => r#"Bearer realm="killgate""#.to_owned(),
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
