//! Values that are never shown.

use std::{collections::BTreeMap, fs};

use secrecy::{ExposeSecret, SecretString};
use toml::Value;

/// What a secret looks like in the file, for errors.
pub(super) const EXPECTED: &str = "must be { env = \"NAME\" }, { file = \"PATH\" } or a string";

/// A secret: `Debug` shows that there is one, and only [`Secret::expose`] gives it away.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The secret itself, for signing, verifying and connecting only.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether it can sign: HMAC-SHA-256 wants a key that is no shorter than what it makes (RFC 7518, section 3.2).
    pub(super) fn long_enough(&self) -> Result<(), &'static str> {
        if self.expose().len() < 32 { Err("must have at least 32 bytes") } else { Ok(()) }
    }

    /// Finds the secret that `value` names, in `env` or in a file whose last line break does not count.
    /// The error says what is wrong without any part of the value.
    pub(super) fn resolve(value: &Value, env: &BTreeMap<String, String>) -> Result<Self, String> {
        let secret = match value {
            Value::String(plain) => plain.clone(),
            Value::Table(table) if table.len() == 1 => match (table.get("env"), table.get("file")) {
                (Some(Value::String(name)), None) => env
                    .get(name)
                    .cloned()
                    .ok_or_else(|| format!("the environment variable {} is not set", shown(name)))?,
                (None, Some(Value::String(path))) => {
                    let text = fs::read_to_string(path)
                        .map_err(|error| format!("the file it names cannot be read: {}", error.kind()))?;
                    without_line_break(&text).to_owned()
                }
                _ => return Err(EXPECTED.to_owned()),
            },
            _ => return Err(EXPECTED.to_owned()),
        };
        if secret.is_empty() { Err("must not be empty".to_owned()) } else { Ok(Self::from(secret)) }
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(SecretString::from(secret))
    }
}

/// The name of a variable, unless it looks as if the secret itself had been put in its place.
fn shown(name: &str) -> &str {
    let usual = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if usual && !name.is_empty() { name } else { "it names" }
}

fn without_line_break(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(toml: &str) -> Result<Secret, String> {
        let env = BTreeMap::from([("NAME".to_owned(), "from env".to_owned()), ("EMPTY".to_owned(), String::new())]);
        let table: toml::Table = toml.parse().unwrap();
        Secret::resolve(&table["it"], &env)
    }

    #[test]
    fn a_secret_comes_from_the_environment_a_file_or_the_text_itself() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "from file\r\n").unwrap();
        assert_eq!(resolve("it = { env = 'NAME' }").unwrap().expose(), "from env");
        assert_eq!(resolve(&format!("it = {{ file = '{}' }}", file.display())).unwrap().expose(), "from file");
        assert_eq!(resolve("it = '007123'").unwrap().expose(), "007123");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let refused = |toml| resolve(toml).unwrap_err();
        assert_eq!(refused("it = { env = 'OTHER' }"), "the environment variable OTHER is not set");
        assert_eq!(refused("it = { env = 'canary-secret' }"), "the environment variable it names is not set");
        assert_eq!(refused("it = { env = 'EMPTY' }"), "must not be empty");
        assert_eq!(refused("it = { file = '/nowhere/canary' }"), "the file it names cannot be read: entity not found");
        for odd in ["it = 7", "it = ['canary']", "it = { env = 'A', file = 'B' }", "it = { enf = 'A' }", "it = {}"] {
            assert_eq!(refused(odd), EXPECTED, "{odd}");
        }
        assert!(!format!("{:?}", resolve("it = 'canary'").unwrap()).contains("canary"));
    }
}
