//! The targets that callers may name, and how coordinates in full become one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    domain::{
        Access, Glob, LiveSession, Order, Problem, ProblemCode, Protection, Selector, Target, TextError, VendorName,
        has_unseen,
    },
    kill::intake::members::Mistakes,
    near::did_you_mean,
    upstream::{self, Capabilities, Complaint, Site, Vendor, is_of, may_be_same_place},
};

/// A target as a caller names it: by alias, or by vendor, account and coordinates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    Alias(String),
    Full { vendor: Option<String>, account: Option<String>, coordinates: BTreeMap<String, String> },
}

/// A configured alias.
#[derive(Debug, Clone)]
pub struct Alias {
    pub target: Target,
    /// Whether kills by ids are looked at there; `None`: as the vendor's limits say.
    pub look: Option<bool>,
    /// Who may use it; `None`: every caller.
    pub callers: Option<Vec<Glob>>,
}

/// What an account can reach.
#[derive(Debug, Clone)]
pub struct Reach {
    pub site: Site,
    /// The vendors that the account has an endpoint for.
    pub vendors: BTreeSet<&'static str>,
    /// The servers that it names; none at a cloud.
    pub nodes: BTreeSet<String>,
}

/// Every alias and account of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    pub aliases: BTreeMap<String, Alias>,
    pub accounts: BTreeMap<String, Reach>,
    /// Who may name places without an alias.
    pub access: Access,
    /// Where sessions are protected by rules.
    pub protected: Vec<Protected>,
}

/// A protection rule and what it covers: everything where neither alias nor vendor is given.
#[derive(Debug, Clone, Default)]
pub struct Protected {
    pub alias: Option<String>,
    pub vendor: Option<String>,
    /// The sessions that no kill may end.
    pub sessions: Protection,
}

impl Targets {
    /// The target that a caller means.
    ///
    /// # Errors
    /// A [`Problem`] that names every field at fault: `unknown_target` for an alias or account that is not configured,
    /// `malformed` for a member no vendor knows, `invalid` for everything else.
    pub fn resolve(&self, named: Named) -> Result<Target, Problem> {
        let mut mistakes = Mistakes::default();
        let (_, target) = self.find(named, &mut mistakes);
        match (target, mistakes.problem()) {
            (Some(target), None) => Ok(target),
            (_, Some(problem)) => Err(problem),
            (None, None) => Err(Problem::new(ProblemCode::Internal, "the target could not be read")),
        }
    }

    /// What a name stands for, as far as it can be told: the vendor, and the target where all of it is well.
    pub(in crate::kill) fn find(
        &self,
        named: Named,
        mistakes: &mut Mistakes,
    ) -> (Option<&'static dyn Vendor>, Option<Target>) {
        let (vendor, account, coordinates) = match named {
            Named::Alias(alias) => {
                let target = self.of_alias(&alias).map_err(|problem| mistakes.add(problem)).ok();
                return (target.as_ref().and_then(|target| upstream::find(target.vendor.as_str())), target);
            }
            Named::Full { vendor, account, coordinates } => (vendor, account, coordinates),
        };
        let vendor = match find_vendor(vendor.as_deref()) {
            Ok(vendor) => vendor,
            Err(problem) => {
                mistakes.add_unless_told(problem);
                return (None, None);
            }
        };
        let account = self.account(vendor, account).map_err(|problem| mistakes.add_unless_told(problem)).ok();
        let site = account.as_ref().map(|account| self.site(account)).unwrap_or_default();
        let coordinates = upstream::coordinates(vendor, site, &coordinates).map_err(|complaints| {
            for complaint in complaints {
                mistakes.add_unless_told(complain(complaint));
            }
        });
        let target = account.zip(coordinates.ok()).and_then(|(account, coordinates)| {
            let nodes = self.accounts.get(&account).map(|reach| reach.nodes.iter().cloned().collect());
            let target = Target { alias: None, vendor: vendor.name(), account, coordinates };
            let wrong = |detail| Problem::invalid("target.node", detail).supported(nodes.unwrap_or_default());
            self.at_node(target).map_err(|detail| mistakes.add_unless_told(wrong(detail))).ok()
        });
        (Some(vendor), target)
    }

    fn of_alias(&self, alias: &str) -> Result<Target, Problem> {
        match self.aliases.get(alias) {
            _ if has_unseen(alias) => Err(Problem::invalid("target", TextError::Control.to_string())),
            Some(found) => Ok(found.target.clone()),
            None => Err(Problem::new(ProblemCode::UnknownTarget, "no target has this alias").at("target")),
        }
    }

    /// The target at the server that it names, or at the only one that its account has: one place has one name.
    ///
    /// # Errors
    /// What is expected of `node`.
    pub fn at_node(&self, mut target: Target) -> Result<Target, &'static str> {
        let nodes = self.accounts.get(&target.account).map(|reach| &reach.nodes).filter(|nodes| !nodes.is_empty());
        match (nodes, target.node()) {
            (Some(nodes), Some(node)) if !nodes.contains(node) => return Err("is none of the account's nodes"),
            (None, _) | (Some(_), Some(_)) => {}
            (Some(nodes), None) => match nodes.first().filter(|_| nodes.len() == 1) {
                Some(only) => drop(target.coordinates.insert("node", only.clone())),
                None => return Err("is required: the account has several nodes"),
            },
        }
        Ok(target)
    }

    /// The account meant: the one that was given, or the only one that fits.
    pub fn account(&self, vendor: &dyn Vendor, given: Option<String>) -> Result<String, Problem> {
        let name = vendor.name();
        let Some(given) = given else {
            let fitting: Vec<_> = self.fitting(name).collect();
            return match fitting.as_slice() {
                [only] => Ok((*only).to_owned()),
                [] => Err(Problem::new(ProblemCode::UnknownTarget, format!("no account is configured for {name}"))
                    .at("target.vendor")),
                several => Err(Problem::invalid("target.account", "is required: several accounts fit")
                    .supported(several.iter().map(|&name| name.to_owned()).collect())),
            };
        };
        match self.accounts.get(&given) {
            None if has_unseen(&given) => Err(Problem::invalid("target.account", TextError::Control.to_string())),
            None => Err(Problem::new(ProblemCode::UnknownTarget, "no account has this name").at("target.account")),
            Some(reach) if reach.vendors.contains(name.as_str()) => Ok(given),
            Some(_) => Err(Problem::invalid("target.account", format!("has no endpoint for {name}"))),
        }
    }

    /// The same problem, with the alias that may have been meant by an unknown one: among those that the caller may use.
    #[must_use]
    pub fn with_near_alias(&self, caller: &str, given: Option<&str>, mut problem: Problem) -> Problem {
        if let (ProblemCode::UnknownTarget, Some(given)) = (problem.code, given) {
            let permitted = self.aliases.iter().filter(|(_, alias)| self.permits(caller, &alias.target));
            problem.detail = did_you_mean(&problem.detail, given, permitted.map(|(name, _)| name.as_str()));
        }
        problem
    }

    /// What a vendor can do for an account.
    #[must_use]
    pub fn able(&self, vendor: &dyn Vendor, account: &str) -> &'static Capabilities {
        vendor.capabilities_at(self.site(account))
    }

    fn site(&self, account: &str) -> Site {
        self.accounts.get(account).map(|reach| reach.site).unwrap_or_default()
    }

    fn fitting(&self, vendor: VendorName) -> impl Iterator<Item = &str> {
        let fits = move |reach: &Reach| reach.vendors.contains(vendor.as_str());
        self.accounts.iter().filter(move |(_, reach)| fits(reach)).map(|(name, _)| name.as_str())
    }

    /// Whether that caller may end sessions of the target.
    ///
    /// # Errors
    /// As [`Self::check_read`]; `forbidden` too for `intelligent` where a rule protects sessions.
    pub fn check(&self, caller: &str, order: &Order) -> Result<(), Problem> {
        self.check_read(caller, &order.target)?;
        let is_left_to_database = order.selector == Selector::Intelligent && upstream::picks(&order.target);
        if is_left_to_database && self.has_rules(&order.target) {
            let sentence = "a protection rule covers this target, and nobody knows what the database would pick";
            return Err(Problem::new(ProblemCode::Forbidden, sentence).at("select.intelligent"));
        }
        Ok(())
    }

    /// Whether a configured rule protects sessions of the target.
    #[must_use]
    pub fn has_rules(&self, target: &Target) -> bool {
        self.protected.iter().any(|rule| self.covers(rule, target))
    }

    /// Whether kills by ids are looked at there where the vendor's limits say so or not. A name of the place that has no say of
    /// its own is held to those that have.
    #[must_use]
    pub fn looks(&self, target: &Target, of_vendor: bool) -> bool {
        let alias = target.alias.as_ref().and_then(|name| self.aliases.get(name));
        let named_alike = || self.aliases_of(target).filter_map(|name| self.aliases.get(name)?.look);
        alias.and_then(|alias| alias.look).unwrap_or_else(|| of_vendor || named_alike().any(|looks| looks))
    }

    /// Whether that caller may look at the target's sessions.
    ///
    /// # Errors
    /// `forbidden` where it may not name places by their coordinates, or where an alias is for other callers.
    pub fn check_read(&self, caller: &str, target: &Target) -> Result<(), Problem> {
        if !self.access.permits_to_name(caller, target) {
            let sentence =
                "this caller may not name places by their coordinates: name one of the aliases of GET /targets";
            return Err(Problem::new(ProblemCode::Forbidden, sentence).at("target"));
        }
        if self.permits(caller, target) { Ok(()) } else { Err(not_for_this_caller()) }
    }

    /// The target that a request or a record names, where that caller may name it.
    pub(in crate::kill) fn permitted(&self, caller: &str, named: &Value) -> Option<Target> {
        let named = match named.get("alias") {
            Some(alias) => Named::Alias(alias.as_str()?.to_owned()),
            None => Named::read_whole(named.into())?,
        };
        let target = self.resolve(named).ok()?;
        self.check_read(caller, &target).ok().map(|()| target)
    }

    /// What protects a session of the target from every kill; `None` where nothing does.
    #[must_use]
    pub fn protection(&self, target: &Target, session: &LiveSession) -> Option<String> {
        let target = &*target.of_session(&session.id);
        let built_in = || upstream::naming(target).find_map(|vendor| vendor.capabilities().own.claims(session));
        let mut rules = self.protected.iter().filter(|rule| self.covers(rule, target));
        built_in().or_else(|| rules.find_map(|rule| rule.sessions.of(session)))
    }

    /// The aliases that may name the same place.
    pub fn aliases_of(&self, target: &Target) -> impl Iterator<Item = &str> {
        let same_place = move |alias: &Alias| may_be_same_place(&alias.target, target);
        self.aliases.iter().filter(move |(_, alias)| same_place(alias)).map(|(name, _)| name.as_str())
    }

    fn covers(&self, rule: &Protected, target: &Target) -> bool {
        let of_alias =
            |name: &String| self.aliases.get(name).is_none_or(|alias| may_be_same_place(&alias.target, target));
        let of_vendor = |name: &String| upstream::find(name).is_none_or(|vendor| is_of(vendor, target));
        rule.alias.as_ref().is_none_or(of_alias) && rule.vendor.as_ref().is_none_or(of_vendor)
    }

    /// Whether the lists of callers let that caller use the target: the alias' own where it is named by one, and those
    /// of all aliases that may name the same place where it is not. An alias of several places that has no list of its own is
    /// held to those of each.
    #[must_use]
    pub fn permits(&self, caller: &str, target: &Target) -> bool {
        let same_place = |alias: &&Alias| may_be_same_place(&alias.target, target);
        let permitted = |alias: &Alias| alias.permits(caller);
        match target.alias.as_ref().and_then(|name| self.aliases.get(name)) {
            Some(alias) if alias.callers.is_some() || target.division().is_none() => permitted(alias),
            Some(_) | None => self.aliases.values().filter(same_place).all(permitted),
        }
    }
}

impl Alias {
    /// Whether that caller may use this alias.
    #[must_use]
    pub fn permits(&self, caller: &str) -> bool {
        self.callers.as_ref().is_none_or(|callers| callers.iter().any(|pattern| pattern.matches(caller)))
    }
}

fn not_for_this_caller() -> Problem {
    Problem::new(ProblemCode::Forbidden, "this caller may not use this target").at("target")
}

fn find_vendor(name: Option<&str>) -> Result<&'static dyn Vendor, Problem> {
    let names = || upstream::TABLE.iter().map(|v| v.name().to_string()).collect();
    match name {
        None => Err(Problem::invalid("target.vendor", "is required").supported(names())),
        Some(name) => upstream::find(name)
            .ok_or_else(|| Problem::invalid("target.vendor", "is no vendor that is known here").supported(names())),
    }
}

fn complain(complaint: Complaint) -> Problem {
    match complaint {
        Complaint::Unknown { name, expected } => {
            let field = format!("target.{name}");
            Problem::new(ProblemCode::Malformed, format!("{field} is unknown; expected {expected}")).at(field)
        }
        Complaint::Wrong { name, detail } => Problem::invalid(format!("target.{name}"), detail),
    }
}

#[cfg(test)]
mod tests;
