//! Taking a lock that somebody may have panicked under.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a mutex guards, whatever became of who held it before: a panic concerns the kill or the request it came in.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
