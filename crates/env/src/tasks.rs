//! Tasks with a name and an owner.
//!
//! A [`Task`] dies with its handle unless it is detached to its group; the group (one per process) can end all of them at
//! once, which is what a crash is in a simulation. A group that was ended runs nothing any more.

use crate::Watched;
use floe_types::ErrorKind;
use parking_lot::Mutex;
use std::{any::Any, collections::BTreeMap, fmt, future::Future, sync::Arc};
use tokio::task::{AbortHandle, JoinHandle};

/// Why a task gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskFailed {
    #[error("task {name} was ended before it was done")]
    Aborted { name: &'static str },
    #[error("task {name} panicked: {message}")]
    Panicked { name: &'static str, message: String },
}

impl TaskFailed {
    /// `Closed` for an ended task, `Bug` for a panic.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Aborted { .. } => ErrorKind::Closed,
            Self::Panicked { .. } => ErrorKind::Bug,
        }
    }

    pub(crate) fn from_join(name: &'static str, error: tokio::task::JoinError) -> Self {
        match error.try_into_panic() {
            Err(_) => Self::Aborted { name },
            Ok(payload) => Self::panicked(name, &*payload),
        }
    }

    pub(crate) fn panicked(name: &'static str, payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".into());
        Self::Panicked { name, message }
    }
}

/// A running task. Dropping it ends the task at its next await.
#[must_use = "a task ends when its handle is dropped"]
pub struct Task<T> {
    name: &'static str,
    handle: Option<JoinHandle<T>>,
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("name", &self.name).field("finished", &self.is_finished()).finish()
    }
}

impl<T> Task<T> {
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the result. Cancelled, it ends the task.
    ///
    /// # Errors
    /// The task panicked, or was ended by [`Task::abort`] or its group.
    pub async fn join(mut self) -> Result<T, TaskFailed> {
        let handle = self.handle.as_mut().expect("only join and detach take the handle, and both consume the task");
        let result = handle.await;
        self.handle = None;
        result.map_err(|e| TaskFailed::from_join(self.name, e))
    }

    /// Ends the task at its next await.
    pub fn abort(&self) {
        if let Some(handle) = &self.handle {
            handle.abort();
        }
    }

    /// Lets the task run on without this handle; only its own end, or its group's, ends it.
    pub fn detach_to_group(mut self) {
        self.handle = None;
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.abort();
    }
}

/// The tasks of one process.
#[derive(Clone)]
pub(crate) struct Group(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    living: Watched<usize>,
    #[cfg(feature = "sim")]
    freezer: Arc<crate::freeze::Freezer>,
}

#[derive(Default)]
struct State {
    next: u64,
    ended: bool,
    /// `None` between the entry and the spawn that fills it.
    tasks: BTreeMap<u64, (&'static str, Option<AbortHandle>)>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.state.lock().tasks.values().map(|(name, _)| *name).collect();
        f.debug_tuple("Group").field(&names).finish()
    }
}

impl Group {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            living: Watched::default(),
            #[cfg(feature = "sim")]
            freezer: Arc::default(),
        }))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub(crate) fn spawn<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let member = self.enter(name);
        let id = member.id;
        #[cfg(feature = "sim")]
        let future = Arc::clone(&self.0.freezer).obey(future);
        let handle = tokio::spawn(async move {
            let _member = member;
            future.await
        });
        // The lock is not held across the spawn: a runtime that shuts down drops the future, and with it the member, right there.
        let mut state = self.0.state.lock();
        if state.ended {
            handle.abort();
        } else if let Some((_, slot)) = state.tasks.get_mut(&id) {
            *slot = Some(handle.abort_handle());
        }
        Task { name, handle: Some(handle) }
    }

    fn enter(&self, name: &'static str) -> Member {
        let mut state = self.0.state.lock();
        let id = state.next;
        state.next += 1;
        state.tasks.insert(id, (name, None));
        self.0.living.set(state.tasks.len());
        Member { id, name, group: Arc::clone(&self.0) }
    }

    pub(crate) fn abort_all(&self) {
        let mut state = self.0.state.lock();
        state.ended = true;
        let handles: Vec<AbortHandle> = state.tasks.values().filter_map(|(_, handle)| handle.clone()).collect();
        drop(state);
        for handle in handles {
            handle.abort();
        }
    }

    #[cfg(feature = "sim")]
    pub(crate) fn freezer(&self) -> &crate::freeze::Freezer {
        &self.0.freezer
    }

    pub(crate) async fn wait_empty(&self) {
        self.0.living.wait_for(|n| *n == 0).await;
    }
}

/// Held by a task's future: leaves the group when the future is dropped, however that comes.
struct Member {
    id: u64,
    name: &'static str,
    group: Arc<Inner>,
}

impl Drop for Member {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.name, "task panicked");
        }
        let mut state = self.group.state.lock();
        state.tasks.remove(&self.id);
        self.group.living.set(state.tasks.len());
    }
}
