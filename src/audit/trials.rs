//! Trials whether anything can be recorded, which anybody may ask for: one at a time, and its answer is everybody's.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use super::AuditError;

/// For how long a good answer is everybody's who comes later. A bad one is only theirs who waited for it: it may be well
/// again by the next moment.
const GOOD_FOR: Duration = Duration::from_millis(200);

/// The last trial. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Trials(Arc<Mutex<Option<Trial>>>);

/// When it ended, and how.
type Trial = (Instant, Result<(), AuditError>);

impl Trials {
    /// The answer of the trial that ended while this waited for it, or went well just before; else that of `trial`.
    pub(super) async fn share(&self, trial: impl Future<Output = Result<(), AuditError>>) -> Result<(), AuditError> {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        if let Some((ended, answer)) = &*last
            && *ended + if answer.is_ok() { GOOD_FOR } else { Duration::ZERO } >= asked
        {
            return answer.clone();
        }
        let answer = trial.await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}
