//! A kill in two steps: the first reads, the second acts on what it prepared, in time or not at all.

use super::*;

/// Prepares, and then ends the sessions within that time.
#[derive(Debug)]
struct InTwoSteps(Duration);

static IN_TIME: InTwoSteps = InTwoSteps(Duration::from_secs(20));
static TOO_LATE: InTwoSteps = InTwoSteps(Duration::ZERO);

impl Vendor for InTwoSteps {
    fn name(&self) -> VendorName {
        Engine.name()
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn open(&self, order: &Order) -> Call {
        statements("prepare", Effect::Read, &order.target, vec!["SHOW PROCESSLIST".to_owned()])
    }

    /// As no script should: what is asked afterwards is what prepares a kill.
    fn follow_up(&self, order: &Order, _: &Known) -> Option<Call> {
        Some(self.open(order))
    }

    fn next(&self, order: &Order, known: &Known, reply: &Reply) -> Result<Step, Fault> {
        reply.results()?;
        if reply.stage == "prepare" {
            return Ok(Step::Commit { call: Engine.open(order), within: self.0 });
        }
        Engine.next(order, known, reply)
    }

    fn list(&self, _: &Target, _: &ListFilter, _: usize) -> Option<Call> {
        None
    }

    fn page(&self, _: &Target, _: usize, reply: &Reply) -> Result<Page, Fault> {
        Err(Fault::unreadable(reply))
    }
}

async fn kill(mood: Mood, vendor: &'static InTwoSteps) -> (Result<Report, Stop>, Vec<Vec<String>>) {
    let mut world = World::new(mood).await;
    world.runner.vendor = vendor;
    world.runner.limit.max_wait = Duration::from_secs(1);
    let order = Order::new(primary(), Selector::Ids(vec![SessionId("7".into())]));
    let budget = Budget::of_kills(&world.runner.account, vendor, &order.target);
    let permit = world.runner.permit(&budget, Class::Kill, 1, Duration::from_secs(20)).await.unwrap();
    let report = world.runner.kill(&order, Class::Kill, permit, &crate::spans::Trace::NONE).await;
    let sent = world.seen().into_iter().map(|(_, texts)| texts).collect();
    (report, sent)
}

#[tokio::test]
async fn the_second_step_follows_the_first() {
    let (report, sent) = kill(Mood::Good, &IN_TIME).await;
    assert_eq!(outcomes(&report.unwrap()), [Outcome::Killed]);
    assert_eq!(sent, [["SHOW PROCESSLIST"], ["KILL 7"]]);
}

#[tokio::test]
async fn a_second_step_that_would_come_too_late_is_not_sent() {
    let (report, sent) = kill(Mood::Good, &TOO_LATE).await;
    let stop = report.unwrap_err();
    assert!(matches!(stop, Stop::NoPermit(_)), "{stop:?}");
    assert_eq!(sent, [["SHOW PROCESSLIST"]]);
}

#[tokio::test]
async fn whoever_asks_what_became_of_a_kill_commits_nothing() {
    let mut world = World::new(Mood::Good).await;
    world.runner.vendor = &IN_TIME;
    let order = Order::new(primary(), Selector::Ids(vec![SessionId("7".into())]));
    let now = world.runner.clock.now();
    let known = Known { task_id: None, sent_at: now, now };
    let until = Instant::now() + Duration::from_secs(20);
    assert_eq!(world.runner.follow_up(&order, known, &Reader::SETTLE, until).await, None);
    let sent: Vec<_> = world.seen().into_iter().map(|(_, texts)| texts).collect();
    assert_eq!(sent, [["SHOW PROCESSLIST"]]);
}

#[tokio::test]
async fn without_an_answer_to_the_first_step_nothing_was_done_and_it_is_tried_again() {
    let (report, sent) = kill(Mood::SpeaksHttp, &IN_TIME).await;
    let stop = report.unwrap_err();
    assert!(matches!(&stop, Stop::Unprepared(fault) if fault.kind == FaultKind::Unreadable), "{stop:?}");
    assert!(sent.len() > 1 && sent.iter().all(|texts| texts == &["SHOW PROCESSLIST"]), "{sent:?}");
    let order = Order::new(primary(), Selector::Ids(vec![SessionId("7".into())]));
    let report = Report::stopped(&order, &stop);
    assert_eq!((report.status, outcomes(&report)), (Status::Failed, vec![Outcome::Failed]));
}
