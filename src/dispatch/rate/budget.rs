//! What a vendor counts together.

use std::fmt;

use crate::{
    domain::VendorName,
    upstream::{
        Call, Vendor,
        account::{Account, Counted},
    },
};

/// The calls under one set of credentials to one vendor's endpoint, or to one of its actions where it counts so.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Budget {
    vendor: VendorName,
    /// Whom the vendor counts, see [`Account::counted_as`].
    counted: Counted,
    action: Option<&'static str>,
}

impl Budget {
    /// What a call is counted in.
    #[must_use]
    pub fn of(account: &Account, vendor: &dyn Vendor, call: &Call) -> Self {
        let action = vendor.capabilities().counted_per_action.then_some(call.action);
        Self { vendor: vendor.name(), counted: account.counted_as(vendor.name(), call.node()), action }
    }

    /// Whether the calls of that account to that vendor are counted in it, or some of them.
    pub(super) fn is_of(&self, account: &Account, vendor: VendorName) -> bool {
        self.vendor == vendor && self.counted == account.counted_as(vendor, None)
    }

    /// The name under which one of its accounts is shown: it tells the account and nothing of its credentials.
    pub(super) fn shown_of(&self, account: &Account) -> String {
        self.named(format_args!("{}/{}", account.name(), self.vendor))
    }

    fn named(&self, counted: impl fmt::Display) -> String {
        let action = self.action.map(|action| format!("/{action}"));
        format!("{counted}{}", action.unwrap_or_default())
    }

    #[cfg(test)]
    pub(crate) fn sample() -> Self {
        let vendor = VendorName("dcdb");
        Self { vendor, counted: Counted::of(vendor, &["key"]), action: Some("KillSession") }
    }
}

/// The key of the window that gateways share.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.named(&self.counted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_know_a_budget_by_its_key() {
        let whole = Budget { action: None, ..Budget::sample() }.to_string();
        assert_eq!(Budget::sample().to_string(), format!("{whole}/KillSession"));
        assert_eq!(whole, Counted::of(VendorName("dcdb"), &["key"]).to_string());
    }
}
