//! The tokens that `killgate login` keeps: one file, which nobody else may read, and in it one entry for each gateway.
//!
//! The invariant: a token goes to the gateway that it was kept for and to no other.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use url::Url;

use super::failure::Failure;
use crate::unfinished::Unfinished;

/// What the file has.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Store {
    /// The gateway of the last login.
    pub(super) current: Option<String>,
    pub(super) gateways: BTreeMap<String, Login>,
}

/// What came of one login.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Login {
    pub(super) access_token: String,
    /// Seconds since 1970 at which the token runs out, where that is known.
    pub(super) expires_at: Option<i64>,
    /// How it is made anew.
    pub(super) refresh: Option<Refresh>,
}

/// What a token is made anew with.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Refresh {
    pub(super) token: String,
    pub(super) issuer: String,
    pub(super) client_id: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl fmt::Debug for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Login {
    /// Whether it is of no use any more, or will not be in a moment.
    pub(super) fn is_over(&self, now: OffsetDateTime) -> bool {
        self.expires_at.is_some_and(|at| at <= now.unix_timestamp() + 30)
    }
}

/// The entry of a gateway.
pub(super) fn name_of(gateway: &Url) -> String {
    gateway.as_str().trim_end_matches('/').to_owned()
}

/// Where the file is: below `XDG_CONFIG_HOME`, or else `~/.config`.
pub(super) fn path() -> Result<PathBuf, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    let base = base.ok_or_else(|| Failure::here("neither HOME nor XDG_CONFIG_HOME says where a login is kept"))?;
    Ok(base.join("killgate").join("logins.json"))
}

impl Store {
    /// What is kept; nothing where there is no file.
    ///
    /// # Errors
    /// A file that cannot be read, or that others may read.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::here(format!("cannot read {name}: {error}"))),
        };
        let mode = file.metadata().map(|metadata| metadata.permissions().mode()).unwrap_or_default();
        if mode & 0o077 != 0 {
            let failure = Failure::here(format!("{name} may be read by others, so its tokens are not used"));
            return Err(failure.hint(format!("chmod 600 {name}, or log in again after removing it")));
        }
        // No word of its content: there are tokens in it.
        let unreadable = |_| {
            let failure = Failure::here(format!("{name} was not written by this command"));
            failure.hint(format!("remove {name}, and log in again"))
        };
        serde_json::from_reader(io::BufReader::new(file)).map_err(unreadable)
    }

    /// Takes the place of what was kept, as a whole.
    ///
    /// # Errors
    /// A folder or file that cannot be written.
    pub(super) fn save(&self, path: &Path) -> Result<(), Failure> {
        let write = || {
            let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let unfinished = Unfinished::of(path)?;
            let mut file = unfinished.create()?;
            serde_json::to_writer(&mut file, self)?;
            file.flush()?;
            file.sync_all()?;
            unfinished.finish()
        };
        write().map_err(|error| Failure::here(format!("cannot write {}: {error}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(token: &str) -> Login {
        Login { access_token: token.to_owned(), expires_at: Some(1000), refresh: None }
    }

    #[test]
    fn what_is_kept_is_for_its_owner_alone_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("killgate").join("logins.json");
        let gateways = BTreeMap::from([("https://a".to_owned(), login("canary"))]);
        let store = Store { current: Some("https://a".to_owned()), gateways };
        store.save(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(Store::open(&path).unwrap().gateways["https://a"].access_token, "canary");
        assert!(!format!("{store:?}").contains("canary"));
        store.save(&path).unwrap();
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_may_read_is_not_used_and_none_is_no_login() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logins.json");
        assert!(Store::open(&path).unwrap().gateways.is_empty());
        fs::write(&path, r#"{"current":null,"gateways":{}}"#).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Store::open(&path).unwrap_err().sentence.contains("may be read by others"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Store::open(&path).unwrap();
        fs::write(&path, "canary").unwrap();
        assert!(!Store::open(&path).unwrap_err().to_string().contains("canary"));
    }

    #[test]
    fn a_token_is_over_a_moment_before_it_runs_out() {
        let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        assert!(!login("t").is_over(at(969)) && login("t").is_over(at(970)));
        assert!(!Login { expires_at: None, ..login("t") }.is_over(at(1_000_000)));
    }
}
