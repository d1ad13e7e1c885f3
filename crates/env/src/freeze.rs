//! A process that stands still and goes on later - SIGSTOP and SIGCONT, a machine that was suspended - in simulation.
//!
//! While it stands still none of its tasks is polled, and the clock goes on: when it goes on, every time limit that has
//! passed meanwhile has passed. What is on its way outside of it - requests in the store's hands - goes on.

use parking_lot::Mutex;
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Poll, Waker},
};

#[derive(Debug, Default)]
pub(crate) struct Freezer(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    frozen: bool,
    /// Tasks that would have run meanwhile.
    held: Vec<Waker>,
}

impl Freezer {
    pub(crate) fn freeze(&self) {
        self.0.lock().frozen = true;
    }

    pub(crate) fn thaw(&self) {
        let held = {
            let mut state = self.0.lock();
            state.frozen = false;
            std::mem::take(&mut state.held)
        };
        held.into_iter().for_each(Waker::wake);
    }

    /// Runs `future`, but not while the process stands still.
    pub(crate) async fn obey<F: Future>(self: Arc<Self>, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| if self.holds(cx.waker()) { Poll::Pending } else { future.as_mut().poll(cx) }).await
    }

    fn holds(&self, task: &Waker) -> bool {
        let mut state = self.0.lock();
        if state.frozen && !state.held.iter().any(|held| held.will_wake(task)) {
            state.held.push(task.clone());
        }
        state.frozen
    }
}
