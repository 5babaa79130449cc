//! The command line.

use std::{io::Write as _, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};
use killgate::{
    cli::Replace,
    client,
    evidence::WhichPart,
    history::{Form, Wanted},
};

/// One HTTP gateway through which an organisation ends database sessions, every attempt on record.
#[derive(Debug, Parser)]
#[command(version = killgate::version::version(), about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Simulated clouds, gateway and embedded record, with ready-to-paste curl lines
    Demo {
        /// Where the gateway listens, by default 127.0.0.1:8080; port 0 takes a free one
        #[arg(long)]
        listen: Option<SocketAddr>,
        /// A PostgreSQL server to show it on, as postgres://USER:PASSWORD@HOST:PORT/DATABASE: two harmless sessions are opened there
        #[arg(long, value_name = "URL")]
        postgres: Option<String>,
        /// The same of a MySQL or MariaDB server, as mysql://USER:PASSWORD@HOST:PORT/DATABASE
        #[arg(long, value_name = "URL")]
        mysql: Option<String>,
    },
    /// The gateway
    Serve(Configured),
    /// The simulated clouds alone
    Sandbox {
        /// Where they listen; port 0 takes a free one
        #[arg(long, default_value = "127.0.0.1:8090")]
        listen: SocketAddr,
    },
    /// Bring the record's tables up to date, as their owner
    Migrate {
        #[command(flatten)]
        configured: Configured,
        /// The role that gateways connect as: it is let do what serving needs and nothing else (Postgres)
        #[arg(long, value_name = "NAME")]
        serving_role: Option<String>,
    },
    /// Check the configuration and say what it means
    Check {
        #[command(flatten)]
        configured: Configured,
        /// Ask everything that it names something that changes nothing, and say line by line what holds: the record, key sets,
        /// webhooks (HEAD), clouds and database servers (a list of sessions). The exit status is 1 where something does not
        #[arg(long)]
        connect: bool,
    },
    /// Taking the record out, its evidence, and what only its owner may do
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Print the OpenAPI document
    Openapi {
        /// In the words of OpenAPI 3.0, for generators that know no other
        #[arg(long)]
        older: bool,
    },
    #[command(flatten)]
    Client(Box<client::Command>),
    /// Print a token for this gateway, where callers share a secret with it
    Token {
        #[command(flatten)]
        configured: Configured,
        /// The caller
        #[arg(long)]
        sub: String,
        /// Scopes, separated by spaces
        #[arg(long)]
        scope: String,
        /// How long it is good, such as 90s, 15m, 1h
        #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
        ttl: std::time::Duration,
    },
    /// Write the manual pages and the completions of shells, for whoever packs killgate
    #[command(hide = true)]
    Manual {
        /// Gets man/ and completions/
        directory: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Write every kill that passes the filters into a file, with everything on record
    Export {
        #[command(flatten)]
        configured: Configured,
        #[command(flatten)]
        form: Form,
        /// The file; it is there once it is complete
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
        /// Replace a file that is there already
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        wanted: Box<Wanted>,
    },
    /// Print a fresh private key to seal the record with, and tell the public one
    Keygen,
    /// Check the record, or an export of it, against its blocks; the exit status says what is wrong
    ///
    /// 0: verified. 1: it could not be checked. 2: wrong arguments. 3: nothing is sealed. Else the sum of 4: rows were
    /// changed, 8: rows are missing, 16: rows were added, 32: blocks are missing, broken or signed with another key,
    /// 64: outside checkpoints tell of something else,
    /// 128: the file says it is of a part of the record, without --partial.
    Verify {
        #[command(flatten)]
        configured: Configured,
        /// An export to check instead of the record; needs no configuration, no database and no network
        #[arg(long, value_name = "FILE", requires = "keys")]
        export: Option<PathBuf>,
        /// A public key that blocks may be signed with, as keygen told it; without it the configured key's. PUB:..N is good
        /// up to block N only
        #[arg(long = "key", value_name = "PUB", value_parser = killgate::cli::evidence::trusted_key)]
        keys: Vec<killgate::chain::check::Trusted>,
        /// A file of checkpoints from outside
        #[arg(long, value_name = "FILE")]
        checkpoints: Option<PathBuf>,
        /// An export with filters was asked for: compare those that are told first with what was asked
        #[arg(long, requires = "export")]
        partial: bool,
    },
    /// Make the index, by which kills are found, anew from the log where they differ, as the owner of the tables
    Reindex {
        #[command(flatten)]
        configured: Configured,
    },
    /// Remove the kills of a month as a whole, as the owner of the tables; a record of it stays and is sealed
    RemoveMonth {
        #[command(flatten)]
        configured: Configured,
        /// The month, such as 2026-03
        #[arg(value_parser = killgate::cli::evidence::month)]
        month: time::Date,
        /// Why, for whoever asks later
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, clap::Args)]
struct Configured {
    /// The configuration file; killgate.toml in the working directory, where there is one
    #[arg(long, env = "KILLGATE_CONFIG")]
    config: Option<PathBuf>,
}

impl Configured {
    fn load(&self) -> anyhow::Result<killgate::config::Config> {
        Ok(killgate::config::load(self.config.as_deref(), environment())?)
    }
}

/// The variables that are text; others cannot be meant for killgate.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn main() -> ExitCode {
    // Where a shell asks for words this answers, and ends.
    clap_complete::CompleteEnv::with_factory(Cli::command).complete();
    start(Cli::parse().command)
}

#[tokio::main(worker_threads = 2)]
async fn start(command: Command) -> ExitCode {
    match run(command).await {
        Ok(code) => code,
        Err(error) => {
            // Whoever cannot be told has the exit status.
            let _ = writeln!(std::io::stderr(), "killgate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "these commands answer on standard output")]
async fn run(command: Command) -> anyhow::Result<ExitCode> {
    use killgate::cli;
    match command {
        Command::Demo { listen, postgres, mysql } => {
            let servers = [postgres, mysql].into_iter().flatten().collect();
            killgate::demo::demo(listen, servers, environment().collect()).await?;
        }
        Command::Serve(configured) => {
            let variable = |name: &str| environment().find(|(it, _)| it == name).map(|(_, value)| value);
            cli::serve(|| configured.load(), variable).await?;
        }
        Command::Sandbox { listen } => cli::sandbox(listen).await?,
        Command::Migrate { configured, serving_role } => {
            cli::migrate(&configured.load()?, serving_role.as_deref()).await?;
        }
        Command::Check { configured, connect } => {
            let config = configured.load()?;
            println!("{}", cli::check(&config)?);
            if connect {
                let findings = killgate::app::probe(&config).await?;
                for finding in &findings {
                    println!("{finding}");
                }
                if findings.iter().any(|finding| finding.said.is_err()) {
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
        Command::Audit(command) => return audit(command).await,
        Command::Client(command) => return Ok(client::run(*command).await),
        Command::Manual { directory } => cli::manual::write(Cli::command(), &directory)?,
        Command::Openapi { older } => println!("{}", cli::openapi(older)?),
        Command::Token { configured, sub, scope, ttl } => {
            println!("{}", cli::token(&configured.load()?, &sub, &scope, ttl)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "these commands answer on standard output")]
/// `killgate audit …`; some of these end with a status that says what was found.
async fn audit(command: AuditCommand) -> anyhow::Result<ExitCode> {
    use killgate::cli;
    match command {
        AuditCommand::Export { configured, form, output, force, wanted } => {
            let replace = if force { Replace::File } else { Replace::Nothing };
            println!("{}", cli::export(&configured.load()?, form, &output, replace, *wanted).await?);
        }
        AuditCommand::Keygen => cli::evidence::keygen()?,
        AuditCommand::Verify { configured, export, keys, checkpoints, partial } => {
            let of = if partial { WhichPart::Some } else { WhichPart::All };
            let checkpoints = checkpoints.as_deref();
            let status = match export {
                Some(export) => cli::evidence::verify_export(&export, keys, checkpoints, of)?,
                None => cli::evidence::verify(&configured.load()?, keys, checkpoints).await?,
            };
            return Ok(ExitCode::from(status));
        }
        AuditCommand::Reindex { configured } => cli::evidence::reindex(&configured.load()?).await?,
        AuditCommand::RemoveMonth { configured, month, reason } => {
            cli::evidence::remove_month(&configured.load()?, month, &reason).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
