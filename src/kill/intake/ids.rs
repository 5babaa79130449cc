//! Session ids as callers give them: alone, or with what must be true of the session.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use time::format_description::well_known::Rfc3339;

use crate::{
    clock::{TIME, read_time},
    domain::{Problem, Selector, SessionId, plain_text},
    kill::{
        intake::request::{MAX_IDS, MAX_NAME},
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

pub(in crate::kill) fn check_ids(
    given: Vec<GivenId>,
    rule: IdRule,
) -> Result<(Vec<SessionId>, BTreeMap<SessionId, Pin>), Problem> {
    if given.is_empty() || given.len() > MAX_IDS {
        return Err(Problem::invalid("select.ids", format!("must have 1 to {MAX_IDS} ids")));
    }
    let (mut ids, mut pins) = (Vec::with_capacity(given.len()), BTreeMap::new());
    let mut seen = HashSet::with_capacity(given.len());
    for (at, GivenId { id, pin }) in given.into_iter().enumerate() {
        let field = || format!("select.ids[{at}]");
        let id = rule.parse(&id).ok_or_else(|| Problem::invalid(field(), format!("must be {}", rule.expected())))?;
        if !seen.insert(id.clone()) {
            return Err(Problem::invalid(field(), "is given twice"));
        }
        if let Some(pin) = pin.filter(|pin| *pin != GivenPin::default()) {
            pins.insert(SessionId(id.clone()), pin.check(&field())?);
        }
        ids.push(SessionId(id));
    }
    Ok((ids, pins))
}

impl GivenPin {
    fn check(self, field: &str) -> Result<Pin, Problem> {
        let Self { user, host, started_before } = self;
        for (name, text) in [("user", &user), ("host", &host)] {
            if let Some(Err(error)) = text.as_ref().map(|text| plain_text(text, MAX_NAME)) {
                return Err(Problem::invalid(format!("{field}.{name}"), error.to_string()));
            }
        }
        let read =
            |text: String| read_time(&text).ok_or_else(|| Problem::invalid(format!("{field}.started_before"), TIME));
        let started_before = started_before.map(read).transpose()?;
        Ok(Pin { user, host, started_before, identity: None })
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
        let started_before = pin.started_before.and_then(|time| time.format(&Rfc3339).ok());
        let given = [("user", pin.user.clone()), ("host", pin.host.clone()), ("started_before", started_before)];
        pinned.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
        *id = pinned.into();
    }
    Some(select)
}

/// An id by itself, as sent.
struct PlainId(String);

impl<'de> Deserialize<'de> for PlainId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match GivenId::deserialize(deserializer)? {
            GivenId { id, pin: None } => Ok(Self(id)),
            GivenId { .. } => Err(de::Error::custom("must be text or a whole number")),
        }
    }
}

impl<'de> Deserialize<'de> for GivenId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl<'de> Visitor<'de> for IdVisitor {
            type Value = GivenId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a session id as text or as a whole number, or an object with an id")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<GivenId, E> {
                Ok(GivenId { id: text.to_owned(), pin: None })
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<GivenId, E> {
                Ok(GivenId { id: number.to_string(), pin: None })
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<GivenId, E> {
                Ok(GivenId { id: number.to_string(), pin: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<GivenId, A::Error> {
                let PinnedId { id, user, host, started_before } =
                    PinnedId::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let pin = GivenPin { user, host, started_before };
                Ok(GivenId { id: id.0, pin: Some(pin) })
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

/// The long form of an id.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PinnedId {
    id: PlainId,
    user: Option<String>,
    host: Option<String>,
    started_before: Option<String>,
}
