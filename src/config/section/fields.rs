//! A section as a cloud reads its part of an account.

use std::ops::RangeInclusive;

use secrecy::SecretString;
use url::Url;

use super::Section;
use crate::{config::address, upstream::cloud::Fields};

/// What a cloud reads of an account.
impl Fields for Section<'_> {
    fn has(&self, name: &str) -> bool {
        Section::has(self, name)
    }

    fn know(&mut self, names: &[&'static str]) {
        Section::know(self, names);
    }

    fn require(&self, names: &[&str]) {
        Section::require(self, names);
    }

    fn problem(&self, name: &str, message: &str) {
        Section::problem(self, name, message);
    }

    fn problem_here(&self, message: &str) {
        Section::problem_here(self, message);
    }

    fn text(&mut self, name: &'static str) -> Option<String> {
        Section::text(self, name)
    }

    fn checked(&mut self, name: &'static str, expected: &str, check: fn(&str) -> bool) -> Option<String> {
        self.parsed(name, expected, |text| check(text).then(|| text.to_owned()))
    }

    fn number(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        Section::number(self, name, range)
    }

    fn metadata(&mut self, name: &'static str) -> Option<Url> {
        self.parsed(name, address::METADATA, address::metadata)
    }

    fn variable(&self, name: &str) -> Option<String> {
        Section::variable(self, name).filter(|value| !value.is_empty())
    }

    fn secret(&mut self, name: &'static str) -> Option<SecretString> {
        Section::secret(self, name).map(|secret| SecretString::from(secret.expose()))
    }

    fn table(&mut self, name: &'static str, read: &mut dyn FnMut(&mut dyn Fields)) {
        self.table_if_set(name, |section| {
            read(section);
            Some(())
        });
    }
}
