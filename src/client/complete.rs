//! Words that a shell offers while a line is typed.

use std::ffi::OsStr;

use clap_complete::CompletionCandidate;
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    answers::List,
    connection::{AT_ONCE, Connection},
};
use crate::domain::has_unseen;

#[derive(Deserialize)]
struct Target {
    alias: Option<String>,
    vendor: Option<String>,
}

/// The aliases that the caller may use now, as the gateway tells them that the environment or the last login names. None where it
/// does not tell them at once.
pub(super) fn targets(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return vec![] };
    let listed = runtime.block_on(timeout(AT_ONCE, async {
        Connection::from_environment().open().await?.get(&["targets"], "").await?.read::<List<Target>>()
    }));
    let listed = listed.ok().and_then(Result::ok).map(|list| list.items).unwrap_or_default();
    let named = listed.into_iter().filter_map(|target| Some((target.alias?, target.vendor)));
    let fitting = named.filter(|(alias, _)| alias.starts_with(&*typed) && !has_unseen(alias));
    let candidate = |(alias, vendor): (String, Option<String>)| {
        CompletionCandidate::new(alias).help(vendor.filter(|vendor| !has_unseen(vendor)).map(Into::into))
    };
    fitting.map(candidate).collect()
}
