//! A vendor's limit, judged on a machine that may be late.
//!
//! The gateway keeps a limit by when calls leave; a test sees when the clouds noted them. Between the two, threads have to
//! get a processor, and where a machine lets them wait, what left in two seconds is noted in one. So while a test runs,
//! pings go the way of a call: one thread sends what is due, another one notes how late it came. The verdict takes that
//! from the time in which it expects no more calls than the limit. On a machine that is not late it is the whole second.

use std::{
    sync::{Mutex, Once, mpsc},
    thread,
    time::{Duration, Instant},
};

use killgate::sandbox::Received;
use tokio::{runtime, sync::mpsc as tasks, time::sleep};

use super::patience::eventually;

const SECOND: Duration = Duration::from_secs(1);
/// The time between two pings.
const PAUSE: Duration = Duration::from_millis(5);
/// A call has more to wait for than a ping: the work of a gateway, and the calls before it.
const CALL_PER_PING: u32 = 3;

/// Those between threads, and those between tasks.
static PINGS: [Pings; 2] = [const { Pings(Mutex::new(Noted { last: None, late: vec![] })) }; 2];

/// Watches how late this machine is, from before the first call on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lateness(());

impl Lateness {
    /// One set of pings serves all tests.
    pub(crate) fn watch() -> Self {
        static SENT: Once = Once::new();
        SENT.call_once(|| {
            between_threads(&PINGS[0]);
            between_tasks(&PINGS[1]);
        });
        Self(())
    }

    /// No second saw more of these calls than the limit, as far as this machine can tell.
    pub(crate) async fn assert_kept(self, calls: &[Received], limit: usize) {
        self.assert_kept_by_way_of(calls, limit, Duration::ZERO).await;
    }

    /// The same of calls of which some may be so much longer on their way than others: through a proxy of the test's own.
    pub(crate) async fn assert_kept_by_way_of(self, calls: &[Received], limit: usize, way: Duration) {
        let now = Instant::now();
        let told = async || PINGS.iter().all(|pings| pings.told(now)).then_some(());
        eventually("what was late by now has come", told).await;
        let arrivals: Vec<_> = calls.iter().map(|call| call.arrived).collect();
        let late =
            |from, until| way + CALL_PER_PING * PINGS.iter().map(|pings| pings.worst(from, until)).max().unwrap();
        if let Some(fault) = fault(&arrivals, limit, late) {
            panic!("{fault}");
        }
    }
}

/// What is wrong with calls that were noted at these moments, oldest first, where those between two moments may have been
/// `late`. More than one second is looked at, too: the longer, the less it matters how late a machine is.
fn fault(arrivals: &[Instant], limit: usize, late: impl Fn(Instant, Instant) -> Duration) -> Option<String> {
    let mut windows = (1_u32..).zip((limit..arrivals.len()).step_by(limit));
    let over = |(seconds, calls): (u32, usize)| {
        arrivals.iter().zip(&arrivals[calls..]).find_map(|(first, last)| {
            let (time, expected) = (*last - *first, SECOND * seconds);
            // Most take long enough in any case.
            let late = (time < expected).then(|| late(*first, *last))?;
            let text =
                || format!("{} calls within {time:?}, {late:?} of it late: {limit} a second may come", calls + 1);
            (time < expected.saturating_sub(late)).then(text)
        })
    };
    windows.find_map(over)
}

/// What became of the pings that went one way.
#[derive(Debug)]
struct Pings(Mutex<Noted>);

#[derive(Debug)]
struct Noted {
    /// When the last one was due.
    last: Option<Instant>,
    /// When those that were late were due, and when they came.
    late: Vec<(Instant, Instant)>,
}

impl Pings {
    fn came(&self, due: Instant) {
        let (mut noted, now) = (self.0.lock().unwrap(), Instant::now());
        noted.last = Some(due);
        if now - due > PAUSE {
            noted.late.push((due, now));
        }
    }

    /// Whether all have come that were due by then.
    fn told(&self, by: Instant) -> bool {
        self.0.lock().unwrap().last > Some(by)
    }

    /// How late the latest one was of those that were on their way between two moments, or in the second before.
    fn worst(&self, from: Instant, until: Instant) -> Duration {
        let noted = self.0.lock().unwrap();
        let between = noted.late.iter().filter(|(due, came)| *due <= until && from <= *came + SECOND);
        between.map(|(due, came)| *came - *due).max().unwrap_or(PAUSE)
    }
}

fn between_threads(pings: &'static Pings) {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        loop {
            let due = Instant::now() + PAUSE;
            thread::sleep(PAUSE);
            sender.send(due).unwrap();
        }
    });
    thread::spawn(move || receiver.iter().for_each(|due| pings.came(due)));
}

fn between_tasks(pings: &'static Pings) {
    let (sender, mut receiver) = tasks::unbounded_channel();
    let receive = async move {
        while let Some(due) = receiver.recv().await {
            pings.came(due);
        }
    };
    let send = async move {
        loop {
            let due = Instant::now() + PAUSE;
            sleep(PAUSE).await;
            sender.send(due).unwrap();
        }
    };
    thread::spawn(|| {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        runtime.spawn(receive);
        runtime.block_on(send)
    });
}

#[test]
fn what_was_late_may_come_with_what_was_not_and_no_more() {
    let start = Instant::now() + SECOND;
    let at = |millis: &[u64]| millis.iter().map(|at| start + Duration::from_millis(*at)).collect::<Vec<_>>();
    let punctual = |_, _| Duration::ZERO;
    let late = |_, _| Duration::from_millis(300);
    assert_eq!(fault(&at(&[0, 0, 1000, 1000, 2000]), 2, punctual), None);
    assert!(fault(&at(&[0, 500, 999]), 2, punctual).is_some_and(|fault| fault.starts_with("3 calls within 999ms")));
    assert_eq!(fault(&at(&[0, 500, 700, 1700]), 2, late), None);
    assert!(fault(&at(&[0, 500, 699]), 2, late).is_some());
    // Each pair seems to be late, and all of them cannot be.
    assert!(
        fault(&at(&[0, 700, 1400, 2100, 2800]), 1, late).is_some_and(|fault| fault.starts_with("3 calls within 1.4s"))
    );
}

#[test]
fn only_what_was_on_its_way_meanwhile_counts() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let pings = Pings(Mutex::new(Noted { last: Some(at(2900)), late: vec![(at(100), at(150)), (at(2500), at(2900))] }));
    let worst = |from, until| pings.worst(at(from), at(until)).as_millis();
    assert_eq!([worst(0, 99), worst(0, 100), worst(1150, 2499), worst(1151, 2499)], [5, 50, 50, 5]);
    assert_eq!([worst(0, 2500), worst(2600, 2700)], [400, 400]);
    assert!(pings.told(at(2899)) && !pings.told(at(2900)));
}
