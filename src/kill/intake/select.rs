//! Which sessions a request is about, as callers write it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{AnyOf, Criteria, Glob, Match, Ranking, Selector, SessionId, plain_text},
    kill::{
        intake::{
            ids::{GivenId, IdForm, check_ids, read_ids},
            members::{Members, Mistakes},
            request::{MAX_IDS, MAX_NAME},
            tree::Tree,
        },
        look::victims::Pin,
    },
};

/// Most texts that a criterion takes.
const MAX_TEXTS: usize = 100;

/// The criteria, as requests and exceptions have them.
const CRITERIA: [&str; 10] = [
    "user",
    "database",
    "host",
    "command",
    "state",
    "statement",
    "min_seconds",
    "min_transaction_seconds",
    "idle_in_transaction",
    "blocking",
];

/// Exactly one of them is meant.
#[derive(Debug, Clone)]
pub(in crate::kill) enum Select {
    Ids(Vec<GivenId>),
    Match(Box<Match>),
    Intelligent,
}

impl Select {
    pub(in crate::kill) fn read(mut members: Members, mistakes: &mut Mistakes) -> Option<Self> {
        let at = |name: &str| format!("select.{name}");
        let (ids, criteria) = (members.take("ids"), members.object("match", mistakes));
        let is_match = criteria.is_some() || mistakes.are_about(&at("match"));
        let intelligent = members.take("intelligent");
        let given = [ids.is_some(), is_match, intelligent.is_some()].into_iter().filter(|given| *given).count();
        if given != 1 {
            mistakes.invalid("select", "must have exactly one of ids, match, intelligent");
        }
        let ids = ids.and_then(|ids| read_ids(ids, mistakes));
        let criteria = criteria.map(|criteria| read_match(criteria, mistakes));
        let is_intelligent = match intelligent {
            None => false,
            Some(Tree::Flag(true)) => true,
            Some(Tree::Flag(false)) => {
                mistakes.invalid(at("intelligent"), "must be true, or left out");
                false
            }
            Some(_) => {
                mistakes.malformed(&at("intelligent"), "must be true, or left out");
                false
            }
        };
        members.finish(&["ids", "match", "intelligent"], mistakes);
        match (ids, criteria, is_intelligent) {
            (Some(ids), None, false) => Some(Self::Ids(ids)),
            (None, Some(wanted), false) => Some(Self::Match(Box::new(wanted))),
            (None, None, true) => Some(Self::Intelligent),
            _ => None,
        }
    }

    /// The selector, and what must be true of sessions beyond their ids. Where the vendor is not known, ids are held against
    /// what every vendor's are.
    pub(in crate::kill) fn check(
        self,
        form: Option<&IdForm<'_>>,
        mistakes: &mut Mistakes,
    ) -> Option<(Selector, BTreeMap<SessionId, Pin>)> {
        match self {
            Self::Ids(ids) => check_ids(ids, form, mistakes).map(|(ids, pins)| (Selector::Ids(ids), pins)),
            Self::Match(wanted) => Some((Selector::Match(wanted), BTreeMap::new())),
            Self::Intelligent => Some((Selector::Intelligent, BTreeMap::new())),
        }
    }
}

fn read_match(mut members: Members, mistakes: &mut Mistakes) -> Match {
    let criteria = read_criteria(&mut members, mistakes);
    let except = members.object("except", mistakes).map(|mut members| {
        let except = read_criteria(&mut members, mistakes);
        members.finish(&CRITERIA, mistakes);
        if except.given().is_empty() && !mistakes.are_about("select.match.except") {
            mistakes.invalid("select.match.except", "must have at least one criterion");
        }
        except
    });
    let limit = members.take("limit").and_then(|given| {
        let limit = whole(&given).and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.filter(|limit| (1..=MAX_IDS).contains(limit));
        let predicate = format!("must be a whole number from 1 to {MAX_IDS}");
        match (limit, &given) {
            (Some(_), _) => {}
            (None, Tree::Number(_)) => mistakes.invalid(members.at("limit"), predicate),
            (None, _) => mistakes.malformed(&members.at("limit"), &predicate),
        }
        limit
    });
    let order = members.text("order", mistakes).and_then(|word| {
        let ranking = Ranking::ALL.into_iter().find(|ranking| ranking.as_str() == word);
        if ranking.is_none() {
            let words = Ranking::ALL.map(Ranking::as_str).join(" or ");
            mistakes.invalid(members.at("order"), format!("must be {words}"));
        }
        ranking
    });
    let known: Vec<_> = CRITERIA.into_iter().chain(["except", "limit", "order"]).collect();
    members.finish(&known, mistakes);
    if criteria.given().is_empty() && !mistakes.are_about("select.match") {
        mistakes.invalid("select.match", "must have at least one criterion");
    }
    Match { criteria, except, limit, order }
}

fn read_criteria(members: &mut Members, mistakes: &mut Mistakes) -> Criteria {
    Criteria {
        user: globs(members, "user", mistakes),
        database: globs(members, "database", mistakes),
        host: globs(members, "host", mistakes),
        command: globs(members, "command", mistakes),
        state: globs(members, "state", mistakes),
        statement: texts(members, "statement", mistakes).map(AnyOf),
        min_seconds: seconds(members, "min_seconds", mistakes),
        min_transaction_seconds: seconds(members, "min_transaction_seconds", mistakes),
        idle_in_transaction: only_true(members, "idle_in_transaction", mistakes),
        blocking: only_true(members, "blocking", mistakes),
    }
}

fn globs(members: &mut Members, name: &str, mistakes: &mut Mistakes) -> Option<AnyOf<Glob>> {
    let globs = texts(members, name, mistakes)?.iter().filter_map(|text| Glob::parse(text)).collect();
    Some(AnyOf(globs))
}

/// A text, or a list of texts.
fn texts(members: &mut Members, name: &str, mistakes: &mut Mistakes) -> Option<Vec<String>> {
    let at = members.at(name);
    let given = match members.take(name)? {
        Tree::List(items) => items.into_iter().enumerate().map(|(n, item)| (format!("{at}[{n}]"), item)).collect(),
        one => vec![(at.clone(), one)],
    };
    if given.is_empty() || given.len() > MAX_TEXTS {
        mistakes.invalid(at, format!("must be text, or a list of 1 to {MAX_TEXTS} texts"));
        return None;
    }
    let mut texts = BTreeSet::new();
    let mut is_well = true;
    for (at, item) in given {
        let Tree::Text(text) = item else {
            mistakes.malformed(&at, "must be text");
            is_well = false;
            continue;
        };
        match plain_text(&text, MAX_NAME) {
            Ok(_) => drop(texts.insert(text)),
            Err(error) => {
                mistakes.invalid(at, error.to_string());
                is_well = false;
            }
        }
    }
    is_well.then(|| texts.into_iter().collect())
}

/// Seconds as a whole number, or a time such as `5m`.
fn seconds(members: &mut Members, name: &str, mistakes: &mut Mistakes) -> Option<u64> {
    let given = members.take(name)?;
    let seconds = if let Tree::Text(text) = &given { read_seconds(text) } else { whole(&given) };
    match (seconds, &given) {
        (Some(_), _) => {}
        (None, Tree::Number(_) | Tree::Text(_)) => mistakes.invalid(members.at(name), SECONDS),
        (None, _) => mistakes.malformed(&members.at(name), SECONDS),
    }
    seconds
}

/// What [`read_seconds`] takes, for errors.
pub const SECONDS: &str = "must be a whole number of seconds, or a time such as \"90s\", \"5m\" or \"1h30m\"";

/// The seconds of a text such as `5m` or `1h30m`, or of a number alone; `None` where it is none, or too many.
#[must_use]
pub fn read_seconds(text: &str) -> Option<u64> {
    // A month is no time that anybody means here, and its letter is easily written for minutes.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b" .dhms".contains(&byte));
    let seconds = match text.parse() {
        Ok(seconds) => seconds,
        Err(_) if !is_plain => return None,
        Err(_) => humantime::parse_duration(text).ok().filter(|time| time.subsec_nanos() == 0)?.as_secs(),
    };
    (seconds <= MOST_SECONDS).then_some(seconds)
}

/// A hundred years.
const MOST_SECONDS: u64 = 36_525 * 86_400;

fn whole(tree: &Tree) -> Option<u64> {
    if let Tree::Number(number) = tree { number.as_u64().filter(|number| *number <= MOST_SECONDS) } else { None }
}

fn only_true(members: &mut Members, name: &str, mistakes: &mut Mistakes) -> Option<bool> {
    let flag = members.flag(name, mistakes)?;
    if !flag {
        mistakes.invalid(members.at(name), "must be true, or left out");
    }
    flag.then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_with_units() {
        for (text, seconds) in [
            ("90", 90),
            ("0", 0),
            ("90s", 90),
            ("5m", 300),
            ("1h30m", 5400),
            ("1d 2h", 93_600),
            ("1.5h", 5400),
            ("007s", 7),
        ] {
            assert_eq!(read_seconds(text), Some(seconds), "{text}");
        }
        for text in ["", "m", "-5m", "-5", "1ms", "5 parsecs", "5M", "1y", "99999999999999999999s", "40000d", "五m"] {
            assert_eq!(read_seconds(text), None, "{text}");
        }
    }
}
