//! Waiting for a moment.

use tokio::time::{Instant, sleep_until};

/// Waits until that moment. Where it has come already this takes no time: a timer takes a tick of a millisecond at least.
pub(crate) async fn wait_until(moment: Instant) {
    if moment > Instant::now() {
        sleep_until(moment).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_moment_that_has_come_is_not_waited_for() {
        let now = Instant::now();
        assert!(wait_until(now).now_or_never().is_some());
        assert!(wait_until(now + Duration::from_millis(1)).now_or_never().is_none());
    }
}
