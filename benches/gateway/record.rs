//! The record alone, without HTTP, turns and calls: what is left of a kill when it is only written down.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use killgate::{
    audit::{Attempt, Audit, Settings},
    clock::{Clock, id_at},
    domain::{Kill, Outcome, Session, SessionId, Status, Upstream},
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::task::JoinSet;

use crate::{database::Database, rate::own_target};

/// How many kills a second that many writers get recorded with their marks and concluded, with the gateway's own settings.
///
/// # Errors
/// One is not written.
pub(crate) async fn kills_per_second(database: &Database, writers: u64, time: Duration) -> Result<f64> {
    let settings =
        Settings { database_url: Some(database.url.clone().into()), max_connections: 10, ..Settings::default() };
    let audit = Audit::open(&settings).await?;
    let (clock, started) = (Clock::system(), Instant::now());
    let mut writing = JoinSet::new();
    for writer in 0..writers {
        let (audit, clock, mut kills) = (audit.clone(), clock.clone(), 0_u64);
        let target: Value = serde_json::from_str(&own_target(writer))?;
        writing.spawn(async move {
            while started.elapsed() < time {
                write(&audit, attempt(&target, clock.now()), &clock).await?;
                kills += 1;
            }
            anyhow::Ok(kills)
        });
    }
    let mut kills = 0;
    for written in writing.join_all().await {
        kills += written?;
    }
    let took = started.elapsed();
    audit.close().await;
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand kills")]
    Ok(kills as f64 / took.as_secs_f64())
}

async fn write(audit: &Audit, attempt: Attempt, clock: &Clock) -> Result<()> {
    audit.begin(&attempt, Duration::from_hours(24)).await?;
    let now = clock.now();
    let sessions = attempt.kill.sessions.iter();
    let sessions = sessions.map(|session| Session { outcome: Outcome::Killed, ..session.clone() }).collect();
    let upstream = Upstream { http_status: Some(200), request_id: Some("r".to_owned()), ..Upstream::default() };
    let kill = Kill { status: Status::Succeeded, sessions, upstream, completed_at: Some(now), ..attempt.kill };
    if !audit.conclude(&kill, now, "answered", None).await? {
        bail!("a kill was settled already");
    }
    Ok(())
}

fn attempt(target: &Value, now: OffsetDateTime) -> Attempt {
    let select = json!({ "ids": ["2075425"] });
    let reason = "INC-4711 runaway report";
    Attempt {
        request: Some(json!({ "target": target, "select": select, "reason": reason }).to_string()),
        client_address: Some("127.0.0.1".to_owned()),
        client_id: None,
        token_id: Some(id_at(now).to_string()),
        request_id: Some(id_at(now).to_string()),
        dry_run: false,
        key: None,
        gateway: "bench".to_owned(),
        deadline: now + Duration::from_secs(15),
        webhooks: Vec::new(),
        is_marked: true,
        kill: Kill {
            id: id_at(now),
            status: Status::Pending,
            target: Some(target.clone()),
            select: Some(select),
            sessions: vec![Session::new(&SessionId("2075425".to_owned()), Outcome::Unknown)],
            caller: "caller".to_owned(),
            on_behalf_of: None,
            actor: None,
            reason: Some(reason.to_owned()),
            upstream: Upstream::default(),
            problem: None,
            unlisted: vec![],
            found: [].into(),
            matched: None,
            sessions_known: None,
            note: None,
            end: None,
            blind: None,
            look: None,
            confirms: None,
            requested_at: now,
            completed_at: None,
            verified_at: None,
            returned: None,
        },
    }
}
