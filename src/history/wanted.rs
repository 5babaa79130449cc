//! Which kills are wanted, as somebody writes it: in a query or on the command line.

use clap::Args;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::IntoParams;

use crate::{
    audit::{Filter, words},
    clock::{TIME, read_time},
    domain::{Problem, Status, plain_text},
    kill::intake::request::MAX_NAME,
};

/// Filters, all of which must hold; what is left out does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, Args)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Vendor name.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(example = "dcdb")]
    pub vendor: Option<String>,
    /// Account name.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Alias.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The instance's id at the vendor.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// A session that was to be ended.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Who asked.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Where the kill stands.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Status>)]
    pub status: Option<String>,
    /// Words of the reason, all of which must be there, in any order and case.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(example = "INC-4711")]
    pub reason: Option<String>,
    /// From this time on (RFC 3339).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(example = "2026-01-02T03:04:05Z")]
    pub since: Option<String>,
    /// Before this time (RFC 3339).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl Wanted {
    /// The names of the filters.
    pub const NAMES: [&str; 10] =
        ["vendor", "account", "target", "instance_id", "session_id", "caller", "status", "reason", "since", "until"];

    /// The filter that was meant.
    ///
    /// # Errors
    /// `invalid`, naming the field.
    pub fn filter(&self) -> Result<Filter, Problem> {
        let texts = [
            ("vendor", &self.vendor),
            ("account", &self.account),
            ("target", &self.target),
            ("instance_id", &self.instance_id),
            ("session_id", &self.session_id),
            ("caller", &self.caller),
            ("reason", &self.reason),
        ];
        for (field, text) in texts {
            if let Some(Err(error)) = text.as_ref().map(|text| plain_text(text, MAX_NAME)) {
                return Err(Problem::invalid(field, error.to_string()));
            }
        }
        let status = match &self.status {
            None => None,
            Some(word) => Some(Status::parse(word).ok_or_else(|| {
                let words = Status::ALL.map(|status| status.as_str().to_owned());
                Problem::invalid("status", "is no such status").supported(words.into())
            })?),
        };
        let reason: Vec<String> = self.reason.as_deref().map(words).unwrap_or_default();
        if self.reason.is_some() && reason.is_empty() {
            return Err(Problem::invalid("reason", "must have a word to look for"));
        }
        Ok(Filter {
            vendor: self.vendor.clone(),
            account: self.account.clone(),
            target: self.target.clone(),
            instance_id: self.instance_id.clone(),
            session_id: self.session_id.clone(),
            caller: self.caller.clone(),
            status,
            reason,
            since: time("since", self.since.as_deref())?,
            until: time("until", self.until.as_deref())?,
            before: None,
            only_caller: None,
        })
    }
}

fn time(field: &str, text: Option<&str>) -> Result<Option<OffsetDateTime>, Problem> {
    let read = |text| read_time(text).ok_or_else(|| Problem::invalid(field, TIME));
    text.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let wanted: Wanted = serde_urlencoded::from_str(all.trim_end_matches('&')).unwrap();
        let back = serde_json::to_value(&wanted).unwrap();
        assert_eq!(back.as_object().unwrap().len(), Wanted::NAMES.len());
        assert!(Wanted::NAMES.iter().all(|name| back[name] == "x"));
    }
}
