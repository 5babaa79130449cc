//! Why a command did not do what it was asked for: a sentence, and a hint at what to do about it.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::exit::Exit;
use crate::domain::legible;

/// See the module.
#[derive(Debug, Clone)]
pub struct Failure {
    pub(super) sentence: String,
    pub(super) hint: Option<String>,
    pub(super) exit: Exit,
    /// The gateway's own document, where it has answered with one.
    pub(super) problem: Option<Value>,
}

impl Failure {
    pub(super) fn new(exit: Exit, sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), hint: None, exit, problem: None }
    }

    /// Something on this machine, such as a file.
    pub(super) fn here(sentence: impl Into<String>) -> Self {
        Self::new(Exit::NoAnswer, sentence)
    }

    /// An argument.
    pub(super) fn wrong(sentence: impl Into<String>) -> Self {
        Self::new(Exit::Wrong, sentence)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What a gateway answered in place of what was asked for; `retry_after` is the value of that header.
    pub(super) fn answered(http_status: u16, body: &[u8], retry_after: Option<&str>) -> Self {
        let document: Option<Value> = serde_json::from_slice(body).ok();
        let told: Option<Told> = document.as_ref().and_then(|document| Told::deserialize(document).ok());
        let Some(told) = told else {
            let failure = Self::here(format!("the gateway answered HTTP {http_status}"));
            return failure.hint("is that the address of a killgate? See --url");
        };
        let exit = Exit::of_problem(&told.code, http_status);
        Self { sentence: told.sentence(), hint: told.hint(retry_after), exit, problem: document }
    }

    /// The problem that a kill itself has.
    pub(super) fn of_kill(problem: &Value, kill_id: &str) -> Self {
        let mut document = problem.clone();
        if let Some(members) = document.as_object_mut() {
            members.insert("kill_id".to_owned(), kill_id.into());
        }
        let Ok(told) = Told::deserialize(&document) else { return Self::here("the kill was not done") };
        let exit = Exit::of_problem(&told.code, 0);
        let retry_after = document.get("retry_after").filter(|after| after.is_u64()).map(ToString::to_string);
        Self { sentence: told.sentence(), hint: told.hint(retry_after.as_deref()), exit, problem: Some(document) }
    }

    /// The same of a kill that was sent, and of which this was known before: whatever went wrong since has not undone it.
    pub(super) fn after_sending(mut self, status: &str) -> Self {
        self.exit = match Exit::of_status(status) {
            Exit::Open => Exit::Open,
            _ => Exit::Unknown,
        };
        self
    }

    /// The kill that it is about.
    pub(super) fn kill_id(&self) -> Option<&str> {
        self.problem.as_ref()?.get("kill_id")?.as_str()
    }

    /// The stable code of the gateway's problem.
    pub(super) fn code(&self) -> &str {
        self.problem.as_ref().and_then(|problem| problem.get("code")?.as_str()).unwrap_or_default()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "killgate: {}", legible(&self.sentence))?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {}", legible(hint)),
            None => Ok(()),
        }
    }
}

/// A problem document, as far as people are told of it.
#[derive(Debug, Deserialize)]
struct Told {
    code: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    errors: Vec<Mistake>,
    kill_id: Option<String>,
    supported: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Mistake {
    detail: String,
}

impl Told {
    fn sentence(&self) -> String {
        match self.errors.as_slice() {
            [] | [_] if self.detail.is_empty() => self.title.clone(),
            [] | [_] => self.detail.clone(),
            several => several.iter().map(|mistake| mistake.detail.as_str()).collect::<Vec<_>>().join("; "),
        }
    }

    fn hint(&self, retry_after: Option<&str>) -> Option<String> {
        let usual = match self.code.as_str() {
            "unauthenticated" => "log in with `killgate login`, or give a token in KILLGATE_TOKEN",
            "forbidden" => "`killgate whoami` tells what your token allows, `killgate targets` where",
            "unknown_target" => "`killgate targets` lists the aliases that you may use",
            "target_not_found" => "the vendor does not know that place: is it still there?",
            "unsupported_selector" => "`killgate targets` tells each target's vendor; not every one has every way",
            "upstream_denied" => "the gateway's own credentials were refused there: tell its operator",
            "upstream_failed" => "nothing was killed; the same command may be run again",
            "target_busy" | "target_changed" => "nothing was killed; look at the instance first",
            "audit_unavailable" => "no record, no kill: nothing was sent; tell the gateway's operator if it lasts",
            "outcome_unknown" => "look at the database before anybody kills that session again",
            "key_reused" => "the key is another kill's: give a fresh --key, or none",
            _ => "",
        };
        let mut hint = usual.to_owned();
        let mut add = |more: String| {
            let joint = if hint.is_empty() { "" } else { "; " };
            hint = format!("{hint}{joint}{more}");
        };
        if let Some(supported) = &self.supported {
            add(format!("what can be: {}", supported.join(", ")));
        }
        if let Some(seconds) = retry_after {
            add(format!("try again in {seconds} s"));
        }
        if let Some(id) = &self.kill_id {
            add(format!("on record: killgate kills {id}"));
        }
        Some(hint).filter(|hint| !hint.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_a_sentence_and_a_hint() {
        let body = r#"{"type":"urn:x","title":"Not allowed","status":403,"code":"forbidden",
            "detail":"the target is for other callers","kill_id":"0199"}"#;
        let failure = Failure::answered(403, body.as_bytes(), None);
        let told = failure.to_string();
        assert!(told.starts_with("killgate: the target is for other callers\n  hint: `killgate whoami`"), "{told}");
        assert!(told.ends_with("on record: killgate kills 0199"), "{told}");
        assert_eq!((failure.exit, failure.code(), failure.kill_id()), (Exit::NotAllowed, "forbidden", Some("0199")));
    }

    #[test]
    fn every_mistake_is_told_and_so_is_what_can_be_and_when() {
        let body = r#"{"title":"t","code":"invalid","detail":"a","supported":["ids","match"],
            "errors":[{"field":"x","detail":"x must be text"},{"field":"y","detail":"y is required"}]}"#;
        let failure = Failure::answered(422, body.as_bytes(), Some("7"));
        assert_eq!(failure.sentence, "x must be text; y is required");
        assert_eq!(failure.hint.as_deref(), Some("what can be: ids, match; try again in 7 s"));
        assert_eq!(failure.exit, Exit::Wrong);
    }

    #[test]
    fn the_problem_of_a_kill_says_when_to_come_again_and_where_it_is() {
        let problem = serde_json::json!({ "code": "upstream_throttled", "detail": "a pause", "retry_after": 45 });
        let failure = Failure::of_kill(&problem, "0199");
        assert_eq!(failure.hint.as_deref(), Some("try again in 45 s; on record: killgate kills 0199"));
    }

    #[test]
    fn what_is_no_problem_document_is_told_as_what_it_is() {
        for body in ["<html>", "{}", "[]", ""] {
            let failure = Failure::answered(502, body.as_bytes(), None);
            assert_eq!((failure.sentence.as_str(), failure.exit), ("the gateway answered HTTP 502", Exit::NoAnswer));
        }
    }

    #[test]
    fn what_a_stranger_answers_cannot_move_the_cursor() {
        let body = r#"{"code":"x","detail":"\u001b[2Jgone\u202e","supported":["\u0007"]}"#;
        let told = Failure::answered(422, body.as_bytes(), Some("\u{1b}[1m")).to_string();
        assert!(!told.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{told:?}");
    }
}
