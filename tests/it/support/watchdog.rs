//! Names a test that never ends. Whatever is waited for has a deadline of its own; what blocks all the same would keep the
//! run from ending, and nobody would know which test it was.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process,
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    thread::ThreadId,
    time::{Duration, Instant},
};

/// Many times what the longest test takes on a busy machine.
const LONGEST: Duration = Duration::from_mins(30);

/// The tests that run, by name, and since when.
static RUNNING: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());

thread_local! {
    static TEST: Running = Running::begin();
}

/// The test of this thread, from the first time that it says so to its end.
struct Running(Option<String>);

impl Running {
    fn begin() -> Self {
        static WATCHING: OnceLock<ThreadId> = OnceLock::new();
        WATCHING.get_or_init(|| thread::spawn(watch).thread().id());
        // A thread is called like its test, and no other thread has such a name.
        let name = thread::current().name().filter(|name| name.contains("::")).map(str::to_owned);
        if let Some(name) = name.clone() {
            RUNNING.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Instant::now());
        }
        Self(name)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(name) = &self.0 {
            RUNNING.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
    }
}

/// Says that the test of this thread runs.
pub(crate) fn is_running() {
    TEST.with(|_| ());
}

fn watch() {
    loop {
        thread::sleep(Duration::from_secs(5));
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let endless = running.iter().filter(|(_, since)| since.elapsed() > LONGEST);
        let endless: Vec<&str> = endless.map(|(name, _)| name.as_str()).collect();
        if !endless.is_empty() {
            // Not what a test says, which is kept until it ends.
            let told = writeln!(std::io::stderr(), "after {LONGEST:?} there still run {}", endless.join(" and "));
            process::exit(if told.is_ok() { 101 } else { 102 });
        }
    }
}
