//! One table of the configuration being read: it hands out checked values, notes what is wrong and goes on, and
//! in the end refuses the keys that nobody asked for.
//!
//! A text is taken wherever it spells the value that is wanted, since the environment has nothing but text.

mod elsewhere;
mod fields;

use std::{borrow::Cow, cell::RefCell, collections::BTreeMap, fmt::Display, ops::RangeInclusive, path::Path};

use toml::{Table, Value};

use super::{ConfigError, Problem, changes::Origin, source::Overlay};
use crate::domain::{Glob, plain_text};

/// What all sections share while they are read. No `Debug`: the environment is full of secrets.
pub(super) struct Reading {
    problems: RefCell<Vec<Problem>>,
    set_by: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
    origin: RefCell<Origin>,
}

impl Reading {
    pub(super) fn new(overlay: Overlay, tree: &Table, env: BTreeMap<String, String>) -> Self {
        let stray = |(path, message): (String, &str)| Problem { path, message: message.to_owned() };
        let problems = RefCell::new(overlay.astray.into_iter().map(stray).collect());
        let mut origin = Origin::default();
        origin.written(tree);
        Self { problems, set_by: overlay.set_by, env, origin: RefCell::new(origin) }
    }

    /// What was read, unless anything was wrong.
    pub(super) fn into_result<T>(self, read: Option<T>) -> Result<T, ConfigError> {
        let problems = self.problems.into_inner();
        read.filter(|_| problems.is_empty()).ok_or(ConfigError::Invalid(problems))
    }

    /// What was read so far.
    pub(super) fn origin(&self) -> Origin {
        self.origin.borrow().clone()
    }

    fn found(&self, path: String, file: Option<&Path>, bytes: &[u8]) {
        self.origin.borrow_mut().named(path, file, bytes);
    }

    fn note(&self, path: String, message: impl Into<String>) {
        let mut message = message.into();
        if let Some(variable) = self.set_by.get(&path) {
            message = format!("{message} (set by {variable})");
        }
        self.problems.borrow_mut().push(Problem { path, message });
    }
}

/// How names of tables such as `[accounts.NAME]` must look: what is expected, and the check.
pub(super) struct Naming<F>(pub(super) Cow<'static, str>, pub(super) F);

/// A table being read. Every method that takes a key makes it known.
pub(super) struct Section<'a> {
    path: String,
    table: Table,
    known: Vec<&'static str>,
    reading: &'a Reading,
}

impl<'a> Section<'a> {
    pub(super) fn root(table: Table, reading: &'a Reading) -> Self {
        Self::at(String::new(), table, reading)
    }

    const fn at(path: String, table: Table, reading: &'a Reading) -> Self {
        Self { path, table, known: Vec::new(), reading }
    }

    /// Notes that the value of `key` is wrong.
    pub(super) fn problem(&self, key: &str, message: impl Into<String>) {
        self.reading.note(join(&self.path, key), message);
    }

    /// Notes that the value at a whole path is wrong.
    pub(super) fn problem_at(&self, path: &str, message: impl Into<String>) {
        self.reading.note(path.to_owned(), message);
    }

    /// Notes that the section as a whole is wrong.
    pub(super) fn problem_here(&self, message: impl Into<String>) {
        self.reading.note(self.path.clone(), message);
    }

    /// Whether the key is set, well or badly.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Notes each of these keys that is not set.
    pub(super) fn require(&self, keys: &[&str]) {
        for key in keys.iter().filter(|key| !self.has(key)) {
            self.problem(key, "required");
        }
    }

    /// Makes keys known that not every path reads.
    pub(super) fn know(&mut self, keys: &[&'static str]) {
        for key in keys {
            if !self.known.contains(key) {
                self.known.push(key);
            }
        }
    }

    /// Leaves the remaining keys alone, where it cannot be said which of them are right.
    pub(super) fn ignore_rest(&mut self) {
        self.table.clear();
    }

    fn value(&mut self, key: &'static str) -> Option<&Value> {
        self.know(&[key]);
        self.table.get(key)
    }

    /// A value that `parse` makes of the text; the text is not repeated in the message.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.value_of(key, expected, |value| value.as_str().and_then(parse))
    }

    /// A value of whatever kind that `parse` takes; it is not repeated in the message.
    pub(super) fn value_of<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let parsed = parse(self.value(key)?);
        if parsed.is_none() {
            self.problem(key, expected);
        }
        parsed
    }

    /// A text of 1 to 255 characters without control characters.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.parsed(key, "must be a text of 1 to 255 characters", |text| plain_text(text, 255).ok().map(str::to_owned))
    }

    /// A whole number in the range.
    pub(super) fn number<T>(&mut self, key: &'static str, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let value = self.value(key)?;
        let number = match value {
            Value::Integer(number) => Some(*number),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.and_then(|number| T::try_from(number).ok()).filter(|number| range.contains(number));
        if number.is_none() {
            let found = shown(value);
            self.problem(key, format!("must be a whole number from {} to {}, not {found}", range.start(), range.end()));
        }
        number
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let flag = value.as_bool().or_else(|| value.as_str()?.trim().parse().ok());
        if flag.is_none() {
            let found = shown(value);
            self.problem(key, format!("must be true or false, not {found}"));
        }
        flag
    }

    /// A list of 1 or more values that `parse` makes of texts; one text is parted at its commas.
    pub(super) fn list_of<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let list = listed(self.value(key)?, parse);
        if list.is_none() {
            self.problem(key, expected);
        }
        list
    }

    /// A list of patterns; none where the key is not set.
    pub(super) fn globs(&mut self, key: &'static str) -> Vec<Glob> {
        self.list_of(key, "must be a list of one or more patterns", Glob::parse).unwrap_or_default()
    }

    /// What `read` makes of the table under `key`, which is taken for empty where it is not set.
    pub(super) fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'a>) -> T) -> T {
        let value = self.value(key).cloned().unwrap_or_else(|| Value::Table(Table::new()));
        self.below(join(&self.path, key), value, read)
    }

    /// What `read` makes of the table under `key`, where it is set.
    pub(super) fn table_if_set<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'a>) -> Option<T>,
    ) -> Option<T> {
        self.know(&[key]);
        if self.has(key) { self.table(key, read) } else { None }
    }

    /// What `read` makes of each table under `key`, by name.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        Naming(expected, fits): Naming<impl Fn(&str) -> bool>,
        mut read: impl FnMut(&str, &mut Section<'a>) -> T,
    ) -> BTreeMap<String, T> {
        self.table(key, |section| {
            let mut tables = BTreeMap::new();
            for (name, value) in std::mem::take(&mut section.table) {
                let path = join(&section.path, &name);
                if !fits(&name) {
                    section.reading.note(path.clone(), expected.clone());
                }
                let table = section.below(path, value, |section| read(&name, section));
                tables.insert(name, table);
            }
            tables
        })
    }

    /// What `read` makes of each value under `key`, by name.
    pub(super) fn by_name<T>(
        &mut self,
        key: &'static str,
        Naming(naming, fits): Naming<impl Fn(&str) -> bool>,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> BTreeMap<String, T> {
        self.table(key, |section| {
            let mut all = BTreeMap::new();
            for (name, value) in std::mem::take(&mut section.table) {
                if !fits(&name) {
                    section.problem(&name, naming.clone());
                }
                match read(&value) {
                    Some(read) => drop(all.insert(name, read)),
                    None => section.problem(&name, expected),
                }
            }
            all
        })
    }

    /// What `read` makes of each table in the list under `key`.
    pub(super) fn list<T>(&mut self, key: &'static str, mut read: impl FnMut(&mut Section<'a>) -> T) -> Vec<T> {
        let path = join(&self.path, key);
        match self.value(key).cloned() {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                let each = items.into_iter().enumerate();
                each.map(|(at, item)| self.below(format!("{path}[{at}]"), item, &mut read)).collect()
            }
            Some(_) => {
                self.problem(key, format!("must be a list of tables, [[{path}]]"));
                Vec::new()
            }
        }
    }

    fn below<T>(&self, path: String, value: Value, read: impl FnOnce(&mut Section<'a>) -> T) -> T {
        let table = if let Value::Table(table) = value {
            table
        } else {
            self.reading.note(path.clone(), "must be a table");
            Table::new()
        };
        let mut section = Section::at(path, table, self.reading);
        let read = read(&mut section);
        section.refuse_unknown();
        read
    }

    /// Takes all keys that nobody asked for yet, as texts; whole numbers are spelled out.
    pub(super) fn remaining_texts(&mut self) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for (key, value) in std::mem::take(&mut self.table) {
            if self.known.contains(&key.as_str()) {
                continue;
            }
            let text = value.as_integer().map(|n| n.to_string()).or_else(|| value.as_str().map(str::to_owned));
            match text.filter(|text| plain_text(text, 255).is_ok()) {
                Some(text) => drop(texts.insert(key, text)),
                None => self.problem(&key, "must be a text of 1 to 255 characters"),
            }
        }
        texts
    }

    /// Notes the keys that nobody asked for.
    pub(super) fn refuse_unknown(&self) {
        for key in self.table.keys().filter(|key| !self.known.contains(&key.as_str())) {
            self.problem(key, format!("unknown key, expected one of {}", self.known.join(", ")));
        }
    }
}

/// A list of 1 or more values that `parse` makes of texts; one text is parted at its commas.
pub(super) fn listed<T>(value: &Value, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let texts: Option<Vec<&str>> = match value {
        Value::String(text) => Some(text.split(',').map(str::trim).collect()),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    };
    let list: Option<Vec<T>> = texts.and_then(|texts| texts.into_iter().map(parse).collect());
    list.filter(|list| !list.is_empty())
}

/// The path of a key, quoted as TOML would have it.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// A value that is no secret, short enough for a message.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().count() <= 40 => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        other => format!("a {}", other.type_str()),
    }
}
