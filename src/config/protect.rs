//! `[[protect]]`: sessions that no kill may end.

use std::collections::BTreeMap;

use super::{Target, Vendors, section::Section, targets};
use crate::domain::Protection;

/// Sessions of a place that no kill may end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protect {
    /// The place, as an alias; with neither this nor `vendor` the rule holds everywhere.
    pub target: Option<String>,
    /// The place, as a vendor.
    pub vendor: Option<String>,
    pub sessions: Protection,
}

impl Protect {
    pub(super) fn read(
        section: &mut Section<'_>,
        aliases: &BTreeMap<String, Option<Target>>,
        vendors: &Vendors,
    ) -> Option<Self> {
        if section.has("target") && section.has("vendor") {
            section.problem_here("target or vendor, not both");
        }
        if !["users", "hosts", "commands", "states"].iter().any(|key| section.has(key)) {
            section.problem_here("at least one of users, hosts, commands, states is required");
        }
        let (has_target, has_vendor) = (section.has("target"), section.has("vendor"));
        let known = |alias: &str| aliases.contains_key(alias).then(|| alias.to_owned());
        let target = section.parsed("target", "must be the alias of one of the [targets]", known);
        let vendor = targets::vendor(section, vendors);
        let placed = has_target == target.is_some() && has_vendor == vendor.is_some();
        let sessions = Protection {
            users: section.globs("users"),
            hosts: section.globs("hosts"),
            commands: section.globs("commands"),
            states: section.globs("states"),
        };
        placed.then_some(Self { target, vendor, sessions })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, read};

    #[test]
    fn a_rule_without_a_place_holds_everywhere() {
        let rules = read("[[protect]]\nusers = ['repl', 'dba_*']\n[[protect]]\nvendor = 'das'\nstates = ['x']").protect;
        assert_eq!((rules[0].target.as_ref(), rules[0].vendor.as_ref()), (None, None));
        assert!(rules[0].sessions.users[1].matches("dba_anna"));
        assert_eq!(rules[1].vendor.as_deref(), Some("das"));
    }

    #[test]
    fn each_bad_value_is_told_with_its_path() {
        let toml = "[[protect]]\nusers = 'a'\ntarget = 'x'\nvendor = 'oracle'\n[[protect]]\nuser = ['a']\n\
                    [[protect]]\nhosts = [7]\ncommands = []";
        assert_eq!(
            problems(toml),
            [
                "protect[0]: target or vendor, not both",
                "protect[0].target: must be the alias of one of the [targets]",
                "protect[0].vendor: must be one of gaussdb, das, taurusdb, dcdb, postgresql, mysql, mariadb",
                "protect[1]: at least one of users, hosts, commands, states is required",
                "protect[1].user: unknown key, expected one of target, vendor, users, hosts, commands, states",
                "protect[2].hosts: must be a list of one or more patterns",
                "protect[2].commands: must be a list of one or more patterns",
            ]
        );
        assert_eq!(problems("protect = 'all'"), ["protect: must be a list of tables, [[protect]]"]);
    }
}
