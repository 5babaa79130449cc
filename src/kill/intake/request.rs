//! From what a caller sent to an order that is valid for its vendor.

use std::collections::BTreeMap;

use serde_json::{Value, error::Category};

use crate::{
    domain::{ALL, Division, End, Order, Problem, ProblemCode, Selector, SessionId, Target},
    kill::{
        intake::{
            ids::{IdForm, recorded_select},
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
        let body = Tree::parse(body).map_err(|error| malformed(not_json(&error)))?;
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

    /// Whether that caller may use the target that is named: else nothing is told of what such a target wants.
    ///
    /// # Errors
    /// As [`Targets::check_read`].
    pub fn may_name(&self, targets: &Targets, caller: &str) -> Result<(), Problem> {
        let target = self.target.clone().and_then(|named| targets.resolve(named).ok());
        target.map_or(Ok(()), |target| targets.check_read(caller, &target))
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
        let (vendor, target) = target.map_or((None, None), |named| targets.find(named, &mut mistakes));
        let able = vendor.map(|vendor| match &target {
            Some(target) => targets.able(vendor, &target.account),
            None => vendor.capabilities(),
        });
        let form = able.map(|able| IdForm::of(able, target.as_ref()));
        let selected = select.and_then(|select| select.check(form.as_ref(), &mut mistakes));
        let checked = able.zip(target).zip(selected).map(|((able, target), (selector, pins))| {
            let order = Order { end: end.unwrap_or_default(), ..Order::new(target, selector) };
            let asks = Asks { dry_run, is_bound: confirm.is_some(), pins: !pins.is_empty() };
            asks.check(able, &order, &mut mistakes);
            (order, pins)
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
    /// Tells everything that cannot be done.
    fn check(&self, able: &Capabilities, order: &Order, mistakes: &mut Mistakes) {
        let vendor = order.target.vendor;
        let unsupported = |sentence: String| Problem::new(ProblemCode::UnsupportedSelector, sentence);
        if order.end == End::Statement && !able.cancels {
            let sentence = format!("{vendor} ends sessions and cannot cancel a statement alone");
            mistakes.add(unsupported(sentence).at("end").supported(vec![End::Session.as_str().to_owned()]));
        }
        if !able.selectors.iter().any(|kind| kind.covers(&order.selector)) && !able.lists_for(&order.selector) {
            let field = format!("select.{}", order.selector.kind());
            let untold = able.untold(&order.selector);
            let sentence = match untold {
                Some(name) => format!("{vendor} does not tell of a session what {name} asks for"),
                None => format!("{vendor} cannot select sessions in this way"),
            };
            let field = untold.map_or_else(|| field.clone(), |name| format!("{field}.{name}"));
            return mistakes.add(unsupported(sentence).at(field).supported(able.forms()));
        }
        if let Some(division) =
            order.target.division().filter(|_| able.picks() && order.selector == Selector::Intelligent)
        {
            let (several, one) = (division.several(), division.one());
            let sentence =
                format!("{vendor} picks sessions of one {}: give {one} in place of {several}", division.word());
            return mistakes.add(
                unsupported(sentence)
                    .at("select.intelligent")
                    .supported(able.forms().into_iter().filter(|form| form != "intelligent").collect()),
            );
        }
        // Whom the database would pick it tells without a list.
        if able.listing.is_none() && order.selector != Selector::Intelligent {
            let asked = [("dry_run", self.dry_run), ("confirm", self.is_bound), ("select", self.pins)];
            for (field, _) in asked.into_iter().filter(|(_, is_asked)| *is_asked) {
                let sentence = "cannot be had: the vendor has no list of sessions at this account's site, so none can be \
                                looked at before it is ended; give plain ids and nothing else";
                mistakes.add(Problem::invalid(field, sentence).supported(able.forms()));
            }
        }
    }
}

impl Named {
    /// The target that is named where nothing is wrong with that.
    pub(in crate::kill) fn read_whole(tree: Tree) -> Option<Self> {
        let mut mistakes = Mistakes::default();
        Self::read(tree, &mut mistakes).filter(|_| mistakes.problem().is_none())
    }

    /// The target as a request names it, as far as it can be read.
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
                other => match (Division::named_by(&name), other) {
                    (Some(division), Tree::List(places)) => {
                        let places = read_places(places, division, &members.at(&name), mistakes)?;
                        coordinates.insert(name, places);
                    }
                    (Some(division), _) => mistakes.malformed(&members.at(&name), division.expected()),
                    (None, _) => mistakes.malformed(&members.at(&name), "must be text"),
                },
            }
        }
        Some(Self::Full { vendor, account, coordinates })
    }
}

/// Several places as a target has them: their names with commas between. A list never means all of them.
fn read_places(places: Vec<Tree>, division: Division, at: &str, mistakes: &mut Mistakes) -> Option<String> {
    let word = division.word();
    let mut names = Vec::with_capacity(places.len());
    let mut is_well = true;
    for (n, place) in places.into_iter().enumerate() {
        let at = format!("{at}[{n}]");
        match place {
            Tree::Text(name) if name == ALL || name.contains(',') => {
                mistakes.invalid(at, format!("must be the name of one {word}"));
                is_well = false;
            }
            Tree::Text(name) => names.push(name),
            _ => {
                mistakes.malformed(&at, "must be text");
                is_well = false;
            }
        }
    }
    if names.is_empty() && is_well {
        mistakes.invalid(at, format!("must have at least one {word}"));
        is_well = false;
    }
    is_well.then(|| names.join(","))
}

/// The order behind a record, where the record still makes one for a vendor of today's table.
#[must_use]
pub fn recorded_order(target: &Value, select: &Value) -> Option<Order> {
    let text = |name: &str| target.get(name).and_then(Value::as_str).map(str::to_owned);
    let vendor = upstream::find(&text("vendor")?)?;
    let mut mistakes = Mistakes::default();
    let mut value = |name: &str| match target.get(name)? {
        places @ Value::Array(_) => match Tree::from(places) {
            Tree::List(places) => read_places(places, Division::named_by(name)?, name, &mut mistakes),
            _ => None,
        },
        other => other.as_str().map(str::to_owned),
    };
    let known = vendor.capabilities().coordinates.iter();
    let coordinates = known.filter_map(|c| Some((c.name, value(c.name)?))).collect();
    let target = Target { alias: text("alias"), vendor: vendor.name(), account: text("account")?, coordinates };
    let select = Members::of(select.into(), "select", &mut mistakes)?;
    let select = Select::read(select, &mut mistakes)?;
    let (selector, _) = select.check(Some(&IdForm::of(vendor.capabilities(), Some(&target))), &mut mistakes)?;
    mistakes.problem().is_none().then(|| Order::new(target, selector))
}

/// What is told of a body that no JSON can be read from.
fn not_json(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        Category::Eof if (line, column) == (1, 0) => "the body is empty, and must be an object".to_owned(),
        Category::Eof => format!("the body is not JSON: it breaks off at line {line}, column {column}"),
        Category::Syntax | Category::Data | Category::Io => format!("the body is not JSON: {error}"),
    }
}

#[cfg(test)]
mod tests;
