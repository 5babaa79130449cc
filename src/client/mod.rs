//! Commands that are clients of a gateway: for a person at a terminal, for scripts, for agents.
//!
//! A command asks a gateway over HTTP as any other client does: it knows nothing that the API does not tell, and may do what its
//! token may. What is right is the gateway's to say, and what it says is shown.
//!
//! It refuses to send a token elsewhere than to the gateway that was named, to kill what was not previewed, and to hand what
//! databases say to a terminal as it is. The invariant: one command makes one kill, however often its request is sent.

mod answers;
mod asked;
mod complete;
mod connection;
mod exit;
mod export;
mod failure;
mod follow;
mod gateway;
mod http;
mod kill;
mod lists;
mod login;
mod mcp;
mod oidc;
mod print;
mod shown;
mod store;
mod tables;

use std::process::ExitCode;

use clap::Subcommand;

pub use exit::{Exit, HELP};
pub use failure::Failure;

/// What can be asked of a gateway.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(after_help = HELP)]
    Sessions(lists::SessionsArgs),
    #[command(after_help = HELP)]
    Preview(kill::PreviewArgs),
    #[command(after_help = HELP)]
    Kill(kill::KillArgs),
    #[command(after_help = HELP)]
    Watch(kill::WatchArgs),
    #[command(after_help = HELP)]
    Kills(lists::KillsArgs),
    #[command(after_help = HELP)]
    Stats(lists::StatsArgs),
    #[command(after_help = HELP)]
    Export(export::ExportArgs),
    #[command(after_help = HELP)]
    Targets(lists::TargetsArgs),
    #[command(after_help = HELP)]
    Whoami(lists::WhoamiArgs),
    #[command(after_help = HELP)]
    Login(login::LoginArgs),
    #[command(after_help = HELP)]
    Logout(login::LogoutArgs),
    #[command(after_help = HELP)]
    Mcp(mcp::McpArgs),
}

impl Command {
    fn is_for_programs(&self) -> bool {
        let output = match self {
            Self::Sessions(args) => args.asking.output,
            Self::Preview(args) => args.asking.output,
            Self::Kill(args) => args.asking.output,
            Self::Watch(args) => args.asking.output,
            Self::Kills(args) => args.asking.output,
            Self::Stats(args) => args.asking.output,
            Self::Export(args) => args.asking.output,
            Self::Targets(args) => args.asking.output,
            Self::Whoami(args) => args.asking.output,
            Self::Login(args) => args.asking.output,
            Self::Logout(args) => args.asking.output,
            Self::Mcp(_) => return false,
        };
        output == shown::Output::Json
    }
}

/// Does what is asked for, and tells what keeps it from being done.
pub async fn run(command: Command) -> ExitCode {
    let is_for_programs = command.is_for_programs();
    match done(command).await {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if let Some(problem) = failure.problem.as_ref().filter(|_| is_for_programs) {
                // What cannot be written is told beside it all the same.
                let _ = print::json(&problem.to_string());
            }
            print::beside(&format!("{failure}\n"));
            failure.exit.into()
        }
    }
}

async fn done(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Sessions(args) => lists::sessions(args).await,
        Command::Preview(args) => kill::preview(args).await,
        Command::Kill(args) => kill::kill(args).await,
        Command::Watch(args) => kill::watch(args).await,
        Command::Kills(args) => lists::kills(args).await,
        Command::Stats(args) => lists::stats(args).await,
        Command::Export(args) => export::export(args).await,
        Command::Targets(args) => lists::targets(args).await,
        Command::Whoami(args) => lists::whoami(args).await,
        Command::Login(args) => login::login(args).await,
        Command::Logout(args) => login::logout(&args),
        Command::Mcp(args) => mcp::mcp(args).await,
    }
}
