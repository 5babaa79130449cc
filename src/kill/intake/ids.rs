//! Session ids as callers give them: alone, or with what must be true of the session.

use std::collections::{BTreeMap, HashSet};

use crate::{
    clock::{TIME, read_time, written_whole},
    domain::{Selector, SessionId, plain_text},
    kill::{
        intake::{
            members::{Members, Mistakes},
            request::{MAX_IDS, MAX_NAME},
            tree::Tree,
        },
        look::victims::Pin,
    },
    upstream::IdRule,
};

/// A session id as sent: text or a whole number, alone or with what must be true of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenId {
    pub id: String,
    pub pin: Option<GivenPin>,
}

/// What must be true of a session beyond its id; a session that is no longer the same is not sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenPin {
    pub user: Option<String>,
    pub host: Option<String>,
    pub started_before: Option<String>,
}

/// The ids of a request, each of whatever form.
pub(in crate::kill) fn read_ids(tree: Tree, mistakes: &mut Mistakes) -> Option<Vec<GivenId>> {
    let Tree::List(items) = tree else {
        mistakes.malformed("select.ids", "must be a list of session ids");
        return None;
    };
    let read = |(n, item)| read_id(item, &format!("select.ids[{n}]"), mistakes);
    let ids: Vec<Option<GivenId>> = items.into_iter().enumerate().map(read).collect();
    ids.into_iter().collect()
}

fn read_id(tree: Tree, at: &str, mistakes: &mut Mistakes) -> Option<GivenId> {
    match tree {
        Tree::Object(_) => {
            let mut members = Members::of(tree, at, mistakes)?;
            let id = if let Some(id) = members.take("id") {
                plain_id(id, &members.at("id"), mistakes)
            } else {
                mistakes.invalid(members.at("id"), "is required");
                None
            };
            let (user, host) = (members.plain("user", MAX_NAME, mistakes), members.plain("host", MAX_NAME, mistakes));
            let started_before = members.text("started_before", mistakes);
            members.finish(&["id", "user", "host", "started_before"], mistakes);
            Some(GivenId { id: id?, pin: Some(GivenPin { user, host, started_before }) })
        }
        other => plain_id(other, at, mistakes).map(|id| GivenId { id, pin: None }),
    }
}

fn plain_id(tree: Tree, at: &str, mistakes: &mut Mistakes) -> Option<String> {
    match tree {
        Tree::Text(text) => Some(text),
        Tree::Number(number) if number.is_u64() || number.is_i64() => Some(number.to_string()),
        _ => {
            mistakes.malformed(at, "must be a session id, as text or as a whole number");
            None
        }
    }
}

pub(in crate::kill) fn check_ids(
    given: Vec<GivenId>,
    rule: Option<IdRule>,
    mistakes: &mut Mistakes,
) -> Option<(Vec<SessionId>, BTreeMap<SessionId, Pin>)> {
    if given.is_empty() || given.len() > MAX_IDS {
        mistakes.invalid("select.ids", format!("must have 1 to {MAX_IDS} ids"));
        return None;
    }
    let (mut ids, mut pins) = (Vec::with_capacity(given.len()), BTreeMap::new());
    let mut seen = HashSet::with_capacity(given.len());
    let mut is_well = true;
    for (n, GivenId { id, pin }) in given.into_iter().enumerate() {
        let at = || format!("select.ids[{n}]");
        let read = match rule {
            Some(rule) => rule.parse(&id).ok_or_else(|| format!("must be {}", rule.expected())),
            None => plain_text(&id, MAX_NAME).map(str::to_owned).map_err(|error| error.to_string()),
        };
        let id = match read {
            Ok(id) => id,
            Err(wrong) => {
                mistakes.invalid(at(), wrong);
                is_well = false;
                continue;
            }
        };
        if !seen.insert(id.clone()) {
            mistakes.invalid(at(), "is given twice");
            is_well = false;
        }
        if let Some(pin) = pin.filter(|pin| *pin != GivenPin::default()) {
            if let Some(pin) = pin.check() {
                pins.insert(SessionId(id.clone()), pin);
            } else {
                mistakes.invalid(format!("{}.started_before", at()), TIME);
                is_well = false;
            }
        }
        ids.push(SessionId(id));
    }
    is_well.then_some((ids, pins))
}

impl GivenPin {
    /// What is asked; `None` where its time is none.
    fn check(self) -> Option<Pin> {
        let Self { user, host, started_before } = self;
        let started_before = match started_before {
            Some(text) => Some(read_time(&text)?),
            None => None,
        };
        Some(Pin { user, host, started_before, ..Pin::default() })
    }
}

/// The selector as it is recorded: ids with what was asked of them.
pub(in crate::kill) fn recorded_select(
    selector: &Selector,
    pins: &BTreeMap<SessionId, Pin>,
) -> Option<serde_json::Value> {
    let mut select = serde_json::to_value(selector).ok()?;
    for id in select.get_mut("ids").and_then(serde_json::Value::as_array_mut).into_iter().flatten() {
        let pin = id.as_str().and_then(|text| pins.get(&SessionId(text.to_owned())));
        let Some(pin) = pin else { continue };
        let mut pinned = serde_json::Map::from_iter([("id".to_owned(), id.take())]);
        let started_before = pin.started_before.map(written_whole);
        let given = [("user", pin.user.clone()), ("host", pin.host.clone()), ("started_before", started_before)];
        pinned.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
        *id = pinned.into();
    }
    Some(select)
}
