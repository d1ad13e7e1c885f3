//! [`Env`]: clock, randomness and tasks of one process, real or simulated.

use crate::{
    aside::Aside,
    clock::{Clock, Elapsed},
    random::Random,
    tasks::{Group, Task, TaskFailed},
};
use std::{future::Future, time::Duration};
use tokio::sync::oneshot;

/// What one process sees of the world. Cheap to clone; clones share clock, randomness and task group.
#[derive(Clone, Debug)]
pub struct Env {
    clock: Clock,
    random: Random,
    group: Group,
    /// Where work that computes is done, if it is to give way.
    aside: Option<Aside>,
}

impl Env {
    /// The system's clock, randomness seeded by the operating system.
    ///
    /// # Panics
    /// The operating system has no entropy to give.
    #[must_use]
    pub fn real() -> Self {
        Self { clock: Clock::real(), random: Random::from_os(), group: Group::new(), aside: None }
    }

    /// Everything follows from the seed. To be used within
    /// `tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true)`: the wall clock is a fixed date plus
    /// what that runtime's clock has moved since its first reading.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn simulated(seed: u64) -> Self {
        Self { clock: Clock::simulated(), random: Random::from_seed(seed), group: Group::new(), aside: None }
    }

    /// Another process of the same world: the same clock, randomness of its own drawn from this one's, a task group of its own.
    #[must_use]
    pub fn process(&self) -> Self {
        let random = match &self.clock {
            Clock::Real { .. } => self.random.clone(),
            #[cfg(feature = "sim")]
            Clock::Simulated { .. } => Random::from_seed(self.random.next_u64()),
        };
        #[cfg(feature = "sim")]
        let clock = self.clock.skewed(0);
        #[cfg(not(feature = "sim"))]
        let clock = self.clock.clone();
        Self { clock, random, group: Group::new(), aside: None }
    }

    /// The same process with a wall clock that is wrong by so much; a real clock stays as it is.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn with_clock_skew(&self, by_ms: i64) -> Self {
        Self { clock: self.clock.skewed(by_ms), ..self.clone() }
    }

    /// This process's wall clock jumps by so much; a real clock stays as it is.
    #[cfg(feature = "sim")]
    pub fn jump_clock(&self, by_ms: i64) {
        self.clock.jump(by_ms);
    }

    /// The same process, where what computes for long ([`Env::compute`]) gives way to everything else that runs on the machine: a few threads of
    /// the least priority, which clones of what is returned share.
    #[must_use]
    pub fn giving_way(&self) -> Self {
        Self { aside: Some(Aside::default()), ..self.clone() }
    }

    /// Wall clock, milliseconds since 1970 (UTC). For record timestamps and display only: no safety rests on it.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Time since an arbitrary origin; never goes back.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Waits. Granularity is one millisecond, rounded up.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Runs `future` for at most `duration`, then drops it.
    ///
    /// # Errors
    /// The time is over.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub async fn timeout<F: Future>(&self, duration: Duration, future: F) -> Result<F::Output, Elapsed> {
        tokio::time::timeout(duration, future).await.map_err(|_| Elapsed(duration))
    }

    #[must_use]
    pub fn random_u64(&self) -> u64 {
        self.random.next_u64()
    }

    #[must_use]
    pub fn random_u128(&self) -> u128 {
        self.random.next_u128()
    }

    /// Uniform in `0..n`; 0 where `n` is 0.
    #[must_use]
    pub fn random_below(&self, n: u64) -> u64 {
        self.random.below(n)
    }

    /// Starts a task that is owned by the returned handle and by this process's group.
    /// After [`Env::abort_all`] nothing that is spawned runs.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.group.spawn(name, future)
    }

    /// Runs something that must not stop half way, even if whoever waits for it goes away or gives up at `limit`: then there is no result.
    pub async fn run_to_end<T: Send + 'static>(
        &self,
        name: &'static str,
        limit: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        let run = async move {
            // Nobody waits any more: the work counts all the same.
            let _nobody = done.send(work.await);
        };
        self.spawn(name, run).detach_to_group();
        self.timeout(limit, result).await.ok()?.ok()
    }

    /// Runs work that computes for long (compression, merging) where it holds up no other task; in simulation it runs in place,
    /// so that order follows from the seed. Cancelled, the work still runs to its end.
    ///
    /// # Errors
    /// The work panicked, or the runtime is shutting down.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub async fn compute<T: Send + 'static>(&self, name: &'static str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, TaskFailed> {
        match (&self.clock, &self.aside) {
            (Clock::Real { .. }, Some(aside)) => aside.run(name, work).await,
            (Clock::Real { .. }, None) => tokio::task::spawn_blocking(work).await.map_err(|e| TaskFailed::from_join(name, e)),
            #[cfg(feature = "sim")]
            (Clock::Simulated { .. }, _) => Ok(work()),
        }
    }

    /// Ends every task of this process, for good: a crash, in simulation. None of them is polled again; when their futures
    /// have been dropped, [`Env::tasks_ended`] returns.
    pub fn abort_all(&self) {
        self.group.abort_all();
    }

    /// SIGSTOP: none of this process's tasks runs until [`Env::thaw`]. The clock goes on, and so does what others do.
    #[cfg(feature = "sim")]
    pub fn freeze(&self) {
        self.group.freezer().freeze();
    }

    /// SIGCONT.
    #[cfg(feature = "sim")]
    pub fn thaw(&self) {
        self.group.freezer().thaw();
    }

    /// Waits until no task of this process is left.
    pub async fn tasks_ended(&self) {
        self.group.wait_empty().await;
    }
}

#[cfg(test)]
mod tests;
