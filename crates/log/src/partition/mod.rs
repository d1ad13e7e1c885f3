//! One partition that this incarnation owns: its offsets, the tail that is not yet in certain slots, what its certain
//! segments say, and who waits.
//!
//! All state is behind one lock that is never held across I/O. In every state:
//! `log_start <= committed <= end`, `log_start <= line.end <= planned <= end`, the tail holds every batch at or above `line.end`.

mod append;
mod commit;
mod compact;
mod events;
mod flush;
mod history;
mod leave;
mod line;
mod log_start;
mod producers;
mod read;
mod remerge;
mod retain;
mod settle;
mod tail;
mod time;

pub use append::Appended;
pub(crate) use compact::{CompactionJob, NextCompaction};
pub use events::Registration;
pub(crate) use flush::PlannedSegment;
pub(crate) use line::Line;
pub(crate) use producers::{merge, update_of};
pub use read::{ReadRequest, ReadResult};
pub(crate) use remerge::Sizes;
pub(crate) use tail::{Evicted, Released};

use crate::history::manifest::History;
use crate::history::retention::Known;
use crate::shared::Shared;
use crate::{AppendError, Durability, Ended};
use commit::{Marks, Sink};
use compact::Allowance;
use events::Waiters;
use floe_formats::PartitionIndex;
use floe_types::{Generation, LeaderEpoch, Offset, PartitionId};
use log_start::Raising;
use parking_lot::Mutex;
use producers::Producers;
use retain::Oldest;
use std::sync::Arc;
use std::time::Duration;
use tail::Tail;

/// A partition's offsets, end-exclusive and always in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    pub log_start: Offset,
    /// Kafka's high watermark: what consumers see lies below.
    pub committed: Offset,
    /// Kafka's log end offset.
    pub end: Offset,
}

/// Where a partition's batches are, in bytes as they are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionSizes {
    /// What the local disk has and no certain slot.
    pub wal_bytes: u64,
    /// What certain slots and own packs have.
    pub stored_bytes: u64,
    /// Committed records that are in no certain slot yet.
    pub records_not_stored: i64,
}

/// Why a partition takes nothing more.
#[derive(Debug, Clone)]
enum Closed {
    Ended(Ended),
    Deleted,
    /// Another broker's, or this one's under a later epoch (R13).
    Left,
    /// Its stored state contradicts itself: this partition stops, the others go on (T23).
    Broken(String),
}

#[derive(Debug)]
struct State {
    durability: Durability,
    /// What certain slots hold: the part of this partition that a successor finds without our disk.
    line: Line,
    /// What own packs hold, and the line does not list.
    history: History,
    /// It was read as the newest there is, or counted since.
    history_is_newest: bool,
    tail: Tail,
    committed: Offset,
    /// Everything below is in a pack that has been given a slot.
    planned: Offset,
    end: Offset,
    durable: Marks,
    /// Whom the newest WAL tells of this partition.
    sink: Option<(Generation, Arc<Sink>)>,
    producers: Producers,
    waiters: Waiters,
    raising: Raising,
    allowance: Allowance,
    /// Records in slots below this offset are wanted in own packs, however few they are.
    settle_before: Offset,
    known: Option<Known>,
    /// Where the log start lies in the page that it cuts, as far as somebody has looked.
    oldest: Option<Oldest>,
    swept: bool,
    /// Since when, on the monotonic clock, there is something to settle.
    unsettled_since: Option<Duration>,
    dirty: bool,
    /// Whether a segment of this epoch has told where the epoch starts.
    epoch_told: bool,
    /// The broker drains: reads and commits go on, appends do not.
    draining: bool,
    /// It is being given to another broker: nothing is appended.
    leaving: bool,
    closed: Option<Closed>,
}

/// A partition led by this broker. Cheap to share; every method is safe to call from any task.
#[derive(Debug)]
pub struct Partition {
    id: PartitionId,
    epoch: LeaderEpoch,
    epoch_start: Offset,
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// Held by whoever publishes a manifest: two of one incarnation would only outdate each other.
    publishing: tokio::sync::Mutex<()>,
    /// Held by whoever settles it: two would merge the same.
    settling: tokio::sync::Mutex<()>,
}

impl Partition {
    /// A partition as its predecessor left it, led from its end on under a new epoch.
    pub(crate) fn open(shared: Arc<Shared>, left: PartitionIndex, epoch: LeaderEpoch, durability: Durability) -> Arc<Self> {
        let mut line = Line::from_index(left);
        let end = line.end;
        let broken = line.broken.take();
        line.epochs.push(floe_formats::EpochStart { epoch, start: end });
        line.epoch = epoch;
        let state = State {
            durability,
            history: History::Unknown,
            history_is_newest: false,
            tail: Tail::new(),
            committed: end,
            planned: end,
            end,
            durable: Marks::default(),
            sink: None,
            producers: Producers::from_updates(line.producers.values()),
            waiters: Waiters::default(),
            raising: Raising::default(),
            allowance: Allowance::default(),
            settle_before: 0,
            known: None,
            oldest: None,
            swept: false,
            unsettled_since: None,
            dirty: false,
            epoch_told: false,
            draining: false,
            leaving: false,
            closed: broken.map(Closed::Broken),
            line,
        };
        Arc::new(Self {
            id: state.line.partition,
            epoch,
            epoch_start: end,
            shared,
            state: Mutex::new(state),
            publishing: Default::default(),
            settling: Default::default(),
        })
    }

    /// Which partition this is.
    #[must_use]
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// The epoch under which this incarnation leads it.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Where it stands now.
    #[must_use]
    pub fn offsets(&self) -> Offsets {
        let state = self.state.lock();
        Offsets { log_start: state.line.log_start, committed: state.committed, end: state.end }
    }

    /// Offsets from here on are read from memory; older ones cost I/O, and memory of the reader's.
    #[must_use]
    pub fn tail_start(&self) -> Offset {
        let state = self.state.lock();
        state.tail.start().unwrap_or(state.committed)
    }

    /// Records below are in certain slots or in packs of their own: whoever leads the partition next has them, without this disk.
    #[must_use]
    pub fn stored_end(&self) -> Offset {
        let state = self.state.lock();
        state.line.end.min(state.committed)
    }

    /// When new records count as committed. Takes effect with the next batch; what is appended keeps its own.
    pub fn set_durability(&self, durability: Durability) {
        self.state.lock().durability = durability;
    }

    /// `OffsetForLeaderEpoch`: the greatest epoch at or below `epoch` and where it ends; None for one from before
    /// everything known, or from the future.
    #[must_use]
    pub fn end_of_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let state = self.state.lock();
        if epoch > self.epoch {
            return None;
        }
        let after = state.line.epochs.partition_point(|known| known.epoch <= epoch);
        let found = state.line.epochs.get(after.checked_sub(1)?)?;
        Some((found.epoch, state.line.epochs.get(after).map_or(state.end, |next| next.start)))
    }

    /// The epochs known, oldest first.
    #[must_use]
    pub fn epochs(&self) -> Vec<floe_formats::EpochStart> {
        self.state.lock().line.epochs.clone()
    }

    /// Where its records are.
    #[must_use]
    pub fn sizes(&self) -> PartitionSizes {
        let state = self.state.lock();
        PartitionSizes {
            wal_bytes: state.tail.unflushed_wal_bytes(),
            stored_bytes: state.stored_bytes(),
            records_not_stored: (state.committed - state.line.end).max(0),
        }
    }

    /// The idempotent producers that it remembers, by id.
    #[must_use]
    pub fn producers(&self) -> Vec<floe_formats::ProducerUpdate> {
        self.state.lock().producers.all()
    }

    pub(crate) fn close_deleted(&self) {
        let released = {
            let mut state = self.state.lock();
            state.closed.get_or_insert(Closed::Deleted);
            state.dirty = false;
            state.waiters.fail(&AppendError::NotOwner);
            let planned = state.planned;
            state.tail.release_all(planned)
        };
        self.shared.released(&released);
    }

    /// From now on nothing is appended; what is appended is flushed and acknowledged.
    pub(crate) fn stop_appending(&self) {
        self.state.lock().draining = true;
    }

    pub(crate) fn close_ended(&self, ended: &Ended) {
        let mut state = self.state.lock();
        state.closed.get_or_insert_with(|| Closed::Ended(ended.clone()));
        state.waiters.fail(&AppendError::Ended(ended.clone()));
    }

    /// What certain slots say of it, for an index or an `end`.
    pub(crate) fn index_line(&self) -> PartitionIndex {
        self.state.lock().line.to_index()
    }
}

impl State {
    fn check_appendable(&self) -> Result<(), AppendError> {
        match (self.draining, self.leaving) {
            (true, _) => Err(AppendError::Ended(Ended::Drained)),
            (false, true) => Err(AppendError::NotOwner),
            (false, false) => self.check_open(),
        }
    }

    fn check_open(&self) -> Result<(), AppendError> {
        self.closed.as_ref().map_or(Ok(()), |closed| Err(closed.error()))
    }
}
