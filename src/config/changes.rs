//! What differs between two configurations, and what of it can be had without a restart.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use aws_lc_rs::digest::{SHA256, digest};
use toml::{Table, Value};

use super::{Config, Server, section::join};

type Digest = Vec<u8>;

/// What a configuration was read from: its parts, and what these name that stands elsewhere, in files of their own and in the
/// environment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Origin {
    files: BTreeSet<PathBuf>,
    /// The SHA-256 of each part as it is written, by its path.
    parts: BTreeMap<String, Digest>,
    /// The same of what stands elsewhere, by the path of the key that names it.
    named: BTreeMap<String, Digest>,
}

/// Sections of which each member is a part by itself.
const OF_PARTS: [&str; 4] = ["vendors", "accounts", "targets", "webhooks"];
/// What of `server` can be had without a restart.
const FILTER: &str = "server.log.filter";

impl Origin {
    /// Notes what is written.
    pub(super) fn written(&mut self, tree: &Table) {
        for (section, value) in tree {
            match value {
                Value::Table(members) if OF_PARTS.contains(&section.as_str()) => {
                    for (name, value) in members {
                        self.part(join(section, name), value);
                    }
                }
                Value::Table(server) if section == "server" => {
                    let mut server = server.clone();
                    if let Some(Value::Table(log)) = server.get_mut("log") {
                        if let Some(filter) = log.remove("filter") {
                            self.part(FILTER.to_owned(), &filter);
                        }
                        if log.is_empty() {
                            server.remove("log");
                        }
                    }
                    if !server.is_empty() {
                        self.part(section.clone(), &Value::Table(server));
                    }
                }
                _ => self.part(section.clone(), value),
            }
        }
    }

    fn part(&mut self, path: String, value: &Value) {
        self.parts.insert(path, hash(format!("{value:?}").as_bytes()));
    }

    /// Notes what stands elsewhere: in that file, or in the environment.
    pub(super) fn named(&mut self, path: String, file: Option<&Path>, bytes: &[u8]) {
        self.files.extend(file.map(Path::to_path_buf));
        self.named.insert(path, hash(bytes));
    }

    /// What the part of that path says, and what it names.
    fn of(&self, path: &str) -> (Option<&Digest>, BTreeMap<&String, &Digest>) {
        (self.parts.get(path), self.named.iter().filter(|(key, _)| is_within(key, path)).collect())
    }

    /// This, and of `old` what needs a restart.
    fn with_those_of(mut self, old: &Self) -> Self {
        for (ours, old) in [(&mut self.parts, &old.parts), (&mut self.named, &old.named)] {
            ours.retain(|path, _| !is_later(path));
            ours.extend(old.clone().into_iter().filter(|(path, _)| is_later(path)));
        }
        self
    }

    /// When each of the files was last written, and how long it is. One that is not there, as while it is being replaced, is
    /// left out.
    #[must_use]
    pub fn stamps(&self) -> BTreeMap<PathBuf, (SystemTime, u64)> {
        let stamp = |path: &PathBuf| {
            let seen = fs::metadata(path).ok()?;
            Some((path.clone(), (seen.modified().ok()?, seen.len())))
        };
        self.files.iter().filter_map(stamp).collect()
    }
}

/// Whether a path is that part, or stands in it.
fn is_within(path: &str, part: &str) -> bool {
    path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether what stands there can be had with a restart alone.
fn is_later(path: &str) -> bool {
    path != FILTER && LATER.iter().any(|section| is_within(path, section))
}

fn hash(bytes: &[u8]) -> Digest {
    digest(&SHA256, bytes).as_ref().to_vec()
}

/// Says where, and nothing of what.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.files).finish()
    }
}

/// What differs, by the paths of keys and sections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// What can be had now: each with `added`, `removed` or `changed`.
    pub now: Vec<String>,
    /// What needs a restart.
    pub later: Vec<String>,
    /// The paths of what can be had now.
    paths: Vec<String>,
}

/// What needs a restart where it has changed.
const LATER: [&str; 5] = ["server", "audit", "seal", "console", "traces"];

impl Changes {
    /// Whether anything changes at once in one of these sections.
    #[must_use]
    pub fn touch(&self, sections: &[&str]) -> bool {
        self.paths.iter().any(|path| sections.iter().any(|section| is_within(path, section)))
    }

    /// Whether nothing but the filter of the log changes at once.
    #[must_use]
    pub fn are_of_the_log(&self) -> bool {
        self.paths.iter().all(|path| path == FILTER)
    }
}

impl Config {
    /// What `next` says otherwise than this one.
    #[must_use]
    pub fn changes(&self, next: &Self) -> Changes {
        let mut changes = Changes::default();
        let paths: BTreeSet<_> = self.origin.parts.keys().chain(next.origin.parts.keys()).collect();
        for path in paths {
            let (before, after) = (self.origin.of(path), next.origin.of(path));
            if before == after {
                continue;
            }
            let is_whole = OF_PARTS.iter().any(|section| is_within(path, section));
            let what = match (before.0, after.0) {
                (None, _) if is_whole => "added",
                (_, None) if is_whole => "removed",
                // A section that is not written has what is usual.
                _ => "changed",
            };
            if is_later(path) {
                changes.later.push(path.clone());
            } else {
                changes.now.push(format!("{path} {what}"));
                changes.paths.push(path.clone());
            }
        }
        changes
    }

    /// This configuration, and of `old` what cannot be changed without a restart.
    #[must_use]
    pub fn keeping_what_needs_a_restart(self, old: &Self) -> Self {
        let server = Server { log: self.server.log, ..old.server.clone() };
        let origin = self.origin.with_those_of(&old.origin);
        let (audit, seal, console) = (old.audit.clone(), old.seal.clone(), old.console.clone());
        let traces = old.traces.clone();
        Self { server, audit, seal, console, traces, origin, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;

    const BEFORE: &str = "[server]\nworkers = 1\n[callers]\nburst = 5\n[webhooks.portal]\nurl = 'https://portal'\n\
                          secret = 'canary-canary-canary-canary'\n";

    #[test]
    fn what_differs_is_told_by_its_path_and_never_by_its_value() {
        let before = read(BEFORE);
        assert_eq!(before.changes(&read(BEFORE)), super::Changes::default());
        let after = read(&format!(
            "{}[webhooks.other]\nurl = 'https://other'\nsecret = 'canary-canary-canary-canary'\n[server.log]\n\
             filter = 'debug'\n[audit]\ntimeout_ms = 100\n[console]\nenabled = true\n[traces]\nsample = 0.5\n",
            BEFORE
                .replace("burst = 5", "burst = 6")
                .replace("workers = 1", "workers = 2")
                .replace("'canary-", "'another-")
        ));
        let changes = before.changes(&after);
        assert_eq!(
            changes.now,
            ["callers changed", "server.log.filter changed", "webhooks.other added", "webhooks.portal changed"]
        );
        assert_eq!(changes.later, ["audit", "console", "server", "traces"]);
        let back = after.changes(&before);
        assert!(back.now.contains(&"webhooks.other removed".to_owned()), "{back:?}");
        assert!(!format!("{after:?} {changes:?}").contains("canary"));
        let kept = after.keeping_what_needs_a_restart(&before);
        assert_eq!((kept.server.workers, kept.audit.timeout.as_secs(), kept.callers.burst), (1, 3, 6));
        assert_eq!(before.changes(&kept).later, Vec::<String>::new());
    }

    #[test]
    fn whatever_is_written_otherwise_is_told() {
        let read = |webhook: &str, auth: &str| {
            read(&format!(
                "[webhooks.portal]\nurl = 'https://portal'\nsecret = 'canary-canary-canary-canary'\n{webhook}\n[auth]\n\
                 issuer = 'sso'\naudience = 'k'\njwks_url = 'https://sso/keys{auth}'"
            ))
        };
        let before = read("", "");
        assert_eq!(before.changes(&read("status = ['failed']", "")).now, ["webhooks.portal changed"]);
        assert_eq!(before.changes(&read("vendors = ['das']", "")).now, ["webhooks.portal changed"]);
        let changes = before.changes(&read("", "?tenant=2"));
        assert_eq!(changes.now, ["auth changed"]);
        assert!(changes.touch(&["auth"]) && !changes.touch(&["a", "auth.issuers"]) && !changes.are_of_the_log());
    }

    #[test]
    fn a_secret_in_a_file_is_another_one_when_the_file_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let toml = format!(
            "[auth]\nissuer = 'sso'\naudience = 'k'\nhs256_secret = [{{ file = '{}' }}, '{}']",
            file.display(),
            "o".repeat(32)
        );
        std::fs::write(&file, "a".repeat(32)).unwrap();
        let (before, stamps) = (read(&toml), read(&toml).origin.stamps());
        assert_eq!((stamps.len(), &stamps), (1, &before.origin.stamps()));
        std::fs::write(&file, "b".repeat(33)).unwrap();
        assert_ne!(before.origin.stamps(), stamps);
        assert_eq!(before.changes(&read(&toml)).now, ["auth changed"]);
    }
}
