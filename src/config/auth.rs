//! `[auth]`: whose tokens are taken.

mod certificate;
mod issuer;
mod keys;

pub use issuer::{Issuer, Person};
pub use keys::{KeySet, Keys, Source};

use super::section::Section;
use crate::auth::Certified;

/// Whose tokens are taken: those of one issuer, written right into `[auth]`, or of several, `[[auth.issuers]]`.
#[derive(Debug, Clone)]
pub struct Auth {
    /// At least one, each with an `iss` of its own.
    pub issuers: Vec<Issuer>,
    /// `[[auth.certificates]]`: whose certificate stands for a token; nobody's by default.
    pub certificates: Vec<Certified>,
}

impl Auth {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        section.know(&["issuers"]);
        let is_one = !section.has("issuers") || issuer::KEYS.iter().any(|key| section.has(key));
        let one = is_one.then(|| Issuer::read(section));
        let several = section.list("issuers", Issuer::read);
        let certificates = section.list("certificates", certificate::read);
        let issuers: Vec<Issuer> = one.into_iter().chain(several).collect::<Option<_>>()?;
        if issuers.is_empty() {
            section.problem("issuers", "must be a list of one or more tables, [[auth.issuers]]");
        }
        let certificates: Vec<Certified> = certificates.into_iter().collect::<Option<_>>()?;
        for (at, certified) in certificates.iter().enumerate() {
            if certificates[..at].iter().any(|other| other.name == certified.name) {
                section.problem("certificates", format!("one name is there twice, for {}", certified.caller));
            }
        }
        let mut auth = Self { issuers, certificates };
        auth.tell_apart(section);
        Some(auth)
    }

    /// Two callers of different issuers are never taken for one: each issuer has an `iss`, and subjects of its own.
    fn tell_apart(&mut self, section: &Section<'_>) {
        let prefixes: Vec<String> = self.issuers.iter().map(|issuer| issuer.subject_prefix.clone()).collect();
        for (at, prefix) in prefixes.iter().enumerate() {
            let others = || prefixes.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other);
            let before = &self.issuers[..at];
            if before.iter().any(|other| other.issuer == self.issuers[at].issuer) {
                section.problem("issuers", format!("{} is there twice", self.issuers[at].issuer));
            }
            let is_taken = if prefix.is_empty() {
                prefixes[..at].contains(prefix)
            } else {
                others().any(|other| !other.is_empty() && prefix.starts_with(other.as_str()))
            };
            if is_taken {
                let sentence = format!(
                    "{} needs a subject_prefix that no other issuer's begins with: subjects of two issuers may be alike",
                    self.issuers[at].issuer
                );
                section.problem("issuers", sentence);
            }
            self.issuers[at].foreign_prefixes = others().filter(|other| !other.is_empty()).cloned().collect();
        }
    }
}

#[cfg(test)]
mod tests;
