//! When a record counts: it and all before it in its partition are durable to the level each asked for, or lie in a
//! certain slot (which commits whatever the level).

use super::{Partition, State};
use crate::wals::WalPlace;
use floe_formats::{Segment, SegmentRef};
use floe_types::{Generation, Lsn};
use floe_wal::Durable;
use std::sync::{Arc, Weak};

/// What one generation's WAL tells of a partition.
#[derive(Debug)]
pub(super) struct Sink {
    partition: Weak<Partition>,
    generation: Generation,
}

impl Durable for Sink {
    fn durable(&self, upto: Lsn) {
        if let Some(partition) = self.partition.upgrade() {
            partition.durable(self.generation, upto);
        }
    }
}

/// How far the WALs of the generations that are not wholly flushed are durable, to the level that each gives; the newest is the last.
#[derive(Debug, Default)]
pub(super) struct Marks(Vec<(Generation, Lsn)>);

impl Marks {
    fn holds(&self, place: &WalPlace) -> bool {
        self.0.iter().any(|(generation, upto)| *generation == place.generation && place.end <= *upto)
    }
}

impl Partition {
    /// Whom the WAL of a generation is to tell of this partition.
    pub(super) fn sink(self: &Arc<Self>, state: &mut State, generation: Generation) -> Arc<dyn Durable> {
        match &state.sink {
            Some((of, sink)) if *of == generation => sink.clone(),
            _ => {
                let sink = Arc::new(Sink { partition: Arc::downgrade(self), generation });
                state.sink = Some((generation, sink.clone()));
                sink
            }
        }
    }

    fn durable(&self, generation: Generation, upto: Lsn) {
        let mut state = self.state.lock();
        match state.durable.0.iter_mut().find(|(of, _)| *of == generation) {
            Some((_, mark)) => *mark = (*mark).max(upto),
            None => {
                state.durable.0.retain(|(of, _)| self.shared.wals.get(*of).is_some());
                state.durable.0.push((generation, upto));
            }
        }
        state.advance();
    }

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
            state.waiters.certain();
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
            let fsynced = batch.wal.is_some_and(|place| self.durable.holds(&place));
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
