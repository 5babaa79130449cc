//! Each lie of the clouds, at each vendor that can tell it, gives the outcome that `docs/outcomes.md` says it rests on.

use std::time::Duration;

use killgate::sandbox::{Action, Behaviour, DasBody, Lie};
use serde_json::{Value, json};

use super::{IMPATIENT, on_one_engine, recorded_as};
use crate::support::gateway::{Engine, Gateway, Setup};

on_one_engine! {
    each_lie_about_a_kill_gives_the_honest_outcome,
    each_lie_about_an_intelligent_kill_gives_the_honest_outcome,
    a_session_that_stays_is_open_where_the_vendor_only_took_the_kill,
    an_id_that_went_to_another_is_not_sent_at_any_vendor,
    what_a_cut_off_list_does_not_show_is_not_sent,
}

const SOON: Duration = Duration::from_millis(1500);

/// A kill of two sessions under a lie, and what is to become of it.
struct Told {
    alias: &'static str,
    action: Action,
    lie: Lie,
    /// The status at last.
    status: &'static str,
    /// The outcome of each of the two at last, with the beginning of its detail.
    fates: [(&'static str, &'static str); 2],
}

const fn told(
    alias: &'static str,
    action: Action,
    lie: Lie,
    status: &'static str,
    fates: [(&'static str, &'static str); 2],
) -> Told {
    Told { alias, action, lie, status, fates }
}

fn lies() -> Vec<Told> {
    use Action::{DasKill, DcdbFlow, DcdbKill, GaussdbKill, TaurusdbKill};
    const SAID: [(&str, &str); 2] = [("killed", ""); 2];
    const SEEN: [(&str, &str); 2] = [("killed", "seen gone"); 2];
    const LEFT_OUT: [(&str, &str); 2] = [("killed", "seen gone"), ("killed", "")];
    const FAILED: [(&str, &str); 2] = [("failed", ""); 2];
    let slow = || Lie::SlowDeath(SOON);
    vec![
        // Lists of ids are taken at their word, which is final; what they leave out is looked for.
        told("ledger", GaussdbKill, Lie::SaysKilledButAlive, "succeeded", SAID),
        told("ledger", GaussdbKill, Lie::KillsButSaysFailed, "failed", FAILED),
        told("ledger", GaussdbKill, Lie::LeavesOut, "succeeded", LEFT_OUT),
        told("ledger", GaussdbKill, slow(), "succeeded", SAID),
        told("orders-ro", TaurusdbKill, Lie::SaysKilledButAlive, "succeeded", SAID),
        told("orders-ro", TaurusdbKill, Lie::KillsButSaysFailed, "succeeded", [("not_found", ""); 2]),
        told("orders-ro", TaurusdbKill, Lie::LeavesOut, "succeeded", LEFT_OUT),
        told("orders-ro", TaurusdbKill, slow(), "succeeded", SAID),
        // DAS names nothing, so only lists tell; its 500 leaves the kill unknown until then.
        told("shop", DasKill, Lie::KillsButSaysFailed, "succeeded", SEEN),
        told("shop", DasKill, slow(), "succeeded", SEEN),
        told("shop", DasKill, Lie::DasBody(DasBody::Empty), "succeeded", SEEN),
        told("shop", DasKill, Lie::DasBody(DasBody::EmptyString), "succeeded", SEEN),
        told("shop", DasKill, Lie::DasBody(DasBody::Ok), "succeeded", SEEN),
        told("shop", DasKill, Lie::DasBody(DasBody::Object), "succeeded", SEEN),
        // The flow's word is final; where there is none, lists tell.
        told("orders-shard-1", DcdbKill, Lie::SaysKilledButAlive, "succeeded", SAID),
        told("orders-shard-1", DcdbKill, Lie::KillsButSaysFailed, "failed", FAILED),
        told("orders-shard-1", DcdbKill, Lie::FlowFails, "failed", FAILED),
        told("orders-shard-1", DcdbFlow, Lie::FlowFails, "failed", FAILED),
        told("orders-shard-1", DcdbKill, Lie::FlowRuns(SOON), "succeeded", SAID),
        told("orders-shard-1", DcdbKill, Lie::FlowForgotten, "succeeded", SEEN),
        told("orders-shard-1", DcdbFlow, Lie::FlowForgotten, "succeeded", SEEN),
        told("orders-shard-1", DcdbKill, slow(), "succeeded", SAID),
    ]
}

/// The target's sessions of one user, the first two, pinned to whose they are.
fn pinned(gateway: &Gateway, alias: &str) -> Value {
    let sessions = gateway.clouds.sessions(&crate::victims::place(alias));
    let of_user = sessions.iter().filter(|session| session.user == "app").take(2);
    let ids: Vec<_> = of_user.map(|s| json!({ "id": s.id, "user": s.user, "host": s.host })).collect();
    assert_eq!(ids.len(), 2, "{alias}");
    json!({ "target": alias, "select": { "ids": ids }, "reason": "INC-4711" })
}

/// The outcomes and details of a kill's sessions.
fn fates(kill: &Value) -> Vec<(&str, &str)> {
    let sessions = kill["sessions"].as_array().unwrap_or_else(|| panic!("{kill}"));
    let fate = |session| -> (&str, &str) {
        let session: &Value = session;
        (session["outcome"].as_str().unwrap(), session["detail"].as_str().unwrap_or_default())
    };
    sessions.iter().map(fate).collect()
}

async fn impatient(engine: Engine) -> Gateway {
    Gateway::start_with(engine, Setup { more: IMPATIENT.into(), ..Setup::default() }).await
}

async fn each_lie_about_a_kill_gives_the_honest_outcome(engine: Engine) {
    let gateway = impatient(engine).await;
    for Told { alias, action, lie, status, fates: expected } in lies() {
        gateway.clouds.reset();
        let why = format!("{alias}: {action:?} {lie:?}");
        gateway.clouds.misbehave(action, Behaviour::Lie(lie));
        let answer = gateway.kill(&pinned(&gateway, alias)).await;
        let kill = recorded_as(&gateway, answer.kill_id(), status).await;
        let found = fates(&kill);
        let fits = found.iter().zip(expected).all(|(found, (outcome, detail))| {
            found.0 == outcome
                && found.1.starts_with(detail)
                && found.1.contains("seen gone") == (detail == "seen gone")
        });
        assert!(found.len() == 2 && fits, "{why}: {kill}");
        // Only what was seen gone on a list was verified.
        let verified = expected.iter().all(|(_, detail)| *detail == "seen gone");
        assert_eq!(kill.get("verified_at").is_some_and(Value::is_string), verified, "{why}: {kill}");
        let kills = if action == Action::DcdbFlow { Action::DcdbKill } else { action };
        assert_eq!(gateway.clouds.calls_for(kills).len(), 1, "{why}: sent once");
    }
}

async fn each_lie_about_an_intelligent_kill_gives_the_honest_outcome(engine: Engine) {
    let gateway = impatient(engine).await;
    let body = json!({ "target": "orders-ro", "select": { "intelligent": true }, "reason": "load" });
    for (lie, status) in [
        // The run has ended, and nothing is said of any session.
        (Lie::TaskIdAsNumber, "succeeded"),
        (Lie::TaskIdAsString, "succeeded"),
        (Lie::SaysKilledButAlive, "succeeded"),
        (Lie::SlowDeath(SOON), "succeeded"),
        // Without a task nobody can look.
        (Lie::KillsButSaysFailed, "unknown"),
    ] {
        gateway.clouds.reset();
        gateway.clouds.misbehave(Action::IntelligentKill, Behaviour::Lie(lie.clone()));
        let answer = gateway.kill(&body).await;
        let kill = recorded_as(&gateway, answer.kill_id(), status).await;
        assert_eq!((&kill["sessions"], kill.get("verified_at")), (&json!([]), None), "{lie:?}: {kill}");
    }
}

async fn a_session_that_stays_is_open_where_the_vendor_only_took_the_kill(engine: Engine) {
    let gateway = impatient(engine).await;
    gateway.clouds.misbehave(Action::DasKill, Behaviour::Lie(Lie::SaysKilledButAlive));
    let answer = gateway.kill(&pinned(&gateway, "shop")).await;
    // The one before the kill, and two that find the sessions there.
    gateway.clouds.arrived(Action::DasProcesses, 3).await;
    let kill = gateway.record(answer.kill_id()).await;
    assert_eq!((&kill["status"], fates(&kill)), (&json!("accepted"), vec![("accepted", ""); 2]), "{kill}");
}

async fn an_id_that_went_to_another_is_not_sent_at_any_vendor(engine: Engine) {
    let gateway = impatient(engine).await;
    for (alias, query, list, kill) in [
        ("ledger", "target=ledger", Action::GaussdbSessions, Action::GaussdbKill),
        ("shop", "target=shop&user=app", Action::DasProcesses, Action::DasKill),
        ("orders-ro", "target=orders-ro", Action::TaurusdbProcesses, Action::TaurusdbKill),
        ("orders-shard-1", "target=orders-shard-1", Action::DcdbProcesses, Action::DcdbKill),
    ] {
        let body = pinned(&gateway, alias);
        // The list that the caller saw; right after it the ids go to others.
        gateway.clouds.misbehave_times(1, list, Behaviour::Lie(Lie::RecycleIds));
        let token = Gateway::token("dba", "sessions:read");
        let listed = gateway.client().get(&format!("/sessions?{query}"), &token).await;
        assert!(listed.status.is_success(), "{alias}: {}", listed.body);
        let answer = gateway.kill(&body).await;
        let outcomes: Vec<_> = fates(&answer.body).into_iter().map(|(outcome, _)| outcome).collect();
        // DAS shows the sessions of the user that was named, and these are another's.
        let expected = if alias == "shop" { "not_found" } else { "changed" };
        assert_eq!(outcomes, [expected; 2], "{alias}: {}", answer.body);
        assert!(gateway.clouds.calls_for(kill).is_empty(), "{alias}");
    }
}

async fn what_a_cut_off_list_does_not_show_is_not_sent(engine: Engine) {
    let gateway = impatient(engine).await;
    for (alias, list, kill, shown, is_told) in [
        // A list without a total that is cut off below 200 cannot be told from a whole one.
        ("ledger", Action::GaussdbSessions, Action::GaussdbKill, 1, false),
        ("shop", Action::DasProcesses, Action::DasKill, 1, true),
        ("orders-ro", Action::TaurusdbProcesses, Action::TaurusdbKill, 1, true),
        // It tells no total either: a second page that lacks what the first one ended with gives it away.
        ("orders-shard-1", Action::DcdbProcesses, Action::DcdbKill, 2, true),
    ] {
        let body = pinned(&gateway, alias);
        gateway.clouds.misbehave_times(1, list, Behaviour::Lie(Lie::CutLists(shown)));
        gateway.clouds.misbehave(list, Behaviour::Lie(Lie::CutLists(0)));
        let answer = gateway.kill(&body).await;
        let kill_of = gateway.record(answer.kill_id()).await;
        let (last, detail) = *fates(&kill_of).last().unwrap();
        if is_told {
            assert_eq!((last, detail), ("failed", "not sent: the vendor's list was cut off before it"), "{kill_of}");
        } else {
            assert_eq!((last, detail), ("not_found", "not there when it was looked for"), "{kill_of}");
        }
        let sent = gateway.clouds.calls_for(kill);
        let unseen = body["select"]["ids"][1]["id"].to_string();
        assert!(sent.iter().all(|call| !String::from_utf8_lossy(&call.body).contains(&unseen)), "{alias}");
    }
}
