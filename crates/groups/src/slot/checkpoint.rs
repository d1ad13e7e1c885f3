//! Checkpoints: when most of a partition's log is superseded, its state is appended anew and the log start moves up to where
//! that began. So loading reads at most a small multiple of the state, and nothing is stored that a broker of another version
//! or one of Kafka's own tools could not read.
//!
//! Invariants:
//! * the log start moves only once all of the checkpoint is committed, by an event that lies behind it in the same log: whoever
//!   finds the event finds the checkpoint;
//! * requests are served meanwhile, between one batch and the next;
//! * no checkpoint follows from time alone: a partition that nobody writes to is left alone.

use super::{Slot, WriteFailed};
use floe_coordinator::records::GroupRecord;
use floe_env::{Mutant, mutated};
use std::time::Duration;

/// Records after which the log is waited for, so that a checkpoint takes no room that others need.
const UNCOMMITTED_RECORDS: usize = 20_000;

/// The next attempt after one that failed.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// When a partition's next checkpoint is due.
#[derive(Debug)]
pub(super) struct Due {
    /// Records from log start to end above which the state is counted.
    above: i64,
    not_before: Duration,
}

impl Due {
    pub(super) fn above(records: i64) -> Self {
        Self { above: records, not_before: Duration::ZERO }
    }
}

#[derive(Debug, thiserror::Error)]
enum CheckpointError {
    #[error("the log takes nothing more for now")]
    Refused,
    #[error(transparent)]
    Append(#[from] floe_log::AppendError),
    #[error(transparent)]
    Delete(#[from] floe_log::DeleteError),
}

impl Slot {
    /// Whether the log has grown so far that it is worth a look. Cheap: asked after every append.
    pub(crate) fn may_be_due(&self) -> bool {
        let due = self.due.lock();
        self.log_len() > due.above && self.surroundings.env.monotonic() >= due.not_before
    }

    /// Writes a checkpoint if less than half of the log is state.
    pub(crate) async fn checkpoint_if_due(&self) {
        if !self.may_be_due() {
            return;
        }
        let state = self.running.lock().as_ref().map_or(0, |running| running.shard.checkpoint_len());
        let above =
            i64::try_from(state).unwrap_or(i64::MAX / 4).saturating_mul(2).saturating_add(self.surroundings.options.checkpoint_slack);
        self.due.lock().above = above;
        if self.log_len() <= above {
            return;
        }
        match self.checkpoint().await {
            Ok(records) => tracing::info!(partition = %self.partition.id(), records, "the groups' log was checkpointed"),
            Err(error) => {
                self.due.lock().not_before = self.surroundings.env.monotonic() + AGAIN_AFTER;
                tracing::warn!(partition = %self.partition.id(), %error, "the groups' log was not checkpointed; it grows until it is");
            }
        }
    }

    /// How many records were written.
    async fn checkpoint(&self) -> Result<usize, CheckpointError> {
        let begin = self.partition.offsets().end;
        let groups = self.running.lock().as_ref().map(|running| running.shard.group_ids()).unwrap_or_default();
        let (mut written, mut waited_at) = (0, 0);
        for group in &groups {
            // A group at once: nobody may change it between one of its batches and the next.
            written += self.rewrite(group)?;
            if written - waited_at >= UNCOMMITTED_RECORDS {
                waited_at = written;
                self.partition.committed(self.partition.offsets().end).await?;
            } else {
                tokio::task::yield_now().await;
            }
        }
        self.partition.committed(self.partition.offsets().end).await?;
        let begin = if mutated(Mutant::CheckpointFromItsEnd) { self.partition.offsets().end } else { begin };
        self.partition.delete_records(Some(begin)).await?;
        Ok(written)
    }

    fn rewrite(&self, group: &floe_coordinator::Name) -> Result<usize, CheckpointError> {
        let guard = self.running.lock();
        let running = guard.as_ref().ok_or(CheckpointError::Refused)?;
        let records: Vec<GroupRecord> = running.shard.checkpoint(group);
        for batch in records.chunks(self.surroundings.options.checkpoint_batch.max(1)) {
            self.append(batch, self.surroundings.env.now_ms()).map_err(|_: WriteFailed| CheckpointError::Refused)?;
        }
        Ok(records.len())
    }

    fn log_len(&self) -> i64 {
        let offsets = self.partition.offsets();
        offsets.end - offsets.log_start
    }
}
