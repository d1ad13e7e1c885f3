//! What this incarnation writes: its row of slots, in order, and the objects beside it. A slot is certain when it and
//! all before it hold this writer's own packs; only then does anything rely on it.

use crate::history::stats::Indexed;
use crate::index::{self, Pace};
use crate::shared::Shared;
use floe_env::{Mutant, mutated};
use floe_formats::{BuiltPack, Claim, ClaimState, Index, PackRef, Stop, WalPosition, Writer, keys};
use floe_objstore::{Created, Payload, Store};
use floe_types::{Incarnation, SlotNumber, WriteId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Pause between two rounds of attempts while the store does not answer.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// How the upload of one slot ended.
#[derive(Debug)]
pub(crate) enum Landed {
    Ours(SlotNumber, BuiltPack),
    /// The slot holds another's write: a stop, or worse (R10).
    Foreign {
        slot: SlotNumber,
        by: Option<Incarnation>,
        found: String,
    },
}

/// An index on its way.
#[derive(Debug, Clone)]
pub(crate) struct NewIndex {
    pub(crate) key: String,
    pub(crate) body: Payload,
    /// What it says, for those who wait for it to stand.
    pub(crate) says: Indexed,
}

#[derive(Debug)]
pub(crate) struct Chain {
    shared: Arc<Shared>,
    /// The slot that the next pack goes to.
    next: SlotNumber,
    /// Slots below are certain.
    certain: SlotNumber,
    /// Written, but a slot before is not.
    waiting: BTreeMap<SlotNumber, BuiltPack>,
    /// The newest index: its number, the slots that it covers, and its front.
    indexes: u64,
    indexed: SlotNumber,
    front: SlotNumber,
    pace: Pace,
}

impl Chain {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            next: SlotNumber(0),
            certain: SlotNumber(0),
            waiting: BTreeMap::new(),
            indexes: 0,
            indexed: SlotNumber(0),
            front: SlotNumber(0),
            pace: Pace::default(),
        }
    }

    pub(crate) fn certain(&self) -> SlotNumber {
        self.certain
    }

    pub(crate) fn writer(shared: &Shared) -> Writer {
        Writer { write_id: WriteId(shared.env.random_u128()), incarnation: shared.incarnation, revision: 0 }
    }

    pub(crate) fn take_slot(&mut self) -> SlotNumber {
        let slot = self.next;
        self.next = slot.next();
        slot
    }

    /// A pack has landed in its slot: every slot that is certain by now is counted, in order. The WAL position behind
    /// which nothing is needed any more, if it moved.
    pub(crate) fn landed(&mut self, slot: SlotNumber, pack: BuiltPack) -> Option<WalPosition> {
        self.waiting.insert(slot, pack);
        let mut wal_from = None;
        if mutated(Mutant::SlotsAckedOutOfOrder) {
            self.certain = slot;
        }
        while let Some(pack) = self.waiting.remove(&self.certain) {
            let stored = PackRef::Slot { incarnation: self.shared.incarnation, slot: self.certain };
            for segment in &pack.footer.segments {
                if let Some(partition) = self.shared.partition(segment.partition) {
                    partition.slot_certain(segment, segment.to_ref(stored, pack.pack_len, pack.footer_len));
                }
            }
            wal_from = pack.footer.wal_from.or(wal_from);
            self.pace.written(pack.pack_len);
            self.certain = self.certain.next();
        }
        wal_from
    }

    /// The next index object, if it is time for one. `wanted`: something waits for what it will say. It names only what
    /// certain slots hold (R15).
    pub(crate) fn index_due(&mut self, wanted: bool) -> Option<NewIndex> {
        let now = self.shared.env.monotonic();
        if wanted {
            self.pace.want(now);
        }
        if !self.pace.is_due(&self.shared, self.certain.0 - self.indexed.0, now) {
            return None;
        }
        self.indexes += 1;
        self.indexed = self.certain;
        let index = index::of_chain(&self.shared, self.indexes, self.certain);
        // Never back: what was deleted stays deleted.
        self.front = self.front.max(index.front);
        let says = Indexed {
            number: self.indexes,
            front: self.front,
            covers: self.certain,
            incarnation: self.shared.incarnation,
            foreign: Arc::new(index::foreign(&index.partitions, self.shared.incarnation)),
        };
        let body = floe_formats::encode(&Self::writer(&self.shared), &Index { front: self.front, ..index });
        self.pace.wrote(&self.shared, body.len() as u64);
        let key = keys::index(self.shared.incarnation, self.indexes);
        Some(NewIndex { key, body: Payload::from(body), says })
    }

    /// When an index that something waits for is written, whatever it costs; None while nothing waits.
    pub(crate) fn index_deadline(&self) -> Option<Duration> {
        self.pace.deadline(&self.shared)
    }

    /// The first slot that is not deleted, or about to be.
    pub(crate) fn front(&self) -> SlotNumber {
        self.front
    }

    /// The number of the next index.
    pub(crate) fn next_index(&self) -> u64 {
        self.indexes + 1
    }
}

/// Creates an object, for as long as it takes: what happens while the store is away is bounded by the budgets of those
/// who wait for it. Always the same key and the same body (T07).
pub(crate) async fn create_for_sure(store: &Store, key: &str, body: &Payload) -> Created {
    loop {
        match store.create(key, body).await {
            Ok(created) => return created,
            Err(error) => {
                tracing::warn!(key, %error, "the object store does not take an object; trying again");
                store.env().sleep(STORE_PAUSE).await;
            }
        }
    }
}

/// Puts one pack into its slot.
pub(crate) async fn upload(shared: Arc<Shared>, slot: SlotNumber, pack: BuiltPack) -> Landed {
    let key = keys::slot(shared.incarnation, slot);
    let body = Payload::from(pack.payload.clone());
    match create_for_sure(&shared.store, &key, &body).await {
        Created::Won => Landed::Ours(slot, pack),
        Created::Lost => {
            let (by, found) = whose(&shared, &key).await;
            Landed::Foreign { slot, by, found }
        }
    }
}

/// Who wrote what lies at `key`, for the message.
pub(crate) async fn whose(shared: &Shared, key: &str) -> (Option<Incarnation>, String) {
    let Ok(bytes) = shared.store.get(key).await else { return (None, format!("{key} holds another's write")) };
    match floe_formats::decode::<Stop>(&bytes) {
        Ok((_, stop)) => (Some(stop.by), format!("{key} is a stop")),
        Err(_) => match floe_formats::peek(&bytes) {
            Ok(header) => (Some(header.writer.incarnation), format!("{key} holds another's {}", header.kind)),
            Err(error) => (None, format!("{key}: {error}")),
        },
    }
}

/// Whether what stands at `key` is a claim that says that no generation follows.
pub(crate) async fn is_closed(shared: &Shared, key: &str) -> bool {
    let Ok(bytes) = shared.store.get(key).await else { return false };
    floe_formats::decode::<Claim>(&bytes).is_ok_and(|(_, claim)| claim.state == ClaimState::Closed)
}
