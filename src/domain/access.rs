//! Who may name places that have no alias.

use super::{Glob, Target};

/// Who may name a place by its coordinates. By default nobody may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Callers that may name any place of any account, as patterns for the token's subject.
    pub coordinates: Vec<Glob>,
    pub grants: Vec<Grant>,
}

/// Callers that may name places of some accounts and vendors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// As patterns for the token's subject.
    pub callers: Vec<Glob>,
    /// As patterns for names of accounts; `None`: every account.
    pub accounts: Option<Vec<Glob>>,
    /// As patterns for names of vendors; `None`: every vendor.
    pub vendors: Option<Vec<Glob>>,
}

impl Access {
    /// Whether that caller may name places of that vendor and account.
    #[must_use]
    pub fn permits(&self, caller: &str, vendor: &str, account: &str) -> bool {
        fits(&self.coordinates, caller) || self.grants.iter().any(|grant| grant.permits(caller, vendor, account))
    }

    /// Whether that caller may name that target as it did: by an alias, which is not judged here, or by coordinates.
    #[must_use]
    pub fn permits_to_name(&self, caller: &str, target: &Target) -> bool {
        target.alias.is_some() || self.permits(caller, target.vendor.as_str(), &target.account)
    }
}

impl Grant {
    fn permits(&self, caller: &str, vendor: &str, account: &str) -> bool {
        let all_or = |patterns: &Option<Vec<Glob>>, name| patterns.as_ref().is_none_or(|patterns| fits(patterns, name));
        fits(&self.callers, caller) && all_or(&self.vendors, vendor) && all_or(&self.accounts, account)
    }
}

fn fits(patterns: &[Glob], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(patterns: &[&str]) -> Vec<Glob> {
        patterns.iter().map(|pattern| Glob::parse(pattern).unwrap()).collect()
    }

    #[test]
    fn by_default_nobody_names_a_place() {
        assert!(!Access::default().permits("dba-ann", "dcdb", "tencent-prod"));
    }

    #[test]
    fn a_grant_is_for_its_callers_at_its_accounts_and_vendors() {
        let all = Grant { callers: globs(&["portal-*"]), accounts: None, vendors: Some(globs(&["taurusdb"])) };
        let some = Grant { callers: globs(&["ops"]), accounts: Some(globs(&["huawei-*"])), vendors: None };
        let access = Access { coordinates: globs(&["dba-*"]), grants: vec![all, some] };
        for (caller, vendor, account, may) in [
            ("dba-ann", "dcdb", "tencent-prod", true),
            ("portal-1", "taurusdb", "huawei-prod", true),
            ("portal-1", "das", "huawei-prod", false),
            ("ops", "das", "huawei-prod", true),
            ("ops", "dcdb", "tencent-prod", false),
            ("ops-2", "das", "huawei-prod", false),
        ] {
            assert_eq!(access.permits(caller, vendor, account), may, "{caller} {vendor} {account}");
        }
    }
}
