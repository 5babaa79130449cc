//! One gateway for each SQLite file: two would share no limits and take each other's kills for abandoned.

use std::{
    fs::{File, TryLockError},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// The only gateway on a file, for as long as it is held; the operating system lets go when the process ends, however it
/// does.
#[derive(Debug)]
pub(super) struct Alone {
    _held: File,
}

impl Alone {
    /// The lock is on a file beside it, `killgate.db.lock`: SQLite would lose its own locks on one that others open.
    ///
    /// # Errors
    /// Another gateway has it, or the folder takes no file.
    pub(super) fn with(record: &Path) -> anyhow::Result<Self> {
        // By whatever link it was found, it is the same record.
        let mut name = std::fs::canonicalize(record).unwrap_or_else(|_| record.to_owned()).into_os_string();
        name.push(".lock");
        let path = PathBuf::from(name);
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.with_context(|| format!("audit.sqlite_path: cannot make {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _held: file }),
            Err(TryLockError::WouldBlock) => {
                bail!("audit.sqlite_path: {} is the record of another gateway that runs now", record.display())
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_one_gateway_at_a_time_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let (record, link) = (folder.path().join("k.db"), folder.path().join("link.db"));
        File::create(&record).unwrap();
        std::os::unix::fs::symlink(&record, &link).unwrap();
        let first = Alone::with(&record).unwrap();
        for name in [&record, &link] {
            assert!(Alone::with(name).unwrap_err().to_string().contains("another gateway"));
        }
        drop(first);
        Alone::with(&link).unwrap();
    }
}
