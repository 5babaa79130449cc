//! Which kills are wanted, as somebody writes it: in a query or on the command line.

use clap::Args;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::IntoParams;

use crate::{
    audit::{Filter, Name, words},
    clock::{TIME, read_time},
    domain::{Outcome, Problem, Status, plain_text},
    kill::intake::request::MAX_NAME,
};

/// Most values of one filter.
const MAX_VALUES: usize = 100;

/// Filters, all of which must hold; what is left out does not narrow. Where several values may be given, with commas
/// between them, any of them will do. `*` is taken at the end of a `target` or `caller`, for any run of characters, and
/// nowhere else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, Args)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Vendors.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false, example = json!(["dcdb"]))]
    pub vendor: Option<String>,
    /// Accounts.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    pub account: Option<String>,
    /// Aliases, or how they begin: `orders-*`.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false, example = json!(["orders-*"]))]
    pub target: Option<String>,
    /// Ids of instances at the vendor.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    pub instance_id: Option<String>,
    /// Sessions that were to be ended.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    pub session_id: Option<String>,
    /// Who asked, or how their names begin.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    pub caller: Option<String>,
    /// The persons behind bots.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    pub on_behalf_of: Option<String>,
    /// Database users: whose a session was when it was looked at, or, where a kill names no session, whose were asked for.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    pub user: Option<String>,
    /// Databases, told in the same way.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    pub database: Option<String>,
    /// What became of a session at least.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Vec<Outcome>>, style = Form, explode = false)]
    pub outcome: Option<String>,
    /// Where the kill stands.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Vec<Status>>, style = Form, explode = false)]
    pub status: Option<String>,
    /// `true`: kills that were `unknown` at any time, whatever was learned later. `false`: those that never were.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<bool>)]
    pub ever_unknown: Option<String>,
    /// Words of the reason, all of which must be there, in any order and case.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(example = "INC-4711")]
    pub reason: Option<String>,
    /// From this time on (RFC 3339).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime, example = "2026-01-02T03:04:05Z")]
    pub since: Option<String>,
    /// Before this time (RFC 3339).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<String>,
}

impl Wanted {
    /// The names of the filters; those of which several values may be given come first.
    pub const NAMES: [&str; 15] = [
        "vendor",
        "account",
        "target",
        "instance_id",
        "session_id",
        "caller",
        "on_behalf_of",
        "user",
        "database",
        "outcome",
        "status",
        "ever_unknown",
        "reason",
        "since",
        "until",
    ];
    /// Those of which several values may be given.
    pub const LISTS: &[&str] = Self::NAMES.split_at(11).0;

    /// The filter that was meant.
    ///
    /// # Errors
    /// `invalid`, naming the field.
    pub fn filter(&self) -> Result<Filter, Problem> {
        let reason = self.reason.as_deref();
        if let Some(reason) = reason {
            checked("reason", reason)?;
            exact("reason", reason)?;
        }
        let reason: Option<Vec<String>> = reason.map(words);
        if reason.as_ref().is_some_and(Vec::is_empty) {
            return Err(Problem::invalid("reason", "must have a word to look for"));
        }
        Ok(Filter {
            vendor: several("vendor", self.vendor.as_deref(), exact)?,
            account: several("account", self.account.as_deref(), exact)?,
            target: several("target", self.target.as_deref(), name)?,
            instance_id: several("instance_id", self.instance_id.as_deref(), exact)?,
            session_id: several("session_id", self.session_id.as_deref(), exact)?,
            caller: several("caller", self.caller.as_deref(), name)?,
            on_behalf_of: several("on_behalf_of", self.on_behalf_of.as_deref(), exact)?,
            user: several("user", self.user.as_deref(), exact)?,
            database: several("database", self.database.as_deref(), exact)?,
            outcome: several("outcome", self.outcome.as_deref(), |field, word| {
                exact(field, word)?;
                Outcome::parse(word).ok_or_else(|| Problem::no_such_word(field, &Outcome::ALL.map(Outcome::as_str)))
            })?,
            status: several("status", self.status.as_deref(), |field, word| {
                exact(field, word)?;
                Status::parse(word).ok_or_else(|| Problem::no_such_word(field, &Status::ALL.map(Status::as_str)))
            })?,
            ever_unknown: match self.ever_unknown.as_deref() {
                None => None,
                Some("true") => Some(true),
                Some("false") => Some(false),
                Some(_) => return Err(Problem::invalid("ever_unknown", "must be true or false")),
            },
            reason: reason.unwrap_or_default(),
            since: time("since", self.since.as_deref())?,
            until: time("until", self.until.as_deref())?,
            oldest_first: false,
            place: None,
            only_caller: None,
        })
    }

    /// The first filter that asks whose the sessions are, where there is one.
    #[must_use]
    pub fn asks_for_identities(&self) -> Option<&'static str> {
        let asked = [("user", self.user.is_some()), ("database", self.database.is_some())];
        asked.into_iter().find_map(|(field, is_asked)| is_asked.then_some(field))
    }
}

/// The values of a filter, each of which `read` takes.
fn several<T>(
    field: &str,
    text: Option<&str>,
    read: impl Fn(&str, &str) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let values: Vec<&str> = text.split(',').collect();
    if values.len() > MAX_VALUES {
        return Err(Problem::invalid(field, format!("must have at most {MAX_VALUES} values")));
    }
    values.into_iter().map(|value| checked(field, value).and_then(|value| read(field, value))).collect()
}

fn checked<'t>(field: &str, text: &'t str) -> Result<&'t str, Problem> {
    plain_text(text, MAX_NAME).map_err(|error| Problem::invalid(field, error.to_string()))
}

/// A value that stands for itself.
fn exact(field: &str, text: &str) -> Result<String, Problem> {
    if text.contains('*') {
        return Err(Problem::invalid(field, "takes no *: that goes at the end of target and caller only"));
    }
    Ok(text.to_owned())
}

/// A name, or how names begin.
fn name(field: &str, text: &str) -> Result<Name, Problem> {
    Name::read(text).ok_or_else(|| Problem::invalid(field, "takes * at its end only, for any run of characters"))
}

fn time(field: &str, text: Option<&str>) -> Result<Option<OffsetDateTime>, Problem> {
    let read = |text| read_time(text).ok_or_else(|| Problem::invalid(field, TIME));
    text.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(query: &str) -> Wanted {
        serde_urlencoded::from_str(query).unwrap()
    }

    #[test]
    fn a_time_is_of_a_year_that_every_answer_can_write() {
        let filter = |since: &str| Wanted { since: Some(since.to_owned()), ..Wanted::default() }.filter();
        for bad in
            ["0000-01-01T00:00:00Z", "1970-01-01T00:00:00+01:00", "9999-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"]
        {
            assert_eq!(filter(bad).unwrap_err().field.as_deref(), Some("since"), "{bad}");
        }
        for good in ["1970-01-01T00:00:00Z", "9998-12-31T23:59:59Z", "2026-01-02T03:04:05+08:00"] {
            assert!(filter(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn every_filter_is_named() {
        let all: String = Wanted::NAMES.map(|name| format!("{name}=x&")).concat();
        let wanted = wanted(all.trim_end_matches('&'));
        let back = serde_json::to_value(&wanted).unwrap();
        assert_eq!(back.as_object().unwrap().len(), Wanted::NAMES.len());
        assert!(Wanted::NAMES.iter().all(|name| back[name] == "x"));
    }

    #[test]
    fn a_star_is_never_a_letter() {
        for name in Wanted::NAMES {
            let may_end_so = ["target", "caller"].contains(&name);
            for text in ["*x", "x*y", "x*"] {
                let read = wanted(&format!("{name}={text}")).filter();
                let is_taken = may_end_so && text == "x*";
                assert_eq!(
                    read.err().and_then(|problem| problem.field).as_deref(),
                    (!is_taken).then_some(name),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn several_values_are_each_checked() {
        let filter = wanted("caller=anna,dba-*&outcome=killed,alive&status=failed,unknown").filter().unwrap();
        assert_eq!(filter.caller, [Name::from("anna"), Name::Begins("dba-".into())]);
        assert_eq!(filter.outcome, [Outcome::Killed, Outcome::Alive]);
        assert_eq!(filter.status, [Status::Failed, Status::Unknown]);
        for bad in
            ["caller=anna,", "caller=,", "vendor=a,,b", "outcome=killed,dead", &format!("user={}", "x,".repeat(101))]
        {
            assert!(wanted(bad).filter().is_err(), "{bad}");
        }
    }
}
