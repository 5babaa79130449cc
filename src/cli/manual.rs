//! The manual pages and the completions that a package brings.

use std::{fs, path::Path};

use anyhow::Context as _;
use clap::Command;
use clap_complete::{Shell, generate_to};

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Writes `man/` and `completions/` into a directory, which is made where it is missing.
///
/// # Errors
/// A directory that cannot be written.
pub fn write(mut command: Command, directory: &Path) -> anyhow::Result<()> {
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    for directory in [&man, &completions] {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    for shell in SHELLS {
        generate_to(shell, &mut command, "killgate", &completions)
            .with_context(|| format!("cannot write {}", completions.display()))?;
    }
    // Else a page of `help` comes with each command.
    let command = command.disable_help_subcommand(true);
    clap_mangen::generate_to(command, &man).with_context(|| format!("cannot write {}", man.display()))
}
