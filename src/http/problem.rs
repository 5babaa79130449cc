//! The one place that knows HTTP answers for what went wrong: RFC 9457 problem documents.

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::{FieldError, Problem, ProblemCode};

/// The media type of every error.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// When to come again where nothing better is known, in seconds.
const AGAIN: u64 = 1;

/// An error as callers see it (RFC 9457). Match on `code`; the texts may change.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProblemDocument {
    /// `urn:killgate:problem:` and the code.
    #[schema(example = "urn:killgate:problem:invalid")]
    pub(super) r#type: String,
    /// What the code means, in general.
    #[schema(example = "A field has a value that cannot be used")]
    pub(super) title: &'static str,
    /// The HTTP status once more.
    #[schema(example = 422)]
    pub(super) status: u16,
    /// What happened here, in one sentence.
    #[schema(example = "select.ids must have 1 to 1000 ids")]
    pub(super) detail: String,
    pub(super) code: ProblemCode,
    /// The field at fault, as a path into the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "select.ids")]
    pub(super) field: Option<String>,
    /// Every mistake of the request, each with its field: at most 50.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<FieldError>,
    /// The record of this attempt, wherever there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kill_id: Option<Uuid>,
    /// What would be accepted instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) supported: Option<Vec<String>>,
}

/// The HTTP status of a problem.
#[must_use]
pub(super) const fn status(code: ProblemCode) -> StatusCode {
    match code {
        ProblemCode::Malformed => StatusCode::BAD_REQUEST,
        ProblemCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ProblemCode::Forbidden => StatusCode::FORBIDDEN,
        ProblemCode::UnknownTarget | ProblemCode::TargetNotFound | ProblemCode::NotFound => StatusCode::NOT_FOUND,
        ProblemCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ProblemCode::TooSlow => StatusCode::REQUEST_TIMEOUT,
        ProblemCode::InProgress | ProblemCode::TargetBusy | ProblemCode::TargetChanged => StatusCode::CONFLICT,
        ProblemCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ProblemCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ProblemCode::Invalid
        | ProblemCode::UnsupportedSelector
        | ProblemCode::KeyReused
        | ProblemCode::UpstreamRejected => StatusCode::UNPROCESSABLE_ENTITY,
        ProblemCode::RateLimited | ProblemCode::UpstreamThrottled => StatusCode::TOO_MANY_REQUESTS,
        ProblemCode::UpstreamFailed | ProblemCode::UpstreamDenied => StatusCode::BAD_GATEWAY,
        ProblemCode::AuditUnavailable | ProblemCode::Overloaded | ProblemCode::KeysUnavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ProblemCode::OutcomeUnknown => StatusCode::GATEWAY_TIMEOUT,
        ProblemCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const fn title(code: ProblemCode) -> &'static str {
    match code {
        ProblemCode::Malformed => "The request cannot be read",
        ProblemCode::Unauthenticated => "No valid token",
        ProblemCode::Forbidden => "Not allowed",
        ProblemCode::UnknownTarget => "No such alias or account",
        ProblemCode::TargetNotFound => "The vendor does not know the target",
        ProblemCode::NotFound => "No such kill or path",
        ProblemCode::MethodNotAllowed => "Method not allowed",
        ProblemCode::InProgress => "The same idempotency key is being worked on",
        ProblemCode::TargetBusy => "The target's state forbids it now",
        ProblemCode::TargetChanged => "The node is another server",
        ProblemCode::TooLarge => "The body is too large",
        ProblemCode::UnsupportedMediaType => "The body must be JSON",
        ProblemCode::Invalid => "A field has a value that cannot be used",
        ProblemCode::UnsupportedSelector => "This vendor cannot select sessions in this way",
        ProblemCode::KeyReused => "The idempotency key was used for another request",
        ProblemCode::UpstreamRejected => "The vendor refused the parameters",
        ProblemCode::RateLimited => "Too many calls",
        ProblemCode::UpstreamThrottled => "The vendor is throttling",
        ProblemCode::UpstreamFailed => "The vendor refused or was not reached",
        ProblemCode::UpstreamDenied => "The vendor refused the gateway's permission or credentials",
        ProblemCode::AuditUnavailable => "The record could not be written",
        ProblemCode::Overloaded => "Too many callers are waiting",
        ProblemCode::OutcomeUnknown => "The outcome is not known",
        ProblemCode::KeysUnavailable => "The issuer's keys cannot be had",
        ProblemCode::TooSlow => "The body did not arrive in time",
        ProblemCode::Internal => "The gateway failed",
    }
}

/// A problem on its way to the caller.
#[derive(Debug)]
pub(super) struct Failure {
    problem: Box<Problem>,
    kill_id: Option<Uuid>,
    headers: Vec<(header::HeaderName, String)>,
}

impl Failure {
    /// The problem of a recorded kill.
    #[must_use]
    pub(super) fn of_kill(problem: Problem, kill_id: Uuid) -> Self {
        Self { kill_id: Some(kill_id), ..Self::from(problem) }
    }

    #[must_use]
    pub(super) fn with(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { kill_id: problem.kill_id, problem: Box::new(problem), headers: vec![] }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem.code.as_str(), self.problem.detail)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        status(self.problem.code)
    }

    fn error_response(&self) -> HttpResponse {
        let Problem { code, detail, field, mut errors, retry_after, supported, .. } = (*self.problem).clone();
        if errors.is_empty()
            && let Some(field) = field.clone()
        {
            errors.push(FieldError { field, detail: detail.clone() });
        }
        let status = status(code);
        let mut response = HttpResponse::build(status);
        response.insert_header((header::CONTENT_TYPE, PROBLEM_JSON));
        // What is away for now is worth another try, whoever found it so.
        let is_away = status == StatusCode::SERVICE_UNAVAILABLE;
        if let Some(seconds) = retry_after.or(is_away.then_some(AGAIN)) {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Some(id) = self.kill_id {
            response.insert_header((header::LOCATION, format!("/kills/{id}")));
        }
        for (name, value) in &self.headers {
            response.insert_header((name.clone(), value.as_str()));
        }
        let body = ProblemDocument {
            r#type: format!("urn:killgate:problem:{}", code.as_str()),
            title: title(code),
            status: status.as_u16(),
            detail,
            code,
            field,
            errors,
            kill_id: self.kill_id,
            supported,
        };
        // A struct of texts and numbers is always written.
        response.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{http::document, upstream::FaultKind};

    const GLOSSARY: &str = include_str!("../../docs/glossary.md");
    const OUTCOMES: &str = include_str!("../../docs/outcomes.md");

    /// The words of that schema, as the OpenAPI document has them: all there are.
    fn words(schema: &str) -> Vec<String> {
        let document = serde_json::to_value(document()).unwrap();
        serde_json::from_value(document["components"]["schemas"][schema]["enum"].clone()).unwrap()
    }

    /// What a page has under that heading.
    fn under<'p>(page: &'p str, heading: &str) -> &'p str {
        let part = page.split("\n## ").find(|part| part.lines().next() == Some(heading));
        part.unwrap_or_else(|| panic!("no heading {heading}"))
    }

    /// Whether a row of a table or a point of a list begins with the word.
    fn explains(part: &str, word: &str) -> bool {
        let (row, point) = (format!("| `{word}` | "), format!("- `{word}`: "));
        part.lines().any(|line| line.starts_with(&row) || line.starts_with(&point))
    }

    #[test]
    fn whatever_is_away_is_worth_another_try_and_says_when() {
        use ProblemCode::{AuditUnavailable, KeysUnavailable, Overloaded, RateLimited, UpstreamFailed};
        for (problem, after) in [
            (Problem::new(AuditUnavailable, "gone"), Some("1")),
            (Problem::new(Overloaded, "full"), Some("1")),
            (Problem::new(KeysUnavailable, "gone").retry_after(3), Some("3")),
            (Problem::new(RateLimited, "much").retry_after(2), Some("2")),
            (Problem::new(UpstreamFailed, "refused"), None),
        ] {
            let code = problem.code;
            let answer = Failure::from(problem).error_response();
            let given = answer.headers().get(header::RETRY_AFTER).map(|after| after.to_str().unwrap());
            assert_eq!(given, after, "{}", code.as_str());
        }
    }

    #[test]
    fn every_word_of_an_answer_is_explained() {
        let tables = under(OUTCOMES, "The words").split_once("| outcome of a session |");
        let (statuses, outcomes) = tables.expect("a table of statuses, and one of outcomes");
        for (schema, heading, rests_on) in [
            ("Status", "Status of a kill", statuses),
            ("Outcome", "Outcome of a session", outcomes),
            ("ProblemCode", "Problems", under(OUTCOMES, "Sending it again")),
        ] {
            for word in words(schema) {
                assert!(explains(under(GLOSSARY, heading), &word), "docs/glossary.md lacks {word} under {heading}");
                assert!(explains(rests_on, &word), "docs/outcomes.md lacks the {schema} {word}");
            }
        }
    }

    #[test]
    fn of_each_code_and_no_other_is_told_whether_it_may_be_sent_again() {
        let cells = |line: &'static str| line.strip_prefix("| `")?.split_once("` | ");
        let told = under(OUTCOMES, "Sending it again").lines().filter_map(cells);
        // The first is the head of the table.
        let told: BTreeSet<(String, String)> = told
            .skip(1)
            .map(|(code, rest)| (code.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned()))
            .collect();
        let of_code = |word: String| {
            let code: ProblemCode = serde_json::from_value(word.as_str().into()).unwrap();
            (word, status(code).as_u16().to_string())
        };
        let known: BTreeSet<(String, String)> = words("ProblemCode").into_iter().map(of_code).collect();
        assert_eq!(told, known, "codes and their HTTP statuses in docs/outcomes.md");
    }

    #[test]
    fn every_fault_is_explained_with_its_problem() {
        for kind in FaultKind::ALL {
            let (word, problem) = (format!("`{}`", kind.as_str()), format!("| `{}` |", kind.problem().as_str()));
            let names = |line: &str| line.split(" | ").next().is_some_and(|first| first.contains(&word));
            let told = under(GLOSSARY, "Calls to a vendor").lines().any(|line| names(line) && line.ends_with(&problem));
            assert!(told, "docs/glossary.md lacks the fault {word} as {problem}");
        }
    }
}
