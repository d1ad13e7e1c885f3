//! A replica: a copy of another broker's WAL on this disk, one generation in a folder of its own (R2, R11).
//!
//! ```text
//!  trimmed <= acknowledged <= durable <= end         what the owner was told of is durable; it is kept on the disk, a little late,
//!                                                    so that a replica that holds less can be told (R5)
//! ```
//! * It is a [`Wal`] behind another door: the same groups, files, marks and one failure, for entries that have their LSN already. Whole entries come
//!   from the owner in order; anything else is refused with what was expected.
//! * **Groups are joined, and marks are made anew.** An entry's mark says what was synced on the disk it lies on. A replica that fills up, or whose
//!   disk is slower than the owner's, has to sync several of the owner's groups at once, or it never catches up; then the owner's marks would
//!   claim syncs that this disk has not made, and what is torn here would look damaged. The mark's checksum covers 109 bytes.
//! * The first failed write or sync ends it (T11). Who wants it back starts the process again: then [`crate::reopen`] writes anew what may be in the page
//!   cache only.
//! * No room - budget, disk, or more that waits for the disk than `pending_bytes` - is an answer, at once. Nobody waits here.

mod keep;

pub(crate) use keep::{Keeper, State, state_of, write as write_state};

use crate::{ReplayedEntry, Wal, WalError, room::Room};
use floe_env::{Mutant, mutated};
use floe_types::{Generation, Incarnation, Lsn};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// One generation's copy, open for appending.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) wal: Arc<Wal>,
    pub(crate) keeper: Keeper,
    pub(crate) room: Arc<Room>,
    /// Whose turn it is to append: the last one that was attached.
    turn: AtomicU64,
    trimming: tokio::sync::Mutex<()>,
}

impl Replica {
    pub(crate) fn new(wal: Arc<Wal>, keeper: Keeper, room: Arc<Room>) -> Self {
        Self { wal, keeper, room, turn: AtomicU64::new(0), trimming: tokio::sync::Mutex::default() }
    }

    /// A turn of its own for whoever sends; the one before is over.
    pub(crate) fn attach(self: &Arc<Self>) -> Attachment {
        let turn = self.turn.fetch_add(1, Ordering::AcqRel) + 1;
        Attachment { replica: Arc::clone(self), turn }
    }

    /// Bytes that count against the budget.
    pub(crate) fn bytes(&self) -> u64 {
        self.wal.end().0 - self.wal.trimmed().0
    }

    /// Gives back what lies below `to`, or below what is durable here if that is less. The mark is kept before files go, so that files which are
    /// missing for another reason are missed.
    pub(crate) async fn trim(&self, to: Lsn) -> Result<(), WalError> {
        let _one_at_a_time = self.trimming.lock().await;
        let (before, to) = (self.wal.trimmed(), to.min(self.wal.durable()));
        if to <= before {
            return Ok(());
        }
        self.keeper.raise(to, self.wal.durable());
        self.keeper.kept(|state| state.trimmed >= to).await?;
        let trimmed = self.wal.trim(to).await;
        self.room.give_back(self.wal.trimmed().0 - before.0);
        trimmed
    }

    /// Keeps how much is durable. Cancelled, it is kept all the same.
    pub(crate) async fn remember(&self) -> Result<(), WalError> {
        let durable = self.wal.durable();
        self.keeper.raise(Lsn(0), durable);
        self.keeper.kept(|state| state.acknowledged >= durable).await.map(drop)
    }

    /// Takes nothing more, and waits until nothing of it is being written, nor will be: what lies on the disk is another's to change then.
    pub(crate) async fn end(&self) {
        self.wal.settle(WalError::Closed).await;
        self.keeper.end().await;
    }
}

/// The right to append to a replica, until somebody else attaches to it. Clones are the same.
#[derive(Debug, Clone)]
pub struct Attachment {
    replica: Arc<Replica>,
    turn: u64,
}

impl Attachment {
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.replica.wal.options().incarnation
    }

    #[must_use]
    pub fn generation(&self) -> Generation {
        self.replica.wal.options().generation
    }

    /// Where the next entry has to start.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.replica.wal.end()
    }

    /// Everything below is fsynced on this disk, and so may be told to the owner.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        if mutated(Mutant::ReplicaTellsWhatItReceived) { self.end() } else { self.replica.wal.durable() }
    }

    /// Takes the entry; it is durable later. Never waits.
    ///
    /// # Errors
    /// `Unexpected`: it does not start at [`Attachment::end`]. `Full`: nothing was taken. `Closed`: somebody else has attached. `Sealed`, `Failed`: for ever.
    pub fn append(&self, entry: &ReplayedEntry) -> Result<(), WalError> {
        if self.replica.turn.load(Ordering::Acquire) != self.turn {
            return Err(WalError::Closed);
        }
        self.replica.wal.shared.append_copy(entry, &self.replica.room)
    }

    /// Waits until more than `lsn` is durable, and tells how much. Cancellation safe.
    ///
    /// # Errors
    /// `Failed`: it will never be.
    pub async fn durable_beyond(&self, lsn: Lsn) -> Result<Lsn, WalError> {
        if mutated(Mutant::ReplicaTellsWhatItReceived) && self.end() > lsn {
            return Ok(self.end());
        }
        self.replica.wal.durable_beyond(lsn).await
    }

    /// Begins to keep on the disk how much is durable, and waits for nothing: to be called when nothing has come for a moment, since behind the last
    /// group no mark proves it. A disk that cannot keep it ends the replica.
    pub fn note_durable(&self) {
        self.replica.keeper.raise(Lsn(0), self.replica.wal.durable());
    }

    #[cfg(test)]
    pub(crate) async fn remember(&self) -> Result<(), WalError> {
        self.replica.remember().await
    }

    /// How long the disk has not been done with what it was given last (T69).
    #[must_use]
    pub fn stalled(&self) -> std::time::Duration {
        self.replica.wal.stalled()
    }
}
