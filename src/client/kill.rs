//! `killgate preview`, `killgate kill` and `killgate watch`.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    answers::{Event, Kill, List, sessions},
    asked::{Chosen, Place},
    connection::Asking,
    exit::Exit,
    failure::Failure,
    follow::{Progress, SoFar, follow, goes_on},
    gateway::{Document, Gateway, encode, fresh_key},
    print,
    shown::{Output, Screen},
    tables,
};
use crate::{chain::hex, cli::stopped, domain::legible};

/// What helps where a key has nothing left to stand for.
const FRESH_KEY: &str = "no kill came of this --key: give a fresh one, or none";

/// What both a preview and a kill take.
#[derive(Debug, Args)]
pub(super) struct Order {
    #[command(flatten)]
    place: Place,
    /// The person for whom it is, where that is not the caller
    #[arg(long, value_name = "PERSON")]
    on_behalf_of: Option<String>,
    /// End only what the session runs, and keep the session
    #[arg(long)]
    statement: bool,
    #[command(flatten)]
    chosen: Chosen,
}

/// Show which sessions a kill would end, and end none
#[derive(Debug, Args)]
pub struct PreviewArgs {
    /// Why, for the record
    #[arg(short = 'm', long, value_name = "TEXT", default_value = "a preview")]
    reason: String,
    #[command(flatten)]
    order: Order,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// Show which sessions it would end, ask, end those, and follow until each is settled
#[derive(Debug, Args)]
pub struct KillArgs {
    /// Why, for the record
    #[arg(short = 'm', long, value_name = "TEXT")]
    reason: String,
    /// Do not ask; what is ended is still what the preview showed
    #[arg(short, long)]
    yes: bool,
    /// The kill's Idempotency-Key; without it a fresh one
    #[arg(long)]
    key: Option<String>,
    /// Answer once the vendor has answered, settled or not
    #[arg(long)]
    no_follow: bool,
    /// How long to follow it; then it goes on without
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    order: Order,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// Follow a kill until it is over; with -o json a line for each change, the last one the kill
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The kill's id
    #[arg(value_name = "KILL")]
    id: String,
    /// How long to follow it; then it goes on without
    #[arg(long, value_name = "TIME", default_value = "20m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    pub(super) asking: Asking,
}

impl Order {
    /// What is sent to have it previewed.
    fn body(&self, reason: &str) -> Result<Value, Failure> {
        let mut body = json!({ "target": self.place.json()?, "select": self.chosen.select()?, "reason": reason });
        if let Some(person) = &self.on_behalf_of {
            body["on_behalf_of"] = json!(person);
        }
        if self.statement {
            body["end"] = json!("statement");
        }
        Ok(body)
    }
}

/// Has that kill previewed, under that key.
pub(super) async fn previewed(gateway: &Gateway, body: &Value, key: &str) -> Result<Document, Failure> {
    let mut body = body.clone();
    body["dry_run"] = json!(true);
    gateway.preview(&body, key).await
}

pub(super) async fn preview(args: PreviewArgs) -> Result<Exit, Failure> {
    let body = args.order.body(&args.reason)?;
    let gateway = args.asking.connection.open().await?;
    let document = previewed(&gateway, &body, &fresh_key()).await?;
    let preview: Kill = document.read()?;
    if let Some(problem) = &preview.problem {
        return Err(Failure::of_kill(problem, &preview.id));
    }
    match args.asking.output {
        Output::Json => print::json(&document.text)?,
        Output::Table => print::text(&tables::preview(&preview, Screen::stdout()))?,
    }
    Ok(Exit::Done)
}

pub(super) async fn kill(args: KillArgs) -> Result<Exit, Failure> {
    let mut body = args.order.body(&args.reason)?;
    if !args.yes && !io::stdin().is_terminal() {
        return Err(Failure::wrong("nobody can be asked: standard input is no terminal")
            .hint("--yes does without; `killgate preview` shows what would be ended"));
    }
    let gateway = args.asking.connection.open().await?;
    let preview_key = args.key.as_deref().map_or_else(fresh_key, key_of_preview);
    let document = previewed(&gateway, &body, &preview_key).await?;
    let preview: Kill = document.read()?;
    print::beside(&tables::preview(&preview, Screen::stderr()));
    if let Some(problem) = &preview.problem {
        let failure = Failure::of_kill(problem, &preview.id);
        return Err(if document.is_replayed { failure.hint(FRESH_KEY) } else { failure });
    }
    let until = Instant::now() + args.timeout;
    let of_key = if document.is_replayed { confirmed(&gateway, &preview).await? } else { None };
    if let Some(Kill { id, status, .. }) = of_key {
        print::aside(&format!("this --key stands for the kill {id} already: nothing else is sent"));
        let until = if args.no_follow { Instant::now() } else { until };
        let kill = followed(&gateway, &id, &status, until, Output::Table).await?;
        return ended(&kill, args.asking.output, &args.order, &preview);
    }
    let Some(confirm) = &preview.confirm else {
        if document.is_replayed && preview.count("alive") > 0 {
            let sentence = "--key: what was previewed under it may not be confirmed any more; nothing was sent";
            return Err(Failure::wrong(sentence).hint(FRESH_KEY));
        }
        return nobody(&preview, &document, args.asking.output);
    };
    if !args.yes && !is_wanted(&args.order, &preview)? {
        print::aside("nothing was sent");
        return Ok(Exit::NotConfirmed);
    }
    body["confirm"] = json!(confirm);
    let key = args.key.unwrap_or_else(fresh_key);
    // It is on record at once, and followed from there.
    let wait = (!args.no_follow).then_some(0);
    let (id, status) = match gateway.kill(&body, &key, wait).await {
        // It is on record, and may still be settled.
        Err(failure) if matches!(failure.exit, Exit::Unknown | Exit::Open) && !args.no_follow => {
            let Some(id) = failure.kill_id() else { return Err(failure) };
            let status = if failure.exit == Exit::Open { "pending" } else { "unknown" };
            (id.to_owned(), status.to_owned())
        }
        Err(failure) => return Err(failure),
        Ok(document) if args.no_follow => return ended(&document, args.asking.output, &args.order, &preview),
        Ok(document) => {
            let kill: Kill = document.read().map_err(|failure| failure.after_sending(""))?;
            (kill.id, kill.status)
        }
    };
    let kill = followed(&gateway, &id, &status, until, Output::Table).await?;
    ended(&kill, args.asking.output, &args.order, &preview)
}

/// The key of the preview that goes before the kill with that key: the same command has the same of both, and so makes the same
/// kill.
fn key_of_preview(key: &str) -> String {
    format!("preview-{}", hex(digest(&SHA256, key.as_bytes()).as_ref()))
}

/// The kill that came of that preview.
///
/// # Errors
/// A record that cannot be read: then nobody knows whether there is one.
async fn confirmed(gateway: &Gateway, preview: &Kill) -> Result<Option<Kill>, Failure> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut query = vec![pair("order", "oldest"), pair("limit", "500")];
    query.extend(preview.requested_at.as_deref().map(|at| pair("since", at)));
    let would_end = preview.sessions.iter().find(|session| session.outcome == "alive");
    query.extend(would_end.map(|session| pair("session_id", &session.id)));
    loop {
        let list: List<Kill> = gateway.get(&["kills"], &encode(&query)).await?.read()?;
        let of_it = list.items.into_iter().find(|kill| kill.confirms.as_deref() == Some(&*preview.id));
        if of_it.is_some() {
            return Ok(of_it);
        }
        let Some(cursor) = list.next_cursor else { return Ok(None) };
        query.retain(|(name, _)| name != "cursor");
        query.push(pair("cursor", &cursor));
    }
}

/// A kill as it is now, and what was named and is none of it: the preview has told why.
fn ended(document: &Document, output: Output, order: &Order, preview: &Kill) -> Result<Exit, Failure> {
    let exit = tell(document, output)?;
    let is_left = |outcome: &str| !matches!(outcome, "alive" | "not_found" | "gone");
    let left: Vec<_> = preview.sessions.iter().filter(|session| is_left(&session.outcome)).collect();
    if exit != Exit::Done || left.is_empty() || !order.chosen.names_ids() {
        return Ok(exit);
    }
    let left: Vec<_> = left.iter().map(|session| format!("{} ({})", session.id, session.outcome)).collect();
    print::aside(&format!("not ended of those that were named: {}", left.join(", ")));
    Ok(Exit::Partial)
}

pub(super) async fn watch(args: WatchArgs) -> Result<Exit, Failure> {
    let gateway = args.asking.connection.open().await?;
    let until = Instant::now() + args.timeout;
    tell(&followed(&gateway, &args.id, "", until, args.asking.output).await?, args.asking.output)
}

/// Follows a kill with a line of progress; with JSON each event is told. `status` is what is known of it; empty where nothing is.
///
/// # Errors
/// Of a kill that something is known of, one that says so: it goes on.
async fn followed(
    gateway: &Gateway,
    id: &str,
    status: &str,
    until: Instant,
    output: Output,
) -> Result<Document, Failure> {
    let progress = Progress::begin(io::stderr().is_terminal());
    progress.say("sent");
    let (mut so_far, mut status) = (SoFar::default(), status.to_owned());
    let tell = |text: &str| {
        if output == Output::Json {
            // Whoever does not listen any more ends it by the last line.
            let _ = print::json(text);
        }
        if let Ok(event) = serde_json::from_str::<Event>(text) {
            progress.say(&so_far.after(&event));
            status = event.status;
        }
    };
    let kill = tokio::select! {
        kill = follow(gateway, id, until, tell) => kill,
        _ = stopped() => Err(Failure::new(Exit::Open, "stopped following").hint(goes_on(id))),
    };
    progress.end();
    kill.map_err(|failure| if status.is_empty() { failure } else { failure.after_sending(&status).hint(goes_on(id)) })
}

/// A kill as it is now, and the exit status that says so.
fn tell(document: &Document, output: Output) -> Result<Exit, Failure> {
    let kill: Kill = document.read()?;
    match output {
        Output::Json => print::json(&document.text)?,
        Output::Table => print::text(&tables::outcome(&kill, Screen::stdout()))?,
    }
    Ok(Exit::of_status(&kill.status))
}

/// A preview that shows nobody who would be ended.
fn nobody(preview: &Kill, document: &Document, output: Output) -> Result<Exit, Failure> {
    if output == Output::Json {
        print::json(&document.text)?;
    }
    let is_there = |outcome: &str| preview.count(outcome) > 0;
    Ok(if is_there("protected") {
        print::aside("nothing was sent: what is there is protected");
        Exit::NotAllowed
    } else if preview.sessions.iter().all(|session| matches!(session.outcome.as_str(), "not_found" | "gone")) {
        print::aside("nothing was sent: there is no such session");
        Exit::Done
    } else {
        print::aside("nothing was sent: none of them is what was asked for any more");
        Exit::Failed
    })
}

fn is_wanted(order: &Order, preview: &Kill) -> Result<bool, Failure> {
    let many = preview.count("alive");
    let question = if order.chosen.is_left_to_database() {
        format!("Let {} pick sessions and end them?", order.place.name())
    } else if order.statement {
        format!("End what {} at {} runs?", sessions(many), order.place.name())
    } else {
        format!("End {} at {}?", sessions(many), order.place.name())
    };
    let asked = write!(io::stderr(), "{} [y/N] ", legible(&question)).and_then(|()| io::stderr().flush());
    let mut answer = String::new();
    asked.and_then(|()| io::stdin().lock().read_line(&mut answer)).map_err(|_| Failure::wrong("nobody answered"))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
