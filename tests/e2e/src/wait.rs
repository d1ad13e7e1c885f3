//! Waiting for a condition, with a limit.

use std::time::{Duration, Instant};

/// Between two looks at what cannot wake its waiter, such as another process.
const LOOK: Duration = Duration::from_millis(3);

/// Looks until `done` gives something. None: not within `limit`.
pub fn until<T>(limit: Duration, mut done: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = done() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}
