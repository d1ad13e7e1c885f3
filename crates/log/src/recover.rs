//! Ending a predecessor's chain (R4-R9): close its claims, seal its WAL on this disk, stop its row, keep what only the
//! WAL has, and create `end`. Racing is harmless, and whoever comes later goes on at any step.

use crate::OpenError;
use crate::partition::{Line, update_of};
use crate::row::{Row, RowReader};
use crate::start::{Predecessor, Start};
use floe_env::{Mutant, mutated};
use floe_formats::{BatchSlice, BuiltPack, End, Index, PackBuilder, PackKind, PackRef, PartitionEvent, SegmentMeta, Writer, keys};
use floe_objstore::{Created, Payload};
use floe_types::{DiskId, Incarnation, LeaderEpoch, Offset, PartitionId, SlotNumber, WriteId};
use floe_wal::{ReplayedEntry, WalError};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes of one recovery pack.
const PACK_BYTES: u64 = 16 << 20;
/// Recovery packs under way at once.
const UPLOADS: usize = 8;

/// The lines of a chain's partitions, as its row and its WAL make them.
type Lines = BTreeMap<PartitionId, Line>;

/// What the WAL alone has of one partition, contiguous from the end that the row gives it.
#[derive(Debug)]
struct Kept {
    epoch: LeaderEpoch,
    epoch_start: Offset,
    end: Offset,
    /// Something was missing: nothing behind it was ever acknowledged (R7).
    hole: bool,
    batches: Vec<BatchSlice>,
}

impl Start {
    /// Recovers one predecessor; `by` is the incarnation that does it. Its `end`, ours or another's.
    pub(crate) async fn recover(&self, predecessor: &Predecessor, by: Incarnation) -> Result<End, OpenError> {
        let incarnation = predecessor.incarnation;
        tracing::info!(incarnation = incarnation.0, "recovering the incarnation before");
        let claims = self.close_claims(incarnation, by).await?;
        let mut gave_up = self.check_wals(incarnation, &claims)?;
        let mine = self.wals_on_this_disk(&claims);
        if !mine.is_empty() {
            floe_wal::seal(&self.disk, incarnation, by).await?;
        }
        let window = claims.iter().map(|claim| claim.window).max().unwrap_or(1);
        let reader = RowReader { env: &self.env, store: &self.store, incarnation };
        let (index, row) = self.stop_row(&reader, window, by).await?;
        let base = claims.iter().find_map(|claim| claim.base);
        // The owner may have deleted topics until its row was stopped; what the WAL has of them is not wanted.
        self.catalog.refresh().await?;
        let view = self.catalog_view();
        let number = index.as_ref().map_or(1, |index| index.number + 1);
        let mut lines = self.lines(index, base).await?;
        apply_row(&mut lines, &row, incarnation);
        let mut kept = BTreeMap::new();
        for claim in &mine {
            if !self.replay(claim, &lines, &mut kept).await? {
                gave_up.push(self.disk_id);
            }
        }
        kept.retain(|partition: &PartitionId, _| !view.is_deleted(partition.topic));
        let recovery = self.store_kept(&mut lines, kept, incarnation, by).await?;
        let partitions = lines.into_values().filter(|line| !view.is_deleted(line.partition.topic)).map(|line| line.to_index()).collect();
        let index = Index { incarnation, number, front: SlotNumber(0), covers: row.stop, base: None, partitions };
        self.create_end(End { incarnation, by, stop: row.stop, recovery, gave_up, index }).await
    }

    /// Stops the row from the newest index on. The stop counts only if no index that was listed after it has a front
    /// behind it (R6): else the row was deleted up to there, and is read again from that front.
    async fn stop_row(&self, reader: &RowReader<'_>, window: u32, by: Incarnation) -> Result<(Option<Index>, Row), OpenError> {
        let mut index = reader.newest_index().await?;
        loop {
            let from = index.as_ref().map_or(SlotNumber(0), |index| index.covers);
            let row = reader.stop(from, window, by).await?;
            let newest = reader.newest_index().await?;
            if newest.as_ref().is_none_or(|newest| newest.front <= row.stop) {
                return Ok((index, row));
            }
            index = newest;
        }
    }

    /// The chain's lines before the row is read: its newest index, or what its base's `end` lists.
    async fn lines(&self, index: Option<Index>, base: Option<Incarnation>) -> Result<Lines, OpenError> {
        let index = match (index, base) {
            (Some(index), _) => Some(index),
            (None, Some(base)) => Some(self.read_end(base).await?.index),
            (None, None) => None,
        };
        let partitions = index.map(|index| index.partitions).unwrap_or_default();
        Ok(partitions.into_iter().map(|line| (line.partition, Line::from_index(line))).collect())
    }

    /// Keeps, of one generation's WAL, what lies at or above each partition's end, up to its first hole. False if the
    /// rest of a damaged WAL was given up.
    async fn replay(&self, claim: &floe_formats::Claim, lines: &Lines, kept: &mut BTreeMap<PartitionId, Kept>) -> Result<bool, OpenError> {
        let (incarnation, generation) = (claim.incarnation, claim.generation);
        let dir = crate::start::wal_dir(incarnation, generation);
        let result = floe_wal::replay(&self.disk, &dir, incarnation, generation, |entry| keep(lines, kept, entry)).await;
        match result {
            Ok(replayed) => {
                tracing::info!(
                    incarnation = incarnation.0,
                    entries = replayed.entries,
                    end = replayed.end.0,
                    torn = replayed.torn,
                    "replayed a WAL"
                );
                Ok(true)
            }
            // Claimed and never begun.
            Err(WalError::Missing { .. }) => Ok(true),
            Err(source @ WalError::Damaged { .. }) if self.options.take_over => {
                tracing::error!(error = %source, "giving up what lies behind the damage, as --take-over says");
                Ok(false)
            }
            Err(source @ WalError::Damaged { .. }) => Err(OpenError::WalDamaged { incarnation, source }),
            Err(other) => Err(other.into()),
        }
    }

    /// Writes what was kept as recovery packs and adds it to the lines.
    async fn store_kept(
        &self,
        lines: &mut Lines,
        kept: BTreeMap<PartitionId, Kept>,
        incarnation: Incarnation,
        by: Incarnation,
    ) -> Result<Vec<PackRef>, OpenError> {
        let mut recovery = Vec::new();
        let mut uploads = FuturesUnordered::new();
        let mut pack = self.recovery_pack(incarnation, by);
        for (partition, kept) in kept {
            let mut rest = kept.batches.into_iter().peekable();
            while rest.peek().is_some() {
                let room = PACK_BYTES.saturating_sub(pack.len());
                let batches = take_bytes(&mut rest, room);
                let line = lines.entry(partition).or_insert_with(|| Line::empty(partition));
                let epoch = (kept.epoch, kept.epoch_start);
                pack.add_segment(meta(line, epoch, &batches)?, batches).map_err(|source| self.format(by, source))?;
                if pack.len() >= PACK_BYTES {
                    let full = std::mem::replace(&mut pack, self.recovery_pack(incarnation, by));
                    uploads.push(self.store_recovery(lines, full, &mut recovery, (incarnation, by))?);
                    if uploads.len() >= UPLOADS {
                        uploads.next().await.transpose()?;
                    }
                }
            }
        }
        if !pack.is_empty() {
            uploads.push(self.store_recovery(lines, pack, &mut recovery, (incarnation, by))?);
        }
        while let Some(uploaded) = uploads.next().await {
            uploaded?;
        }
        Ok(recovery)
    }

    fn recovery_pack(&self, incarnation: Incarnation, by: Incarnation) -> PackBuilder {
        PackBuilder::new(self.writer(by), PackKind::Recovery, incarnation, None)
    }

    /// Adds a recovery pack to the lines, which count once all such packs are stored; the upload is the caller's to await.
    fn store_recovery<'a>(
        &'a self,
        lines: &mut Lines,
        pack: PackBuilder,
        recovery: &mut Vec<PackRef>,
        (incarnation, by): (Incarnation, Incarnation),
    ) -> Result<BoxFuture<'a, Result<(), OpenError>>, OpenError> {
        let pack = pack.finish(None, SlotNumber(0)).map_err(|source| self.format(by, source))?;
        let number = self.recovery_packs.fetch_add(1, Relaxed);
        let stored = PackRef::Recovery { incarnation, by, number };
        apply(lines, &pack, stored);
        recovery.push(stored);
        let body = Payload::from(pack.payload);
        Ok(async move { self.create_for_sure(&stored.key(), &body).await }.boxed())
    }

    async fn create_end(&self, end: End) -> Result<End, OpenError> {
        let key = keys::end(end.incarnation);
        let body = Payload::from(floe_formats::encode(&self.writer(end.by), &end));
        match self.store.create(&key, &body).await? {
            Created::Won => Ok(end),
            // Another recoverer was first: its end counts.
            Created::Lost => self.read_end(end.incarnation).await,
        }
    }

    fn format(&self, by: Incarnation, source: floe_formats::FormatError) -> OpenError {
        OpenError::Format { key: format!("a recovery pack by incarnation {by}"), source }
    }

    fn writer(&self, incarnation: Incarnation) -> Writer {
        Writer { write_id: WriteId(self.env.random_u128()), incarnation, revision: 0 }
    }

    /// Disks whose WALs cannot be asked; refused unless they are to be given up.
    fn check_wals(&self, incarnation: Incarnation, claims: &[floe_formats::Claim]) -> Result<Vec<DiskId>, OpenError> {
        let elsewhere = self.wals_elsewhere(claims);
        match elsewhere.first() {
            Some(disk) if !self.options.take_over => Err(OpenError::LocalElsewhere { incarnation, disk: *disk }),
            _ => Ok(elsewhere),
        }
    }
}

fn apply_row(lines: &mut Lines, row: &Row, incarnation: Incarnation) {
    for pack in &row.packs {
        let stored = PackRef::Slot { incarnation, slot: pack.slot };
        for segment in &pack.footer.segments {
            let line = lines.entry(segment.partition).or_insert_with(|| Line::empty(segment.partition));
            line.apply(segment, segment.to_ref(stored, pack.pack_len, pack.footer_len));
        }
    }
}

fn apply(lines: &mut Lines, pack: &BuiltPack, stored: PackRef) {
    for segment in &pack.footer.segments {
        let line = lines.entry(segment.partition).or_insert_with(|| Line::empty(segment.partition));
        line.apply(segment, segment.to_ref(stored, pack.pack_len, pack.footer_len));
    }
}

fn keep(lines: &Lines, kept: &mut BTreeMap<PartitionId, Kept>, entry: ReplayedEntry) {
    let header = entry.header;
    let Ok(batch) = floe_records::BatchHeader::parse(&entry.batch) else { return };
    let of_partition = kept.entry(header.partition).or_insert_with(|| Kept {
        epoch: header.epoch,
        epoch_start: header.epoch_start,
        end: lines.get(&header.partition).map_or(0, |line| line.end),
        hole: false,
        batches: Vec::new(),
    });
    if header.base_offset < of_partition.end || of_partition.hole {
        return;
    }
    if header.base_offset > of_partition.end {
        of_partition.hole = !mutated(Mutant::HoleKept);
        if of_partition.hole {
            return;
        }
    }
    of_partition.end = batch.end_offset();
    of_partition.batches.push(BatchSlice {
        bytes: entry.batch,
        base_offset: header.base_offset,
        end_offset: batch.end_offset(),
        max_timestamp: batch.max_timestamp,
        records: u32::try_from(batch.record_count).unwrap_or(0),
    });
}

/// At least one batch, and as many as fit into `room` bytes.
fn take_bytes(rest: &mut std::iter::Peekable<std::vec::IntoIter<BatchSlice>>, room: u64) -> Vec<BatchSlice> {
    let (mut batches, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = rest.next_if(|batch| batches.is_empty() || bytes + batch.bytes.len() as u64 <= room) {
        bytes += batch.bytes.len() as u64;
        batches.push(batch);
    }
    batches
}

fn meta(line: &Line, (epoch, start): (LeaderEpoch, Offset), batches: &[BatchSlice]) -> Result<SegmentMeta, OpenError> {
    let mut producers = BTreeMap::new();
    for batch in batches {
        let header = floe_records::BatchHeader::parse(&batch.bytes)
            .map_err(|error| OpenError::Disk(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
        if let Some(update) = update_of(&header, batch.base_offset) {
            crate::partition::merge(&mut producers, &update);
        }
    }
    Ok(SegmentMeta {
        partition: line.partition,
        epoch,
        base_offset: batches.first().map_or(line.end, |batch| batch.base_offset),
        log_start: line.log_start,
        events: vec![PartitionEvent::EpochStart { epoch, start }],
        producers: producers.into_values().collect(),
    })
}
