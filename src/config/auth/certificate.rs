//! `[[auth.certificates]]`: callers whose certificate stands for a token.

use crate::{
    auth::{CertificateName, Certified, Scope, is_distinguished},
    config::section::Section,
    domain::plain_text,
};

/// How a certificate is named: by one of these.
const NAMES: [&str; 4] = ["uri", "dns", "email", "subject"];

pub(super) fn read(section: &mut Section<'_>) -> Option<Certified> {
    let named = NAMES.iter().filter(|key| section.has(key)).count();
    let plain = |text: &str| plain_text(text, 255).ok().map(str::to_owned);
    let uri = section.parsed("uri", "must be a URI such as spiffe://example.org/ns/ops/sa/killer", |text| {
        plain(text).filter(|text| text.contains(':')).map(CertificateName::Uri)
    });
    let dns = section.parsed("dns", "must be a DNS name such as killer.example.org, without *", |text| {
        let is_fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        plain(text).filter(|text| text.bytes().all(is_fine)).map(|text| CertificateName::Dns(text.to_ascii_lowercase()))
    });
    let email = section.parsed("email", "must be an address such as killer@example.org", |text| {
        plain(text).filter(|text| text.contains('@')).map(CertificateName::Email)
    });
    let expected = "must be a subject as RFC 4514 writes it, such as CN=killer,O=Example: its last part first, and no space \
                    after a comma";
    let subject = section.parsed("subject", expected, |text| {
        plain(text).filter(|text| is_distinguished(text)).map(CertificateName::Subject)
    });
    if named != 1 {
        section.problem_here(format!("must have one of {}", NAMES.join(", ")));
    }
    section.require(&["caller", "scopes"]);
    let caller = section.text("caller");
    let all: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let expected = format!("must be a list of one or more of {}", all.join(", "));
    let scopes = section.list_of("scopes", &expected, Scope::parse);
    let name = [uri, dns, email, subject].into_iter().flatten().next();
    Some(Certified { name: name?, caller: caller?, scopes: scopes?.into_iter().collect() })
}
