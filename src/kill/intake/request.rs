//! From what a caller sent to an order that is valid for its vendor.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use utoipa::ToSchema;

use crate::{
    domain::{Match, Order, Problem, ProblemCode, Ranking, Selector, SessionId, plain_text},
    kill::{
        intake::{
            ids::{check_ids, recorded_select},
            members::{self, Object},
        },
        look::victims::Pin,
        policy::{
            confirm::Given,
            confirming::Bound,
            targets::{Named, Targets},
        },
    },
    upstream::{self, IdRule},
};

pub use crate::kill::intake::ids::{GivenId, GivenPin};

/// Most ids in one kill.
pub const MAX_IDS: usize = 1000;
/// Most characters of `reason`.
pub const MAX_REASON: usize = 1000;
/// Most characters of `on_behalf_of` and of a criterion of `match`.
pub const MAX_NAME: usize = 255;

/// What to end, and why.
// As sent, with nothing but its types checked: what is missing is named by `check`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "target": "orders-shard-1",
    "select": { "ids": ["1111", "1112"] },
    "reason": "INC-4711 runaway report",
    "on_behalf_of": "alice@example.com",
}))]
pub struct KillRequest {
    #[schema(required = true, nullable = false)]
    pub target: Option<Named>,
    #[serde(default, deserialize_with = "members::optional")]
    #[schema(required = true, nullable = false)]
    pub select: Option<Select>,
    /// Why: 1 to 1000 characters, no control or format characters.
    #[schema(required = true, nullable = false, min_length = 1, max_length = 1000)]
    pub reason: Option<String>,
    /// The person behind a bot: 1 to 255 characters.
    #[schema(min_length = 1, max_length = 255)]
    pub on_behalf_of: Option<String>,
    /// Nothing that changes anything is sent; recorded with status `preview`.
    #[serde(default)]
    pub dry_run: bool,
    /// `false`: the sessions are not looked at before they are ended. Needs the scope `sessions:kill:blind`, and is refused
    /// where a protection rule, a confirm or a cap needs the look.
    #[serde(default = "looks")]
    #[schema(default = true)]
    pub look: bool,
    /// The `confirm` of a preview: only the sessions that were `alive` in it are ended.
    #[schema(value_type = Option<String>, write_only)]
    pub confirm: Option<Given>,
}

/// Which sessions: exactly one of the members. What a vendor has is in `GET /vendors`.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1, max_properties = 1)]
pub struct Select {
    /// These sessions: 1 to 1000 different ids.
    #[schema(nullable = false, min_items = 1, max_items = 1000)]
    pub ids: Option<Vec<GivenId>>,
    /// Whatever meets all the criteria given.
    #[serde(default, deserialize_with = "members::optional")]
    #[schema(nullable = false)]
    pub r#match: Option<Criteria>,
    /// Whatever the database itself picks: `true`.
    #[schema(nullable = false)]
    pub intelligent: Option<bool>,
}

/// Criteria that a session must meet, all of those given; at least one besides `limit` and `order`.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Criteria {
    /// The database user the session belongs to.
    #[schema(nullable = false, max_length = 255)]
    pub user: Option<String>,
    /// The database the session is in.
    #[schema(nullable = false, max_length = 255)]
    pub database: Option<String>,
    /// The client's address, with its port or without.
    #[schema(nullable = false, max_length = 255)]
    pub host: Option<String>,
    /// The kind of work, such as `Query`.
    #[schema(nullable = false, max_length = 255)]
    pub command: Option<String>,
    #[schema(nullable = false, max_length = 255)]
    pub state: Option<String>,
    /// Fewest seconds for which it has been doing what it does.
    #[schema(nullable = false)]
    pub min_seconds: Option<u64>,
    /// A piece of the statement. Without the scope `sessions:statements` it is held against the masked statement.
    #[schema(nullable = false, max_length = 255)]
    pub statement: Option<String>,
    /// Most sessions: 1 to 1000.
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// Which of them go before others: `longest` or `newest`.
    #[schema(nullable = false)]
    pub order: Option<String>,
}

/// What a valid request asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub order: Order,
    /// What must be true of sessions beyond their ids.
    pub pins: BTreeMap<SessionId, Pin>,
    /// The selector as it is recorded.
    pub select: Option<serde_json::Value>,
    pub reason: String,
    pub on_behalf_of: Option<String>,
    pub dry_run: bool,
    /// Whether its sessions may be looked at before they are ended.
    pub look: bool,
    /// Not checked yet.
    pub confirm: Option<Given>,
    /// What its confirm binds it to, once that was checked.
    pub bound: Option<Bound>,
}

impl KillRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// `malformed`, naming the field, where the text is not JSON, has wrong types or unknown fields.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let Object(request) = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let problem = Problem::new(ProblemCode::Malformed, error.into_inner().to_string());
            if path == "." { problem } else { problem.at(path) }
        })?;
        json.end().map_err(|error| Problem::new(ProblemCode::Malformed, error.to_string()))?;
        Ok(request)
    }

    /// The same with the confirm that was taken out of the body, where one stood in its place.
    #[must_use]
    pub fn with(mut self, confirm: Option<Given>) -> Self {
        self.confirm = self.confirm.and(confirm);
        self
    }

    /// Checks everything that a vendor could refuse without being asked.
    ///
    /// # Errors
    /// The first [`Problem`], naming the field.
    pub fn check(self, targets: &Targets) -> Result<Asked, Problem> {
        let text = |field: &str, text: &str, max| match plain_text(text, max) {
            Ok(_) => Ok(()),
            Err(error) => Err(Problem::invalid(field, error.to_string())),
        };
        let reason = self.reason.ok_or_else(|| Problem::invalid("reason", "is required"))?;
        text("reason", &reason, MAX_REASON)?;
        if let Some(person) = &self.on_behalf_of {
            text("on_behalf_of", person, MAX_NAME)?;
        }
        if self.dry_run && self.confirm.is_some() {
            return Err(Problem::invalid("confirm", "does not go with dry_run: a preview ends nothing"));
        }
        if self.dry_run && !self.look {
            return Err(Problem::invalid("look", "false does not go with dry_run: a preview is a look"));
        }
        let named = self.target.ok_or_else(|| Problem::invalid("target", "is required"))?;
        let target = targets.resolve(named)?;
        let select = self.select.ok_or_else(|| Problem::invalid("select", "is required"))?;
        let Some(vendor) = upstream::find(target.vendor.as_str()) else {
            return Err(Problem::invalid("target.vendor", "no such vendor"));
        };
        let able = targets.able(vendor, &target.account);
        let (selector, pins) = select.check(able.session_id)?;
        if !able.selectors.iter().any(|kind| kind.covers(&selector)) && !able.lists_for(&selector) {
            let detail = format!("{} cannot select sessions in this way", target.vendor);
            let field = format!("select.{}", selector.kind());
            return Err(Problem::new(ProblemCode::UnsupportedSelector, detail).at(field).supported(able.forms()));
        }
        if able.listing.is_none() {
            let asked = [("dry_run", self.dry_run), ("confirm", self.confirm.is_some()), ("select", !pins.is_empty())];
            if let Some((field, _)) = asked.into_iter().find(|(_, is_asked)| *is_asked) {
                let sentence = "cannot be had: the vendor has no list of sessions at this account's site, so none can be \
                                looked at before it is ended; give plain ids and nothing else";
                return Err(Problem::invalid(field, sentence).supported(able.forms()));
            }
        }
        let select = recorded_select(&selector, &pins);
        let order = Order { target, selector };
        let Self { on_behalf_of, dry_run, look, confirm, .. } = self;
        Ok(Asked { order, pins, select, reason, on_behalf_of, dry_run, look, confirm, bound: None })
    }
}

/// What `look` is where it is left out.
const fn looks() -> bool {
    true
}

impl Select {
    fn check(self, rule: IdRule) -> Result<(Selector, BTreeMap<SessionId, Pin>), Problem> {
        let no_pins = BTreeMap::new;
        match (self.ids, self.r#match, self.intelligent) {
            (Some(ids), None, None) => check_ids(ids, rule).map(|(ids, pins)| (Selector::Ids(ids), pins)),
            (None, Some(criteria), None) => Ok((Selector::Match(criteria.check()?), no_pins())),
            (None, None, Some(true)) => Ok((Selector::Intelligent, no_pins())),
            (None, None, Some(false)) => Err(Problem::invalid("select.intelligent", "must be true, or left out")),
            _ => Err(Problem::invalid("select", "must have exactly one of ids, match, intelligent")),
        }
    }
}

impl Criteria {
    fn check(self) -> Result<Match, Problem> {
        let Self { user, database, host, command, state, min_seconds, statement, limit, order } = self;
        let texts = [
            ("user", &user),
            ("database", &database),
            ("host", &host),
            ("command", &command),
            ("state", &state),
            ("statement", &statement),
        ];
        if texts.iter().all(|(_, text)| text.is_none()) && min_seconds.is_none() {
            return Err(Problem::invalid("select.match", "must have at least one criterion"));
        }
        for (name, value) in texts {
            if let Some(Err(error)) = value.as_ref().map(|value| plain_text(value, MAX_NAME)) {
                return Err(Problem::invalid(format!("select.match.{name}"), error.to_string()));
            }
        }
        if limit.is_some_and(|limit| !(1..=MAX_IDS).contains(&limit)) {
            return Err(Problem::invalid("select.match.limit", format!("must be a whole number from 1 to {MAX_IDS}")));
        }
        let ranking = |word: &String| Ranking::ALL.into_iter().find(|ranking| ranking.as_str() == word);
        let words = || Ranking::ALL.map(|ranking| ranking.as_str().to_owned()).into();
        let order = match order.as_ref().map(ranking) {
            Some(None) => return Err(Problem::invalid("select.match.order", "no such order").supported(words())),
            Some(order) => order,
            None => None,
        };
        Ok(Match { user, database, host, command, state, min_seconds, statement, limit, order })
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamedVisitor;
        impl<'de> Visitor<'de> for NamedVisitor {
            type Value = Named;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an alias, or an object with vendor, account and coordinates")
            }

            fn visit_str<E: de::Error>(self, alias: &str) -> Result<Named, E> {
                Ok(Named::Alias(alias.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
                let mut members = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    let value = map.next_value::<Option<String>>()?;
                    if members.contains_key(&name) {
                        return Err(de::Error::custom(format_args!("duplicate field `{name}`")));
                    }
                    members.extend(value.map(|value| (name, value)));
                }
                let (vendor, account) = (members.remove("vendor"), members.remove("account"));
                Ok(Named::Full { vendor, account, coordinates: members })
            }
        }
        deserializer.deserialize_any(NamedVisitor)
    }
}

/// The order behind a record, where the record still makes one for a vendor of today's table.
#[must_use]
pub fn recorded_order(target: &serde_json::Value, select: &serde_json::Value) -> Option<Order> {
    let text = |name: &str| target.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    let vendor = upstream::find(&text("vendor")?)?;
    let known = vendor.capabilities().coordinates.iter();
    let coordinates = known.filter_map(|c| Some((c.name, text(c.name)?))).collect();
    let target =
        crate::domain::Target { alias: text("alias"), vendor: vendor.name(), account: text("account")?, coordinates };
    let select: Select = serde_json::from_value(select.clone()).ok()?;
    let (selector, _) = select.check(vendor.capabilities().session_id).ok()?;
    Some(Order { target, selector })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{kill::policy::targets::Reach, upstream::Site};

    fn targets() -> Targets {
        let reach =
            |vendors: &[&'static str]| Reach { site: Site::Mainland, vendors: vendors.iter().copied().collect() };
        Targets {
            accounts: [("h".to_owned(), reach(&["gaussdb", "das", "taurusdb"])), ("t".to_owned(), reach(&["dcdb"]))]
                .into(),
            ..Targets::default()
        }
    }

    fn ask(change: impl FnOnce(&mut serde_json::Value)) -> Result<Asked, Problem> {
        let mut body = json!({
            "target": { "vendor": "dcdb", "instance_id": "tdsqlshard-1", "shard_id": "shard-1" },
            "select": { "ids": ["1", 2] },
            "reason": "why",
        });
        change(&mut body);
        KillRequest::parse(body.to_string().as_bytes())?.check(&targets())
    }

    fn refused(change: impl FnOnce(&mut serde_json::Value)) -> (ProblemCode, String) {
        let problem = ask(change).unwrap_err();
        (problem.code, problem.field.unwrap_or_default())
    }

    #[test]
    fn ids_are_taken_as_text_and_as_whole_numbers() {
        let asked = ask(|_| {}).unwrap();
        let ids: Vec<_> = asked.order.selector.ids().iter().map(SessionId::as_str).collect();
        assert_eq!(ids, ["1", "2"]);
        assert!(!asked.dry_run);
    }

    #[test]
    fn what_is_wrong_is_named() {
        use ProblemCode::{Invalid, Malformed};
        let cases: [(&str, serde_json::Value, ProblemCode, &str); 16] = [
            ("/reason", json!(null), Invalid, "reason"),
            ("/reason", json!("a\u{0}b"), Invalid, "reason"),
            ("/reason", json!(7), Malformed, "reason"),
            ("/select", json!({}), Invalid, "select"),
            ("/select", json!({"ids": ["1"], "intelligent": true}), Invalid, "select"),
            ("/select", json!({"ids": []}), Invalid, "select.ids"),
            ("/select", json!({"ids": ["1", "01"]}), Invalid, "select.ids[1]"),
            ("/select", json!({"ids": ["1", "x"]}), Invalid, "select.ids[1]"),
            ("/select", json!({"ids": [1.5]}), Malformed, "select.ids[0]"),
            ("/select", json!({"ids": [-1]}), Invalid, "select.ids[0]"),
            ("/select", json!({"match": {}}), Invalid, "select.match"),
            ("/select", json!({"intelligent": false}), Invalid, "select.intelligent"),
            ("/select", json!({"all": true}), Malformed, "select.all"),
            ("/select", json!([["1"]]), Malformed, "select"),
            ("/select", json!({"match": ["report"]}), Malformed, "select.match"),
            ("/target", json!({"vendor": "dcdb", "instance_id": 7}), Malformed, "target.instance_id"),
        ];
        for (at, value, code, field) in cases {
            let seen = refused(|body| *body.pointer_mut(at).unwrap() = value.clone());
            assert_eq!(seen, (code, field.to_owned()), "{at} = {value}");
        }
    }

    #[test]
    fn a_selector_the_vendor_lacks_is_refused_with_what_it_has() {
        let problem = ask(|body| body["select"] = json!({"intelligent": true})).unwrap_err();
        assert_eq!(problem.code, ProblemCode::UnsupportedSelector);
        assert_eq!(problem.supported, Some(vec!["ids".to_owned(), "match".to_owned()]));
    }

    #[test]
    fn text_behind_the_body_and_unknown_members_are_malformed() {
        assert_eq!(KillRequest::parse(b"{} {}").unwrap_err().code, ProblemCode::Malformed);
        let problem = KillRequest::parse(br#"{"reson":"x"}"#).unwrap_err();
        assert_eq!((problem.code, problem.field.as_deref()), (ProblemCode::Malformed, Some("reson")));
    }

    #[test]
    fn an_order_can_be_read_back_from_its_record() {
        let order = ask(|_| {}).unwrap().order;
        let target = serde_json::to_value(&order.target).unwrap();
        let select = serde_json::to_value(&order.selector).unwrap();
        assert_eq!(recorded_order(&target, &select), Some(order));
    }
}
