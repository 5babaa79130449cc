//! `GET /sessions`: what lives where.

use std::{borrow::Cow, collections::BTreeMap};

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    auth::Scope,
    domain::{AnyOf, Criteria, Glob, LiveSession, Match, Problem, Ranking, Unlisted, plain_text, shard_or_node},
    kill::{
        intake::{
            allowance::Counted,
            document::SessionOrder,
            request::MAX_NAME,
            select::{SECONDS, read_seconds},
        },
        look::list::{Looked, Question},
        policy::targets::Named,
    },
    upstream::TABLE,
};

use super::{
    allowance,
    caller::Authenticated,
    compress,
    current::CurrentKills,
    problem::Failure,
    query,
    schema::{CoordinateParams, SessionProblems},
    spans,
};

/// Most characters of a piece of a statement.
const MAX_PIECE: usize = 1000;
/// Most sessions that can be asked for.
const MAX_LIMIT: usize = 1000;

/// The parameters that there are at every vendor.
const NAMES: [&str; 12] = [
    "target",
    "vendor",
    "account",
    "user",
    "database",
    "host",
    "command",
    "state",
    "min_seconds",
    "statement",
    "limit",
    "order",
];

/// Where to look, beside the coordinates.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "what the document says of parameters that `Asked` reads")]
struct PlaceParams {
    /// An alias, see `GET /targets`; without one `vendor` and its coordinates are required.
    #[param(example = "orders-ro")]
    target: Option<String>,
    /// Vendor name, in place of an alias.
    vendor: Option<String>,
    /// Account name; may be left out where only one fits the vendor.
    account: Option<String>,
}

/// Criteria, of which all that are given must hold; in texts but `statement` a `*` stands for any run of characters. What is
/// not known of a session meets none.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "what the document says of parameters that `Asked` reads")]
struct MatchParams {
    /// The database user. DAS lists only by `user` or `database`, so one of them is required there.
    user: Option<String>,
    /// The database.
    database: Option<String>,
    /// The client's address, with its port or without.
    host: Option<String>,
    /// The kind of work, such as `Query`, in upper or lower case.
    command: Option<String>,
    /// The state, in upper or lower case.
    state: Option<String>,
    /// Fewest seconds for which it has been doing what it does; or a time such as `5m`.
    #[param(example = "5m")]
    min_seconds: Option<String>,
    /// Fewest seconds for which its transaction has been open, or a time; where the vendor tells that.
    min_transaction_seconds: Option<String>,
    /// `true`: it does nothing while its transaction is open; where the vendor tells that.
    #[param(value_type = Option<bool>)]
    idle_in_transaction: Option<String>,
    /// `true`: others wait for it, and it for nobody; where the vendor tells that.
    #[param(value_type = Option<bool>)]
    blocking: Option<String>,
    /// A piece of the statement, as it is shown to this caller: 1 to 1000 characters.
    statement: Option<String>,
    /// Most sessions: 1 to 1000. What it leaves out does not make the list incomplete.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// Which go first.
    #[param(value_type = Option<SessionOrder>)]
    order: Option<String>,
}

/// One live session, and whether kills spare it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionInfo {
    /// The shard that it lives in, where the target has several: ids are unique within one alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "shard-ljilb4st")]
    shard: Option<String>,
    /// The node that it lives on, where the target has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "f6b1c6d8a27e4c0d9d8bcb2a7d9a3e51no07")]
    node: Option<String>,
    #[serde(flatten)]
    session: LiveSession,
    /// Whether no kill may end it.
    protected: bool,
    /// The rule that protects it.
    #[schema(example = "built in, commands: Binlog Dump*")]
    protected_by: Option<String>,
}

/// Live sessions, as the vendor listed them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionList {
    items: Vec<SessionInfo>,
    /// False where there may be more: the vendor cut its list off, sessions moved while pages were read, or there
    /// was no time to read them all.
    complete: bool,
    /// Shards or nodes of the target that could not be listed whole, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    unlisted: Vec<Unlisted>,
}

/// List live sessions
///
/// One shape for every vendor; what a vendor does not tell is `null`. Statements are cut to 1000 characters. Without
/// the scope `sessions:statements` their texts and numbers are shown as `?`, and what cannot be told apart from them
/// is left out. Ids are used again: look right before you kill.
#[utoipa::path(
    get, path = "/sessions", operation_id = "listSessions", tag = "sessions",
    params(PlaceParams, CoordinateParams, MatchParams),
    responses((status = 200, description = "Sessions that live there now", body = SessionList), SessionProblems),
)]
pub(super) async fn list(
    request: HttpRequest,
    caller: Authenticated,
    kills: CurrentKills,
) -> Result<HttpResponse, Failure> {
    caller.require(&[Scope::SessionsRead])?;
    let Asked { place, wanted } = Asked::parse(request.query_string())?;
    let alias = if let Named::Alias(alias) = &place { Some(alias.clone()) } else { None };
    let near = |problem| kills.targets().with_near_alias(&caller.0.subject, alias.as_deref(), problem);
    let target = kills.targets().resolve(place).map_err(near).map_err(in_query)?;
    kills.targets().check_read(&caller.0.subject, &target)?;
    let allowance = kills.admit(&caller.0.subject, Counted::List);
    let [policy, left] = allowance::headers(&allowance);
    let refused = |problem: Problem| {
        Failure::from(problem).with(policy.0.clone(), policy.1.clone()).with(left.0.clone(), left.1.clone())
    };
    allowance.check().map_err(refused)?;
    let literals = caller.0.has(Scope::SessionsStatements);
    let trace = spans::of(&request);
    let question = Question { caller: caller.0.subject.clone(), target, wanted, literals, trace };
    let Looked { sessions, complete, unlisted } = kills.sessions(question).await.map_err(refused)?;
    let items = sessions.into_iter().map(|(session, protected_by)| {
        let (shard, node) = shard_or_node(session.id.place());
        let (shard, node) = (shard.map(Cow::into_owned), node.map(Cow::into_owned));
        SessionInfo { shard, node, session, protected: protected_by.is_some(), protected_by }
    });
    let mut response = HttpResponse::Ok();
    response.insert_header(policy.clone()).insert_header(left.clone());
    let mut response = response.json(SessionList { items: items.collect(), complete, unlisted });
    if literals {
        compress::never(&mut response);
    }
    Ok(response)
}

/// A target's members are parameters of their own here.
fn in_query(mut problem: Problem) -> Problem {
    let of_query = |field: String| field.strip_prefix("target.").unwrap_or(&field).to_owned();
    problem.field = problem.field.map(of_query);
    problem.errors.iter_mut().for_each(|error| error.field = of_query(std::mem::take(&mut error.field)));
    problem
}

/// What a query string asks for.
#[derive(Debug)]
struct Asked {
    place: Named,
    wanted: Match,
}

impl Asked {
    fn parse(query: &str) -> Result<Self, Problem> {
        let pairs = query::joined(url::form_urlencoded::parse(query.as_bytes()), &[])?;
        let mut given: BTreeMap<_, _> =
            pairs.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let wanted = wanted(&mut given)?;
        let place = [given.remove("target"), given.remove("vendor"), given.remove("account")];
        let is_coordinate = |name: &String| TABLE.iter().any(|v| v.capabilities().has_coordinate(name));
        if let Some(unknown) = given.keys().find(|name| !is_coordinate(name)) {
            return Err(query::unknown(unknown, NAMES));
        }
        let place = match place {
            [Some(alias), None, None] if given.is_empty() => Named::Alias(alias),
            [Some(_), ..] => return Err(Problem::invalid("target", "is an alias: nothing else can say where")),
            [None, None, None] if given.is_empty() => return Err(Problem::invalid("target", "is required")),
            [None, vendor, account] => Named::Full { vendor, account, coordinates: given },
        };
        Ok(Self { place, wanted })
    }
}

/// Takes the criteria out of what is given.
fn wanted(given: &mut BTreeMap<String, String>) -> Result<Match, Problem> {
    let mut text = |name: &str, most| match given.remove(name) {
        Some(text) => match plain_text(&text, most) {
            Ok(_) => Ok(Some(text)),
            Err(error) => Err(Problem::invalid(name, error.to_string())),
        },
        None => Ok(None),
    };
    let mut pattern =
        |name: &str| text(name, MAX_NAME).map(|text| text.and_then(|text| Some(AnyOf(vec![Glob::parse(&text)?]))));
    let mut criteria = Criteria {
        user: pattern("user")?,
        database: pattern("database")?,
        host: pattern("host")?,
        command: pattern("command")?,
        state: pattern("state")?,
        ..Criteria::default()
    };
    criteria.statement = text("statement", MAX_PIECE)?.map(|piece| AnyOf(vec![piece]));
    let mut seconds = |name: &str| {
        let read = |text: String| read_seconds(&text).ok_or_else(|| Problem::invalid(name, SECONDS));
        given.remove(name).map(read).transpose()
    };
    criteria.min_seconds = seconds("min_seconds")?;
    criteria.min_transaction_seconds = seconds("min_transaction_seconds")?;
    let mut only_true = |name: &str| match given.remove(name).as_deref() {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some(_) => Err(Problem::invalid(name, "must be true, or left out")),
    };
    criteria.idle_in_transaction = only_true("idle_in_transaction")?;
    criteria.blocking = only_true("blocking")?;
    let mut wanted = Match::from(criteria);
    if let Some(limit) = given.remove("limit") {
        let limit = limit.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        let bad = || Problem::invalid("limit", format!("must be a whole number from 1 to {MAX_LIMIT}"));
        wanted.limit = Some(limit.ok_or_else(bad)?);
    }
    if let Some(order) = given.remove("order") {
        let found = Ranking::ALL.into_iter().find(|ranking| ranking.as_str() == order);
        wanted.order = Some(found.ok_or_else(|| Problem::no_such_word("order", &Ranking::ALL.map(Ranking::as_str)))?);
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProblemCode;

    fn refused(query: &str) -> (ProblemCode, String) {
        let problem = Asked::parse(query).expect_err(query);
        (problem.code, problem.field.unwrap_or_default())
    }

    #[test]
    fn a_place_is_an_alias_or_coordinates() {
        assert_eq!(Asked::parse("target=a").unwrap().place, Named::Alias("a".to_owned()));
        let full = Asked::parse("vendor=dcdb&instance_id=i&shard_id=s&user=u").unwrap();
        let coordinates = [("instance_id", "i"), ("shard_id", "s")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let named = Named::Full { vendor: Some("dcdb".to_owned()), account: None, coordinates: coordinates.into() };
        assert_eq!((full.place, full.wanted), (named, Match::of_user("u")));
    }

    #[test]
    fn every_criterion_is_read() {
        let query = "target=a&user=u*&database=d&host=h&command=c&state=s&min_seconds=7&statement=a%20b&limit=5\
                     &order=newest&min_transaction_seconds=5m&idle_in_transaction=true&blocking=true";
        let text = |text: &str| Some(AnyOf(vec![Glob::parse(text).unwrap()]));
        let criteria = Criteria {
            user: text("u*"),
            database: text("d"),
            host: text("h"),
            command: text("c"),
            state: text("s"),
            min_seconds: Some(7),
            statement: Some(AnyOf(vec!["a b".to_owned()])),
            min_transaction_seconds: Some(300),
            idle_in_transaction: Some(true),
            blocking: Some(true),
        };
        let wanted = Match { limit: Some(5), order: Some(Ranking::Newest), ..criteria.into() };
        assert_eq!(Asked::parse(query).unwrap().wanted, wanted);
    }

    #[test]
    fn what_is_wrong_is_named() {
        use ProblemCode::{Invalid, Malformed};
        for (query, code, field) in [
            ("", Invalid, "target"),
            ("user=u", Invalid, "target"),
            ("target=a&vendor=das", Invalid, "target"),
            ("target=a&instance_id=i", Invalid, "target"),
            ("target=a&target=b", Malformed, "target"),
            ("target=a&cursor=x", Malformed, "cursor"),
            ("target=a&user=", Invalid, "user"),
            ("target=a&state=a%00b", Invalid, "state"),
            ("target=a&min_seconds=-1", Invalid, "min_seconds"),
            ("target=a&min_seconds=1.5", Invalid, "min_seconds"),
            ("target=a&limit=0", Invalid, "limit"),
            ("target=a&limit=1001", Invalid, "limit"),
            ("target=a&order=oldest", Invalid, "order"),
        ] {
            assert_eq!(refused(query), (code, field.to_owned()), "{query}");
        }
    }
}
