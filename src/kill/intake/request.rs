//! From what a caller sent to an order that is valid for its vendor.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    domain::{End, Order, Problem, ProblemCode, SessionId, Target},
    kill::{
        intake::{
            ids::recorded_select,
            members::{Members, Mistakes},
            select::Select,
            tree::Tree,
        },
        look::victims::Pin,
        policy::{
            confirm::Given,
            confirming::Bound,
            targets::{Named, Targets},
        },
    },
    upstream::{self, Capabilities},
};

/// Most ids in one kill.
pub const MAX_IDS: usize = 1000;
/// Most characters of `reason`.
pub const MAX_REASON: usize = 1000;
/// Most characters of `on_behalf_of` and of a criterion of `match`.
pub const MAX_NAME: usize = 255;

/// The members of a request.
const MEMBERS: [&str; 8] = ["target", "select", "reason", "on_behalf_of", "dry_run", "look", "end", "confirm"];

/// What to end, and why: as far as it could be read, and what is wrong with the rest.
#[derive(Debug, Clone)]
pub struct KillRequest {
    target: Option<Named>,
    select: Option<Select>,
    reason: Option<String>,
    on_behalf_of: Option<String>,
    dry_run: bool,
    look: bool,
    end: Option<String>,
    confirm: Option<Given>,
    mistakes: Mistakes,
}

/// What a valid request asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub order: Order,
    /// What must be true of sessions beyond their ids.
    pub pins: BTreeMap<SessionId, Pin>,
    /// The selector as it is recorded.
    pub select: Option<Value>,
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
    /// `malformed` where the text is no JSON object.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        let malformed = |sentence: String| Problem::new(ProblemCode::Malformed, sentence);
        let body = Tree::parse(body).map_err(|error| malformed(format!("the body is not JSON: {error}")))?;
        let mut mistakes = Mistakes::default();
        let Some(mut members) = Members::of(body, "", &mut mistakes) else {
            return Err(malformed("the body must be an object".to_owned()));
        };
        let of = &mut mistakes;
        let reason = members.plain("reason", MAX_REASON, of);
        let on_behalf_of = members.plain("on_behalf_of", MAX_NAME, of);
        let (dry_run, look) = (members.flag("dry_run", of), members.flag("look", of));
        let (end, confirm) = (members.text("end", of), members.text("confirm", of));
        let target = members.take("target").and_then(|target| Named::read(target, of));
        let select = members.object("select", of).and_then(|select| Select::read(select, of));
        members.finish(&MEMBERS, of);
        Ok(Self {
            target,
            select,
            reason,
            on_behalf_of,
            dry_run: dry_run.unwrap_or(false),
            look: look.unwrap_or(true),
            end,
            confirm: confirm.map(Given::from),
            mistakes,
        })
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
    /// Every mistake, each with its field.
    pub fn check(self, targets: &Targets) -> Result<Asked, Problem> {
        let Self { target, select, reason, on_behalf_of, dry_run, look, end, confirm, mut mistakes } = self;
        for (field, is_missing) in
            [("reason", reason.is_none()), ("target", target.is_none()), ("select", select.is_none())]
        {
            if is_missing && !mistakes.are_about(field) {
                mistakes.invalid(field, "is required");
            }
        }
        if dry_run && confirm.is_some() {
            mistakes.invalid("confirm", "does not go with dry_run: a preview ends nothing");
        }
        if dry_run && !look {
            mistakes.invalid("look", "must not be false with dry_run: a preview is a look");
        }
        let end = end.map_or(Some(End::Session), |word| End::parse(&word));
        if end.is_none() {
            mistakes.invalid("end", "must be session or statement");
        }
        let target = target.and_then(|named| targets.resolve(named).map_err(|problem| mistakes.add(problem)).ok());
        let vendor = target.as_ref().and_then(|target| upstream::find(target.vendor.as_str()));
        let found = target.zip(vendor);
        let checked = found.and_then(|(target, vendor)| {
            let able = targets.able(vendor, &target.account);
            let (selector, pins) = select?.check(able.session_id, &mut mistakes)?;
            let order = Order { end: end?, ..Order::new(target, selector) };
            let asks = Asks { dry_run, is_bound: confirm.is_some(), pins: !pins.is_empty() };
            if let Err(problem) = asks.check(able, &order) {
                mistakes.add(problem);
            }
            Some((order, pins))
        });
        match (mistakes.problem(), checked, reason) {
            (None, Some((order, pins)), Some(reason)) => {
                let select = recorded_select(&order.selector, &pins);
                Ok(Asked { order, pins, select, reason, on_behalf_of, dry_run, look, confirm, bound: None })
            }
            (Some(problem), ..) => Err(problem),
            // Whatever is missing was told.
            (None, ..) => Err(Problem::new(ProblemCode::Internal, "the request could not be checked")),
        }
    }
}

/// What of a request not every vendor can do.
struct Asks {
    dry_run: bool,
    is_bound: bool,
    pins: bool,
}

impl Asks {
    fn check(&self, able: &Capabilities, order: &Order) -> Result<(), Problem> {
        let vendor = order.target.vendor;
        let unsupported = |sentence: String| Problem::new(ProblemCode::UnsupportedSelector, sentence);
        if order.end == End::Statement && !able.cancels {
            let sentence = format!("{vendor} ends sessions and cannot cancel a statement alone");
            return Err(unsupported(sentence).at("end").supported(vec![End::Session.as_str().to_owned()]));
        }
        if !able.selectors.iter().any(|kind| kind.covers(&order.selector)) && !able.lists_for(&order.selector) {
            let field = format!("select.{}", order.selector.kind());
            let untold = able.untold(&order.selector);
            let sentence = match untold {
                Some(name) => format!("{vendor} does not tell of a session what {name} asks for"),
                None => format!("{vendor} cannot select sessions in this way"),
            };
            let field = untold.map_or_else(|| field.clone(), |name| format!("{field}.{name}"));
            return Err(unsupported(sentence).at(field).supported(able.forms()));
        }
        if able.listing.is_none() {
            let asked = [("dry_run", self.dry_run), ("confirm", self.is_bound), ("select", self.pins)];
            if let Some((field, _)) = asked.into_iter().find(|(_, is_asked)| *is_asked) {
                let sentence = "cannot be had: the vendor has no list of sessions at this account's site, so none can be \
                                looked at before it is ended; give plain ids and nothing else";
                return Err(Problem::invalid(field, sentence).supported(able.forms()));
            }
        }
        Ok(())
    }
}

impl Named {
    /// The target as a request names it.
    pub(in crate::kill) fn read(tree: Tree, mistakes: &mut Mistakes) -> Option<Self> {
        if let Tree::Text(alias) = tree {
            return Some(Self::Alias(alias));
        }
        let Tree::Object(_) = tree else {
            mistakes.malformed("target", "must be an alias, or an object with vendor, account and coordinates");
            return None;
        };
        let mut members = Members::of(tree, "target", mistakes)?;
        let (vendor, account) = (members.text("vendor", mistakes), members.text("account", mistakes));
        let mut coordinates = BTreeMap::new();
        for (name, value) in members.rest() {
            match value {
                Tree::Text(value) => drop(coordinates.insert(name, value)),
                Tree::Null => {}
                _ => mistakes.malformed(&members.at(&name), "must be text"),
            }
        }
        (!mistakes.are_about("target")).then_some(Self::Full { vendor, account, coordinates })
    }
}

/// The order behind a record, where the record still makes one for a vendor of today's table.
#[must_use]
pub fn recorded_order(target: &Value, select: &Value) -> Option<Order> {
    let text = |name: &str| target.get(name).and_then(Value::as_str).map(str::to_owned);
    let vendor = upstream::find(&text("vendor")?)?;
    let known = vendor.capabilities().coordinates.iter();
    let coordinates = known.filter_map(|c| Some((c.name, text(c.name)?))).collect();
    let target = Target { alias: text("alias"), vendor: vendor.name(), account: text("account")?, coordinates };
    let mut mistakes = Mistakes::default();
    let select = Members::of(select.into(), "select", &mut mistakes)?;
    let select = Select::read(select, &mut mistakes)?;
    let (selector, _) = select.check(vendor.capabilities().session_id, &mut mistakes)?;
    mistakes.problem().is_none().then(|| Order::new(target, selector))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::{kill::policy::targets::Reach, upstream::Site};

    fn targets() -> Targets {
        let reach = |vendors: &[&'static str]| Reach {
            site: Site::Mainland,
            vendors: vendors.iter().copied().collect(),
            nodes: BTreeSet::new(),
        };
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
        let cases: [(&str, serde_json::Value, ProblemCode, &str); 24] = [
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
            ("/select", json!({"match": {"user": []}}), Invalid, "select.match.user"),
            ("/select", json!({"match": {"user": ["a", 7]}}), Malformed, "select.match.user[1]"),
            ("/select", json!({"match": {"user": ["a", ""]}}), Invalid, "select.match.user[1]"),
            ("/select", json!({"match": {"min_seconds": "five min"}}), Invalid, "select.match.min_seconds"),
            ("/select", json!({"match": {"min_seconds": -1}}), Invalid, "select.match.min_seconds"),
            ("/select", json!({"match": {"user": "a", "except": {}}}), Invalid, "select.match.except"),
            (
                "/select",
                json!({"match": {"user": "a", "except": {"limit": 1}}}),
                Malformed,
                "select.match.except.limit",
            ),
            ("/select", json!({"match": {"blocking": false}}), Invalid, "select.match.blocking"),
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
    fn every_mistake_of_a_request_is_told_at_once() {
        let problem = ask(|body| {
            body["reason"] = json!("");
            body["select"]["ids"] = json!(["1", "x", "1"]);
            body["target"]["shard_id"] = json!("no shard");
            body["on_behalf_of"] = json!("a\nb");
        });
        let fields: Vec<_> = problem.unwrap_err().errors.into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["reason", "on_behalf_of", "target.shard_id"], "ids are checked by the vendor's rule");
        let problem = ask(|body| body["select"]["ids"] = json!(["1", "x", "1"])).unwrap_err();
        let told: Vec<_> = problem.errors.iter().map(|error| error.detail.as_str()).collect();
        assert_eq!(
            told,
            ["select.ids[1] must be a whole number from 0 to 9223372036854775807", "select.ids[2] is given twice"]
        );
    }

    #[test]
    fn what_a_vendors_list_does_not_tell_cannot_be_asked_for() {
        let at = |vendor: serde_json::Value| {
            ask(|body| {
                body["target"] = vendor;
                body["select"] = json!({"match": {"user": "app", "except": {"idle_in_transaction": true}}});
            })
        };
        let problem = at(json!({"vendor": "dcdb", "instance_id": "i", "shard_id": "s"})).unwrap_err();
        assert_eq!(problem.code, ProblemCode::UnsupportedSelector);
        assert_eq!(problem.field.as_deref(), Some("select.match.idle_in_transaction"));
        let (instance, node) = ("3d39c18788b54a919bab633874c159dfin14", "52c25e148a4a48c293b66ca95565719cno14");
        let gaussdb = json!({"vendor": "gaussdb", "instance_id": instance, "node_id": node, "component_id": "cn_5001"});
        assert!(at(gaussdb).is_ok());
    }

    #[test]
    fn no_vendor_of_a_cloud_cancels_a_statement() {
        let ended = |how: &str| ask(|body| body["end"] = json!(how));
        assert!(ended("session").is_ok());
        let problem = ended("statement").unwrap_err();
        assert_eq!((problem.code, problem.field.as_deref()), (ProblemCode::UnsupportedSelector, Some("end")));
        assert_eq!(ended("all").unwrap_err().code, ProblemCode::Invalid);
    }

    #[test]
    fn text_behind_the_body_and_unknown_members_are_malformed() {
        assert_eq!(KillRequest::parse(b"{} {}").unwrap_err().code, ProblemCode::Malformed);
        let problem = KillRequest::parse(br#"{"reson":"x"}"#).unwrap().check(&targets()).unwrap_err();
        assert_eq!((problem.code, problem.field.as_deref()), (ProblemCode::Malformed, Some("reson")));
        assert_eq!(problem.detail.split(':').next(), Some("reson is unknown here"));
        let twice = br#"{"reason":"x","reason":"y"}"#;
        let problem = KillRequest::parse(twice).unwrap().check(&targets()).unwrap_err();
        assert_eq!(problem.errors[0].detail, "reason is given twice");
    }

    #[test]
    fn an_order_can_be_read_back_from_its_record() {
        let order = ask(|_| {}).unwrap().order;
        let target = serde_json::to_value(&order.target).unwrap();
        let select = serde_json::to_value(&order.selector).unwrap();
        assert_eq!(recorded_order(&target, &select), Some(order));
    }
}
