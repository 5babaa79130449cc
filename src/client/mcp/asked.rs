//! What agents ask for. The names are those of the API.

use rmcp::schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::client::{asked::of_user, failure::Failure};

/// Criteria, of which all that are given must hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
pub(super) struct Criteria {
    /// The database user; `*` stands for any run of characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// The database.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    /// The client's address, with its port or without.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// The kind of work, such as Query or Sleep.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// The state.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// A piece of the statement, as it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<String>,
    /// Doing what it does for at least so many seconds, or a time such as 10m.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_seconds: Option<String>,
    /// With its transaction open for at least so many seconds, or a time such as 10m.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_transaction_seconds: Option<String>,
    /// true: doing nothing while its transaction is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_in_transaction: Option<bool>,
    /// true: others wait for it, and it for nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocking: Option<bool>,
    /// Most sessions, 1 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    /// Which go first: longest or newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
}

impl Criteria {
    fn members(&self) -> Map<String, Value> {
        // A struct of texts and numbers is an object.
        serde_json::to_value(self).ok().and_then(|value| value.as_object().cloned()).unwrap_or_default()
    }
}

/// Where to list, and which sessions.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
pub(super) struct ListSessions {
    /// An alias, as list_targets has it.
    target: String,
    /// Which sessions; all of them without it.
    #[serde(default)]
    criteria: Criteria,
}

impl ListSessions {
    pub(super) fn query(&self) -> Vec<(String, String)> {
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let criteria = self.criteria.members().into_iter().map(|(name, value)| (name, text(value)));
        [("target".to_owned(), self.target.clone())].into_iter().chain(criteria).collect()
    }
}

/// Which kill to preview, for whom and why.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
pub(super) struct Preview {
    /// An alias, as list_targets has it.
    target: String,
    /// Ids of sessions, as list_sessions has them; of one with a `shard` or a `node`, that and the id: SHARD/ID. Either these, or criteria, or intelligent.
    ids: Option<Vec<String>>,
    /// The database user whose sessions the ids must be. das needs it with ids; elsewhere it may be left out.
    user: Option<String>,
    /// Which sessions, where no ids are given.
    criteria: Option<Criteria>,
    /// true: whatever the database itself picks, where it can.
    #[serde(default)]
    intelligent: bool,
    /// true: end only what the sessions run, and keep the sessions, where that can be done.
    #[serde(default)]
    statement_only: bool,
    /// Why, for the record: an incident, or what is wrong, in the person's words.
    reason: String,
    /// The person you act for, such as a mail address. Never yourself, and never made up. May be left out where this server was
    /// started for one person only.
    pub(super) on_behalf_of: Option<String>,
}

impl Preview {
    pub(super) const fn is_left_to_database(&self) -> bool {
        self.intelligent
    }

    /// As a kill has it.
    pub(super) fn body(&self, person: &str) -> Result<Value, Failure> {
        let select = match (&self.ids, &self.criteria, self.intelligent) {
            (None, ..) if self.user.is_some() => {
                return Err(Failure::wrong("user goes with ids; among criteria it is criteria.user"));
            }
            (Some(ids), None, false) => match &self.user {
                Some(user) => json!({ "ids": of_user(ids, user) }),
                None => json!({ "ids": ids }),
            },
            (None, Some(criteria), false) => json!({ "match": criteria.members() }),
            (None, None, true) => json!({ "intelligent": true }),
            _ => return Err(Failure::wrong("give exactly one of ids, criteria, intelligent")),
        };
        let mut body = json!({
            "target": self.target, "select": select, "reason": self.reason, "on_behalf_of": person,
        });
        if self.statement_only {
            body["end"] = json!("statement");
        }
        Ok(body)
    }
}

/// Which preview to confirm.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
#[serde(deny_unknown_fields)]
pub(super) struct Confirm {
    /// The `id` of the preview.
    pub(super) preview_id: String,
    /// How many sessions the preview showed as `alive`: those that will be ended. 0 where the database picks.
    pub(super) sessions: usize,
}
