//! Kills of a year, by several callers, for several vendors, ended in several ways.

use std::time::Duration;

use killgate::{
    audit::{Attempt, Audit},
    domain::{Identity, Kill, Outcome},
};
use serde_json::json;
use time::{OffsetDateTime, macros::datetime};

use crate::audit::book::{DAY, NOON, answered, attempt, refused, sessions};

/// A session that was meant in the oldest month only.
pub(super) const RARE: &str = "7000001";

/// The beginning of month `n` before this March, at noon of its first days.
pub(super) fn months_ago(n: u32) -> OffsetDateTime {
    NOON - n * Duration::from_hours(24 * 30)
}

/// Records an attempt that nobody takes over meanwhile.
pub(super) async fn recorded(audit: &Audit, attempt: &Attempt) -> Kill {
    let attempt = Attempt { deadline: datetime!(2100-01-01 0:00 UTC), ..attempt.clone() };
    audit.begin(&attempt, DAY).await.unwrap();
    attempt.kill
}

/// Whose a session was.
pub(super) fn whose(user: &str, database: &str) -> Identity {
    Identity { user: Some(user.into()), database: Some(database.into()), ..Identity::default() }
}

/// Records four kills in each of that many months.
pub(super) async fn fill(audit: &Audit, months: u32) {
    for month in (0..months).rev() {
        let at = months_ago(month);
        let one = recorded(audit, &attempt(at)).await;
        let mut done = answered(&one, &[("1111", Outcome::Killed), ("2222", Outcome::NotFound)]);
        done.sessions[0].identity = Some(whose("report", "orders"));
        done.sessions[1].identity = Some(whose(if month % 2 == 0 { "app" } else { "report" }, "orders"));
        audit.conclude(&done, at + Duration::from_secs(1), "answered", None).await.unwrap();

        let mut two = attempt(at + Duration::from_mins(50));
        two.kill.caller = if month % 2 == 0 { "carol" } else { "dave" }.into();
        two.kill.reason = Some(format!("weekly report {month} blocks INC-{}", 4000 + month));
        two.kill.target = Some(json!({
            "vendor": "dcdb", "account": "tencent-prod", "instance_id": "tdsql-1", "shard_id": "s1",
        }));
        let id = if month + 1 == months { RARE.to_owned() } else { format!("3{month}") };
        two.kill.sessions = sessions(&[("2222", Outcome::Unknown), (&id, Outcome::Unknown)]);
        recorded(audit, &two).await;

        recorded(audit, &refused(at + Duration::from_mins(70))).await;
        let mut four = attempt(at + Duration::from_hours(30));
        four.kill.on_behalf_of = None;
        let four = recorded(audit, &four).await;
        if month % 5 == 0 {
            let lost = answered(&four, &[("1111", Outcome::Unknown), ("2222", Outcome::Failed)]);
            // Nobody looks meanwhile: the gateway beside it would find that nobody can.
            let later = Some(datetime!(2100-01-01 0:00 UTC));
            audit.conclude(&lost, at + Duration::from_mins(1805), "answered", later).await.unwrap();
        }
        let failed = answered(&four, &[("1111", Outcome::Failed), ("2222", Outcome::Failed)]);
        audit.conclude(&failed, at + Duration::from_hours(31), "answered", None).await.unwrap();
    }
}
