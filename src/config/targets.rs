//! `[targets.ALIAS]`: names for the places where sessions live.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    Account, Place, Vendors,
    section::{Naming, Section},
};
use crate::domain::{Division, Glob};

/// What a target may be called.
pub(super) const ALIAS: Naming<fn(&str) -> bool> =
    Naming(Cow::Borrowed("the alias must be 1 to 128 of 0-9 A-Z a-z _ . -"), |alias| {
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        (1..=128).contains(&alias.len()) && alias.bytes().all(fine)
    });

/// One alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A vendor in the vendor table.
    pub vendor: String,
    /// An account with an endpoint for that vendor; need not be set where only one has.
    pub account: String,
    /// All other keys; the vendor says which there must be and what they look like.
    pub coordinates: BTreeMap<String, String>,
    /// Whether kills by ids are looked at first there; `None`: as its vendor's limits say.
    pub look: Option<bool>,
    /// Who may use the alias, as patterns for the token's subject; `None`: everybody.
    pub callers: Option<Vec<Glob>>,
}

impl Target {
    pub(super) fn read(
        section: &mut Section<'_>,
        accounts: &BTreeMap<String, Option<Account>>,
        vendors: &Vendors,
    ) -> Option<Self> {
        section.require(&["vendor"]);
        let vendor = vendor(section, vendors);
        let named = section.has("account");
        let account = section.text("account");
        let callers = section.list_of("callers", "must be a list of one or more patterns", Glob::parse);
        let look = super::vendors::look(section);
        let several = Division::EACH.map(|division| {
            let (name, text) = (division.several(), |text: &str| Some(text.to_owned()));
            Some((name.to_owned(), section.list_of(name, division.expected(), text)?.join(",")))
        });
        let mut coordinates = section.remaining_texts();
        coordinates.extend(several.into_iter().flatten());
        let vendor = vendor?;
        let account = if named {
            served_by(section, account?, &vendor, accounts)
        } else {
            the_only(section, &vendor, accounts, vendors)
        };
        Some(Self { vendor, account: account?, coordinates, look, callers })
    }

    /// Whether the token's subject may use the alias.
    #[must_use]
    pub fn is_open_to(&self, subject: &str) -> bool {
        self.callers.as_ref().is_none_or(|callers| callers.iter().any(|pattern| pattern.matches(subject)))
    }
}

/// The value of `vendor`, a name in the vendor table.
pub(super) fn vendor(section: &mut Section<'_>, vendors: &Vendors) -> Option<String> {
    let names: Vec<_> = vendors.iter().map(|(name, _)| *name).collect();
    let expected = format!("must be one of {}", names.join(", "));
    section.parsed("vendor", &expected, |text| names.contains(&text).then(|| text.to_owned()))
}

/// The named account, which must have an endpoint for the vendor; one that is itself wrong has been told already.
fn served_by(
    section: &Section<'_>,
    name: String,
    vendor: &str,
    accounts: &BTreeMap<String, Option<Account>>,
) -> Option<String> {
    match accounts.get(&name) {
        None => section.problem("account", format!("there is no [accounts.{name}]")),
        Some(Some(Account { place: Place::Servers { engine, .. }, .. })) if engine != vendor => {
            section.problem("account", format!("accounts.{name} is at servers of {engine}"));
        }
        Some(Some(account)) if !account.reaches(vendor) => {
            section.problem("account", format!("accounts.{name}.endpoints.{vendor} is not set"));
        }
        Some(_) => return Some(name),
    }
    None
}

/// The one account with an endpoint for the vendor.
fn the_only(
    section: &Section<'_>,
    vendor: &str,
    accounts: &BTreeMap<String, Option<Account>>,
    vendors: &Vendors,
) -> Option<String> {
    let fits = |account: &&Account| account.reaches(vendor);
    let mut fitting = accounts.values().flatten().filter(fits).map(|account| &account.name);
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => return Some(only.clone()),
        (Some(_), Some(_)) => section.problem("account", format!("required: more than one account serves {vendor}")),
        (None, _) if accounts.values().all(Option::is_some) => {
            let of_engine = vendors.iter().any(|(name, by)| *name == vendor && by.cloud().is_none());
            let needed = if of_engine { format!("engine = \"{vendor}\"") } else { format!("endpoints.{vendor}") };
            section.problem("account", format!("no account has {needed}"));
        }
        (None, _) => {}
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::{HUAWEI, TENCENT, problems, read};

    #[test]
    fn the_only_fitting_account_need_not_be_named() {
        let toml = format!("{TENCENT}{HUAWEI}[targets.A-1.x]\nvendor = 'dcdb'\ninstance_id = 'i'\nshard_id = 7")
            .replace("A-1.x", "'A-1.x'");
        let target = &read(&toml).targets["A-1.x"];
        assert_eq!((target.vendor.as_str(), target.account.as_str()), ("dcdb", "t"));
        let coordinates: Vec<_> = target.coordinates.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(coordinates, [("instance_id", "i"), ("shard_id", "7")]);
        assert!(target.is_open_to("anyone"));
    }

    #[test]
    fn several_shards_are_a_word_or_a_list() {
        let shards = |value: &str| {
            let toml = format!("{TENCENT}[targets.a]\nvendor = 'dcdb'\ninstance_id = 'i'\nshards = {value}");
            read(&toml).targets["a"].coordinates["shards"].clone()
        };
        assert_eq!(
            (shards("'all'"), shards("['b', 'a']"), shards("'a, b'")),
            ("all".into(), "b,a".into(), "a,b".into())
        );
        let bad = format!("{TENCENT}[targets.a]\nvendor = 'dcdb'\ninstance_id = 'i'\nshards = 7");
        assert_eq!(problems(&bad), ["targets.a.shards: must be \"all\", or a list of shards"]);
    }

    #[test]
    fn an_alias_may_be_kept_for_some_callers() {
        let toml = format!("{TENCENT}[targets.a]\nvendor = 'dcdb'\ncallers = ['ops-*', 'anna']");
        let target = &read(&toml).targets["a"];
        assert!(target.is_open_to("ops-1") && target.is_open_to("anna"));
        assert!(!target.is_open_to("annabel") && !target.is_open_to("OPS-1"));
    }

    #[test]
    fn each_bad_value_is_told_with_its_path() {
        let toml = format!(
            "{TENCENT}{}[targets.'a b']\nvendor = 'oracle'\n[targets.b]\ncallers = []\n\
             [targets.c]\nvendor = 'dcdb'\ninstance_id = ['x']\n[targets.d]\nvendor = 'dcdb'\naccount = 'v'\n\
             [targets.e]\nvendor = 'das'\naccount = 't'\n[targets.f]\nvendor = 'das'",
            TENCENT.replace("accounts.t", "accounts.u")
        );
        assert_eq!(
            problems(&toml),
            [
                "targets.\"a b\": the alias must be 1 to 128 of 0-9 A-Z a-z _ . -",
                "targets.\"a b\".vendor: must be one of gaussdb, das, taurusdb, dcdb, postgresql, mysql, mariadb",
                "targets.b.vendor: required",
                "targets.b.callers: must be a list of one or more patterns",
                "targets.c.instance_id: must be a text of 1 to 255 characters",
                "targets.c.account: required: more than one account serves dcdb",
                "targets.d.account: there is no [accounts.v]",
                "targets.e.account: accounts.t.endpoints.das is not set",
                "targets.f.account: no account has endpoints.das",
            ]
        );
    }
}
