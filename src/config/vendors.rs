//! Limits: `[vendors.NAME]` for all accounts of a vendor, `[accounts.ACCOUNT.vendors.NAME]` for one of them.

use std::time::Duration;

use super::{
    Vendors,
    section::{Naming, Section},
};
use crate::upstream::{self, Capabilities};

/// Limits as far as they are set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitOverrides {
    /// Calls in any one second, of the whole fleet: 1 to 10000.
    pub requests_per_second: Option<u32>,
    /// Calls in any one minute, of the whole fleet: 0 to 600, 0 for no such limit.
    pub requests_per_minute: Option<u32>,
    /// Sessions in one call: 1 to 1000, or to what the vendor publishes as the most.
    pub max_ids_per_call: Option<usize>,
    /// Longest wait for a turn before 429: 0 to 60000 ms.
    pub max_wait_ms: Option<u32>,
    /// Longest time for one call to the vendor: 100 to 120000 ms.
    pub timeout_ms: Option<u32>,
    /// The part of the budget that only urgent kills may use: 0 to 90 per cent.
    pub reserved_percent: Option<u32>,
    /// Most kills that may wait at once for turns of one budget: 1 to 100000.
    pub max_waiting: Option<usize>,
    /// How old a look may be when a kill leaves that rests on it: 100 to 600000 ms.
    pub look_max_age_ms: Option<u32>,
    /// Whether kills by ids are looked at first: `on` or `off`.
    pub look: Option<bool>,
}

/// The limits that hold for one vendor account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// By default what the vendor documents.
    pub requests_per_second: u32,
    /// By default what the vendor documents; `None` where it does not count by the minute.
    pub requests_per_minute: Option<u32>,
    /// By default what the vendor documents.
    pub max_ids_per_call: usize,
    /// 5 s by default.
    pub max_wait: Duration,
    /// 10 s by default.
    pub timeout: Duration,
    /// 20 by default.
    pub reserved_percent: u32,
    /// 10000 by default.
    pub max_waiting: usize,
    /// 2 s by default.
    pub look_max_age: Duration,
    /// True by default.
    pub look: bool,
}

impl LimitOverrides {
    pub(super) fn read(vendor: &str, section: &mut Section<'_>) -> Self {
        let published = upstream::find(vendor).and_then(|vendor| vendor.capabilities().most_ids_per_call);
        let most_ids = published.unwrap_or(1000);
        Self {
            requests_per_second: section.number("requests_per_second", 1..=10_000),
            requests_per_minute: section.number("requests_per_minute", 0..=600),
            max_ids_per_call: section.number("max_ids_per_call", 1..=most_ids),
            max_wait_ms: section.number("max_wait_ms", 0..=60_000),
            timeout_ms: section.number("timeout_ms", 100..=120_000),
            reserved_percent: section.number("reserved_percent", 0..=90),
            max_waiting: section.number("max_waiting", 1..=100_000),
            look_max_age_ms: section.number("look_max_age_ms", 100..=600_000),
            look: look(section),
        }
    }

    /// These, and where they are silent the `general` ones.
    #[must_use]
    pub fn or(self, general: Self) -> Self {
        Self {
            requests_per_second: self.requests_per_second.or(general.requests_per_second),
            requests_per_minute: self.requests_per_minute.or(general.requests_per_minute),
            max_ids_per_call: self.max_ids_per_call.or(general.max_ids_per_call),
            max_wait_ms: self.max_wait_ms.or(general.max_wait_ms),
            timeout_ms: self.timeout_ms.or(general.timeout_ms),
            reserved_percent: self.reserved_percent.or(general.reserved_percent),
            max_waiting: self.max_waiting.or(general.max_waiting),
            look_max_age_ms: self.look_max_age_ms.or(general.look_max_age_ms),
            look: self.look.or(general.look),
        }
    }

    /// These, and where they are silent what is built in.
    #[must_use]
    pub fn resolve(self, built_in: &Capabilities) -> Limits {
        Limits {
            requests_per_second: self.requests_per_second.unwrap_or(built_in.requests_per_second),
            requests_per_minute: self.requests_per_minute.or(built_in.requests_per_minute).filter(|calls| *calls > 0),
            max_ids_per_call: self.max_ids_per_call.unwrap_or(built_in.max_ids_per_call),
            max_wait: Duration::from_millis(self.max_wait_ms.unwrap_or(5000).into()),
            timeout: Duration::from_millis(self.timeout_ms.unwrap_or(10_000).into()),
            reserved_percent: self.reserved_percent.unwrap_or(20),
            max_waiting: self.max_waiting.unwrap_or(10_000),
            look_max_age: Duration::from_millis(self.look_max_age_ms.unwrap_or(2000).into()),
            look: self.look.unwrap_or(true),
        }
    }
}

/// Whether kills by ids are looked at first, as a vendor's limits or a target say it.
pub(super) fn look(section: &mut Section<'_>) -> Option<bool> {
    section.parsed("look", "must be \"on\" or \"off\"", |word| match word {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    })
}

/// Names of tables must be names of vendors.
pub(super) fn known_as(vendors: &Vendors) -> Naming<impl Fn(&str) -> bool> {
    let names: Vec<_> = vendors.iter().map(|(name, _)| *name).collect();
    let expected = format!("no such vendor, expected one of {}", names.join(", "));
    Naming(expected.into(), move |name: &str| names.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{DCDB, TENCENT, problems, read};
    use super::*;

    #[test]
    fn an_account_goes_before_its_vendor_and_that_before_what_is_built_in() {
        let toml = format!(
            "[vendors.dcdb]\nrequests_per_second = 10\nmax_wait_ms = 0\n\
             {TENCENT}[accounts.t.vendors.dcdb]\nrequests_per_second = '5'\ntimeout_ms = 500"
        );
        let config = read(&toml);
        let limits = |account| config.limits("dcdb", account, &DCDB);
        let t = Limits {
            requests_per_second: 5,
            requests_per_minute: None,
            max_ids_per_call: 100,
            max_wait: Duration::ZERO,
            timeout: Duration::from_millis(500),
            reserved_percent: 20,
            max_waiting: 10_000,
            look_max_age: Duration::from_secs(2),
            look: true,
        };
        assert_eq!(limits("t"), t);
        assert_eq!(limits("u"), Limits { requests_per_second: 10, timeout: Duration::from_secs(10), ..t });
        let built_in = read("").limits("dcdb", "t", &DCDB);
        assert_eq!((built_in.requests_per_second, built_in.max_wait), (20, Duration::from_secs(5)));
    }

    #[test]
    fn what_is_counted_by_the_minute_is_built_in_and_can_be_changed_or_left_out() {
        let built_in = Capabilities { requests_per_minute: Some(60), ..DCDB };
        let of = |toml: &str| read(toml).limits("dcdb", "t", &built_in).requests_per_minute;
        assert_eq!(of(""), Some(60));
        assert_eq!(of("[vendors.dcdb]\nrequests_per_minute = 600"), Some(600));
        assert_eq!(of("[vendors.dcdb]\nrequests_per_minute = 0"), None);
    }

    #[test]
    fn what_a_vendor_publishes_as_the_most_ids_no_configuration_goes_beyond() {
        let expected = "vendors.taurusdb.max_ids_per_call: must be a whole number from 1 to 20, not 21";
        assert_eq!(problems("[vendors.taurusdb]\nmax_ids_per_call = 21"), [expected]);
        let of_account =
            format!("{}[accounts.h.vendors.taurusdb]\nmax_ids_per_call = 100", super::super::tests::HUAWEI);
        let expected = "accounts.h.vendors.taurusdb.max_ids_per_call: must be a whole number from 1 to 20, not 100";
        assert_eq!(problems(&of_account), [expected]);
        assert_eq!(read("[vendors.das]\nmax_ids_per_call = 1000").vendors["das"].max_ids_per_call, Some(1000));
    }

    #[test]
    fn each_bad_value_is_told_with_its_path() {
        let toml = "[vendors.dcdb]\nrequests_per_second = 'many'\nmax_ids_per_call = 0\nmax_wait_ms = 60001\n\
                    timeout_ms = 1.5\nburst = 3\n[vendors.oracle]";
        assert_eq!(
            problems(toml),
            [
                "vendors.dcdb.requests_per_second: must be a whole number from 1 to 10000, not \"many\"",
                "vendors.dcdb.max_ids_per_call: must be a whole number from 1 to 1000, not 0",
                "vendors.dcdb.max_wait_ms: must be a whole number from 0 to 60000, not 60001",
                "vendors.dcdb.timeout_ms: must be a whole number from 100 to 120000, not a float",
                "vendors.dcdb.burst: unknown key, expected one of requests_per_second, requests_per_minute, \
                 max_ids_per_call, max_wait_ms, timeout_ms, reserved_percent, max_waiting, look_max_age_ms, look",
                "vendors.oracle: no such vendor, expected one of gaussdb, das, taurusdb, dcdb, postgresql, mysql, mariadb",
            ]
        );
    }
}
