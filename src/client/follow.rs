//! Following a kill until it is over, by the stream that the gateway offers.

use std::{collections::BTreeMap, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    answers::{Event, Kill},
    exit::Exit,
    failure::Failure,
    gateway::{Document, Gateway},
    http::Answer,
};
use crate::{
    clock::{Clock, read_time},
    domain::{LOOKED_AFTER, legible},
};

/// How often a kill is asked for that only a later look can settle.
const LATER: Duration = Duration::from_secs(2);
/// How soon a stream that was lost is asked for again.
const AT_FIRST: Duration = Duration::from_millis(250);
/// A piece of a stream that is longer is none.
const LONGEST: usize = 64 * 1024 * 1024;

/// A line on a terminal that tells what is waited for; elsewhere nothing.
#[derive(Debug)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn begin(is_terminal: bool) -> Self {
        let bar = || {
            let bar = ProgressBar::new_spinner();
            // A template that cannot be read leaves the usual one.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        };
        Self(is_terminal.then(bar))
    }

    pub(super) fn say(&self, words: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(legible(words).into_owned());
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// What is told of the sessions so far, event by event.
#[derive(Debug, Default)]
pub(super) struct SoFar {
    outcomes: BTreeMap<String, String>,
}

impl SoFar {
    /// A line of what stands after the event.
    pub(super) fn after(&mut self, event: &Event) -> String {
        for session in &event.sessions {
            self.outcomes.insert(session.id.clone(), session.outcome.clone());
        }
        let is_settled = |outcome: &&String| !matches!(outcome.as_str(), "unknown" | "accepted" | "alive");
        let settled = self.outcomes.values().filter(is_settled).count();
        let step = match event.kind.as_str() {
            "recorded" => "on record",
            "looked" => "looked",
            "sent" => "sent",
            "answered" => "the vendor has answered",
            "abandoned" => "another gateway has taken it over",
            other => other,
        };
        match self.outcomes.len() {
            0 => format!("{step}: {}", event.status),
            many => format!("{step}: {}, {settled} of {many} sessions settled", event.status),
        }
    }
}

/// Follows a kill until it is settled, nobody looks after it any more, or the time is over; answers it as it is then.
///
/// `tell` hears each event as JSON.
///
/// # Errors
/// A kill that this caller may not see, or a gateway that does not come back.
pub(super) async fn follow(
    gateway: &Gateway,
    id: &str,
    until: Instant,
    mut tell: impl FnMut(&str),
) -> Result<Document, Failure> {
    let (mut last_id, mut pause) = (None::<String>, AT_FIRST);
    while Instant::now() < until {
        let before = last_id.clone();
        let headers: Vec<_> = last_id.iter().map(|id| ("last-event-id", id.clone())).collect();
        let path = ["kills", id, "events"];
        let stream = tokio::select! {
            stream = gateway.stream(&path, "", &headers) => stream,
            () = sleep_until(until) => break,
        };
        match stream {
            // Nothing more will be told.
            Ok(answer) if answer.status.as_u16() == 204 => break,
            Ok(answer) => {
                let ended = tokio::select! {
                    ended = listen(answer, &mut last_id, &mut tell) => ended,
                    () = sleep_until(until) => break,
                };
                if let Some(text) = ended {
                    return settle(gateway, Document { text, is_replayed: false }, until).await;
                }
                pause = if last_id == before { (pause * 2).min(LATER) } else { AT_FIRST };
            }
            // Away for a while, or too many at once: what is told of the kill meanwhile is not lost.
            Err(failure) if matches!(failure.exit, Exit::NoAnswer | Exit::Later) => pause = (pause * 2).min(LATER),
            Err(failure) => return Err(failure),
        }
        // Where no stream can be had the record tells all the same.
        if let Ok(kill) = gateway.get(&["kills", id], "").await
            && !is_under_way(&kill.read()?)
        {
            return settle(gateway, kill, until).await;
        }
        sleep(pause).await;
    }
    let kill = gateway.get(&["kills", id], "").await.map_err(|failure| failure.hint(goes_on(id)))?;
    settle(gateway, kill, until).await
}

/// Whether more will be told of it.
fn is_under_way(kill: &Kill) -> bool {
    kill.status == "pending" || kill.status == "accepted" && is_looked_after(kill)
}

fn is_looked_after(kill: &Kill) -> bool {
    let asked = kill.requested_at.as_deref().and_then(read_time);
    asked.is_some_and(|at| Clock::system().now() < at + LOOKED_AFTER)
}

/// Asks again and again for a kill that a look may still settle.
async fn settle(gateway: &Gateway, mut document: Document, until: Instant) -> Result<Document, Failure> {
    loop {
        let kill: Kill = document.read()?;
        if kill.status != "unknown" || !is_looked_after(&kill) || Instant::now() + LATER > until {
            return Ok(document);
        }
        sleep(LATER).await;
        document = gateway.get(&["kills", &kill.id], "").await?;
    }
}

/// Reads a stream to its end; answers the kill where it came, and `None` where the stream was lost before.
async fn listen(mut answer: Answer, last_id: &mut Option<String>, tell: &mut impl FnMut(&str)) -> Option<String> {
    let mut events = Events::default();
    loop {
        let piece = answer.piece().await.ok().flatten()?;
        for Told { id, kind, data } in events.take(&piece)? {
            if kind == "kill" {
                return Some(data);
            }
            tell(&data);
            *last_id = id.or(last_id.take());
        }
    }
}

/// One event of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    id: Option<String>,
    kind: String,
    data: String,
}

/// Takes a stream of server-sent events apart, whatever pieces it comes in.
#[derive(Debug, Default)]
struct Events {
    rest: Vec<u8>,
}

impl Events {
    /// The events that are whole by now; `None` where it is no such stream.
    fn take(&mut self, piece: &[u8]) -> Option<Vec<Told>> {
        self.rest.extend_from_slice(piece);
        let mut events = vec![];
        while let Some(end) = self.rest.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.rest.drain(..end + 2).collect();
            let block = std::str::from_utf8(&block).ok()?;
            let field = |name: &str| {
                let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim_start().to_owned());
                block.lines().find_map(value)
            };
            if let Some(data) = field("data") {
                events.push(Told { id: field("id"), kind: field("event").unwrap_or_default(), data });
            }
        }
        (self.rest.len() <= LONGEST).then_some(events)
    }
}

/// That the kill does not hang on whoever follows it.
pub(super) fn goes_on(id: &str) -> String {
    format!("the kill goes on; `killgate watch {id}` follows it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_comes_in_any_pieces() {
        let text = ":\n\nid: 1\nevent: recorded\ndata: {\"a\":\"表\"}\n\n:\n\nevent: kill\ndata: {}\n\n";
        let told = |id: Option<&str>, kind: &str, data: &str| Told {
            id: id.map(str::to_owned),
            kind: kind.to_owned(),
            data: data.to_owned(),
        };
        let expected = [told(Some("1"), "recorded", "{\"a\":\"表\"}"), told(None, "kill", "{}")];
        for size in 1..text.len() {
            let mut events = Events::default();
            let come: Vec<_> = text.as_bytes().chunks(size).flat_map(|piece| events.take(piece).unwrap()).collect();
            assert_eq!(come, expected, "{size}");
        }
    }

    #[test]
    fn a_line_tells_how_many_are_settled() {
        let mut so_far = SoFar::default();
        let event = |text: &str| serde_json::from_str::<Event>(text).unwrap();
        let recorded = event(
            r#"{"kind":"recorded","status":"pending","sessions":[{"id":"1","outcome":"unknown"},{"id":"2","outcome":"protected"}]}"#,
        );
        assert_eq!(so_far.after(&recorded), "on record: pending, 1 of 2 sessions settled");
        let looked = event(r#"{"kind":"looked","status":"partial","sessions":[{"id":"1","outcome":"killed"}]}"#);
        assert_eq!(so_far.after(&looked), "looked: partial, 2 of 2 sessions settled");
    }
}
