//! Session ids as callers give them: alone, or with what must be true of the session.

use std::collections::{BTreeMap, HashSet};

use crate::{
    clock::{TIME, read_time, written_whole},
    domain::{Division, Places, Selector, SessionId, Target, plain_text, split_id},
    kill::{
        intake::{
            members::{Members, Mistakes},
            request::{MAX_IDS, MAX_NAME},
            tree::Tree,
        },
        look::victims::Pin,
    },
    upstream::{Capabilities, IdRule, names_place},
};

/// A session id as sent: text or a whole number, alone or with its shard or node and what must be true of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenId {
    /// As it was given, or of an object's `shard` or `node` and `id`: `shard-a/1234`.
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
            let at_id = members.at("id");
            let places = Division::EACH.map(|division| {
                let word = division.word();
                members.plain(word, MAX_NAME, mistakes).map(|place| (division, members.at(word), place))
            });
            let (user, host) = (members.plain("user", MAX_NAME, mistakes), members.plain("host", MAX_NAME, mistakes));
            let started_before = members.text("started_before", mistakes);
            members.finish(&["shard", "node", "id", "user", "host", "started_before"], mistakes);
            let id = id?;
            let place = match places {
                [Some(_), Some((_, at, _))] => {
                    mistakes.invalid(at, "must be left out where shard is given");
                    return None;
                }
                [shard, node] => shard.or(node),
            };
            let Some((division, at_place, place)) = place else {
                return Some(GivenId { id, pin: Some(GivenPin { user, host, started_before }) });
            };
            let word = division.word();
            for (at, text) in [(&at_place, &place), (&at_id, &id)] {
                if split_id(text).0.is_some() {
                    let wrong = format!("must have no `/` beside the other: one is the {word}, and one is the id");
                    mistakes.invalid(at, wrong);
                    return None;
                }
            }
            let told = Division::of(&place);
            if told != division {
                let other = told.word();
                mistakes.invalid(at_place, format!("must be the name of a {word}; a {other}'s goes into `{other}`"));
                return None;
            }
            let SessionId(id) = SessionId::at(Some(&place), &id);
            Some(GivenId { id, pin: Some(GivenPin { user, host, started_before }) })
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

/// What ids look like at a target.
#[derive(Debug)]
pub(in crate::kill) struct IdForm<'t> {
    rule: IdRule,
    /// `None` where it is not known.
    target: Option<&'t Target>,
}

impl<'t> IdForm<'t> {
    pub(in crate::kill) const fn of(able: &Capabilities, target: Option<&'t Target>) -> Self {
        Self { rule: able.session_id, target }
    }

    /// The id in its one form.
    ///
    /// # Errors
    /// What is wrong with it, after the name of its field.
    fn read(&self, text: &str) -> Result<String, String> {
        let (place, id) = split_id(text);
        let expected = self.rule.expected();
        let plain = || self.rule.parse(id).ok_or_else(|| format!("must be {expected}"));
        let Some(target) = self.target else { return Ok(SessionId::at(place, &plain()?).0) };
        let Some((division, places)) = target.division().zip(target.places()) else {
            return match place {
                Some(_) => {
                    Err(format!("must not name a shard or a node: the target is one place; it must be {expected}"))
                }
                None => plain(),
            };
        };
        let word = division.word();
        match (place, places) {
            // A number alone is another session at each place.
            (None, _) => Err(format!(
                "must be with its {word}, as {{\"{word}\": …, \"id\": …}} or \"{}/ID\": the target has several {word}s, and \
                 each may have a session of that id",
                word.to_uppercase()
            )),
            (Some(place), Places::These(these)) if !these.contains(&place) => {
                Err(format!("must be of one of the {word}s that the target names: {}", these.join(", ")))
            }
            (Some(place), _) if !names_place(target, place) => {
                Err(format!("must have the name of a {word} of the target"))
            }
            (Some(place), Places::All | Places::These(_)) => Ok(SessionId::at(Some(place), &plain()?).0),
        }
    }
}

pub(in crate::kill) fn check_ids(
    given: Vec<GivenId>,
    form: Option<&IdForm<'_>>,
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
        let read = match form {
            Some(form) => form.read(&id),
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
