//! A file that has its name once it is complete, for its owner alone: it has the record in it, or tokens.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// A file under another name; removed with the value where it was not given its own.
#[derive(Debug)]
pub(crate) struct Unfinished<'p> {
    path: PathBuf,
    meant: &'p Path,
}

impl<'p> Unfinished<'p> {
    /// One that is to have that name.
    ///
    /// # Errors
    /// That is no name of a file.
    pub(crate) fn of(meant: &'p Path) -> io::Result<Self> {
        let path = beside(meant, &format!(".{}.part", std::process::id()));
        path.map(|path| Self { path, meant }).ok_or_else(|| io::ErrorKind::InvalidFilename.into())
    }

    /// # Errors
    /// It is there already, or cannot be made.
    pub(crate) fn create(&self) -> io::Result<File> {
        // One that a command left which was ended there.
        let _ = fs::remove_file(&self.path);
        File::options().write(true).create_new(true).mode(0o600).open(&self.path)
    }

    /// # Errors
    /// It cannot have its name; then it is gone.
    pub(crate) fn finish(self) -> io::Result<()> {
        fs::rename(&self.path, self.meant)
    }
}

/// A file with one line in it.
///
/// # Errors
/// It cannot be written; then there is none, or the one that was there before.
pub(crate) fn write_line(path: &Path, line: &str) -> io::Result<()> {
    let unfinished = Unfinished::of(path)?;
    let mut file = unfinished.create()?;
    writeln!(file, "{line}")?;
    file.sync_all()?;
    unfinished.finish()
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // Gone already where it was finished.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where the manifest of a table stands: `FILE.manifest.json`. `None` where a path is no name of a file.
pub(crate) fn manifest_of(table: &Path) -> Option<PathBuf> {
    beside(table, ".manifest.json")
}

/// The file whose name goes on so.
fn beside(file: &Path, end: &str) -> Option<PathBuf> {
    let mut name = file.file_name()?.to_owned();
    name.push(end);
    Some(file.with_file_name(name))
}
