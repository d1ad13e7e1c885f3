//! Another incarnation's row of slots: reading it, and ending it with stops (R6).

use crate::OpenError;
use bytes::Bytes;
use floe_env::{Env, Mutant, mutated};
use floe_formats::{FormatError, Index, PackFooter, PackTail, SlotTail, Stop, Trailer, Writer, decode_footer, decode_slot_tail, keys};
use floe_objstore::{Payload, Store, StoreError};
use floe_types::{ErrorKind, Incarnation, SlotNumber, WriteId};
use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};

/// Rounds of stops, each reaching twice as far, before an owner that is faster than us is let be. The last one puts
/// stops sixteen thousand windows ahead.
const ROUNDS: u32 = 14;
/// Footers read at the same time.
const PARALLEL: usize = 16;
/// Enough of a pack's tail for most footers.
const TAIL: u64 = 64 << 10;
/// Times that the index which was listed may be gone before it is read: its owner wrote a newer one each time.
const PRUNED: u32 = 64;
/// Slots listed by one request.
const PAGE: usize = 1000;

/// One pack of a row.
#[derive(Debug)]
pub(crate) struct RowPack {
    pub(crate) slot: SlotNumber,
    pub(crate) footer: PackFooter,
    pub(crate) footer_len: u32,
    pub(crate) pack_len: u64,
}

/// A row that has ended: its packs from where the reading began up to the first stop. Nothing behind it counts.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) packs: Vec<RowPack>,
    pub(crate) stop: SlotNumber,
}

/// What a row is read and stopped with.
#[derive(Debug)]
pub(crate) struct RowReader<'a> {
    pub(crate) env: &'a Env,
    pub(crate) store: &'a Store,
    pub(crate) incarnation: Incarnation,
}

impl RowReader<'_> {
    /// The newest index of the chain, if it has one.
    pub(crate) async fn newest_index(&self) -> Result<Option<Index>, OpenError> {
        let mut pruned = 0;
        loop {
            let listed = self.store.list(&keys::indexes_prefix(self.incarnation), None, 1).await?;
            let Some(object) = listed.first() else { return Ok(None) };
            match self.store.get(&object.key).await {
                Ok(bytes) => {
                    let format = |source| OpenError::of_object(&object.key, source);
                    return Ok(Some(floe_formats::decode(&bytes).map_err(format)?.1));
                }
                // It was listed, and is gone: the owner has written a newer one (R18).
                Err(StoreError::NotFound { .. }) if pruned < PRUNED => pruned += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Stops the row and returns it from `from` on. Racing with others is harmless: whoever's stop comes first, the row
    /// ends there for everybody.
    pub(crate) async fn stop(&self, from: SlotNumber, window: u32, by: Incarnation) -> Result<Row, OpenError> {
        let mut packs = Vec::new();
        let mut next = from;
        for round in 0..ROUNDS {
            if let Some(stop) = self.read_on(&mut packs, &mut next).await? {
                return Ok(Row { packs, stop });
            }
            if mutated(Mutant::StopSkipped) {
                return Ok(Row { packs, stop: next });
            }
            let reach = u64::from(window.max(1)) << round;
            try_join_all((next.0..next.0 + reach).map(|slot| self.put_stop(SlotNumber(slot), by))).await?;
        }
        match self.read_on(&mut packs, &mut next).await? {
            Some(stop) => Ok(Row { packs, stop }),
            None => Err(OpenError::RowNotStopped(self.incarnation)),
        }
    }

    /// Reads packs from `next` on, up to the first stop, which is returned, or the first free slot.
    pub(crate) async fn read_on(&self, packs: &mut Vec<RowPack>, next: &mut SlotNumber) -> Result<Option<SlotNumber>, OpenError> {
        loop {
            let after = next.0.checked_sub(1).map(|before| keys::slot(self.incarnation, SlotNumber(before)));
            let listed = self.store.list(&keys::slots_prefix(self.incarnation), after.as_deref(), PAGE).await?;
            let full = listed.len() == PAGE;
            let numbers = listed.iter().filter_map(|object| keys::parse_slot(&object.key).ok()).map(|(_, slot)| slot);
            let contiguous: Vec<SlotNumber> = numbers.zip(next.0..).take_while(|(slot, at)| slot.0 == *at).map(|(slot, _)| slot).collect();
            let mut reads = Vec::with_capacity(contiguous.len());
            for slot in &contiguous {
                reads.push(self.read_slot(*slot));
            }
            let reads = stream::iter(reads).buffered(PARALLEL);
            for (slot, read) in contiguous.iter().zip(reads.try_collect::<Vec<_>>().await?) {
                match read {
                    None => return Ok(Some(*slot)),
                    Some(pack) => packs.push(pack),
                }
                *next = slot.next();
            }
            if contiguous.len() < listed.len() || !full {
                return Ok(None);
            }
        }
    }

    /// The pack in a slot that exists; None for a stop.
    async fn read_slot(&self, slot: SlotNumber) -> Result<Option<RowPack>, OpenError> {
        let key = keys::slot(self.incarnation, slot);
        let format = |source| self.damaged(slot, source);
        let (pack_len, tail) = self.store.get_tail(&key, TAIL).await?;
        let (trailer, footer) = match decode_slot_tail(&tail, pack_len).map_err(format)? {
            SlotTail::Stop(..) => return Ok(None),
            SlotTail::Pack(PackTail::Footer(trailer, footer)) => (trailer, footer),
            SlotTail::Pack(PackTail::Before(trailer)) => (trailer, self.footer(slot, &trailer).await?),
        };
        Ok(Some(RowPack { slot, footer, footer_len: trailer.footer_len, pack_len }))
    }

    /// What the pack in a slot says that it holds.
    pub(crate) async fn footer_of(&self, slot: SlotNumber) -> Result<PackFooter, OpenError> {
        let pack = self.read_slot(slot).await?;
        pack.map(|pack| pack.footer).ok_or(OpenError::RowNotStopped(self.incarnation))
    }

    async fn footer(&self, slot: SlotNumber, trailer: &Trailer) -> Result<PackFooter, OpenError> {
        let bytes: Bytes = self.store.get_range(&keys::slot(self.incarnation, slot), trailer.footer_range()).await?;
        decode_footer(&bytes).map_err(|source| self.damaged(slot, source))
    }

    fn damaged(&self, slot: SlotNumber, source: FormatError) -> OpenError {
        let (incarnation, key) = (self.incarnation, keys::slot(self.incarnation, slot));
        match source.kind() {
            ErrorKind::Corrupt => OpenError::DamagedSlot { incarnation, slot, key, source },
            _ => OpenError::Format { key, source },
        }
    }

    async fn put_stop(&self, slot: SlotNumber, by: Incarnation) -> Result<(), OpenError> {
        let writer = Writer { write_id: WriteId(self.env.random_u128()), incarnation: by, revision: 0 };
        let body = Payload::from(floe_formats::encode(&writer, &Stop { by }));
        // Won or lost, the slot is not free any more.
        self.store.create(&keys::slot(self.incarnation, slot), &body).await?;
        Ok(())
    }
}
