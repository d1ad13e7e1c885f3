//! Threads for work that can wait: the operating system gives them what the process's other threads leave.
//!
//! A thread that has lowered its priority may not raise it again, so that these are threads of their own and not those of `spawn_blocking`.

use crate::tasks::TaskFailed;
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, oneshot};

/// Work of one kind is not to have every core of a large machine either.
const THREADS: usize = 2;
/// As low as it goes: an eightieth of a core that somebody else wants.
const NICE: i32 = 19;

type Job = Box<dyn FnOnce() + Send>;

/// The threads begin with the first work, and end with the last handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Aside(Arc<OnceLock<mpsc::Sender<Job>>>);

impl Aside {
    /// # Errors
    /// The work panicked, or its threads are gone.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TaskFailed> {
        let (done, result) = oneshot::channel();
        let job = move || {
            // Nobody waits any more: the work was done all the same.
            let _nobody = done.send(catch_unwind(AssertUnwindSafe(work)));
        };
        let aborted = TaskFailed::Aborted { name };
        self.0.get_or_init(begin).send(Box::new(job)).await.map_err(|_| aborted.clone())?;
        result.await.map_err(|_| aborted)?.map_err(|payload| TaskFailed::panicked(name, &*payload))
    }
}

/// Where no thread can be started, all work is refused: its receiver is gone.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
fn begin() -> mpsc::Sender<Job> {
    let (sender, jobs) = mpsc::channel(THREADS);
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..THREADS {
        let jobs = jobs.clone();
        let started = std::thread::Builder::new().name("floe-aside".to_owned()).spawn(move || serve(&jobs));
        if let Err(error) = started {
            tracing::warn!(%error, "no thread for work that can wait");
        }
    }
    sender
}

fn serve(jobs: &Mutex<mpsc::Receiver<Job>>) {
    // Of this thread alone: on Linux a priority is a thread's.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "work that can wait has the priority of all others");
    }
    loop {
        let Some(job) = jobs.lock().blocking_recv() else { return };
        job();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_aside_has_the_least_priority_and_whoever_waits_for_it_has_not() {
        let aside = Aside::default();
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        assert_eq!(aside.run("looks", nice).await, Ok(NICE));
        assert_eq!(nice(), before);
        let failed = aside.run("breaks", || -> () { panic!("no") }).await.expect_err("panics");
        assert_eq!(failed, TaskFailed::Panicked { name: "breaks", message: "no".into() });
        let all = twenty_at_once(&aside).await;
        assert_eq!(all, (0..20).collect::<Vec<_>>(), "its threads outlive a panic, and more waits than there are threads");
    }

    async fn twenty_at_once(aside: &Aside) -> Vec<usize> {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..20 {
            let aside = aside.clone();
            tasks.spawn(async move { aside.run("counts", move || n).await.unwrap() });
        }
        let mut all = tasks.join_all().await;
        all.sort_unstable();
        all
    }
}
