//! What a vendor counts together.

use std::fmt;

use crate::{
    domain::{Target, VendorName},
    upstream::{
        Call, Counting, Vendor,
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
        let action = vendor.capabilities().counting.is_by_action().then_some(call.action);
        Self { vendor: vendor.name(), counted: account.counted_as(vendor.name(), call.node()), action }
    }

    /// What the kills of a target are counted in.
    #[must_use]
    pub fn of_kills(account: &Account, vendor: &dyn Vendor, target: &Target) -> Self {
        let action = match vendor.capabilities().counting {
            Counting::Together => None,
            Counting::ByAction { kill } => Some(kill),
        };
        Self { vendor: vendor.name(), counted: account.counted_as(vendor.name(), target.node()), action }
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
    use crate::domain::{Order, Selector, SessionId};

    #[test]
    fn a_kill_is_counted_as_the_call_that_opens_it() {
        for vendor in crate::upstream::TABLE {
            let Counting::ByAction { kill } = vendor.capabilities().counting else { continue };
            let target = Target { alias: None, vendor: vendor.name(), account: "any".into(), coordinates: [].into() };
            let selector = Selector::Ids(vec![SessionId("1".into())]);
            assert_eq!(vendor.open(&Order::new(target, selector)).action, kill, "{}", vendor.name());
        }
    }

    #[test]
    fn gateways_know_a_budget_by_its_key() {
        let whole = Budget { action: None, ..Budget::sample() }.to_string();
        assert_eq!(Budget::sample().to_string(), format!("{whole}/KillSession"));
        assert_eq!(whole, Counted::of(VendorName("dcdb"), &["key"]).to_string());
    }
}
