//! What the OpenAPI document says where a type alone cannot: targets from the vendor table, problems by status.

use std::{borrow::Cow, collections::BTreeMap};

use utoipa::{
    IntoParams, IntoResponses, PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, ContentBuilder, HeaderBuilder, ObjectBuilder, OneOfBuilder, Ref, RefOr, Required,
        ResponseBuilder, Schema,
        path::{Parameter, ParameterBuilder, ParameterIn},
        response::Response,
        schema::{AdditionalProperties, KnownFormat, SchemaFormat, SchemaType, Type},
    },
};

use crate::{
    domain::{ALL, Division, MAX_PLACES},
    kill::{intake::ids::GivenId, policy::targets::Named},
    upstream::{Capabilities, Need, TABLE, Vendor},
};

use super::problem::{PROBLEM_JSON, ProblemDocument};

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String))
}

impl PartialSchema for Named {
    fn schema() -> RefOr<Schema> {
        let alias = text().title(Some("Alias")).description(Some("A configured alias, see `GET /targets`"));
        let vendors = TABLE.iter().map(|vendor| coordinates(*vendor));
        let forms = OneOfBuilder::new().item(alias.examples(["orders-shard-1"]));
        let forms = vendors.fold(forms, OneOfBuilder::item);
        forms.description(Some("Where the sessions live: an alias, or the coordinates in full")).into()
    }
}

impl ToSchema for Named {
    fn name() -> Cow<'static, str> {
        "Target".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.extend(Division::EACH.map(|division| (title(division).to_owned(), several(division))));
    }
}

/// The coordinates of one vendor, as the vendor's own data gives them.
fn coordinates(vendor: &dyn Vendor) -> ObjectBuilder {
    let Capabilities { product, coordinates, .. } = vendor.capabilities();
    let name = vendor.name().as_str();
    let account = text().description(Some("The account; may be left out where only one fits"));
    let object = ObjectBuilder::new()
        .title(Some(name))
        .description(Some(*product))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .property("vendor", text().enum_values(Some([name])))
        .property("account", account)
        .required("vendor");
    coordinates.iter().fold(object, |object, coordinate| {
        let described = match coordinate.need {
            Need::OneOf(group) => format!("{}; exactly one for the {group}", coordinate.expected),
            Need::OptionalWithout(other) => format!("{}; not with {other}", coordinate.expected),
            Need::Required | Need::Where { .. } | Need::Optional => coordinate.expected.to_owned(),
        };
        let object = match places_of(coordinate.name) {
            Some(several) => object.property(coordinate.name, several),
            None => {
                object.property(coordinate.name, text().description(Some(described)).examples([coordinate.example]))
            }
        };
        if coordinate.need == Need::Required { object.required(coordinate.name) } else { object }
    })
}

/// The schema of a coordinate that names several places, where it does.
pub(super) fn places_of(coordinate: &str) -> Option<Ref> {
    Division::named_by(coordinate).map(|division| Ref::from_schema_name(title(division)))
}

const fn title(division: Division) -> &'static str {
    match division {
        Division::Shard => "Shards",
        Division::Node => "Nodes",
    }
}

/// Several places of one instance.
fn several(division: Division) -> RefOr<Schema> {
    let described = format!("{} of one instance as one target: `all`, or a list of their ids", title(division));
    let list = ArrayBuilder::new().items(text()).min_items(Some(1)).max_items(Some(MAX_PLACES));
    OneOfBuilder::new().item(text().examples([ALL])).item(list).description(Some(described)).into()
}

impl PartialSchema for GivenId {
    fn schema() -> RefOr<Schema> {
        let number = || {
            let integer = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer));
            integer.format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64))).minimum(Some(0))
        };
        let id = || OneOfBuilder::new().item(text().max_length(Some(LONGEST_ID))).item(number());
        let time = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        let place = |described| text().max_length(Some(64)).description(Some(described));
        let pinned = ObjectBuilder::new()
            .description(Some("A session that is sent only if all of this is still true of it"))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .property("shard", place("The shard that it is in, where the target has several"))
            .property("node", place("The node that it is on, where the target has several"))
            .property("id", id())
            .required("id")
            .property("user", text().max_length(Some(255)))
            .property("host", text().max_length(Some(255)).description(Some("With its port or without")))
            .property("started_before", time);
        let described = "A session id, alone or pinned; always written as text in answers. Where the target has several shards \
                         or nodes, with its own: `SHARD/ID` or `NODE/ID`, or as an object with `shard` or `node`";
        let forms = OneOfBuilder::new().item(text().max_length(Some(LONGEST_ID))).item(number()).item(pinned);
        forms.description(Some(described)).into()
    }
}

impl ToSchema for GivenId {
    fn name() -> Cow<'static, str> {
        "SessionId".into()
    }
}

/// A place of 64 characters, a `/` and an id of as many.
const LONGEST_ID: usize = 129;

fn problems(of: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let document = || ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemDocument::name()))).build();
    let response = |codes: &str| ResponseBuilder::new().description(codes).content(PROBLEM_JSON, document()).build();
    of.iter().map(|(status, codes)| ((*status).to_owned(), response(codes).into())).collect()
}

const UNAUTHENTICATED: (&str, &str) = ("401", "`unauthenticated`: no, bad, expired or wrongly signed token");
const QUERY: (&str, &str) = ("400", "`malformed`: an unknown query parameter");
const METHOD: (&str, &str) = ("405", "`method_not_allowed`: with `Allow`");
const FORBIDDEN: (&str, &str) = ("403", "`forbidden`: the token lacks the scope");
const CROWDED: (&str, &str) = ("429", "`rate_limited`: this caller reads much at once already; with `Retry-After`");
const CROWDED_IN_ALL: (&str, &str) = (
    "503",
    "`audit_unavailable`: the record could not be read. `overloaded`: too many read at once, or counting takes too long; with `Retry-After`. `keys_unavailable`: no token can be checked",
);
const KEYS: (&str, &str) = ("503", "`keys_unavailable`: no token can be checked");

/// Says which problems a key may bring back: those of kills that keep theirs.
fn replayed(mut responses: BTreeMap<String, RefOr<Response>>) -> BTreeMap<String, RefOr<Response>> {
    let header = HeaderBuilder::new()
        .schema(Some(text()))
        .description(Some(
            "`true` where the `Idempotency-Key` was used before: why the kill that it stands for was not done",
        ))
        .build();
    for status in ["404", "409", "422", "502", "504"] {
        if let Some(RefOr::T(response)) = responses.get_mut(status) {
            response.headers.insert("Idempotency-Replayed".to_owned(), header.clone().into());
        }
    }
    responses
}

/// What `POST /sessions/kill` answers where a kill was not done. `kill_id` names its record.
#[derive(Debug)]
pub(super) struct KillProblems;

impl IntoResponses for KillProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        replayed(problems(&[
            ("400", "`malformed`: not JSON, wrong types, unknown fields or query parameters"),
            UNAUTHENTICATED,
            ("403", "`forbidden`: scope or policy says no; recorded as `refused`"),
            ("404", "`unknown_target`: no such alias or account. `target_not_found`: the vendor does not know it"),
            METHOD,
            ("408", "`too_slow`: the body did not arrive in time"),
            (
                "409",
                "`in_progress`: the same idempotency key is being worked on. `target_busy`: the instance's state forbids it now. \
                 `target_changed`: a node is not the server that its account expects",
            ),
            ("413", "`too_large`: over 64 KiB"),
            ("415", "`unsupported_media_type`: not JSON, or encoded: then with `Accept-Encoding`"),
            (
                "422",
                "`invalid`, `unsupported_selector`, `key_reused`: names the field. `upstream_rejected`: the vendor refused the parameters",
            ),
            ("429", "`rate_limited`, `upstream_throttled`: with `Retry-After`; this request killed nothing"),
            ("500", "`internal`: the gateway failed"),
            (
                "502",
                "`upstream_failed`, `upstream_denied`: the vendor refused or was never reached; nothing was killed",
            ),
            (
                "503",
                "`audit_unavailable`: the record could not be written, so nothing was sent. `overloaded`: too many waiting, of all callers or of this one. `keys_unavailable`: no token can be checked",
            ),
            ("504", "`outcome_unknown`: the answer was lost or unreadable; never repeated blindly"),
        ]))
    }
}

/// What lists answer where there is nothing to list.
#[derive(Debug)]
pub(super) struct ListProblems;

impl IntoResponses for ListProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let invalid = ("422", "`invalid`: names the parameter");
        problems(&[QUERY, UNAUTHENTICATED, FORBIDDEN, METHOD, invalid, CROWDED, CROWDED_IN_ALL])
    }
}

/// What is answered where how far the record is sealed cannot be told.
#[derive(Debug)]
pub(super) struct EvidenceProblems;

impl IntoResponses for EvidenceProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[QUERY, UNAUTHENTICATED, FORBIDDEN, METHOD, CROWDED, CROWDED_IN_ALL])
    }
}

/// What `GET /sessions` answers where there is no list. Nothing is ever killed by it.
#[derive(Debug)]
pub(super) struct SessionProblems;

impl IntoResponses for SessionProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("400", "`malformed`: an unknown query parameter, or one that is given twice"),
            UNAUTHENTICATED,
            ("403", "`forbidden`: the token lacks the scope, or the target is for other callers"),
            ("404", "`unknown_target`: no such alias or account. `target_not_found`: the vendor does not know it"),
            METHOD,
            (
                "409",
                "`target_busy`: the instance's state forbids it now. `target_changed`: a node is not the server that its \
                 account expects",
            ),
            (
                "422",
                "`invalid`, `unsupported_selector`: names the parameter. `upstream_rejected`: the vendor refused the parameters",
            ),
            (
                "429",
                "`rate_limited`: kills go first, or this caller asks too often. `upstream_throttled`: the vendor throttles; with `Retry-After`",
            ),
            ("500", "`internal`: the gateway failed"),
            (
                "502",
                "`upstream_failed`: the vendor refused, was not reached, or its answer was lost or unreadable. `upstream_denied`: it refused the gateway's permission or credentials",
            ),
            (
                "503",
                "`audit_unavailable`: the limit that all gateways share cannot be reached. `keys_unavailable`: no token can be checked",
            ),
        ])
    }
}

/// The coordinates of every vendor, as parameters of a query.
#[derive(Debug)]
pub(super) struct CoordinateParams;

impl IntoParams for CoordinateParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut names: Vec<(&str, Vec<String>)> = vec![];
        for vendor in TABLE {
            for coordinate in vendor.capabilities().coordinates {
                let expected = format!("{}: {}", vendor.name(), coordinate.expected);
                match names.iter_mut().find(|(name, _)| *name == coordinate.name) {
                    Some((_, of)) => of.push(expected),
                    None => names.push((coordinate.name, vec![expected])),
                }
            }
        }
        let parameter = |(name, of): (&str, Vec<String>)| {
            let parameter =
                ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query).required(Required::False);
            parameter.description(Some(of.join("; "))).schema(Some(text())).build()
        };
        names.into_iter().map(parameter).collect()
    }
}

/// What reading one kill answers where there is none.
#[derive(Debug)]
pub(super) struct ReadProblems;

impl IntoResponses for ReadProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let none = ("404", "`not_found`: no such kill, or not one of this caller's");
        problems(&[QUERY, UNAUTHENTICATED, FORBIDDEN, none, METHOD, CROWDED, CROWDED_IN_ALL])
    }
}

/// What following one kill answers where there is nothing to follow.
#[derive(Debug)]
pub(super) struct StreamProblems;

impl IntoResponses for StreamProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = ReadProblems::responses();
        responses.extend(problems(&[
            ("422", "`invalid`: names the header"),
            (
                "503",
                "`audit_unavailable`: the record could not be read. `overloaded`: too many follow kills or read at once; with `Retry-After`. `keys_unavailable`: no token can be checked",
            ),
        ]));
        responses
    }
}

/// What reference lists answer without a valid token.
#[derive(Debug)]
pub(super) struct TokenProblems;

impl IntoResponses for TokenProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[QUERY, UNAUTHENTICATED, METHOD, KEYS])
    }
}

/// What readiness answers while nothing can be recorded.
#[derive(Debug)]
pub(super) struct NotReady;

impl IntoResponses for NotReady {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            METHOD,
            (
                "503",
                "`audit_unavailable`: nothing can be recorded now, so every kill is refused; `keys_unavailable`: the keys of no issuer can be fetched, so nobody can be known; `overloaded`: the gateway is about to stop",
            ),
        ])
    }
}

/// What every path answers to a method that it does not have.
#[derive(Debug)]
pub(super) struct WrongMethod;

impl IntoResponses for WrongMethod {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[METHOD])
    }
}
