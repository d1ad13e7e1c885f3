//! One group of own packs, rewritten without what has a newer record: block by block, so that memory holds a few blocks and
//! one part of what is written (`parts.rs`). A first look over it tells whether anything is to be rewritten at all.

use super::keys::KeyMap;
use super::parts::Parts;
use crate::ReadError;
use crate::history::settle::{self, Merged};
use crate::pack_reader::BlockRuns;
use crate::partition::{Partition, merge};
use crate::shared::Shared;
use bytes::Bytes;
use floe_formats::{PackBuilder, SegmentMeta, SegmentRef};
use floe_records::{BatchError, BatchHeader, Left};
use floe_types::{Offset, PartitionId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most bytes that a batch may have uncompressed.
const MAX_RAW: usize = 256 << 20;

/// What learning some batches came to.
#[derive(Debug)]
pub(super) struct Learned {
    /// Everything below is learned.
    pub(super) upto: Offset,
    /// The next batch did not fit any more.
    pub(super) full: bool,
}

/// Adds the keys of batches that end behind `from`, in order, as far as they fit.
pub(super) fn learn(mut keys: KeyMap, batches: Vec<Bytes>, from: Offset) -> Result<(KeyMap, Learned), BatchError> {
    let mut learned = Learned { upto: from, full: false };
    for batch in batches {
        let header = BatchHeader::parse(&batch)?;
        if header.end_offset() > from && !header.is_control() {
            let records = usize::try_from(header.record_count).unwrap_or(0);
            if keys.is_empty() {
                keys.begin(records, header.base_offset);
            } else if !keys.has_room_for(records, header.end_offset()) {
                learned.full = true;
                return Ok((keys, learned));
            }
            floe_records::keyed_records(&batch, MAX_RAW, |record| {
                if let Some(key) = &record.key {
                    keys.insert(key, record.offset);
                }
            })?;
        }
        learned.upto = header.end_offset();
    }
    Ok((keys, learned))
}

/// What stays, in one pass.
#[derive(Debug, Clone)]
pub(super) struct Rewrite {
    pub(super) keys: Arc<KeyMap>,
    /// The keys are known up to here; batches from here on stay as they are.
    pub(super) upto: Offset,
    /// Until when, in unix milliseconds, tombstones stay that this pass meets first.
    pub(super) horizon: i64,
    pub(super) now_ms: i64,
    /// This record stays whatever it says, so that readers find where the log ends.
    pub(super) newest: Offset,
    pub(super) log_start: Offset,
}

impl Rewrite {
    /// Rewrites whole packs, and uploads what stands for them: nothing names it yet. None if all of them stay as they are.
    pub(super) async fn rewrite(
        &self,
        shared: &Arc<Shared>,
        partition: &Partition,
        group: &[SegmentRef],
        anyway: bool,
    ) -> Result<Option<Merged>, ReadError> {
        if !anyway && !self.changes(shared, partition, group).await? {
            return Ok(None);
        }
        let mut parts = Parts::new(shared, partition);
        match self.write(&mut parts, group).await {
            Ok(()) => Ok(Some(Merged { segments: parts.into_segments(), replaces: group.to_vec(), ..Merged::default() })),
            Err(error) => {
                parts.give_back().await;
                Err(error)
            }
        }
    }

    /// Whether any batch of these is left out, or marked.
    async fn changes(&self, shared: &Arc<Shared>, partition: &Partition, group: &[SegmentRef]) -> Result<bool, ReadError> {
        for stored in group.iter().filter(|stored| stored.base_offset < self.upto) {
            let mut source = shared.packs.blocks_of(partition.id(), stored).await?;
            while let Some(batches) = source.next(&shared.packs).await? {
                let rewrite = self.clone();
                let found = shared.env.compute("look for what goes", move || rewrite.changes_any(&batches)).await;
                if found.map_err(|failed| ReadError::Broken(failed.to_string()))?? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn changes_any(&self, batches: &[Bytes]) -> Result<bool, BatchError> {
        for batch in batches {
            if !matches!(self.retain(batch)?, Left::Same) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The parts stand together for all offsets of their sources, also where no record is kept (R17, T38).
    async fn write(&self, parts: &mut Parts<'_>, group: &[SegmentRef]) -> Result<(), ReadError> {
        let (shared, partition) = (parts.shared, parts.partition.id());
        let mut pack = parts.begin();
        for run in group.chunk_by(|a, b| a.epoch == b.epoch) {
            if parts.is_full(&pack) {
                parts.store(std::mem::replace(&mut pack, parts.begin())).await?;
            }
            let mut sources = Vec::with_capacity(run.len());
            for stored in run {
                sources.push(shared.packs.blocks_of(partition, stored).await?);
            }
            let end = run.last().map_or(0, |last| last.end_offset);
            let meta = self.meta(partition, &sources);
            // The first part of a segment tells of events and producers.
            let rest = SegmentMeta { events: Vec::new(), producers: Vec::new(), ..meta.clone() };
            let mut at = meta.base_offset;
            pack.begin_segment(meta, end);
            for mut source in sources {
                while !source.is_read() {
                    // It got full by batches of this very segment: no part of one is empty but the last.
                    if parts.is_full(&pack) {
                        pack.end_segment(at).map_err(|source| parts.format(source))?;
                        parts.store(std::mem::replace(&mut pack, parts.begin())).await?;
                        pack.begin_segment(SegmentMeta { base_offset: at, ..rest.clone() }, end);
                    }
                    let Some(batches) = source.next(&shared.packs).await? else { break };
                    at = match batches.last() {
                        Some(last) => BatchHeader::parse(last)?.end_offset(),
                        None => at,
                    };
                    let rewrite = self.clone();
                    let extended = shared.env.compute("compact", move || rewrite.extend(pack, batches)).await;
                    pack = extended.map_err(|failed| ReadError::Broken(failed.to_string()))??;
                }
            }
        }
        parts.store(pack).await
    }

    fn meta(&self, partition: PartitionId, sources: &[BlockRuns]) -> SegmentMeta {
        let first = sources.first().map(BlockRuns::segment);
        let mut producers = BTreeMap::new();
        for update in sources.iter().flat_map(|source| &source.segment().producers) {
            merge(&mut producers, update);
        }
        SegmentMeta {
            partition,
            epoch: first.map_or(0, |segment| segment.epoch),
            base_offset: first.map_or(0, |segment| segment.base_offset),
            log_start: self.log_start,
            events: settle::condensed(sources.iter().flat_map(|source| source.segment().events.clone()).collect()),
            producers: producers.into_values().collect(),
        }
    }

    /// Adds what stays of these batches.
    fn extend(&self, mut pack: PackBuilder, batches: Vec<Bytes>) -> Result<PackBuilder, ReadError> {
        let mut left = Vec::with_capacity(batches.len());
        for batch in batches {
            let kept = match self.retain(&batch)? {
                // A copy: the batch is a slice of a block, which would be held on to for it.
                Left::Same => Bytes::copy_from_slice(&batch),
                Left::Batch(rewritten) => rewritten,
                Left::Nothing => continue,
            };
            left.push(settle::slice_of(kept)?);
        }
        let format = |source| ReadError::Format { what: "a compacted pack".into(), source };
        pack.extend_segment(&left).map_err(format)?;
        Ok(pack)
    }

    fn retain(&self, batch: &Bytes) -> Result<Left, BatchError> {
        let header = BatchHeader::parse(batch)?;
        if header.is_control() || header.base_offset >= self.upto {
            return Ok(Left::Same);
        }
        // A tombstone that bears a time has met a whole pass: the older records of its key are gone.
        let tombstones_go = header.delete_horizon().is_some_and(|until| until < self.now_ms);
        floe_records::retain(batch, MAX_RAW, self.horizon, |record| {
            let Some(key) = &record.key else { return true };
            let is_newest = self.keys.newest(key).is_none_or(|newest| newest <= record.offset);
            record.offset == self.newest || (is_newest && !(record.is_tombstone && tombstones_go))
        })
    }
}
