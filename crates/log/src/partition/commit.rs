//! When a record counts: it and all before it in its partition are durable to the level each asked for, or lie in a
//! certain slot (which commits whatever the level).

use super::{Partition, State};
use floe_formats::{Segment, SegmentRef};
use floe_types::Lsn;
use floe_wal::Durable;

impl Durable for Partition {
    fn durable(&self, upto: Lsn) {
        let mut state = self.state.lock();
        state.wal_durable = state.wal_durable.max(upto);
        state.advance();
    }
}

impl Partition {
    /// A slot that holds a segment of this partition has become certain.
    pub(crate) fn slot_certain(&self, segment: &Segment, stored: SegmentRef) {
        let (batches, object_bytes) = {
            let mut state = self.state.lock();
            state.line.apply(segment, stored);
            state.allowance.certain(segment, self.epoch);
            if let Some(why) = state.line.broken.take() {
                state.closed = Some(super::Closed::Broken(why.clone()));
                state.dirty = false;
                state.waiters.fail(&crate::AppendError::Broken(why));
                let planned = state.planned;
                let released = state.tail.release_all(planned);
                drop(state);
                return self.shared.released(&released);
            }
            let (certain, log_start) = (state.line.end, state.line.log_start);
            state.waiters.log_start(log_start);
            state.advance();
            state.tail.flushed(certain)
        };
        self.shared.flushed(batches, object_bytes);
    }
}

impl State {
    /// Moves `committed` as far as the records allow, in offset order.
    fn advance(&mut self) {
        let before = self.committed;
        while let Some(batch) = self.tail.first_uncommitted() {
            let certain = batch.end_offset <= self.line.end;
            let fsynced = batch.wal.is_some_and(|(_, end)| end <= self.wal_durable);
            if !certain && !fsynced {
                break;
            }
            self.committed = batch.end_offset;
            self.tail.commit_one();
        }
        if self.committed > before {
            self.waiters.committed(self.committed);
        }
    }
}
