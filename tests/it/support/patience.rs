//! Waiting for what must come, without a clock to be held against: what never comes fails a test, what is slow does not.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// The longest that anything may take which is waited for. Far more than a busy machine needs, less than for ever.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// What `look` finds, as soon as it finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "still not: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// What comes of work that must end by itself.
pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("it ends")
}
