//! What a WAL alone has, on its way into recovery packs (R7): they are stored while the rest is still being read, so memory
//! holds a few packs and not the WAL.
//!
//! A pack counts when `end` names it, which is created after all of them. If recovery fails midway they are orphans.

use super::{Lines, Records};
use crate::OpenError;
use crate::partition::update_of;
use crate::start::Start;
use floe_env::{Mutant, Task, TaskFailed, mutated};
use floe_formats::{BatchSlice, FormatError, PackBuilder, PackFooter, PackKind, PackRef, PartitionEvent, SegmentMeta};
use floe_metadata::View;
use floe_objstore::{Created, Payload, Store, StoreError};
use floe_types::{Incarnation, LeaderEpoch, Offset, PartitionId, SlotNumber};
use floe_wal::ReplayedEntry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;

/// A pack is sent when it has as many bytes of batches.
const PACK_BYTES: u64 = 16 << 20;
/// Recovery packs under way at once.
const UPLOADS: usize = 8;

/// What the WAL alone has of one partition, contiguous from the end that the row gives it.
#[derive(Debug)]
struct Kept {
    epoch: LeaderEpoch,
    epoch_start: Offset,
    end: Offset,
    /// Not yet sent.
    batches: Vec<BatchSlice>,
}

/// A recovery pack that the store has.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) stored: PackRef,
    pub(super) footer: PackFooter,
    pub(super) pack_len: u64,
    pub(super) footer_len: u32,
}

#[derive(Debug)]
pub(super) struct RecoveryPacks<'a> {
    start: &'a Start,
    /// Of whom, and by whom.
    incarnations: (Incarnation, Incarnation),
    /// As the row makes them.
    lines: &'a Lines,
    /// Of a broker of a cluster: what it owned in the end, and under which epoch. What it led before under another lies in slots (R13).
    records: Option<&'a Records>,
    view: &'a View,
    kept: BTreeMap<PartitionId, Kept>,
    bytes: u64,
    uploads: VecDeque<Task<Result<Stored, OpenError>>>,
    stored: Vec<Stored>,
}

impl<'a> RecoveryPacks<'a> {
    pub(super) fn new(
        start: &'a Start,
        incarnations: (Incarnation, Incarnation),
        (lines, records): (&'a Lines, Option<&'a Records>),
        view: &'a View,
    ) -> Self {
        let (kept, uploads, stored) = (BTreeMap::new(), VecDeque::new(), Vec::new());
        Self { start, incarnations, lines, records, view, kept, bytes: 0, uploads, stored }
    }

    /// Keeps what lies at or above each partition's end, up to its first hole. Entries come in the order of their LSNs, and of their generations; where there
    /// are copies, once for each copy.
    pub(super) fn keep(&mut self, entries: Vec<ReplayedEntry>) {
        for entry in entries.into_iter().filter(|entry| !self.view.is_deleted(entry.header.partition.topic)) {
            self.keep_one(entry);
        }
    }

    fn keep_one(&mut self, entry: ReplayedEntry) {
        let header = entry.header;
        let is_its = |records: &Records| records.get(&header.partition).is_some_and(|owner| owner.epoch == header.epoch);
        if !self.records.is_none_or(is_its) {
            return;
        }
        let Ok(batch) = floe_records::BatchHeader::parse(&entry.batch) else { return };
        let kept = self.kept.entry(header.partition).or_insert_with(|| Kept {
            epoch: header.epoch,
            epoch_start: header.epoch_start,
            end: self.lines.get(&header.partition).map_or(0, |line| line.end),
            batches: Vec::new(),
        });
        // Below: slots, or another copy, have it. Above: something is missing, and nothing behind it was ever acknowledged; a copy of the same generation
        // that counts has it no more than this one.
        if header.base_offset < kept.end || (header.base_offset > kept.end && !mutated(Mutant::HoleKept)) {
            return;
        }
        kept.end = batch.end_offset();
        self.bytes += entry.batch.len() as u64;
        kept.batches.push(BatchSlice {
            bytes: entry.batch,
            base_offset: header.base_offset,
            end_offset: batch.end_offset(),
            max_timestamp: batch.max_timestamp,
            records: u32::try_from(batch.record_count).unwrap_or(0),
        });
    }

    /// Sends what was kept if that fills a pack; waits while too many are under way.
    ///
    /// # Errors
    /// A batch cannot be packed, or the store failed for an earlier pack.
    pub(super) async fn send_full(&mut self) -> Result<(), OpenError> {
        if self.bytes < PACK_BYTES {
            return Ok(());
        }
        if self.uploads.len() >= UPLOADS {
            self.wait_for_one().await?;
        }
        self.send()
    }

    /// Sends the rest and waits for all. The packs, in the order in which their records follow each other.
    ///
    /// # Errors
    /// As of [`Self::send_full`].
    pub(super) async fn finish(mut self) -> Result<Vec<Stored>, OpenError> {
        if self.bytes > 0 {
            self.send()?;
        }
        while !self.uploads.is_empty() {
            self.wait_for_one().await?;
        }
        Ok(self.stored)
    }

    async fn wait_for_one(&mut self) -> Result<(), OpenError> {
        let Some(upload) = self.uploads.pop_front() else { return Ok(()) };
        let stored = upload.join().await.map_err(|error: TaskFailed| OpenError::Disk(std::io::Error::other(error)))??;
        self.stored.push(stored);
        Ok(())
    }

    fn send(&mut self) -> Result<(), OpenError> {
        let (incarnation, by) = self.incarnations;
        let mut segments = Vec::new();
        for (partition, kept) in &mut self.kept {
            let batches = std::mem::take(&mut kept.batches);
            if let Some(first) = batches.first() {
                let log_start = self.lines.get(partition).map_or(0, |line| line.log_start);
                let events = vec![PartitionEvent::EpochStart { epoch: kept.epoch, start: kept.epoch_start }];
                let (base_offset, producers) = (first.base_offset, producers(&batches)?);
                let meta = SegmentMeta { partition: *partition, epoch: kept.epoch, base_offset, log_start, events, producers };
                segments.push((meta, batches));
            }
        }
        self.start.recovered_bytes.fetch_add(self.bytes, Relaxed);
        self.bytes = 0;
        let number = self.start.recovery_packs.fetch_add(1, Relaxed);
        let stored = PackRef::Recovery { incarnation, by, number };
        let pack = PackBuilder::new(self.start.writer(by), PackKind::Recovery, incarnation, None);
        let store = self.start.store.clone();
        self.uploads.push_back(self.start.env.spawn("store a recovery pack", store_pack(store, stored, pack, segments)));
        Ok(())
    }
}

async fn store_pack(
    store: Store,
    stored: PackRef,
    mut pack: PackBuilder,
    segments: Vec<(SegmentMeta, Vec<BatchSlice>)>,
) -> Result<Stored, OpenError> {
    let key = stored.key();
    let format = |source: FormatError| OpenError::Format { key: key.clone(), source };
    for (meta, batches) in segments {
        pack.add_segment(meta, batches).map_err(format)?;
    }
    let built = pack.finish(None, SlotNumber(0)).map_err(format)?;
    match store.create(&key, &Payload::from(built.payload)).await? {
        Created::Won => Ok(Stored { stored, footer: built.footer, pack_len: built.pack_len, footer_len: built.footer_len }),
        // A number is used once, by this process alone.
        Created::Lost => Err(OpenError::Store(StoreError::Corrupt { key, detail: "another wrote it".into() })),
    }
}

fn producers(batches: &[BatchSlice]) -> Result<Vec<floe_formats::ProducerUpdate>, OpenError> {
    let mut producers = BTreeMap::new();
    for batch in batches {
        let header = floe_records::BatchHeader::parse(&batch.bytes)
            .map_err(|error| OpenError::Disk(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
        if let Some(update) = update_of(&header, batch.base_offset) {
            crate::partition::merge(&mut producers, &update);
        }
    }
    Ok(producers.into_values().collect())
}
