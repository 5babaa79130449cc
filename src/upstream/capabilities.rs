//! What a vendor can do, as data: it drives validation, documentation, limits and `GET /vendors`.

use std::collections::BTreeSet;

use super::cloud::Cloud;
use super::listing::ListFilter;
use crate::domain::{AnyOf, Criteria, Division, Glob, LiveSession, Match, Selector};

/// Which of a cloud's sites an account is at: they have the same products and not the same operations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Site {
    /// The one that has everything.
    #[default]
    Mainland,
    International,
}

impl Site {
    pub const ALL: [Self; 2] = [Self::Mainland, Self::International];

    /// The word in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mainland => "mainland",
            Self::International => "international",
        }
    }

    /// The site of that word.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|site| site.as_str() == text)
    }
}

/// How a vendor is reached.
#[derive(Debug, Clone, Copy)]
pub enum By {
    /// By the HTTP of a cloud, whose credentials and signatures it takes.
    Cloud(&'static dyn Cloud),
    /// By the protocol of a database server: an engine.
    Protocol(Protocol),
}

impl By {
    /// The cloud, where it is one.
    #[must_use]
    pub const fn cloud(self) -> Option<&'static dyn Cloud> {
        match self {
            Self::Cloud(cloud) => Some(cloud),
            Self::Protocol(_) => None,
        }
    }
}

/// The protocols of database servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    Postgres,
    MySql,
    /// As MySQL's, of a server that lists and kills otherwise.
    MariaDb,
}

/// Whether a coordinate must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Required,
    Optional,
    /// Exactly one of the coordinates that are marked with the same word.
    OneOf(&'static str),
    /// Optional, but where that other coordinate is given there is none.
    OptionalWithout(&'static str),
    /// Required where another coordinate begins like that, and elsewhere there is none.
    Where {
        other: &'static str,
        begins: &'static str,
    },
}

/// One of the values that say where sessions live.
#[derive(Debug)]
pub struct Coordinate {
    pub name: &'static str,
    pub need: Need,
    /// Says what is expected, for errors and documentation: "36 letters or digits ending in `in07`".
    pub expected: &'static str,
    pub example: &'static str,
    /// Whether a text is one.
    pub check: fn(&str) -> bool,
}

/// What a session id looks like.
#[derive(Debug, Clone, Copy)]
pub enum IdRule {
    /// A whole number from 0 to this, in decimal digits.
    Decimal { max: u64 },
    /// 1 to 64 of `0-9A-Za-z_.:-`.
    Token,
}

impl IdRule {
    /// The id in its one canonical form, or `None` where it is not an id of this vendor.
    #[must_use]
    pub fn parse(self, text: &str) -> Option<String> {
        match self {
            Self::Decimal { max } => {
                let digits = !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
                let number = text.parse::<u64>().ok().filter(|n| digits && *n <= max)?;
                Some(number.to_string())
            }
            Self::Token => {
                let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
                ((1..=64).contains(&text.len()) && text.bytes().all(fine)).then(|| text.to_owned())
            }
        }
    }

    /// What is expected, in words.
    #[must_use]
    pub fn expected(self) -> String {
        match self {
            Self::Decimal { max } => format!("a whole number from 0 to {max}"),
            Self::Token => "1 to 64 of 0-9 A-Z a-z _ . : -".to_owned(),
        }
    }
}

/// A selector that a vendor has itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectorKind {
    Ids,
    /// `match` with exactly one of these criteria.
    MatchOneOf(&'static [&'static str]),
    Intelligent,
}

impl SelectorKind {
    /// Whether this kind covers that selector: of a `match`, the vendor takes one text as it is written.
    #[must_use]
    pub fn covers(self, selector: &Selector) -> bool {
        match (self, selector) {
            (Self::Ids, Selector::Ids(_)) | (Self::Intelligent, Selector::Intelligent) => true,
            (Self::MatchOneOf(names), Selector::Match(wanted)) => {
                let texts = [&wanted.criteria.user, &wanted.criteria.database];
                let is_one = texts.into_iter().flatten().all(|text| text.only().is_some());
                matches!(wanted.given().as_slice(), [name] if names.contains(name)) && is_one
            }
            _ => false,
        }
    }

    /// The form in words, for refusals and `GET /vendors`.
    #[must_use]
    pub fn describe(self) -> String {
        match self {
            Self::Ids => "ids".to_owned(),
            Self::MatchOneOf(names) => format!("match with exactly one of {}", names.join(", ")),
            Self::Intelligent => "intelligent".to_owned(),
        }
    }
}

/// Most lists that are read for one look.
const MOST_LISTS: usize = 20;

/// How a vendor lists live sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListingKind {
    /// At least one of these criteria must be given, where there are any.
    pub needs_one_of: &'static [&'static str],
    /// Most sessions that it shows; `None` where pages show them all.
    pub most: Option<usize>,
    /// Which of the criteria that not every vendor can tell are told by it.
    pub tells: &'static [&'static str],
}

/// Criteria that every vendor can tell.
const COMMON: [&str; 7] = ["user", "database", "host", "command", "state", "min_seconds", "statement"];

/// Criteria that not every vendor can tell.
const SPECIAL: [&str; 3] = ["min_transaction_seconds", "idle_in_transaction", "blocking"];

impl ListingKind {
    /// The criteria that the list tells.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        COMMON.iter().chain(self.tells).map(|name| (*name).to_owned()).collect()
    }

    /// A criterion, or an exception, that the list does not tell.
    #[must_use]
    pub fn does_not_tell(&self, wanted: &Match) -> Option<&'static str> {
        let all = [Some(&wanted.criteria), wanted.except.as_ref()];
        let given = all.into_iter().flatten().flat_map(Criteria::given);
        given.into_iter().find(|name| SPECIAL.contains(name) && !self.tells.contains(name))
    }

    /// What to ask for that shows every session that meets a `match`: one list, or one for each user or database where
    /// the vendor lists by them; `None` where no such lists would show them all, or too many were needed.
    #[must_use]
    pub fn for_match(&self, wanted: &Match) -> Option<Vec<ListFilter>> {
        let of = |name: &str| match name {
            "user" => wanted.criteria.user.as_ref(),
            "database" => wanted.criteria.database.as_ref(),
            _ => None,
        };
        let only = |name| of(name).and_then(AnyOf::only).map(str::to_owned);
        let narrow = ListFilter { user: only("user"), database: only("database") };
        if self.needs_one_of.is_empty() {
            return Some(vec![if wanted.asks_who_blocks() { ListFilter::default() } else { narrow }]);
        }
        let by = |name: &&str| {
            let each = |value: &str| match *name {
                "user" => ListFilter { user: Some(value.to_owned()), ..narrow.clone() },
                _ => ListFilter { database: Some(value.to_owned()), ..narrow.clone() },
            };
            let names = of(name)?.names()?;
            (names.len() <= MOST_LISTS).then(|| names.into_iter().map(each).collect())
        };
        self.needs_one_of.iter().find_map(by)
    }

    /// What to ask for sessions of these users, of each of which nothing else is known: every session, or those of each
    /// user where the list wants one; `None` where no such lists would show them all, or too many were needed.
    #[must_use]
    pub fn of_users<'u>(&self, users: impl Iterator<Item = Option<&'u String>>) -> Option<Vec<ListFilter>> {
        if self.needs_one_of.is_empty() {
            return Some(vec![ListFilter::default()]);
        }
        let users: BTreeSet<&String> = users.collect::<Option<_>>()?;
        let can_be_listed = self.needs_one_of.contains(&"user") && (1..=MOST_LISTS).contains(&users.len());
        can_be_listed.then(|| users.into_iter().map(|user| ListFilter::of_user(user)).collect())
    }
}

/// A product's own sessions, which no kill may end, whatever is configured: patterns with `*`, in upper or lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Accounts that the vendor made for itself.
    pub users: &'static [&'static str],
    /// Kinds of work: replication and the like.
    pub commands: &'static [&'static str],
    /// What clients call themselves that do such work.
    pub applications: &'static [&'static str],
}

impl Own {
    /// The kinds of work of a MySQL server that nobody asked for: sending and applying changes, and its own threads.
    pub const MYSQL_COMMANDS: &[&str] = &["Binlog Dump*", "Register Slave", "Register Replica", "Daemon"];

    /// Why a session is the product's own; `None` where it is not. One that belongs to nobody is.
    #[must_use]
    pub fn claims(&self, session: &LiveSession) -> Option<String> {
        let Some(user) = &session.user else { return Some("built in, no user".to_owned()) };
        let fits = |patterns: &'static [&str], text: &str| {
            patterns.iter().find(|pattern| Glob::parse(pattern).is_some_and(|glob| glob.may_match_any_case(text)))
        };
        let user = fits(self.users, user).map(|pattern| ("users", pattern));
        let command = || Some(("commands", fits(self.commands, session.command.as_deref()?)?));
        let application = || Some(("applications", fits(self.applications, session.application.as_deref()?)?));
        user.or_else(command).or_else(application).map(|(key, pattern)| format!("built in, {key}: {pattern}"))
    }
}

/// What one vendor can do, and its limits.
#[derive(Debug)]
pub struct Capabilities {
    /// The product, for people.
    pub product: &'static str,
    pub by: By,
    pub coordinates: &'static [Coordinate],
    /// The coordinates that tell places apart: targets in which one of them differs are surely different places. Another
    /// value of any other may be another name for the same place, and proves nothing.
    pub tells_apart: &'static [&'static str],
    pub session_id: IdRule,
    pub selectors: &'static [SelectorKind],
    /// Most ids in one call by default; a call with more is split by the gateway.
    pub max_ids_per_call: usize,
    /// Most ids in one call that the vendor takes, where it publishes a number; no configuration goes beyond it.
    pub most_ids_per_call: Option<usize>,
    /// Calls a second by default.
    pub requests_per_second: u32,
    /// Calls a minute by default, where the vendor counts so.
    pub requests_per_minute: Option<u32>,
    pub counting: Counting,
    /// True where what became of a kill can be asked afterwards.
    pub can_follow_up: bool,
    /// How live sessions are listed; `None` where they cannot be.
    pub listing: Option<ListingKind>,
    pub own: Own,
    pub takes: Takes,
    /// How many calls one after another it takes to end sessions: two where the first only prepares it.
    pub steps: u32,
    /// Whether it can cancel a statement and leave the session.
    pub cancels: bool,
}

/// What a kill takes of each session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Its id and nothing else.
    Ids,
    /// Also what was seen of it, where it was looked at, see [`Order::likeness`](crate::domain::Order::likeness).
    Likeness,
    /// The same, and none goes without it: nobody's session can be ended that was not looked at.
    LikenessAlways,
}

impl Takes {
    /// Whether an order is given what was seen of its sessions.
    #[must_use]
    pub const fn likeness(self) -> bool {
        !matches!(self, Self::Ids)
    }
}

/// What a vendor counts together, of the calls under one set of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// All of them.
    Together,
    /// Those of each [action](super::Call::action) apart; a kill's first call is of this one.
    ByAction { kill: &'static str },
}

impl Counting {
    #[must_use]
    pub const fn is_by_action(self) -> bool {
        matches!(self, Self::ByAction { .. })
    }
}

impl Capabilities {
    /// Whether the sessions of an `intelligent` kill, where there is such a thing, are the database's to pick. Of a server whose
    /// list tells what each session runs, and who waits for whom, the gateway chooses them.
    #[must_use]
    pub const fn picks(&self) -> bool {
        !matches!(self.by, By::Protocol(_))
    }

    /// Whether the gateway can find the sessions of that selector in a list.
    #[must_use]
    pub fn lists_for(&self, selector: &Selector) -> bool {
        match (self.listing, selector) {
            (Some(listing), Selector::Match(wanted)) => {
                listing.does_not_tell(wanted).is_none() && listing.for_match(wanted).is_some()
            }
            (Some(_), Selector::Intelligent) => !self.picks(),
            _ => false,
        }
    }

    /// A criterion of that selector that the vendor's list does not tell.
    #[must_use]
    pub fn untold(&self, selector: &Selector) -> Option<&'static str> {
        let (Some(listing), Selector::Match(wanted)) = (self.listing, selector) else { return None };
        listing.does_not_tell(wanted)
    }

    /// Every form of a selector that a kill can have, in words.
    #[must_use]
    pub fn forms(&self) -> Vec<String> {
        // What the vendor takes of a `match` itself is a part of what its list can find.
        let is_listed = |kind: &&SelectorKind| self.listing.is_some() && matches!(kind, SelectorKind::MatchOneOf(_));
        let own = self.selectors.iter().filter(|kind| !is_listed(kind)).map(|kind| kind.describe());
        let listed = self.listing.map(|listing| match listing.needs_one_of {
            [] => "match".to_owned(),
            names => format!("match with {}", names.join(" or ")),
        });
        let chosen = (!self.picks()).then(|| SelectorKind::Intelligent.describe());
        own.chain(listed).chain(chosen).collect()
    }

    /// What the places are that one target of this vendor can name together, where it can.
    #[must_use]
    pub fn division(&self) -> Option<Division> {
        self.coordinates.iter().find_map(|coordinate| Division::named_by(coordinate.name))
    }

    /// Whether a target of this vendor can have a coordinate of that name.
    #[must_use]
    pub fn has_coordinate(&self, name: &str) -> bool {
        self.coordinates.iter().any(|coordinate| coordinate.name == name)
    }
}

#[cfg(test)]
mod tests;
