//! A certificate that a caller has shown in its handshake, as far as it can stand for a token.
//!
//! Who signed it was checked in the handshake; here it is only read. The invariant: a name is compared as a whole and with names of
//! its own kind, and a certificate that has ended stands for nobody, however long its connection goes on.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use time::OffsetDateTime;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
    x509::{AttributeTypeAndValue, X509Name},
};

use super::{AuthError, Caller, Naming, Scope};
use crate::{chain::hex, pem};

/// What stands before the fingerprint where a record has the id of a token: no token's id begins with it.
pub(super) const PROOF: &str = "certificate:";

/// A name in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateName {
    /// A URI among its alternative names, such as a SPIFFE id.
    Uri(String),
    /// A DNS name among them, in lower case.
    Dns(String),
    /// An address for mail among them.
    Email(String),
    /// Its subject, as RFC 4514 writes it: the last part first.
    Subject(String),
}

/// Whom a certificate with that name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    pub name: CertificateName,
    /// The caller: 1 to 255 characters, none of them a control character.
    pub caller: String,
    pub scopes: BTreeSet<Scope>,
}

/// A certificate that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    names: BTreeSet<CertificateName>,
    not_after: OffsetDateTime,
    /// SHA-256 of the whole of it, as hexadecimal digits.
    fingerprint: String,
}

impl ClientCertificate {
    /// What can be read of it, as DER.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut names: BTreeSet<_> =
            distinguished(certificate.subject()).map(CertificateName::Subject).into_iter().collect();
        // More than one such extension, or one that cannot be read, gives no name at all.
        let alternative = certificate.subject_alternative_name().ok()?;
        for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
            names.extend(match name {
                GeneralName::URI(uri) => Some(CertificateName::Uri((*uri).to_owned())),
                GeneralName::DNSName(name) => Some(CertificateName::Dns(name.to_ascii_lowercase())),
                GeneralName::RFC822Name(address) => Some(CertificateName::Email((*address).to_owned())),
                _ => None,
            });
        }
        let (_, not_after) = pem::validity(der)?;
        Some(Self { names, not_after, fingerprint: hex(digest(&SHA256, der).as_ref()) })
    }

    /// The names that configuration may have of it, for the log.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.names.iter().map(|name| match name {
            CertificateName::Uri(name) => format!("uri={name}"),
            CertificateName::Dns(name) => format!("dns={name}"),
            CertificateName::Email(name) => format!("email={name}"),
            CertificateName::Subject(name) => format!("subject={name}"),
        })
    }

    /// The caller that it stands for at that time; `naming` tells whether such a caller has to name a person.
    pub(super) fn caller(
        &self,
        known: &[Certified],
        now: OffsetDateTime,
        naming: impl Fn(&str) -> Naming,
    ) -> Result<Caller, AuthError> {
        if now >= self.not_after {
            return Err(AuthError::CertificateExpired);
        }
        let mut fitting = known.iter().filter(|certified| self.names.contains(&certified.name));
        let certified = fitting.next().ok_or(AuthError::UnknownCertificate)?;
        if fitting.next().is_some() {
            return Err(AuthError::AmbiguousCertificate);
        }
        Ok(Caller {
            naming: naming(&certified.caller),
            subject: certified.caller.clone(),
            scopes: certified.scopes.clone(),
            scopes_from: Some("certificate".to_owned()),
            actor: None,
            client: None,
            token_id: Some(format!("{PROOF}{}", self.fingerprint)),
            expires_at: self.not_after,
            good_until: self.not_after,
        })
    }
}

/// The words of RFC 4514, section 3, for kinds of attributes.
const KINDS: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// A name as RFC 4514 writes it; `None` where it is empty or has an attribute that has no word there, or is no text.
fn distinguished(name: &X509Name<'_>) -> Option<String> {
    let attribute = |attribute: &AttributeTypeAndValue<'_>| {
        let kind = attribute.attr_type().to_id_string();
        let (_, word) = KINDS.iter().find(|(id, _)| *id == kind)?;
        Some(format!("{word}={}", escaped(attribute.as_str().ok()?)))
    };
    let mut parts = vec![];
    for part in name.iter_rdn() {
        parts.push(part.iter().map(attribute).collect::<Option<Vec<_>>>()?.join("+"));
    }
    parts.reverse();
    (!parts.is_empty()).then(|| parts.join(","))
}

/// A value in which nothing can be taken for the end of it (RFC 4514, section 2.4).
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::new();
    for (at, c) in value.chars().enumerate() {
        let is_odd_here = (c == ' ' && (at == 0 || at == last)) || (c == '#' && at == 0);
        if is_odd_here || matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// Whether a text may be such a name: else no certificate would ever have it.
#[must_use]
pub fn is_distinguished(text: &str) -> bool {
    let mut is_escaped = false;
    let mut parts = text.split(|c: char| {
        let is_end = !is_escaped && matches!(c, ',' | '+');
        is_escaped = !is_escaped && c == '\\';
        is_end
    });
    parts.all(|part| {
        part.split_once('=').is_some_and(|(word, value)| {
            KINDS.iter().any(|(_, known)| *known == word) && !value.is_empty() && !value.starts_with(' ')
        })
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;
    use crate::clock::Clock;

    fn shown(names: &[SanType], subject: &[(DnType, &str)], days: i64) -> ClientCertificate {
        let mut asked = CertificateParams::new(vec![]).unwrap();
        asked.subject_alt_names = names.to_vec();
        asked.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            asked.distinguished_name.push(kind.clone(), *value);
        }
        let now = Clock::system().now();
        asked.not_before = now - time::Duration::days(30);
        asked.not_after = now + time::Duration::days(days);
        ClientCertificate::read(asked.self_signed(&KeyPair::generate().unwrap()).unwrap().der()).unwrap()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn certified(name: CertificateName, caller: &str) -> Certified {
        Certified { name, caller: caller.to_owned(), scopes: [Scope::SessionsKill].into() }
    }

    #[test]
    fn a_name_is_one_of_its_kind_and_whole() {
        let id = "spiffe://example.org/ops/killer";
        let known = [
            certified(CertificateName::Uri(id.to_owned()), "by-uri"),
            certified(CertificateName::Dns("killer.example.org".to_owned()), "by-dns"),
            certified(CertificateName::Email("killer@example.org".to_owned()), "by-email"),
            certified(CertificateName::Subject("CN=killer,O=Example".to_owned()), "by-subject"),
        ];
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let email = |name: &str| SanType::Rfc822Name(name.try_into().unwrap());
        let caller = |names: &[SanType], subject: &[(DnType, &str)], days| {
            let caller = shown(names, subject, days).caller(&known, Clock::system().now(), |_| Naming::Free);
            caller.map(|caller| caller.subject)
        };
        let ours = [(DnType::OrganizationName, "Example"), (DnType::CommonName, "killer")];
        assert_eq!(caller(&[uri(id)], &[], 1).as_deref(), Ok("by-uri"));
        assert_eq!(caller(&[dns("Killer.example.org")], &[], 1).as_deref(), Ok("by-dns"));
        assert_eq!(caller(&[email("killer@example.org")], &[], 1).as_deref(), Ok("by-email"));
        assert_eq!(caller(&[], &ours, 1).as_deref(), Ok("by-subject"));
        assert_eq!(caller(&[uri(id), dns("other.example.org")], &[], 1).as_deref(), Ok("by-uri"));
        for (names, subject) in [
            (vec![], vec![]),
            (vec![uri("spiffe://example.org/ops/killer2")], vec![]),
            (vec![uri("spiffe://example.org/ops")], vec![]),
            (vec![uri("killer.example.org"), dns("spiffe.example.org"), email("Killer@example.org")], vec![]),
            (vec![], vec![(DnType::CommonName, "killer")]),
            (vec![], vec![(DnType::CommonName, "killer,O=Example")]),
            (vec![], vec![(DnType::CommonName, "killer"), (DnType::OrganizationName, "Example")]),
        ] {
            assert_eq!(caller(&names, &subject, 1), Err(AuthError::UnknownCertificate), "{names:?} {subject:?}");
        }
        assert_eq!(caller(&[uri(id)], &ours, 1), Err(AuthError::AmbiguousCertificate));
        assert_eq!(caller(&[uri(id)], &[], -1), Err(AuthError::CertificateExpired));
    }

    #[test]
    fn what_it_stands_for_ends_with_it_and_is_told_apart_from_a_token() {
        let id = "spiffe://example.org/ops/killer";
        let known = [certified(CertificateName::Uri(id.to_owned()), "killer")];
        let certificate = shown(&[uri(id)], &[], 1);
        let caller = certificate.caller(&known, Clock::system().now(), |_| Naming::Required).unwrap();
        assert_eq!((caller.expires_at, caller.good_until), (certificate.not_after, certificate.not_after));
        assert_eq!((caller.naming, caller.scopes.len()), (Naming::Required, 1));
        assert!(caller.token_id.is_some_and(|id| id.len() == PROOF.len() + 64 && id.starts_with(PROOF)));
        assert_eq!(certificate.names().collect::<Vec<_>>(), [format!("uri={id}")]);
    }

    #[test]
    fn a_subject_is_written_as_rfc_4514_has_it() {
        for (value, written) in
            [("a", "a"), ("a,O=b", "a\\,O=b"), ("#a", "\\#a"), (" a ", "\\ a\\ "), ("a\\+b", "a\\\\\\+b")]
        {
            assert_eq!(escaped(value), written);
            assert!(is_distinguished(&format!("CN={written},O=Example")), "{written}");
        }
        for bad in ["", "killer", "CN=killer, O=Example", "CN=", "cn=killer", "CN=a,b", "/CN=killer", "EMAIL=a@b"] {
            assert!(!is_distinguished(bad), "{bad}");
        }
    }
}
