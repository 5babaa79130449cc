//! A kill whose work breaks off.

use std::{num::NonZeroU32, sync::Arc};

use crate::{
    audit,
    dispatch::rate::limiter::{Limit, Limiter},
    domain::{Outcome, ProblemCode, Session, SessionId, Status, Target, VendorName},
    kill::{
        Kills,
        after::reconcile::tests::{NOON, attempt, gateway},
        run::*,
    },
    upstream::{
        self, Call, Capabilities, Fault, Known, ListFilter, Page, Reply, Step, Vendor,
        account::{Account, CloudAccount, Settings},
        cloud::huawei::Huawei,
        credentials::Credentials,
        sign::Keys,
        transport::Transport,
    },
};

/// A vendor that fails hard before anything of a kill can leave.
#[derive(Debug)]
struct Broken;

impl Vendor for Broken {
    fn name(&self) -> VendorName {
        VendorName("gaussdb")
    }

    fn capabilities(&self) -> &'static Capabilities {
        panic!("it cannot say what it can do")
    }

    fn open(&self, _: &Order) -> Call {
        panic!("nobody asks it what to send")
    }

    fn follow_up(&self, _: &Order, _: &Known) -> Option<Call> {
        None
    }

    fn next(&self, _: &Order, _: &Known, reply: &Reply) -> Result<Step, Fault> {
        Err(Fault::unreadable(reply))
    }

    fn list(&self, _: &Target, _: &ListFilter, _: usize) -> Option<Call> {
        None
    }

    fn page(&self, _: &Target, _: usize, reply: &Reply) -> Result<Page, Fault> {
        Err(Fault::unreadable(reply))
    }
}

fn runner(kills: &Kills) -> Runner {
    let clock = kills.0.clock.clone();
    let settings = Settings {
        name: "huawei".into(),
        cloud: &Huawei,
        site: upstream::Site::default(),
        region: "here".into(),
        project_id: None,
        endpoints: [].into(),
        credentials: Credentials::Keys(Keys { id: "id".into(), secret: "secret".to_owned().into(), token: None }),
    };
    let transport = Transport::start(Duration::from_secs(1)).unwrap();
    let limit = Limit {
        requests_per_second: NonZeroU32::MIN,
        requests_per_minute: None,
        max_ids_per_call: 1,
        max_wait: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        reserved_percent: 0,
        max_waiting: 1,
        look_max_age: Duration::from_secs(1),
        steps: 1,
        look: true,
    };
    let account = Arc::new(Account::new("huawei".into(), CloudAccount::new(settings, transport, clock.clone())));
    let limiter = Arc::new(Limiter::new([].into(), kills.audit().clone()));
    Runner {
        vendor: &Broken,
        able: upstream::find("gaussdb").unwrap().capabilities(),
        account,
        limiter,
        limit,
        breaker: Arc::default(),
        clock,
        metrics: Arc::default(),
    }
}

#[tokio::test]
async fn a_kill_whose_work_breaks_off_is_concluded_and_answered() {
    let directory = tempfile::tempdir().unwrap();
    let kills = gateway("here", directory.path().join("killgate.db")).await;
    let mut attempt = attempt("here");
    let id = SessionId("7".into());
    attempt.kill.sessions = vec![Session::new(&id, Outcome::Unknown)];
    kills.audit().begin(&attempt, Duration::from_hours(24)).await.unwrap();
    let coordinates = [].into();
    let target = Target { alias: None, vendor: VendorName("gaussdb"), account: "huawei".into(), coordinates };
    let asked = Asked {
        order: Order::new(target, Selector::Ids(vec![id])),
        pins: [].into(),
        select: None,
        reason: "INC-4711".into(),
        on_behalf_of: None,
        dry_run: false,
        look: true,
        confirm: None,
        bound: None,
    };
    let runner = runner(&kills);
    let job = Job {
        gate: Arc::clone(&kills.0),
        runner,
        asked,
        plan: None,
        class: Class::Kill,
        literals: false,
        trace: <_>::default(),
    };
    let (updates, ticket) = Ticket::new(Arc::new(attempt.kill.clone()));
    Box::new(Run::new(job, attempt.kill)).finish(updates, crate::spans::Trace::NONE.step("kill")).await;
    let kill = ticket.answered().await;
    assert_eq!((kill.status, kill.sessions[0].outcome), (Status::Failed, Outcome::Failed), "nothing was sent");
    assert_eq!(kill.problem.as_ref().map(|problem| problem.code), Some(ProblemCode::Internal));
    assert_eq!(kills.audit().find(kill.id).await.unwrap(), Some(kill));
    let (mut marked, now) = (Kill::sample(NOON), NOON);
    settle::broken_off(&mut marked, true, now);
    assert_eq!(marked.status, Status::Unknown);
}

#[tokio::test]
async fn of_a_kill_whose_beginning_was_not_heard_of_it_is_on_record_that_nothing_was_sent() {
    let directory = tempfile::tempdir().unwrap();
    let kills = gateway("deaf", directory.path().join("killgate.db")).await;
    let record = &kills.0.record;
    let committed = audit::Attempt { is_marked: true, ..attempt("deaf") };
    kills.audit().begin(&committed, Duration::from_hours(24)).await.unwrap();
    record.take_back(committed.kill.clone(), NOON).await;
    let kill = kills.audit().find(committed.kill.id).await.unwrap().unwrap();
    assert_eq!((kill.status, kill.problem.unwrap().code), (Status::Failed, ProblemCode::AuditUnavailable));

    // One that is committed only after it was looked for, and one that never is.
    let late = audit::Attempt { is_marked: true, ..attempt("deaf") };
    let commit = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        kills.audit().begin(&late, Duration::from_hours(24)).await.unwrap();
    };
    tokio::join!(record.take_back(late.kill.clone(), NOON), commit);
    assert_eq!(kills.audit().find(late.kill.id).await.unwrap().unwrap().status, Status::Failed);
    let lost = attempt("deaf").kill;
    let given_up = tokio::time::timeout(Duration::from_secs(1), record.take_back(lost.clone(), NOON)).await;
    assert!(given_up.is_err(), "it may still come");
    assert_eq!(kills.audit().find(lost.id).await.unwrap(), None);
}
