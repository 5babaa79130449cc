//! What stands elsewhere than in the file: secrets, certificates, variables.

use std::path::Path;

use actix_web::http::header::HeaderValue;
use toml::Value;

use super::{Naming, Section, join};
use crate::{config::Secret, pem};

const VALUE: &str = "must be a value that a header can have: one line of visible characters";

impl Section<'_> {
    /// A secret, found where the value says.
    pub(in crate::config) fn secret(&mut self, key: &'static str) -> Option<Secret> {
        let value = self.value(key)?.clone();
        match self.resolve(key, &value) {
            Ok(secret) => Some(secret),
            Err(message) => {
                self.problem(key, message);
                None
            }
        }
    }

    /// One secret or a list of them, the first of which is the newest; `check` says what is wrong with one.
    pub(in crate::config) fn secrets(
        &mut self,
        key: &'static str,
        check: impl Fn(&Secret) -> Result<(), &'static str>,
    ) -> Option<Vec<Secret>> {
        let each = match self.value(key)?.clone() {
            Value::Array(items) if items.is_empty() => {
                self.problem(key, "must not be an empty list");
                return None;
            }
            Value::Array(items) => {
                items.into_iter().enumerate().map(|(at, item)| (format!("{key}[{at}]"), item)).collect()
            }
            one => vec![(key.to_owned(), one)],
        };
        let read = each.iter().map(|(name, value)| {
            let secret = self.resolve(name, value);
            let good = secret.and_then(|secret| check(&secret).map(|()| secret).map_err(str::to_owned));
            // As it is, since the name is a key and its place in a list.
            let path = if self.path.is_empty() { name.clone() } else { format!("{}.{name}", self.path) };
            good.map_err(|message| self.problem_at(&path, message)).ok()
        });
        // All of them, so that each mistake is told.
        read.collect::<Vec<_>>().into_iter().collect()
    }

    /// Headers by name, whose values are secrets: the table under `key`.
    pub(in crate::config) fn headers(
        &mut self,
        key: &'static str,
        Naming(naming, fits): Naming<impl Fn(&str) -> bool>,
    ) -> Vec<(String, Secret)> {
        self.table(key, |section| {
            let mut all = vec![];
            for (name, value) in std::mem::take(&mut section.table) {
                match section.resolve(&name, &value) {
                    _ if !fits(&name) => section.problem(&name, naming.clone()),
                    Ok(secret) if HeaderValue::from_str(secret.expose()).is_err() => section.problem(&name, VALUE),
                    Ok(secret) => all.push((name, secret)),
                    Err(message) => section.problem(&name, message),
                }
            }
            all
        })
    }

    /// What stands in the file that `key` names.
    pub(in crate::config) fn file(&mut self, key: &'static str) -> Option<Vec<u8>> {
        let path = self.text(key)?;
        match std::fs::read(&path) {
            Ok(bytes) => {
                self.reading.found(join(&self.path, key), Some(path.as_ref()), &bytes);
                Some(bytes)
            }
            Err(error) => {
                self.problem(key, format!("cannot be read: {}", error.kind()));
                None
            }
        }
    }

    /// Certificates of authorities, as PEM, in the file that `key` names.
    pub(in crate::config) fn authorities(&mut self, key: &'static str) -> Option<Vec<u8>> {
        let pem = self.file(key)?;
        let good = pem::certificates(&pem).is_some();
        if !good {
            self.problem(key, "holds no certificate (PEM)");
        }
        good.then_some(pem)
    }

    /// The secret that a value names.
    fn resolve(&self, key: &str, value: &Value) -> Result<Secret, String> {
        let secret = Secret::resolve(value, &self.reading.env)?;
        let file = value.get("file").and_then(Value::as_str);
        self.reading.found(join(&self.path, key), file.map(Path::new), secret.expose().as_bytes());
        Ok(secret)
    }

    /// A variable of the environment.
    pub(in crate::config) fn variable(&self, name: &str) -> Option<String> {
        self.reading.env.get(name).cloned()
    }
}
