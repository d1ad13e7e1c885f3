//! Who waits on a partition: producers for their commit, readers for news. Every waiter gets the fate of its own bytes
//! (T01), and a partition that closes leaves nobody behind (T11).

use super::Partition;
use crate::AppendError;
use floe_types::Offset;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{Notify, oneshot};

pub(super) type CommitAnswer = Result<(), AppendError>;

/// Waiting commits that are never looked through for clients that have gone.
const FEW_COMMITS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// Ordered by the end that each waits for.
    commits: VecDeque<(Offset, oneshot::Sender<CommitAnswer>)>,
    /// With so many, those of clients that have gone are let go: without a store nothing is committed, and each client that
    /// gives up and comes again would leave one behind.
    crowd: usize,
    /// Those who wait for a log start to be committed.
    starts: Vec<(Offset, oneshot::Sender<CommitAnswer>)>,
    /// Those who wait until something more is in certain slots.
    certain: Vec<oneshot::Sender<()>>,
    readers: Vec<Arc<Notify>>,
}

impl Waiters {
    pub(super) fn await_commit(&mut self, end: Offset) -> oneshot::Receiver<CommitAnswer> {
        if self.commits.len() >= self.crowd.max(FEW_COMMITS) {
            self.commits.retain(|(_, sender)| !sender.is_closed());
            self.crowd = 2 * self.commits.len();
        }
        let (sender, receiver) = oneshot::channel();
        let at = self.commits.partition_point(|(waits_for, _)| *waits_for <= end);
        self.commits.insert(at, (end, sender));
        receiver
    }

    pub(super) fn await_log_start(&mut self, start: Offset) -> oneshot::Receiver<CommitAnswer> {
        let (sender, receiver) = oneshot::channel();
        // Without a store none is answered, and each client that gives up and comes again would leave one behind.
        self.starts.retain(|(_, waiting)| !waiting.is_closed());
        self.starts.push((start, sender));
        receiver
    }

    /// Told, or dropped, at the next slot that is certain, or when the partition closes.
    pub(super) fn await_certain(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.certain.retain(|waiting| !waiting.is_closed());
        self.certain.push(sender);
        receiver
    }

    pub(super) fn certain(&mut self) {
        for sender in self.certain.drain(..) {
            let _gone = sender.send(());
        }
    }

    /// The log starts here, or later.
    pub(super) fn log_start(&mut self, log_start: Offset) {
        for (_, sender) in self.starts.extract_if(.., |(start, _)| *start <= log_start) {
            let _gone = sender.send(Ok(()));
        }
    }

    /// Everything below `committed` is committed.
    pub(super) fn committed(&mut self, committed: Offset) {
        while self.commits.front().is_some_and(|(end, _)| *end <= committed) {
            if let Some((_, sender)) = self.commits.pop_front() {
                // A client that is gone does not want its answer.
                let _gone = sender.send(Ok(()));
            }
        }
        self.wake_readers();
    }

    pub(super) fn fail(&mut self, error: &AppendError) {
        for (_, sender) in self.commits.drain(..).chain(self.starts.drain(..)) {
            let _gone = sender.send(Err(error.clone()));
        }
        self.certain();
        self.wake_readers();
    }

    pub(super) fn wake_readers(&mut self) {
        for reader in &self.readers {
            reader.notify_one();
        }
    }
}

/// A reader's interest in one partition; ends when dropped.
#[derive(Debug)]
pub struct Registration {
    partition: Arc<Partition>,
    waiter: Arc<Notify>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut state = self.partition.state.lock();
        if let Some(at) = state.waiters.readers.iter().position(|reader| Arc::ptr_eq(reader, &self.waiter)) {
            state.waiters.readers.swap_remove(at);
        }
    }
}

impl Partition {
    /// Has `waiter` notified whenever something is committed or the partition closes, until the registration is
    /// dropped. Look at the offsets after registering: what was committed before is not told again.
    #[must_use]
    pub fn register(self: &Arc<Self>, waiter: &Arc<Notify>) -> Registration {
        self.state.lock().waiters.readers.push(waiter.clone());
        Registration { partition: self.clone(), waiter: waiter.clone() }
    }

    /// Waits until everything below `end_offset` is committed. Cancelling it forgets the answer, not the records.
    ///
    /// # Errors
    /// The partition ended before that: the records may or may not survive.
    pub async fn committed(&self, end_offset: Offset) -> Result<(), AppendError> {
        let answer = {
            let mut state = self.state.lock();
            if state.committed >= end_offset {
                return Ok(());
            }
            state.check_open()?;
            state.waiters.await_commit(end_offset)
        };
        answer.await.unwrap_or(Err(AppendError::NotOwner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_have_gone_do_not_pile_up_and_those_that_wait_are_answered() {
        let mut waiters = Waiters::default();
        let mut waiting: Vec<_> = (0..100).map(|end| waiters.await_commit(end)).collect();
        for end in 0..10_000 {
            drop(waiters.await_commit(end % 100));
        }
        assert!(waiters.commits.len() <= 200, "{}", waiters.commits.len());
        waiters.committed(100);
        assert!(waiting.iter_mut().all(|answer| answer.try_recv() == Ok(Ok(()))));
    }
}
