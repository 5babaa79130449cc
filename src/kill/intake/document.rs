//! What a request looks like, for the document of the API: it is read by [`KillRequest`](super::request::KillRequest).

#![expect(dead_code, reason = "what the document says of members that are read one by one")]

use std::borrow::Cow;

use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema,
        schema::{KnownFormat, SchemaFormat, SchemaType, Type},
    },
};

use crate::{
    domain::End,
    kill::{intake::ids::GivenId, policy::targets::Named},
};

/// What to end, and why.
#[derive(Debug, ToSchema)]
#[schema(
    as = KillRequest,
    example = json!({
        "target": "orders-shard-1",
        "select": { "ids": ["1111", "1112"] },
        "reason": "INC-4711 runaway report",
        "on_behalf_of": "alice@example.com",
    })
)]
pub struct KillBody {
    target: Named,
    select: SelectBody,
    /// Why: 1 to 1000 characters, no control or format characters.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    /// The person behind a bot: 1 to 255 characters.
    #[schema(min_length = 1, max_length = 255)]
    on_behalf_of: Option<String>,
    // No `default` here and below: generators take what has one for something that is always there.
    /// `true`: nothing that changes anything is sent; recorded with status `preview`. Else `false`.
    dry_run: Option<bool>,
    /// The sessions are looked at before they are ended: what is protected is not sent, and what is not there is
    /// `not_found`. `false` needs the scope `sessions:kill:blind`, is recorded, and is refused where a protection rule, a
    /// confirm or a cap needs the look. Without it `true`.
    look: Option<bool>,
    /// `session`, which it is without this, ends it; `statement` cancels what it runs, where the vendor can.
    end: Option<End>,
    /// The `confirm` of a preview: only the sessions that were `alive` in it are ended.
    #[schema(write_only)]
    confirm: Option<String>,
}

/// These sessions.
#[derive(Debug, ToSchema)]
#[schema(as = SelectIds)]
pub struct SelectIds {
    /// 1 to 1000 different ids.
    #[schema(min_items = 1, max_items = 1000)]
    ids: Vec<GivenId>,
}

/// Whatever meets all the criteria given.
#[derive(Debug, ToSchema)]
#[schema(as = SelectMatch)]
pub struct SelectMatch {
    r#match: MatchBody,
}

/// Whatever the database itself picks.
#[derive(Debug, ToSchema)]
#[schema(as = SelectIntelligent)]
pub struct SelectIntelligent {
    /// `true`.
    #[schema(example = true)]
    intelligent: bool,
}

/// Which sessions: one of three. What a vendor has is in `GET /vendors`.
#[derive(Debug)]
pub struct SelectBody;

impl PartialSchema for SelectBody {
    fn schema() -> RefOr<Schema> {
        one_of(
            "Which sessions: one of three. What a vendor has is in `GET /vendors`.",
            [SelectIds::name(), SelectMatch::name(), SelectIntelligent::name()].map(Ref::from_schema_name),
        )
    }
}

impl ToSchema for SelectBody {
    fn name() -> Cow<'static, str> {
        "Select".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((SelectIds::name().into_owned(), SelectIds::schema()));
        schemas.push((SelectMatch::name().into_owned(), SelectMatch::schema()));
        schemas.push((SelectIntelligent::name().into_owned(), SelectIntelligent::schema()));
        SelectIds::schemas(schemas);
        SelectMatch::schemas(schemas);
    }
}

fn one_of<T: Into<RefOr<Schema>>>(description: &str, forms: impl IntoIterator<Item = T>) -> RefOr<Schema> {
    forms.into_iter().fold(OneOfBuilder::new(), OneOfBuilder::item).description(Some(description)).into()
}

/// Criteria that a session must meet, all of those given. Where neither user, database, host, command nor statement is named, a
/// confirm is needed.
#[derive(Debug, ToSchema)]
#[schema(as = Match)]
pub struct MatchBody {
    /// The database user the session belongs to.
    #[schema(nullable = false)]
    user: Option<Texts>,
    /// The database the session is in.
    #[schema(nullable = false)]
    database: Option<Texts>,
    /// The client's address, with its port or without.
    #[schema(nullable = false)]
    host: Option<Texts>,
    /// The kind of work, such as `Query`.
    #[schema(nullable = false)]
    command: Option<Texts>,
    #[schema(nullable = false)]
    state: Option<Texts>,
    /// A piece of the statement; `*` is a star here. Without the scope `sessions:statements` it is held against the masked
    /// statement.
    #[schema(nullable = false)]
    statement: Option<Texts>,
    /// Fewest seconds for which it has been doing what it does.
    #[schema(nullable = false)]
    min_seconds: Option<Seconds>,
    /// Fewest seconds for which its transaction has been open; where the vendor tells that.
    #[schema(nullable = false)]
    min_transaction_seconds: Option<Seconds>,
    /// `true`: it does nothing while its transaction is open; where the vendor tells that.
    #[schema(nullable = false)]
    idle_in_transaction: Option<bool>,
    /// `true`: others wait for it, and it for nobody; where the vendor tells that.
    #[schema(nullable = false)]
    blocking: Option<bool>,
    /// Whoever meets any one of these is spared: criteria of the same kind.
    #[schema(nullable = false)]
    except: Option<ExceptBody>,
    /// Most sessions: 1 to 1000.
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Which of them go before others.
    #[schema(nullable = false)]
    order: Option<SessionOrder>,
}

/// Criteria of which a session meets none: at least one.
#[derive(Debug, ToSchema)]
#[schema(as = Except, min_properties = 1)]
pub struct ExceptBody {
    #[schema(nullable = false)]
    user: Option<Texts>,
    #[schema(nullable = false)]
    database: Option<Texts>,
    #[schema(nullable = false)]
    host: Option<Texts>,
    #[schema(nullable = false)]
    command: Option<Texts>,
    #[schema(nullable = false)]
    state: Option<Texts>,
    #[schema(nullable = false)]
    statement: Option<Texts>,
    #[schema(nullable = false)]
    min_seconds: Option<Seconds>,
    #[schema(nullable = false)]
    min_transaction_seconds: Option<Seconds>,
    #[schema(nullable = false)]
    idle_in_transaction: Option<bool>,
    #[schema(nullable = false)]
    blocking: Option<bool>,
}

/// Which sessions go before others.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionOrder {
    Longest,
    Newest,
}

/// A text, or a list of texts of which any is meant.
#[derive(Debug)]
pub struct Texts;

impl PartialSchema for Texts {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).min_length(Some(1));
        one_of::<RefOr<Schema>>(
            "A text, or a list of texts of which any is meant. `*` stands for any run of characters, and `\\*` for a star.",
            [text().into(), ArrayBuilder::new().items(text()).min_items(Some(1)).into()],
        )
    }
}

impl ToSchema for Texts {
    fn name() -> Cow<'static, str> {
        "Texts".into()
    }
}

/// Whole seconds, or a time.
#[derive(Debug)]
pub struct Seconds;

impl PartialSchema for Seconds {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Integer))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(0));
        let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).examples(["5m"]);
        one_of("Whole seconds, or a time such as `90s`, `5m` or `1h30m`.", [number, text])
    }
}

impl ToSchema for Seconds {
    fn name() -> Cow<'static, str> {
        "Seconds".into()
    }
}
