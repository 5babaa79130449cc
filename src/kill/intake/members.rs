//! Reading the members of a request, and what is wrong with them: all of it, and each with its place.

use std::collections::HashSet;

use crate::domain::{FieldError, Problem, ProblemCode, TextError, plain_text};

use super::tree::Tree;

/// Most mistakes of one request that are told.
const MOST: usize = 50;

/// What is wrong with a request.
#[derive(Debug, Clone, Default)]
pub(in crate::kill) struct Mistakes(Vec<Problem>);

impl Mistakes {
    /// What stands there is of another type, or nobody knows it.
    pub(in crate::kill) fn malformed(&mut self, field: &str, predicate: &str) {
        self.add(Problem::new(ProblemCode::Malformed, format!("{field} {predicate}")).at(field));
    }

    /// What stands there is of the right type and cannot be meant.
    pub(in crate::kill) fn invalid(&mut self, field: impl Into<String>, predicate: impl AsRef<str>) {
        self.add(Problem::invalid(field, predicate));
    }

    pub(in crate::kill) fn add(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// The same where nothing was told of that field before.
    pub(in crate::kill) fn add_unless_told(&mut self, problem: Problem) {
        if !problem.field.as_deref().is_some_and(|field| self.are_about(field)) {
            self.add(problem);
        }
    }

    /// Whether something is wrong there, or further in.
    pub(in crate::kill) fn are_about(&self, field: &str) -> bool {
        let is_in =
            |at: &str| at.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.0.iter().any(|problem| problem.field.as_deref().is_some_and(is_in))
    }

    /// All of it as one problem: `malformed` where one of them is; else what the first is.
    pub(in crate::kill) fn problem(mut self) -> Option<Problem> {
        let first = self.0.iter().position(|problem| problem.code == ProblemCode::Malformed).unwrap_or(0);
        if first >= self.0.len() {
            return None;
        }
        self.0.swap(0, first);
        let told = self.0.iter().take(MOST).filter_map(|problem| {
            problem.field.clone().map(|field| FieldError { field, detail: problem.detail.clone() })
        });
        let errors: Vec<FieldError> = told.collect();
        let many = self.0.len();
        let mut whole = self.0.swap_remove(0);
        if many > 1 {
            whole.detail = format!("{}; and {} more: see errors", whole.detail, many - 1);
        }
        whole.errors = errors;
        Some(whole)
    }
}

/// The members of an object that were not read yet.
#[derive(Debug)]
pub(in crate::kill) struct Members {
    path: String,
    members: Vec<(String, Tree)>,
}

impl Members {
    /// The members of what stands at `path`; `None` where that is no object. Of a member that is given twice the first
    /// counts, which helps nobody: it is a mistake.
    pub(in crate::kill) fn of(tree: Tree, path: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let Tree::Object(given) = tree else {
            let field = if path.is_empty() { "the body" } else { path };
            mistakes.malformed(field, "must be an object");
            return None;
        };
        let mut of = Self { path: path.to_owned(), members: Vec::with_capacity(given.len()) };
        let mut names = HashSet::with_capacity(given.len());
        for (name, value) in given {
            if names.insert(name.clone()) {
                of.members.push((name, value));
            } else {
                mistakes.malformed(&of.at(&name), "is given twice");
            }
        }
        Some(of)
    }

    /// The place of a member.
    pub(in crate::kill) fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A member, and `None` where it is left out or null.
    pub(in crate::kill) fn take(&mut self, name: &str) -> Option<Tree> {
        let place = self.members.iter().position(|(known, _)| known == name)?;
        Some(self.members.swap_remove(place).1).filter(|value| *value != Tree::Null)
    }

    /// A text, as it was written.
    pub(in crate::kill) fn text(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<String> {
        let value = self.take(name)?;
        if let Tree::Text(text) = value {
            return Some(text);
        }
        mistakes.malformed(&self.at(name), "must be text");
        None
    }

    /// A text of 1 to `most` characters that can all be seen.
    pub(in crate::kill) fn plain(&mut self, name: &str, most: usize, mistakes: &mut Mistakes) -> Option<String> {
        let text = self.text(name, mistakes)?;
        let problem = plain_text(&text, most).err().map(|error: TextError| error.to_string());
        match problem {
            None => Some(text),
            Some(problem) => {
                mistakes.invalid(self.at(name), problem);
                None
            }
        }
    }

    pub(in crate::kill) fn flag(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<bool> {
        let value = self.take(name)?;
        if let Tree::Flag(flag) = value {
            return Some(flag);
        }
        mistakes.malformed(&self.at(name), "must be true or false");
        None
    }

    /// The object that a member is.
    pub(in crate::kill) fn object(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let value = self.take(name)?;
        Self::of(value, &self.at(name), mistakes)
    }

    /// What is left, each with its name.
    pub(in crate::kill) fn rest(&mut self) -> Vec<(String, Tree)> {
        std::mem::take(&mut self.members)
    }

    /// Whatever was not read is no member of this object.
    pub(in crate::kill) fn finish(mut self, known: &[&str], mistakes: &mut Mistakes) {
        for (name, _) in self.rest() {
            mistakes.malformed(&self.at(&name), &format!("is unknown here: there is {}", known.join(", ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str, mistakes: &mut Mistakes) -> Members {
        Members::of(Tree::parse(text.as_bytes()).unwrap(), "", mistakes).unwrap()
    }

    #[test]
    fn every_mistake_is_told_and_what_is_malformed_goes_first() {
        let mut mistakes = Mistakes::default();
        let mut body = members(r#"{"a":"","b":7,"c":{"d":1,"d":2},"e":true}"#, &mut mistakes);
        assert_eq!((body.plain("a", 5, &mut mistakes), body.text("b", &mut mistakes)), (None, None));
        drop(body.object("c", &mut mistakes));
        body.finish(&["a", "b", "c"], &mut mistakes);
        let problem = mistakes.problem().unwrap();
        let told: Vec<_> = problem.errors.iter().map(|error| error.detail.as_str()).collect();
        assert_eq!(problem.code, ProblemCode::Malformed);
        assert_eq!(
            told,
            ["b must be text", "a must not be empty", "c.d is given twice", "e is unknown here: there is a, b, c"]
        );
        assert_eq!(problem.detail, "b must be text; and 3 more: see errors");
    }

    #[test]
    fn one_mistake_is_the_problem_and_none_is_none() {
        let mut mistakes = Mistakes::default();
        assert!(mistakes.clone().problem().is_none());
        mistakes.invalid("select.ids[2]", "is given twice");
        assert!(mistakes.are_about("select") && mistakes.are_about("select.ids[2]") && !mistakes.are_about("sel"));
        let problem = mistakes.problem().unwrap();
        assert_eq!((problem.detail.as_str(), problem.errors.len()), ("select.ids[2] is given twice", 1));
    }
}
