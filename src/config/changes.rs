//! What differs between two configurations, and what of it can be had without a restart.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use aws_lc_rs::digest::{SHA256, digest};

use super::{Config, Server};

/// What a configuration says elsewhere than in its file: in files of their own, and in the environment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Elsewhere {
    files: BTreeSet<PathBuf>,
    /// What stands there by the path of its key, as SHA-256: to tell that it is another one.
    digests: BTreeMap<String, Vec<u8>>,
}

impl Elsewhere {
    pub(super) fn found(&mut self, path: String, file: Option<&Path>, bytes: &[u8]) {
        self.files.extend(file.map(Path::to_path_buf));
        self.digests.insert(path, digest(&SHA256, bytes).as_ref().to_vec());
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

/// Says where, and nothing of what.
impl fmt::Debug for Elsewhere {
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
}

/// What needs a restart where it has changed.
const LATER: [&str; 4] = ["server", "audit", "seal", "console"];

impl Config {
    /// What `next` says otherwise than this one.
    #[must_use]
    pub fn changes(&self, next: &Self) -> Changes {
        let (before, after) = (self.parts(), next.parts());
        let mut changes = Changes::default();
        for path in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let what = match (before.get(path), after.get(path)) {
                (Some(before), Some(after)) if before == after => continue,
                (Some(_), Some(_)) => "changed",
                (None, _) => "added",
                (_, None) => "removed",
            };
            if LATER.contains(&path.as_str()) {
                changes.later.push(path.clone());
            } else {
                changes.now.push(format!("{path} {what}"));
            }
        }
        changes
    }

    /// This configuration, and of `old` what cannot be changed without a restart.
    #[must_use]
    pub fn keeping_what_needs_a_restart(self, old: &Self) -> Self {
        let server = Server { log: self.server.log, ..old.server.clone() };
        let elsewhere = self.elsewhere.with_those_of(&old.elsewhere);
        Self {
            server,
            audit: old.audit.clone(),
            seal: old.seal.clone(),
            console: old.console.clone(),
            elsewhere,
            ..self
        }
    }

    /// Each part as a text that is another one where the part is.
    fn parts(&self) -> BTreeMap<String, String> {
        let mut parts = BTreeMap::new();
        let mut add = |path: String, value: &dyn fmt::Debug| {
            let within = |key: &&String| **key == path || key.starts_with(&format!("{path}."));
            let digests: Vec<_> = self.elsewhere.digests.iter().filter(|(key, _)| within(key)).collect();
            parts.insert(path.clone(), format!("{value:?} {digests:?}"));
        };
        let Server { log, .. } = &self.server;
        let usual = super::Log { format: log.format, filter: String::new() };
        add("server".to_owned(), &Server { log: usual, ..self.server.clone() });
        add("server.log.filter".to_owned(), &log.filter);
        add("audit".to_owned(), &self.audit);
        add("seal".to_owned(), &self.seal);
        add("tls".to_owned(), &self.tls);
        add("egress".to_owned(), &self.egress);
        add("console".to_owned(), &self.console);
        add("auth".to_owned(), &self.auth);
        add("login".to_owned(), &self.login);
        add("access".to_owned(), &self.access);
        add("callers".to_owned(), &self.callers);
        add("confirm".to_owned(), &self.confirm);
        add("returned".to_owned(), &self.returned);
        add("protect".to_owned(), &self.protect);
        for (name, limits) in &self.vendors {
            add(format!("vendors.{name}"), limits);
        }
        for (name, account) in &self.accounts {
            add(format!("accounts.{name}"), account);
        }
        for (alias, target) in &self.targets {
            add(format!("targets.{alias}"), target);
        }
        for webhook in &self.webhooks {
            add(format!("webhooks.{}", webhook.name), webhook);
        }
        parts
    }
}

impl Elsewhere {
    /// This, and of `old` what stands in sections that need a restart.
    fn with_those_of(mut self, old: &Self) -> Self {
        let is_later = |key: &String| LATER.iter().any(|section| key.starts_with(&format!("{section}.")));
        self.digests.retain(|key, _| !is_later(key));
        self.digests.extend(old.digests.clone().into_iter().filter(|(key, _)| is_later(key)));
        self
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
             filter = 'debug'\n[audit]\ntimeout_ms = 100\n[console]\nenabled = true\n",
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
        assert_eq!(changes.later, ["audit", "console", "server"]);
        let back = after.changes(&before);
        assert!(back.now.contains(&"webhooks.other removed".to_owned()), "{back:?}");
        assert!(!format!("{after:?} {changes:?}").contains("canary"));
        let kept = after.keeping_what_needs_a_restart(&before);
        assert_eq!((kept.server.workers, kept.audit.timeout.as_secs(), kept.callers.burst), (1, 3, 6));
        assert_eq!(before.changes(&kept).later, Vec::<String>::new());
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
        let (before, stamps) = (read(&toml), read(&toml).elsewhere.stamps());
        assert_eq!((stamps.len(), &stamps), (1, &before.elsewhere.stamps()));
        std::fs::write(&file, "b".repeat(33)).unwrap();
        assert_ne!(before.elsewhere.stamps(), stamps);
        assert_eq!(before.changes(&read(&toml)).now, ["auth changed"]);
    }
}
