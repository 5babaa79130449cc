//! What a request looks like, for the document of the API: it is read by [`KillRequest`](super::request::KillRequest).

#![expect(dead_code, reason = "what the document says of members that are read one by one")]

use utoipa::ToSchema;

use crate::kill::{intake::ids::GivenId, policy::targets::Named};

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
    /// Nothing that changes anything is sent; recorded with status `preview`.
    #[schema(default = false)]
    dry_run: Option<bool>,
    /// The sessions are looked at before they are ended: what is protected is not sent, and what is not there is
    /// `not_found`. `false` needs the scope `sessions:kill:blind`, is recorded, and is refused where a protection rule, a
    /// confirm or a cap needs the look.
    #[schema(default = true)]
    look: Option<bool>,
    /// `session` ends it; `statement` cancels what it runs, where the vendor can.
    #[schema(default = "session", pattern = "^(session|statement)$")]
    end: Option<String>,
    /// The `confirm` of a preview: only the sessions that were `alive` in it are ended.
    #[schema(write_only)]
    confirm: Option<String>,
}

/// Which sessions: exactly one of the members. What a vendor has is in `GET /vendors`.
#[derive(Debug, ToSchema)]
#[schema(as = Select, min_properties = 1, max_properties = 1)]
pub struct SelectBody {
    /// These sessions: 1 to 1000 different ids.
    #[schema(nullable = false, min_items = 1, max_items = 1000)]
    ids: Option<Vec<GivenId>>,
    /// Whatever meets all the criteria given.
    #[schema(nullable = false)]
    r#match: Option<MatchBody>,
    /// Whatever the database itself picks: `true`.
    #[schema(nullable = false)]
    intelligent: Option<bool>,
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
    #[schema(nullable = false, pattern = "^(longest|newest)$")]
    order: Option<String>,
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

/// A text, or a list of texts of which any is meant. `*` stands for any run of characters, and `\*` for a star.
#[derive(Debug, ToSchema)]
#[schema(as = Texts)]
pub enum Texts {
    #[schema(title = "One")]
    One(String),
    #[schema(title = "AnyOf")]
    AnyOf(Vec<String>),
}

/// Whole seconds, or a time such as `90s`, `5m` or `1h30m`.
#[derive(Debug, ToSchema)]
#[schema(as = Seconds)]
pub enum Seconds {
    #[schema(title = "Seconds")]
    Number(u32),
    #[schema(title = "Time")]
    Text(String),
}
