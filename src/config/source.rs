//! The file, with the environment laid over it.
//!
//! `KILLGATE__SERVER__LISTEN` is `server.listen`: `__` parts the names, and case does not matter. Since a variable
//! cannot have every character, `_` also stands for the `-` or `.` of a name that the file already has:
//! `KILLGATE__ACCOUNTS__HUAWEI_PROD__REGION` reaches `[accounts.huawei-prod]`. `DATABASE_URL` is
//! `audit.database_url`, unless the longer name is set as well. Values stay text until a section takes them.
//!
//! `KILLGATE_DEFAULT__SERVER__LISTEN` is for whoever packs killgate, not for whoever runs it: it sets what nothing else
//! sets.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{ConfigError, DEFAULT_FILE, section::join};

const PREFIX: &str = "KILLGATE__";
const DEFAULT_PREFIX: &str = "KILLGATE_DEFAULT__";

/// Which variable set which key, and the variables that can set none.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// The variable, by the key's path.
    pub(super) set_by: BTreeMap<String, String>,
    /// Variables whose name leads nowhere, and why.
    pub(super) astray: Vec<(String, &'static str)>,
}

/// The file as a tree; an empty tree where the default file is absent.
pub(super) fn read_file(
    path: Option<&Path>,
    env: &BTreeMap<String, String>,
) -> Result<(Option<PathBuf>, Table), ConfigError> {
    let asked_for = path.map(Path::to_path_buf).or_else(|| env.get("KILLGATE_CONFIG").map(PathBuf::from));
    let path = asked_for.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if asked_for.is_none() && error.kind() == io::ErrorKind::NotFound => {
            return Ok((None, Table::new()));
        }
        Err(why) => return Err(ConfigError::File { path, why }),
    };
    Ok((Some(path.clone()), parse(path, &text)?))
}

/// The text as a tree; `path` is what an error calls it.
pub(super) fn parse(path: PathBuf, text: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|error| syntax(path, text, &error))
}

/// Where the file stops being TOML. The parser's own rendering quotes the line, and with it a secret.
fn syntax(path: PathBuf, text: &str, error: &toml::de::Error) -> ConfigError {
    let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    ConfigError::Syntax { path, line, column, message: error.message().to_owned() }
}

/// Sets in `tree` what the environment says.
pub(super) fn lay_over(tree: &mut Table, env: &BTreeMap<String, String>) -> Overlay {
    let mut overlay = Overlay::default();
    for (variable, value) in env {
        if let Some(names) = names(variable, DEFAULT_PREFIX)
            && !is_set(tree, &names.split("__").collect::<Vec<_>>())
        {
            overlay.set(tree, variable, &names.split("__").collect::<Vec<_>>(), value);
        }
    }
    if let Some(url) = env.get("DATABASE_URL") {
        overlay.set(tree, "DATABASE_URL", &["audit", "database_url"], url);
    }
    for (variable, value) in env {
        if let Some(names) = names(variable, PREFIX) {
            overlay.set(tree, variable, &names.split("__").collect::<Vec<_>>(), value);
        }
    }
    overlay
}

/// The names that a variable with that prefix leads to.
fn names(variable: &str, prefix: &str) -> Option<String> {
    variable.to_ascii_uppercase().strip_prefix(prefix).map(str::to_ascii_lowercase)
}

/// Whether the tree has a value where the names lead.
fn is_set(table: &Table, names: &[&str]) -> bool {
    let Some((name, rest)) = names.split_first() else { return true };
    let below = existing(table, name).and_then(|key| table.get(&key));
    below.is_some_and(|below| below.as_table().is_none_or(|table| is_set(table, rest)))
}

impl Overlay {
    fn set(&mut self, tree: &mut Table, variable: &str, names: &[&str], value: &str) {
        if names.iter().any(|name| name.is_empty()) {
            return self.astray.push((variable.to_owned(), "has an empty name between its underscores"));
        }
        match put(tree, names, value, String::new()) {
            Some(path) => drop(self.set_by.insert(path, variable.to_owned())),
            None => self.astray.push((variable.to_owned(), "is in a list, which only the file can hold")),
        }
    }
}

/// Puts the value where the names lead and gives the path; `None` where they lead into a list.
fn put(table: &mut Table, names: &[&str], value: &str, path: String) -> Option<String> {
    let Some((name, rest)) = names.split_first() else { return Some(path) };
    let key = existing(table, name).unwrap_or_else(|| (*name).to_owned());
    let path = join(&path, &key);
    if rest.is_empty() {
        table.insert(key, Value::String(value.to_owned()));
        return Some(path);
    }
    let below = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
    if below.is_array() {
        return None;
    }
    if !below.is_table() {
        *below = Value::Table(Table::new());
    }
    put(below.as_table_mut()?, rest, value, path)
}

/// The key that the table has under this name, or under one that a variable cannot spell.
fn existing(table: &Table, name: &str) -> Option<String> {
    let spelled = |key: &String| key.to_ascii_lowercase().replace(['-', '.'], "_");
    let same = table.keys().find(|key| *key == name);
    same.or_else(|| table.keys().find(|key| spelled(key) == name)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_over(file: &str, env: &[(&str, &str)]) -> (Table, Overlay) {
        let mut tree: Table = file.parse().unwrap();
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let overlay = lay_over(&mut tree, &env);
        (tree, overlay)
    }

    #[test]
    fn the_environment_reaches_every_name_that_the_file_has() {
        let file = "[accounts.huawei-prod]\nregion = 'a'\n[targets.'Orders.ro']\nvendor = 'das'";
        let (tree, overlay) = laid_over(
            file,
            &[
                ("KILLGATE__ACCOUNTS__HUAWEI_PROD__REGION", "b"),
                ("killgate__targets__orders_ro__vendor", "dcdb"),
                ("KILLGATE__SERVER__LOG__FORMAT", "json"),
                ("KILLGATE_CONFIG", "elsewhere"),
                ("DATABASE_URL", "postgres://db"),
            ],
        );
        let expected = "audit.database_url = 'postgres://db'\nserver.log.format = 'json'\n\
                        [accounts.huawei-prod]\nregion = 'b'\n[targets.'Orders.ro']\nvendor = 'dcdb'";
        assert_eq!(tree, expected.parse::<Table>().unwrap());
        assert_eq!(overlay.set_by["accounts.huawei-prod.region"], "KILLGATE__ACCOUNTS__HUAWEI_PROD__REGION");
        assert_eq!(overlay.set_by["targets.\"Orders.ro\".vendor"], "killgate__targets__orders_ro__vendor");
    }

    #[test]
    fn a_default_of_whoever_packs_it_goes_below_all_else() {
        let defaults = [("KILLGATE_DEFAULT__SERVER__LISTEN", "a"), ("KILLGATE_DEFAULT__AUDIT__SQLITE_PATH", "b")];
        let (tree, _) = laid_over("", &defaults);
        assert_eq!(tree, "server.listen = 'a'\naudit.sqlite_path = 'b'".parse::<Table>().unwrap());
        let (tree, _) = laid_over("[server]\nlisten = 'file'\nworkers = 1", &defaults);
        assert_eq!(tree["server"]["listen"].as_str(), Some("file"));
        let own = [defaults[0], defaults[1], ("KILLGATE__SERVER__LISTEN", "environment")];
        let (tree, overlay) = laid_over("", &own);
        assert_eq!(tree["server"]["listen"].as_str(), Some("environment"));
        assert_eq!(overlay.set_by["server.listen"], "KILLGATE__SERVER__LISTEN");
    }

    #[test]
    fn the_longer_name_of_the_database_wins_and_names_that_lead_nowhere_are_told() {
        let (tree, overlay) = laid_over(
            "[[protect]]\nusers = ['a']",
            &[
                ("DATABASE_URL", "postgres://a"),
                ("KILLGATE__AUDIT__DATABASE_URL", "postgres://b"),
                ("KILLGATE__PROTECT__0__USERS", "b"),
                ("KILLGATE__SERVER____LISTEN", "c"),
            ],
        );
        assert_eq!(tree["audit"]["database_url"].as_str(), Some("postgres://b"));
        let astray: Vec<_> = overlay.astray.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(astray, ["KILLGATE__PROTECT__0__USERS", "KILLGATE__SERVER____LISTEN"]);
    }
}
