//! Commands that only read: `sessions`, `kills`, `stats`, `targets`, `whoami`.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::Value;
use time::OffsetDateTime;

use super::{
    answers::{Kill, List, Live, not_listed, sessions as count_of},
    asked::{Criteria, Place},
    connection::Asking,
    exit::Exit,
    failure::Failure,
    gateway::encode,
    print,
    shown::{Output, Screen, Style, Table, text},
    tables::outcome,
};
use crate::{
    clock::{self, Clock},
    history::Wanted,
    kill::intake::select::read_seconds,
};

/// List live sessions at a target
#[derive(Debug, Args)]
pub struct SessionsArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    criteria: Criteria,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// List kills, newest first, or show one
#[derive(Debug, Args)]
pub struct KillsArgs {
    /// The id of the one to show
    #[arg(value_name = "KILL")]
    id: Option<String>,
    #[command(flatten)]
    wanted: Box<Wanted>,
    /// Most kills, 1 to 500
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Where the list before ended
    #[arg(long)]
    cursor: Option<String>,
    /// The oldest first
    #[arg(long)]
    oldest_first: bool,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// Count kills, of the last day unless --since says otherwise
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// What to count by, with commas between: status, vendor, account, target, caller, on_behalf_of, user, database, outcome
    #[arg(long, value_name = "WHAT", default_value = "status")]
    by: String,
    /// For each hour or day
    #[arg(long, value_name = "TIME")]
    per: Option<String>,
    #[command(flatten)]
    wanted: Box<Wanted>,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// List the aliases that you may use
#[derive(Debug, Args)]
pub struct TargetsArgs {
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// Tell whom the gateway takes you for, and what you may do
#[derive(Debug, Args)]
pub struct WhoamiArgs {
    #[command(flatten)]
    pub(super) asking: Asking,
}

pub(super) async fn sessions(args: SessionsArgs) -> Result<Exit, Failure> {
    let query = args.criteria.query(&args.place)?;
    let document = args.asking.connection.open().await?.get(&["sessions"], &query).await?;
    if args.asking.output == Output::Json {
        print::json(&document.text)?;
        return Ok(Exit::Done);
    }
    let list: List<Live> = document.read()?;
    let mut waiting: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for session in &list.items {
        for blocker in session.blocked_by.iter().flatten() {
            waiting.entry(blocker).or_default().insert(&session.id);
        }
    }
    let names = [
        "ID",
        "USER",
        "CLIENT",
        "DATABASE",
        "COMMAND",
        "STATE",
        "SECONDS",
        "BLOCKS",
        "BLOCKED BY",
        "PROTECTED",
        "STATEMENT",
    ];
    let mut table = Table::new(&names, &["SECONDS"]);
    for session in &list.items {
        let blocks = waiting.get(session.id.as_str());
        let blocks = blocks.map(|ids| ids.iter().copied().collect::<Vec<_>>().join(",")).unwrap_or_default();
        table.row([
            (session.id.clone(), Style::Plain),
            text(session.user.as_deref()),
            text(session.host.as_deref()),
            text(session.database.as_deref()),
            text(session.command.as_deref()),
            text(session.state.as_deref()),
            text(session.seconds.map(|seconds| seconds.to_string()).as_deref()),
            (blocks, Style::Bad),
            (session.blocked_by.iter().flatten().cloned().collect::<Vec<_>>().join(","), Style::Warning),
            (session.protected_by.clone().unwrap_or_default(), Style::Dim),
            text(session.statement.as_deref()),
        ]);
    }
    if list.items.is_empty() {
        print::aside("no session there meets that");
    } else {
        print::table(&table)?;
    }
    not_listed(&list.unlisted).for_each(|line| print::aside(&line));
    if list.complete == Some(false) && list.unlisted.is_empty() {
        print::aside("that is not all: the vendor's list was cut off, or sessions moved while it was read");
    }
    Ok(Exit::Done)
}

/// The filters as a query, with times such as `2h` for that long ago.
pub(super) fn query_of(wanted: &Wanted) -> Result<Vec<(String, String)>, Failure> {
    let now = Clock::system().now();
    let ago = |time: &Option<String>| time.as_deref().map(|text| since(text, now));
    let wanted = Wanted { since: ago(&wanted.since), until: ago(&wanted.until), ..wanted.clone() };
    let text = serde_urlencoded::to_string(&wanted).map_err(|error| Failure::wrong(error.to_string()))?;
    Ok(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
}

/// A time as the gateway takes it; what is neither one nor a while ago is left to it to refuse.
fn since(text: &str, now: OffsetDateTime) -> String {
    let ago = || Some(time::Duration::seconds(i64::try_from(read_seconds(text)?).ok()?));
    ago().and_then(|ago| now.checked_sub(ago)).map_or_else(|| text.to_owned(), clock::written)
}

pub(super) async fn kills(args: KillsArgs) -> Result<Exit, Failure> {
    let gateway = args.asking.connection.open().await?;
    let mut query = query_of(&args.wanted)?;
    if let Some(id) = &args.id {
        if !query.is_empty() {
            return Err(Failure::wrong("one kill has no filters: give its id, or filters"));
        }
        let document = gateway.get(&["kills", id], "").await?;
        match args.asking.output {
            Output::Json => print::json(&document.text)?,
            Output::Table => print::text(&in_full(&document.read()?, Screen::stdout()))?,
        }
        return Ok(Exit::Done);
    }
    let mut add = |name: &str, value: Option<String>| query.extend(value.map(|value| (name.to_owned(), value)));
    add("limit", args.limit.map(|limit| limit.to_string()));
    add("cursor", args.cursor);
    add("order", args.oldest_first.then(|| "oldest".to_owned()));
    let document = gateway.get(&["kills"], &encode(&query)).await?;
    if args.asking.output == Output::Json {
        print::json(&document.text)?;
        return Ok(Exit::Done);
    }
    let list: List<Kill> = document.read()?;
    let mut table =
        Table::new(&["KILL", "WHEN", "TARGET", "CALLER", "FOR", "STATUS", "SESSIONS", "REASON"], &["SESSIONS"]);
    for kill in &list.items {
        table.row([
            (kill.id.clone(), Style::Plain),
            (kill.requested_at.as_deref().map(to_the_second).unwrap_or_default(), Style::Dim),
            (kill.place(), Style::Plain),
            text(kill.caller.as_deref()),
            text(kill.on_behalf_of.as_deref()),
            (kill.status.clone(), Style::of_word(&kill.status)),
            (kill.sessions.len().to_string(), Style::Plain),
            text(kill.reason.as_deref()),
        ]);
    }
    if list.items.is_empty() {
        print::aside("no kill on record meets that");
    } else {
        print::table(&table)?;
    }
    if let Some(cursor) = list.next_cursor {
        print::aside(&format!("there are more: --cursor {cursor}"));
    }
    Ok(Exit::Done)
}

fn to_the_second(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(whole, _)| format!("{whole}Z"))
}

/// One kill for people: what was asked, by whom, and what became of it.
fn in_full(kill: &Kill, screen: Screen) -> String {
    let mut table = Table::new(&["", " "], &[]);
    let mut add = |name: &str, value: Option<String>| {
        table.row(value.map(|value| [(name.to_owned(), Style::Dim), (value, Style::Plain)]).into_iter().flatten());
    };
    add("kill", Some(kill.id.clone()));
    add("target", Some(kill.place()).filter(|place| !place.is_empty()));
    add("caller", kill.caller.clone());
    add("for", kill.on_behalf_of.clone());
    add("reason", kill.reason.clone());
    add("requested", kill.requested_at.clone());
    add("completed", kill.completed_at.clone());
    add("returned", kill.returned.map(|many| count_of(usize::try_from(many).unwrap_or(usize::MAX))));
    table.facts(screen) + &outcome(kill, screen)
}

pub(super) async fn stats(args: StatsArgs) -> Result<Exit, Failure> {
    let mut query = query_of(&args.wanted)?;
    query.push(("by".to_owned(), args.by.clone()));
    query.extend(args.per.clone().map(|per| ("per".to_owned(), per)));
    let document = args.asking.connection.open().await?.get(&["kills", "stats"], &encode(&query)).await?;
    if args.asking.output == Output::Json {
        print::json(&document.text)?;
        return Ok(Exit::Done);
    }
    let list: List<BTreeMap<String, Value>> = document.read()?;
    // Those that can be asked for; a word that is none of them was refused.
    let known = [
        ("status", "STATUS"),
        ("vendor", "VENDOR"),
        ("account", "ACCOUNT"),
        ("target", "TARGET"),
        ("caller", "CALLER"),
        ("on_behalf_of", "FOR"),
        ("user", "USER"),
        ("database", "DATABASE"),
        ("outcome", "OUTCOME"),
    ];
    let by: Vec<_> = known.into_iter().filter(|(word, _)| args.by.split(',').any(|by| by == *word)).collect();
    let begins = args.per.is_some().then_some(("from", "FROM"));
    let columns: Vec<_> = begins.into_iter().chain(by).chain([("count", "KILLS")]).collect();
    let names: Vec<_> = columns.iter().map(|(_, name)| *name).collect();
    let mut table = Table::new(&names, &["KILLS"]);
    for item in &list.items {
        table.row(columns.iter().map(|(word, _)| match item.get(*word) {
            Some(Value::String(text)) if *word == "from" => (to_the_second(text), Style::Plain),
            Some(Value::String(text)) => (text.clone(), Style::of_word(text)),
            Some(Value::Number(number)) => (number.to_string(), Style::Plain),
            _ => ("-".to_owned(), Style::Dim),
        }));
    }
    if list.items.is_empty() {
        print::aside("there was no kill in that time");
    } else {
        print::table(&table)?;
    }
    Ok(Exit::Done)
}

pub(super) async fn targets(args: TargetsArgs) -> Result<Exit, Failure> {
    let document = args.asking.connection.open().await?.get(&["targets"], "").await?;
    if args.asking.output == Output::Json {
        print::json(&document.text)?;
        return Ok(Exit::Done);
    }
    let list: List<BTreeMap<String, Value>> = document.read()?;
    let mut table = Table::new(&["TARGET", "VENDOR", "ACCOUNT", "WHERE"], &[]);
    for target in &list.items {
        let text = |name: &str| match target.get(name) {
            Some(Value::Array(places)) => places.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
            value => value.and_then(Value::as_str).unwrap_or_default().to_owned(),
        };
        let is_coordinate = |name: &str| !matches!(name, "alias" | "vendor" | "account");
        let place = target.keys().filter(|name| is_coordinate(name)).map(|name| format!("{name}={}", text(name)));
        table.plain([text("alias"), text("vendor"), text("account"), place.collect::<Vec<_>>().join(",")]);
    }
    if table.is_empty() {
        print::aside("there is no alias that you may use");
    } else {
        print::table(&table)?;
    }
    Ok(Exit::Done)
}

pub(super) async fn whoami(args: WhoamiArgs) -> Result<Exit, Failure> {
    let document = args.asking.connection.open().await?.get(&["me"], "").await?;
    if args.asking.output == Output::Json {
        print::json(&document.text)?;
        return Ok(Exit::Done);
    }
    let me = document.value()?;
    let mut table = Table::new(&["", " "], &[]);
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => Some(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
        _ => None,
    };
    let limit = |of: &Value| Some(format!("{} per second, {} at once", of.get("per_second")?, of.get("burst")?));
    for (name, value) in [
        ("caller", text(&me["caller"])),
        ("actor", text(&me["actor"])),
        ("client", text(&me["client_id"])),
        ("scopes", text(&me["scopes"])),
        ("until", text(&me["expires_at"])),
        ("kills", limit(&me["limits"]["kills"])),
        ("lists", limit(&me["limits"]["lists"])),
    ] {
        table.row(value.map(|value| [(name.to_owned(), Style::Dim), (value, Style::Plain)]).into_iter().flatten());
    }
    print::text(&table.facts(Screen::stdout()))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_while_ago_is_a_time_and_what_is_neither_is_left_to_the_gateway() {
        let now = clock::read_time("2026-01-02T03:04:05Z").unwrap();
        assert_eq!(since("2h", now), "2026-01-02T01:04:05.000Z");
        for text in ["2026-01-01T00:00:00Z", "yesterday", ""] {
            assert_eq!(since(text, now), text);
        }
    }
}
