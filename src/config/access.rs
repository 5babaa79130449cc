//! `[access]`: who may name places that have no alias.

use std::collections::BTreeMap;

use super::{Account, Vendors, section::Section};
use crate::domain::{Access, Glob, Grant};

const PATTERNS: &str = "must be a list of one or more patterns";

pub(super) fn access(
    section: &mut Section<'_>,
    accounts: &BTreeMap<String, Option<Account>>,
    vendors: &Vendors,
) -> Access {
    let coordinates = section.globs("coordinates");
    let grants = section.list("grant", |section| grant(section, accounts, vendors));
    Access { coordinates, grants: grants.into_iter().flatten().collect() }
}

fn grant(section: &mut Section<'_>, accounts: &BTreeMap<String, Option<Account>>, vendors: &Vendors) -> Option<Grant> {
    section.require(&["callers"]);
    if !section.has("accounts") && !section.has("vendors") {
        section.problem_here("at least one of accounts, vendors is required");
    }
    let callers = section.list_of("callers", PATTERNS, Glob::parse);
    let of_accounts = section.list_of("accounts", PATTERNS, Glob::parse);
    let of_vendors = section.list_of("vendors", PATTERNS, Glob::parse);
    // A pattern that fits nothing was meant to fit something.
    for pattern in of_accounts.iter().flatten().filter(|pattern| !accounts.keys().any(|name| pattern.matches(name))) {
        section.problem("accounts", format!("no account fits {:?}", pattern.as_str()));
    }
    for pattern in of_vendors.iter().flatten().filter(|it| !vendors.iter().any(|(name, _)| it.matches(name))) {
        section.problem("vendors", format!("no vendor fits {:?}", pattern.as_str()));
    }
    Some(Grant { callers: callers?, accounts: of_accounts, vendors: of_vendors })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{HUAWEI, TENCENT, problems, read, read_with};

    #[test]
    fn without_the_section_nobody_names_a_place() {
        assert!(!read(TENCENT).access.permits("anybody", "dcdb", "t"));
    }

    #[test]
    fn callers_are_named_for_all_places_or_for_some() {
        let toml = format!(
            "{TENCENT}{HUAWEI}[access]\ncoordinates = ['dba-*']\n[[access.grant]]\ncallers = ['portal-*']\n\
             vendors = ['gauss*']\n[[access.grant]]\ncallers = ['ops']\naccounts = ['t']"
        );
        let access = read(&toml).access;
        assert!(access.permits("dba-ann", "dcdb", "t") && access.permits("portal-1", "gaussdb", "h"));
        assert!(access.permits("ops", "dcdb", "t") && !access.permits("ops", "gaussdb", "h"));
        let env = [("KILLGATE__ACCESS__COORDINATES", "ann,bob")];
        let access = read_with("", &env).unwrap().access;
        assert!(access.permits("bob", "dcdb", "t") && !access.permits("eve", "dcdb", "t"));
    }

    #[test]
    fn each_bad_value_is_told_with_its_path() {
        let toml = format!(
            "{TENCENT}[access]\ncoordinates = []\ncoordinate = ['*']\n[[access.grant]]\ncallers = ['a']\n\
             [[access.grant]]\naccounts = ['u*']\nvendors = ['oracle']\n[[access.grant]]\ncallers = 7\nvendor = 'dcdb'\n\
             accounts = [7]"
        );
        assert_eq!(
            problems(&toml),
            [
                "access.coordinates: must be a list of one or more patterns",
                "access.grant[0]: at least one of accounts, vendors is required",
                "access.grant[1].callers: required",
                "access.grant[1].accounts: no account fits \"u*\"",
                "access.grant[1].vendors: no vendor fits \"oracle\"",
                "access.grant[2].callers: must be a list of one or more patterns",
                "access.grant[2].accounts: must be a list of one or more patterns",
                "access.grant[2].vendor: unknown key, expected one of callers, accounts, vendors",
                "access.coordinate: unknown key, expected one of coordinates, grant",
            ]
        );
    }
}
