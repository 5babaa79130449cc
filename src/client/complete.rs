//! Words that a shell offers while a line is typed.

use std::ffi::OsStr;

use clap_complete::CompletionCandidate;
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    answers::List,
    connection::{AT_ONCE, Connection},
    failure::Failure,
};
use crate::domain::has_unseen;

#[derive(Deserialize)]
struct Target {
    alias: Option<String>,
    vendor: Option<String>,
}

async fn listed() -> Result<List<Target>, Failure> {
    Connection::from_environment().open().await?.get(&["targets"], "").await?.read()
}

/// The aliases that the caller may use now, as the gateway tells them that the environment or the last login names. None where it
/// does not tell them at once.
pub(super) fn targets(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return vec![] };
    // A timeout is made inside of a runtime only.
    let listed = runtime.block_on(async { timeout(AT_ONCE, listed()).await });
    let listed = listed.ok().and_then(Result::ok).map(|list| list.items).unwrap_or_default();
    let named = listed.into_iter().filter_map(|target| Some((target.alias?, target.vendor)));
    let fitting = named.filter(|(alias, _)| alias.starts_with(&*typed) && !has_unseen(alias));
    let candidate = |(alias, vendor): (String, Option<String>)| {
        CompletionCandidate::new(alias).help(vendor.filter(|vendor| !has_unseen(vendor)).map(Into::into))
    };
    fitting.map(candidate).collect()
}
