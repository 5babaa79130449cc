//! `killgate mcp`: a Model Context Protocol server for agents, on standard input and output or over HTTP.
//!
//! Four tools: list targets, list sessions, preview, confirm. It refuses to end anything that no preview of the same session and
//! caller has shown, and to do so for nobody: the person behind the agent is named with the preview and goes on record. What comes
//! from databases is handed over as data, between marks that nobody can guess, with a word that it is no instruction.

mod asked;
mod callers;
mod listen;
mod previews;
mod tools;

use clap::Args;
use rmcp::{ServiceExt as _, transport::stdio};

use super::{connection::Connection, exit::Exit, failure::Failure};
use crate::cli::stopped;
use listen::Listen;
use tools::Tools;

/// Serve agents: a Model Context Protocol server on standard input and output, or over HTTP
#[derive(Debug, Args)]
pub struct McpArgs {
    /// The only person for whom this agent may act; without it the agent names one with each preview
    #[arg(long, env = "KILLGATE_ON_BEHALF_OF", value_name = "PERSON", hide_env_values = true)]
    on_behalf_of: Option<String>,
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn mcp(args: McpArgs) -> Result<Exit, Failure> {
    let McpArgs { on_behalf_of, listen, connection } = args;
    let on_behalf_of = on_behalf_of.map(|person| person.trim().to_owned());
    if on_behalf_of.as_deref() == Some("") {
        return Err(Failure::wrong("--on-behalf-of (KILLGATE_ON_BEHALF_OF): names nobody")
            .hint("name the person, or leave it out: then the agent names one with each preview"));
    }
    let http = connection.http()?;
    if listen.is_wanted() {
        return listen.serve(&connection, http, on_behalf_of).await;
    }
    // What keeps it from working is told at once, and not to an agent.
    connection.open_with(&http).await?;
    let failed = |what: &str| Failure::here(format!("the agent {what}"));
    let tools = Tools::of_login(connection, http, on_behalf_of);
    let running = tools.serve(stdio()).await.map_err(|_| failed("spoke no Model Context Protocol"))?;
    tokio::select! {
        ended = running.waiting() => drop(ended.map_err(|_| failed("was lost"))?),
        told = stopped() => told.map_err(|error| Failure::here(error.to_string()))?,
    }
    Ok(Exit::Done)
}
