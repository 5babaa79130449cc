//! All entries of a kill, folded: where it stands and how it came there.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::LogRow;
use crate::{
    audit::{
        KillEvent, Line, LineEvent, LineSession, LineUpstream, LookEvent, Open,
        index::{IndexRow, cut, each_once, of_sessions, plain},
        words::words,
    },
    clock::{from_unix_millis, unix_millis, written_whole},
    domain::{Found, Kill, KillId, Look, Outcome, ProblemCode, Session, Status, Unlisted, Upstream},
};

/// A kill as its entries tell it. Words and numbers are not checked: a row that somebody tampered with can still be read, and
/// be told from what was sealed.
#[derive(Debug)]
pub(in crate::audit) struct Folded {
    pub(in crate::audit) id: KillId,
    /// The number under which it was recorded.
    pub(in crate::audit) recorded_in: i64,
    pub(in crate::audit) returned: Option<i32>,
    status: String,
    gateway: String,
    asked: Value,
    requested_at: OffsetDateTime,
    /// From then on bytes may have left.
    sent_at: Option<OffsetDateTime>,
    /// When the last of its calls left.
    left_at: Option<i64>,
    sessions: Vec<LineSession>,
    upstream: Value,
    problem: Option<Value>,
    look: Option<(OffsetDateTime, bool)>,
    unlisted: Vec<Unlisted>,
    matched: Option<u64>,
    completed_at: Option<OffsetDateTime>,
    verified_at: Option<OffsetDateTime>,
    events: Vec<Event>,
    ends: bool,
}

/// One entry, with those of its sessions of which it says something new.
#[derive(Debug)]
struct Event {
    seq: i32,
    at: OffsetDateTime,
    kind: String,
    status: String,
    gateway: String,
    ends: bool,
    detail: Value,
}

/// What the entries of one kill make of it; there is one at least, and they are in their order.
pub(in crate::audit) fn fold(entries: Vec<LogRow>) -> Folded {
    let mut folded = Folded::default();
    let mut places = HashMap::new();
    for (n, LogRow { kill_id, seq, at, kind, status, gateway, ends, body, recorded_in, returned }) in
        entries.into_iter().enumerate()
    {
        let (at, mut detail) = (at.0, body.0);
        if n == 0 {
            (folded.id, folded.recorded_in, folded.returned) = (kill_id, recorded_in, returned);
            (folded.requested_at, folded.gateway) = (at, gateway.clone());
            folded.asked = detail.as_object_mut().and_then(|body| body.remove("asked")).unwrap_or_default();
        }
        if folded.sent_at.is_none() {
            folded.sent_at = (kind == "sent").then_some(at);
        }
        folded.learn(&mut detail, &mut places);
        (folded.status, folded.ends) = (status.clone(), ends);
        folded.events.push(Event { seq, at, kind, status, gateway, ends, detail });
    }
    folded
}

impl Default for Folded {
    fn default() -> Self {
        Self {
            id: Uuid::nil(),
            recorded_in: 0,
            returned: None,
            status: String::new(),
            gateway: String::new(),
            asked: Value::Null,
            requested_at: OffsetDateTime::UNIX_EPOCH,
            sent_at: None,
            left_at: None,
            sessions: vec![],
            upstream: Value::Null,
            problem: None,
            look: None,
            unlisted: vec![],
            matched: None,
            completed_at: None,
            verified_at: None,
            events: vec![],
            ends: false,
        }
    }
}

impl Folded {
    /// Takes in what an entry says, and leaves of its sessions those of which it says something new.
    fn learn(&mut self, detail: &mut Value, places: &mut HashMap<String, usize>) {
        let Some(members) = detail.as_object_mut() else { return };
        let Some(Value::Array(sessions)) = members.get_mut("sessions") else { return };
        sessions.retain_mut(|value| self.learn_of(value, places));
        let is_nothing_new = sessions.is_empty();
        if is_nothing_new {
            members.remove("sessions");
        }
        self.upstream = members.get("upstream").cloned().unwrap_or_default();
        self.problem = members.get("problem").cloned();
        self.completed_at = members.get("completed_at").and_then(moment);
        self.verified_at = members.get("verified_at").and_then(moment).or(self.verified_at);
        self.left_at = members.get("left_at").and_then(Value::as_i64).max(self.left_at);
        self.matched = members.get("matched").and_then(Value::as_u64).or(self.matched);
        if let Some(look) = members.get("look") {
            self.look = moment(&look["at"]).zip(look["complete"].as_bool()).or(self.look);
            self.unlisted = part(look, "unlisted").unwrap_or_default();
        }
    }

    /// Takes in what is said of a session; false where that is nothing new.
    fn learn_of(&mut self, value: &Value, places: &mut HashMap<String, usize>) -> bool {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let identity = value.get("identity").filter(|identity| !identity.is_null()).cloned();
        let said = LineSession {
            shard: text("shard"),
            node: text("node"),
            id: text("id").unwrap_or_default(),
            outcome: text("outcome").unwrap_or_default(),
            detail: text("detail"),
            identity,
        };
        let place = *places.entry(said.whole_id()).or_insert(self.sessions.len());
        match self.sessions.get_mut(place) {
            None => self.sessions.push(said),
            Some(known) => {
                let said = LineSession { identity: said.identity.or_else(|| known.identity.clone()), ..said };
                if *known == said {
                    return false;
                }
                *known = said;
            }
        }
        true
    }

    /// The kill with everything that is on record about it.
    pub(in crate::audit) fn line(self) -> Line {
        let text = |name: &str| self.asked.get(name).and_then(Value::as_str).map(str::to_owned);
        let of_vendor = |name: &str| self.upstream.get(name).and_then(Value::as_str).map(str::to_owned);
        let json = |name: &str| self.asked.get(name).filter(|value| !value.is_null()).cloned();
        let http_status = self.upstream.get("http_status").and_then(Value::as_i64);
        Line {
            id: self.id,
            status: self.status.clone(),
            target: json("target"),
            select: json("select"),
            caller: text("caller").unwrap_or_default(),
            on_behalf_of: text("on_behalf_of"),
            actor: text("actor"),
            reason: text("reason"),
            upstream: LineUpstream {
                http_status: http_status.and_then(|status| i32::try_from(status).ok()),
                request_id: of_vendor("request_id"),
                task_id: of_vendor("task_id"),
                evidence_url: of_vendor("evidence_url"),
                error_code: of_vendor("error_code"),
                error_message: of_vendor("error_message"),
            },
            requested_at: written_whole(self.requested_at),
            looked_at: self.look.map(|(at, _)| written_whole(at)),
            list_complete: self.look.map(|(_, complete)| complete),
            matched: self.matched,
            end: text("end"),
            blind: text("blind"),
            sent_at: self.sent_at.map(written_whole),
            completed_at: self.completed_at.map(written_whole),
            verified_at: self.verified_at.map(written_whole),
            confirms: text("confirms").and_then(|id| id.parse().ok()),
            dry_run: self.asked.get("dry_run").and_then(Value::as_bool).unwrap_or(false),
            request: text("request"),
            client_address: text("client_address"),
            client_id: text("client_id"),
            token_id: text("token_id"),
            request_id: text("request_id"),
            idempotency_key: text("idempotency_key"),
            gateway: self.gateway.clone(),
            problem: self.problem,
            sessions: self.sessions,
            events: self.events.into_iter().map(Event::line).collect(),
        }
    }

    /// The kill as answers show it.
    ///
    /// # Errors
    /// Something of it is no word or number of this version.
    pub(in crate::audit) fn kill(self) -> sqlx::Result<Kill> {
        let status = Status::parse(&self.status).ok_or_else(|| damaged("status"))?;
        let returned = self.returned.map(u32::try_from).transpose().map_err(|_| damaged("returned"))?;
        let text = |name: &str| self.asked.get(name).and_then(Value::as_str).map(str::to_owned);
        let json = |name: &str| self.asked.get(name).filter(|value| !value.is_null()).cloned();
        let upstream = if self.upstream.is_null() { Upstream::default() } else { of("upstream", &self.upstream)? };
        Ok(Kill {
            id: self.id,
            status,
            target: json("target"),
            select: json("select"),
            sessions: self.sessions.iter().map(session).collect::<sqlx::Result<_>>()?,
            caller: text("caller").ok_or_else(|| damaged("caller"))?,
            on_behalf_of: text("on_behalf_of"),
            actor: text("actor"),
            reason: text("reason"),
            upstream,
            problem: self.problem.as_ref().map(|problem| of("problem", problem)).transpose()?,
            matched: self.matched.map(u32::try_from).transpose().map_err(|_| damaged("matched"))?,
            sessions_known: None,
            note: None,
            end: self.asked.get("end").map(|end| of("end", end)).transpose()?,
            blind: self.asked.get("blind").map(|blind| of("blind", blind)).transpose()?,
            look: self.look.map(|(at, complete)| {
                // Until it is known when the last call left, it may have left from the mark on.
                let left_at = self.left_at.or_else(|| self.sent_at.map(unix_millis));
                let to_kill_ms = left_at.map(|left| left - unix_millis(at)).filter(|time| *time >= 0);
                Look { at, complete, to_kill_ms }
            }),
            unlisted: self.unlisted,
            found: Found::new(),
            confirms: text("confirms").and_then(|id| id.parse().ok()),
            requested_at: self.requested_at,
            completed_at: self.completed_at,
            verified_at: self.verified_at,
            returned,
        })
    }

    /// The same for whoever settles it.
    ///
    /// # Errors
    /// As [`Folded::kill`].
    pub(in crate::audit) fn open(self) -> sqlx::Result<Open> {
        let request = self.asked.get("request").and_then(Value::as_str).map(str::to_owned);
        let dry_run = self.asked.get("dry_run").and_then(Value::as_bool).unwrap_or(false);
        let sent_at = self.sent_at;
        Ok(Open { kill: self.kill()?, request, dry_run, sent_at })
    }

    /// When the last of it was learned.
    pub(in crate::audit) fn last_at(&self) -> OffsetDateTime {
        self.events.last().map_or(self.requested_at, |event| event.at)
    }

    /// The changes after number `after`, as whoever asked for the kill may see them.
    pub(in crate::audit) fn events(self, after: i32) -> Vec<KillEvent> {
        self.events.into_iter().filter(|event| event.seq > after).map(Event::shown).collect()
    }

    /// Whether it was refused because its caller may not use its target.
    pub(in crate::audit) fn is_of_a_forbidden_target(&self) -> bool {
        let is = |name: &str, word: &str| self.problem.as_ref().is_some_and(|problem| problem[name] == word);
        self.status == Status::Refused.as_str() && is("code", ProblemCode::Forbidden.as_str()) && is("field", "target")
    }

    /// What it is found by.
    pub(in crate::audit) fn index(&self) -> IndexRow {
        let text = |name: &str| self.asked.get(name).and_then(Value::as_str);
        let of_target = |name: &str| self.asked.get("target")?.get(name)?.as_str().map(cut);
        let selector = self.asked.get("select").map_or(0, |select| select.to_string().chars().count());
        IndexRow {
            id: self.id,
            status: self.status.clone(),
            caller: text("caller").map(plain).unwrap_or_default(),
            on_behalf_of: text("on_behalf_of").map(plain),
            vendor: of_target("vendor"),
            account: of_target("account"),
            alias: of_target("alias"),
            instance_id: of_target("instance_id"),
            users: of_sessions(&self.sessions, self.asked.get("select"), "user"),
            databases: of_sessions(&self.sessions, self.asked.get("select"), "database"),
            outcomes: each_once(self.sessions.iter().map(|session| session.outcome.as_str())),
            ever_unknown: self.events.iter().any(|event| event.status == Status::Unknown.as_str()),
            requested_at: self.requested_at,
            size: i32::try_from(self.sessions.len() + selector / 100).unwrap_or(i32::MAX),
            words: text("reason").map(words).unwrap_or_default(),
            recorded_in: self.recorded_in,
            sessions: each_once(self.sessions.iter().flat_map(LineSession::found_by)),
        }
    }
}

impl Event {
    fn line(self) -> LineEvent {
        let Self { seq, at, kind, status, gateway, ends, detail } = self;
        LineEvent { seq, at: written_whole(at), kind, status, gateway: Some(gateway), ends, detail }
    }

    /// A part of the detail that does not read as what it should be is left out.
    fn shown(self) -> KillEvent {
        let Self { seq, at, kind, status, detail, .. } = self;
        let look = moment(&detail["look"]["at"]).zip(detail["look"]["complete"].as_bool());
        let upstream: Option<Upstream> = part(&detail, "upstream");
        KillEvent {
            seq,
            at,
            kind,
            status,
            sessions: part(&detail, "sessions").unwrap_or_default(),
            upstream: upstream.filter(|upstream| *upstream != Upstream::default()),
            problem: part(&detail, "problem"),
            calls: part(&detail, "calls").unwrap_or_default(),
            look: look.map(|(at, complete)| LookEvent {
                at,
                complete,
                found: part(&detail["look"], "found").unwrap_or_default(),
                unlisted: part(&detail["look"], "unlisted").unwrap_or_default(),
            }),
            verified_at: moment(&detail["verified_at"]),
        }
    }
}

fn session(said: &LineSession) -> sqlx::Result<Session> {
    let LineSession { outcome, detail, identity, .. } = said;
    let outcome: Outcome = of("outcome", &Value::String(outcome.clone()))?;
    let identity = identity.as_ref().map(|identity| of("identity", identity)).transpose()?;
    Ok(Session { id: said.whole_id(), outcome, detail: detail.clone().map(Into::into), identity })
}

fn moment(value: &Value) -> Option<OffsetDateTime> {
    value.as_i64().map(from_unix_millis)
}

fn part<T: DeserializeOwned>(detail: &Value, name: &str) -> Option<T> {
    T::deserialize(detail.get(name)?).ok()
}

fn of<T: DeserializeOwned>(name: &str, value: &Value) -> sqlx::Result<T> {
    T::deserialize(value).map_err(|_| damaged(name))
}

fn damaged(what: &str) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: what.to_owned(), source: "not a known word or number".into() }
}
