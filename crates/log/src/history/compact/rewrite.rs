//! One group of own packs, rewritten without what has a newer record: block by block, so that memory holds a few blocks and
//! the new pack as it will be stored.

use super::keys::KeyMap;
use crate::ReadError;
use crate::chain::Chain;
use crate::history::settle::{self, Merged};
use crate::pack_reader::BlockRuns;
use crate::partition::{Partition, merge};
use crate::shared::Shared;
use bytes::Bytes;
use floe_formats::{PackBuilder, PackKind, SegmentMeta, SegmentRef};
use floe_records::{BatchError, BatchHeader, Left};
use floe_types::{Offset, PartitionId, SlotNumber};
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
            if !keys.has_room_for(records) {
                if !keys.is_empty() {
                    learned.full = true;
                    return Ok((keys, learned));
                }
                keys.make_room_for(records);
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
    /// Rewrites whole packs as one, and uploads it. None if all of them stay as they are.
    pub(super) async fn rewrite(
        &self,
        shared: &Arc<Shared>,
        partition: &Partition,
        group: &[SegmentRef],
        anyway: bool,
    ) -> Result<Option<Merged>, ReadError> {
        let mut pack =
            PackBuilder::new(Chain::writer(shared), PackKind::Own, shared.incarnation, None).compression(shared.options.block_codec);
        let mut changed = anyway;
        for run in group.chunk_by(|a, b| a.epoch == b.epoch) {
            let mut sources = Vec::with_capacity(run.len());
            for stored in run {
                sources.push(shared.packs.blocks_of(partition.id(), stored).await?);
            }
            // It stands for all offsets of its sources, also where it keeps no record (R17, T38).
            let end = run.last().map_or(0, |last| last.end_offset);
            pack.begin_segment(self.meta(partition.id(), &sources), end);
            for mut source in sources {
                while let Some(batches) = source.next(&shared.packs).await? {
                    let rewrite = self.clone();
                    let extended = shared.env.compute("compact", move || rewrite.extend(pack, batches)).await;
                    let extended = extended.map_err(|failed| ReadError::Broken(failed.to_string()))?;
                    let (now, is_changed) = extended?;
                    (pack, changed) = (now, changed || is_changed);
                }
            }
        }
        if !changed {
            return Ok(None);
        }
        let built = shared.env.compute("close a compacted pack", move || pack.finish(None, SlotNumber(0))).await;
        let built = built.map_err(|failed| ReadError::Broken(failed.to_string()))?;
        let built = built.map_err(|source| ReadError::Format { what: format!("an own pack of {}", partition.id()), source })?;
        let segments = settle::upload(shared, partition, &built).await?;
        Ok(Some(Merged { segments, replaces: group.to_vec(), ..Merged::default() }))
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

    /// Adds what stays of these batches. Whether anything of them is left out or marked.
    fn extend(&self, mut pack: PackBuilder, batches: Vec<Bytes>) -> Result<(PackBuilder, bool), ReadError> {
        let mut changed = false;
        let mut left = Vec::with_capacity(batches.len());
        for batch in batches {
            let kept = match self.retain(&batch)? {
                // A copy: the batch is a slice of a block, which would be held on to for it.
                Left::Same => Bytes::copy_from_slice(&batch),
                Left::Batch(rewritten) => {
                    changed = true;
                    rewritten
                }
                Left::Nothing => {
                    changed = true;
                    continue;
                }
            };
            left.push(settle::slice_of(kept)?);
        }
        let format = |source| ReadError::Format { what: "a compacted pack".into(), source };
        pack.extend_segment(&left).map_err(format)?;
        Ok((pack, changed))
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
