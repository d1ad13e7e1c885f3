//! The packs that a rewrite writes, one behind the other: one is in memory, and those before it are uploaded.

use crate::ReadError;
use crate::chain::Chain;
use crate::history::{settle, sweep};
use crate::partition::Partition;
use crate::shared::Shared;
use floe_formats::{FormatError, PackBuilder, PackKind, PackRef, SegmentRef};
use floe_types::SlotNumber;
use std::sync::Arc;

/// A pack of so many bytes is full. Held in memory until it is uploaded, beside the key map of 96 MiB: so much fits a
/// broker of 256 MiB, is large enough for few requests and short manifests, and makes of 128 MiB fewer packs than are rewritten for their number.
const FULL: u64 = 20 << 20;

pub(super) struct Parts<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) partition: &'a Partition,
    /// Bytes of a pack that is full; it has a block then.
    full: u64,
    segments: Vec<SegmentRef>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, partition: &'a Partition) -> Self {
        let mut parts = Self { shared, partition, full: 0, segments: Vec::new() };
        // Of what is settled at once there are few parts: it gets no more by being rewritten again.
        parts.full = parts.begin().len() + FULL.min(shared.options.settle_bytes / 2).max(1);
        parts
    }

    pub(super) fn begin(&self) -> PackBuilder {
        let (writer, codec) = (Chain::writer(self.shared), self.shared.options.block_codec);
        PackBuilder::new(writer, PackKind::Own, self.shared.incarnation, None).compression(codec)
    }

    pub(super) fn is_full(&self, pack: &PackBuilder) -> bool {
        pack.len() >= self.full
    }

    /// Closes and uploads what follows.
    pub(super) async fn store(&mut self, pack: PackBuilder) -> Result<(), ReadError> {
        let built = self.shared.env.compute("close a compacted pack", move || pack.finish(None, SlotNumber(0))).await;
        let built = built.map_err(|failed| ReadError::Broken(failed.to_string()))?.map_err(|source| self.format(source))?;
        self.segments.extend(settle::upload(self.shared, self.partition, &built).await?);
        Ok(())
    }

    /// All that was uploaded, as a manifest is to name it.
    pub(super) fn into_segments(self) -> Vec<SegmentRef> {
        self.segments
    }

    /// Deletes what was uploaded, so that a rewrite that fails again and again leaves nothing behind. No version names it, and
    /// none will: nobody else knows these packs. What stays is a later epoch's to sweep (R20).
    pub(super) async fn give_back(self) {
        let mut packs: Vec<PackRef> = self.segments.iter().map(|segment| segment.pack).collect();
        packs.dedup();
        for pack in packs {
            if self.shared.ended.get().is_some() {
                return;
            }
            if let Err(error) = sweep::delete(self.shared, &pack.key()).await {
                tracing::debug!(key = pack.key(), %error, "a part of a rewrite that failed is left");
            }
        }
    }

    pub(super) fn format(&self, source: FormatError) -> ReadError {
        ReadError::Format { what: format!("an own pack of {}", self.partition.id()), source }
    }
}
