//! Where a partition's log begins. Raising it - DeleteRecords, retention - is an event in the partition's own log (R15):
//! it rides in a segment, and counts once that segment's slot is certain. A deposed owner's segment never is (T16, T68).
//!
//! An event stands only in a segment that ends at or above the new start, so that `log_start <= end` holds for whoever
//! derives the partition from its slots, with or without the WAL.

use super::{Closed, Partition, State};
use crate::{AppendError, DeleteError};
use floe_env::{Mutant, mutated};
use floe_formats::PartitionEvent;
use floe_types::Offset;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The log start on its way.
#[derive(Debug, Default)]
pub(super) struct Raising {
    /// Asked for, in no segment yet.
    wanted: Option<Offset>,
    /// The greatest that a segment on its way holds.
    sent: Offset,
}

impl Raising {
    pub(super) fn is_waiting(&self) -> bool {
        self.wanted.is_some()
    }

    /// Whether something was asked for that is not certain yet.
    pub(super) fn is_under_way(&self, log_start: Offset) -> bool {
        self.wanted.is_some() || self.sent > log_start
    }
}

impl Partition {
    /// Deletes what lies below `before` (None: all that is committed). Returns the log start once that is committed.
    /// Cancelling it forgets the answer, not the deletion.
    ///
    /// # Errors
    /// An offset beyond what is committed, or a partition that ends meanwhile: it may or may not be deleted.
    pub async fn delete_records(self: &Arc<Self>, before: Option<Offset>) -> Result<Offset, DeleteError> {
        let (start, raised) = {
            let mut state = self.state.lock();
            state.check_appendable()?;
            let start = before.unwrap_or(state.committed);
            if start < 0 || start > state.committed {
                return Err(DeleteError::OutOfRange { offset: start, committed: state.committed });
            }
            if start <= state.line.log_start {
                return Ok(state.line.log_start);
            }
            (start, self.raise(&mut state, start, true))
        };
        raised.await.unwrap_or(Err(AppendError::NotOwner))?;
        Ok(self.offsets().log_start.max(start))
    }

    /// Starts to move the log start up to `start`, without waiting for it. What is not committed stays.
    pub(crate) fn raise_log_start(self: &Arc<Self>, start: Offset) {
        let mut state = self.state.lock();
        let start = start.min(state.committed);
        if state.check_appendable().is_ok() && start > state.line.log_start.max(state.raising.sent) {
            let _nobody_waits = self.raise(&mut state, start, false);
        }
    }

    fn raise(self: &Arc<Self>, state: &mut State, start: Offset, in_a_hurry: bool) -> oneshot::Receiver<Result<(), AppendError>> {
        if mutated(Mutant::LogStartBeforeEvent) {
            state.line.log_start = start;
        }
        if start > state.raising.sent {
            state.raising.wanted = state.raising.wanted.max(Some(start));
            if !state.dirty {
                state.dirty = true;
                self.shared.dirty.insert(self);
            }
            self.shared.dirty.mark(in_a_hurry);
        }
        let raised = state.waiters.await_log_start(start);
        let log_start = state.line.log_start;
        state.waiters.log_start(log_start);
        raised
    }
}

impl State {
    /// The event for a segment that ends where `planned` is now.
    pub(super) fn take_log_start(&mut self) -> Option<PartitionEvent> {
        let offset = self.raising.wanted.filter(|wanted| *wanted <= self.planned && self.closed.is_none())?;
        self.raising.wanted = None;
        self.raising.sent = offset;
        Some(PartitionEvent::LogStart { offset })
    }
}

impl From<AppendError> for DeleteError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Ended(ended) => Self::Ended(ended),
            AppendError::Broken(why) => Self::Broken(why),
            _ => Self::NotOwner,
        }
    }
}

impl Closed {
    pub(super) fn error(&self) -> AppendError {
        match self {
            Self::Ended(ended) => AppendError::Ended(ended.clone()),
            Self::Deleted | Self::Left => AppendError::NotOwner,
            Self::Broken(why) => AppendError::Broken(why.clone()),
        }
    }
}
