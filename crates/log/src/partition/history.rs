//! Where a partition's records lie: its manifest places what was settled, its line what lies in slots. Where both place an
//! offset the manifest counts (R17).

use super::{Partition, State};
use crate::history::manifest::{History, read_newest, read_version};
use crate::history::stats::Indexed;
use crate::{Ended, ReadError};
use floe_formats::{Manifest, PackRef, SegmentRef};
use floe_types::Offset;
use std::ops::Range;
use std::sync::Arc;

impl Partition {
    /// Sees to it that a manifest is known, if anything of the log may lie only there.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub(crate) async fn ensure_history(&self) -> Result<(), ReadError> {
        if self.state.lock().needs_history() { self.learn_history().await } else { Ok(()) }
    }

    /// Reads the manifest that the index names, by one request. A newer one may stand: then this one is an old view, which
    /// serves readers until something of it is gone, and nothing else (R17). It may even be another than the index meant: where
    /// that one was pruned, the create of a deposed owner may land under its number (T26). Such a one is true as far as it
    /// goes; if it does not go as far as the index relies on, the newest is read.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub(super) async fn learn_history(&self) -> Result<(), ReadError> {
        let version = self.state.lock().line.manifest;
        if let Some(version) = version
            && let Some(manifest) = read_version(&self.shared.store, self.id, version).await?
            && self.state.lock().is_joined_by(&manifest)
        {
            return self.meet(Some(manifest)).map(drop);
        }
        self.read_history().await.map(drop)
    }

    /// Sees to it that the newest manifest is known, if there may be one: what deletes rests on no old view.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub(crate) async fn ensure_newest_history(&self) -> Result<(), ReadError> {
        let is_old = {
            let state = self.state.lock();
            state.needs_history() || (state.history.manifest().is_some() && !state.history_is_newest)
        };
        if is_old { self.read_history().await.map(drop) } else { Ok(()) }
    }

    /// Reads the newest manifest and takes it in.
    ///
    /// # Errors
    /// The store's; `Ended`: a later owner has published.
    pub(crate) async fn read_history(&self) -> Result<Option<Arc<Manifest>>, ReadError> {
        let newest = read_newest(&self.shared.store, self.id).await?;
        let met = self.meet(newest)?;
        self.state.lock().history_is_newest = true;
        Ok(met)
    }

    /// Takes in a manifest that was read as the newest. Whoever meets a greater epoch, or an equal one of another's, is
    /// fenced (R15).
    pub(crate) fn meet(&self, newest: Option<Manifest>) -> Result<Option<Arc<Manifest>>, ReadError> {
        let foreign = |found: &Manifest| found.epoch > self.epoch || (found.epoch == self.epoch && found.by != self.shared.incarnation);
        if let Some(found) = newest.as_ref().filter(|found| foreign(found)) {
            let ended = Ended::Fenced {
                by: Some(found.by),
                found: format!("manifest {} of {} is of epoch {}", found.version, self.id, found.epoch),
            };
            self.shared.end(ended.clone());
            return Err(ReadError::Ended(ended));
        }
        let mut state = self.state.lock();
        match newest {
            Some(manifest) if manifest.version > state.history.version() => self.shared.tail_memory.released(state.install(manifest)),
            None if !state.history.is_known() => state.history = History::None,
            // An older view than the one that is known: a read that was slow.
            Some(_) | None => {}
        }
        Ok(state.history.manifest().cloned())
    }

    /// Takes in a manifest of this incarnation that counts.
    pub(crate) fn counted(&self, manifest: Manifest) {
        let mut state = self.state.lock();
        state.history_is_newest = true;
        if manifest.version > state.history.version() {
            self.shared.tail_memory.released(state.install(manifest));
        }
    }

    /// Whether what `pack` holds of this partition is deleted, or placed elsewhere, all of it: in its manifest's packs, or
    /// in packs that an index which stands names.
    pub(crate) fn is_elsewhere(&self, offsets: Range<Offset>, pack: PackRef, stands: &Indexed) -> bool {
        let state = self.state.lock();
        // What is not known to be the newest manifest lets nothing go (R19).
        if state.closed.is_some() || !state.history_is_newest {
            return false;
        }
        let mut next = offsets.start.max(state.line.log_start);
        let counts = |at: &PackRef| *at != pack && (matches!(at, PackRef::Own { .. }) || stands.names(at));
        for segment in state.placed().filter(|segment| counts(&segment.pack)) {
            if next >= offsets.end || segment.base_offset > next {
                break;
            }
            next = next.max(segment.end_offset);
        }
        next >= offsets.end
    }

    /// Whether the records at `offset` are deleted, or lie elsewhere than in the first of `looked_up`, which was not there:
    /// looks at the newest manifest if what is known says otherwise.
    pub(super) async fn has_moved(&self, offset: Offset, looked_up: &[SegmentRef]) -> Result<bool, ReadError> {
        let gone = looked_up.first().map(|segment| segment.pack);
        let moved = |partition: &Self| {
            let state = partition.state.lock();
            offset < state.line.log_start || state.placed_at(offset).is_none_or(|placed| Some(placed.pack) != gone)
        };
        if moved(self) {
            return Ok(true);
        }
        self.read_history().await?;
        Ok(moved(self))
    }
}

impl State {
    /// Takes a manifest for the newest. The bytes of memory that are free now: readers find no more in it than compaction has left.
    fn install(&mut self, manifest: Manifest) -> u64 {
        let freed = self.tail.forget_below(manifest.compacted);
        self.line.manifest = Some(manifest.version);
        self.line.log_start = self.line.log_start.max(manifest.log_start.min(self.line.end));
        self.history = History::Is(Arc::new(manifest));
        let history = &self.history;
        self.line.segments.retain(|segment| !history.places(segment));
        self.unsettled_since = None;
        self.waiters.log_start(self.line.log_start);
        freed
    }

    /// Whether the manifest places everything in front of what the line lists.
    fn is_joined_by(&self, manifest: &Manifest) -> bool {
        let listed = self.line.segments.iter().find(|segment| segment.base_offset < segment.end_offset);
        let from = listed.map_or(self.line.end, |segment| segment.base_offset);
        let end = manifest.segments.last().map_or(manifest.log_start, |last| last.end_offset);
        from <= end.max(self.line.log_start)
    }

    /// Whether something of the log may lie where only a manifest that nobody has read says.
    pub(super) fn needs_history(&self) -> bool {
        let listed_from = self.line.segments.first().map_or(self.line.end, |first| first.base_offset);
        !self.history.is_known() && (self.line.manifest.is_some() || listed_from > self.line.log_start)
    }

    /// The segment that holds `offset`, if any is known to.
    pub(super) fn placed_at(&self, offset: Offset) -> Option<&SegmentRef> {
        self.history.segment_at(offset).or_else(|| self.line.segment_at(offset))
    }

    /// The segment that holds `offset`, and those that follow it: at most so many. Empty if none is known to hold it.
    pub(super) fn placed_from(&self, offset: Offset, most: usize) -> Vec<SegmentRef> {
        fn behind(segments: &[SegmentRef], offset: Offset) -> &[SegmentRef] {
            segments.get(segments.partition_point(|segment| segment.end_offset <= offset)..).unwrap_or_default()
        }
        let Some(first) = self.placed_at(offset) else { return Vec::new() };
        let settled = behind(self.history.segments(), first.end_offset);
        let listed = behind(&self.line.segments, first.end_offset.max(self.history.end()));
        // Segments of events alone hold nothing to read.
        let following = settled.iter().chain(listed).filter(|segment| segment.base_offset < segment.end_offset);
        std::iter::once(first).chain(following).take(most).cloned().collect()
    }

    /// All segments that hold something above the log start, in offset order.
    pub(super) fn placed(&self) -> impl Iterator<Item = &SegmentRef> + Clone {
        let (log_start, settled) = (self.line.log_start, self.history.end());
        let settled_ones = self.history.segments().iter();
        let listed = self.line.segments.iter().filter(move |segment| segment.end_offset > settled);
        settled_ones.chain(listed).filter(move |segment| segment.end_offset > log_start)
    }
}
