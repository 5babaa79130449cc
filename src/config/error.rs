//! What is wrong with a configuration, said so that it can be mended without a second try.

use std::{fmt, io, path::PathBuf};

use thiserror::Error;

/// One key that is wrong. The message never quotes a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key's full path, such as `accounts.huawei-prod.endpoints.das`.
    pub path: String,
    /// What was expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Why the gateway does not start.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file that was asked for cannot be read.
    #[error("{}: cannot be read: {why}", path.display())]
    File { path: PathBuf, why: io::Error },
    /// The file is not TOML. The line itself is not shown, since it may hold a secret.
    #[error("{}: line {line}, column {column}: {message}", path.display())]
    Syntax { path: PathBuf, line: usize, column: usize, message: String },
    /// Unknown keys and bad values, all that were found.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Problem>),
}
