//! Where a partition's records lie: its manifest places what was settled, its line what lies in slots. Where both place an
//! offset the manifest counts (R17).

use super::{Partition, State};
use crate::history::manifest::{History, read_newest, read_version};
use crate::history::stats::Indexed;
use crate::{Damage, Ended, ReadError};
use floe_formats::{Manifest, PackRef, SegmentRef, keys};
use floe_objstore::Store;
use floe_types::{ErrorKind, Offset};
use std::ops::Range;
use std::sync::Arc;

impl Partition {
    /// Sees to it that a manifest is known, if anything of the log may lie only there.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub(crate) async fn ensure_history(&self) -> Result<(), ReadError> {
        if self.state.lock().needs_history() { self.learn_history(&self.shared.replay).await } else { Ok(()) }
    }

    /// Sees to it that what is known of manifests, if anything is needed of them, is the newest.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub(crate) async fn ensure_newest(&self) -> Result<(), ReadError> {
        let is_old = {
            let state = self.state.lock();
            !state.history_is_newest && (state.history.is_known() || state.needs_history())
        };
        if is_old { self.read_history().await.map(drop) } else { Ok(()) }
    }

    /// Looks where records may be that nothing which is known places: in the manifest that the index names, by one request,
    /// and if that has been looked at, or does not fit, in the newest.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub(super) async fn learn_history(&self, store: &Store) -> Result<(), ReadError> {
        let version = {
            let state = self.state.lock();
            if state.history.is_known() { None } else { state.line.manifest }
        };
        if let Some(version) = version {
            match read_version(store, self.id, version).await {
                Ok(Some(manifest)) => {
                    if self.view(manifest)? {
                        return Ok(());
                    }
                }
                // A newer one may be there, or sound.
                Ok(None) | Err(ReadError::Format { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.read_newest_by(store).await.map(drop)
    }

    /// Takes a manifest that was not read as the newest for a view that serves readers until something of it is gone (R17),
    /// and nothing else: it may be old, and under the name of one that was deleted it may be a late owner's (T51). False if
    /// it and the line together do not place everything.
    fn view(&self, manifest: Manifest) -> Result<bool, ReadError> {
        self.check_not_fenced(Some(&manifest))?;
        let mut state = self.state.lock();
        if state.history.is_known() {
            return Ok(true);
        }
        let from = manifest.segments.first().map_or(manifest.log_start, |first| first.base_offset.max(manifest.log_start));
        let end = manifest.segments.last().map_or(manifest.log_start, |last| last.end_offset);
        let listed_from = state.line.segments.first().map_or(state.line.end, |first| first.base_offset);
        let fits = from <= state.line.log_start && listed_from <= end.max(state.line.log_start) && end <= state.line.end;
        if fits {
            state.history = History::Is(Arc::new(manifest));
        }
        Ok(fits)
    }

    /// Reads the newest manifest and takes it in, for work that no reader waits for.
    ///
    /// # Errors
    /// The store's; `Ended`: a later owner has published.
    pub(crate) async fn read_history(&self) -> Result<Option<Arc<Manifest>>, ReadError> {
        self.read_newest_by(&self.shared.merging).await
    }

    async fn read_newest_by(&self, store: &Store) -> Result<Option<Arc<Manifest>>, ReadError> {
        let named = self.state.lock().line.manifest;
        let newest = read_newest(store, self.id).await.map_err(|error| self.of_manifest(error))?;
        // Versions only grow, and the newest is never deleted (R18): what is built on an older one, or on none, would name what
        // is there no more, and give what is needed to the sweeper.
        if let Some(named) = named.filter(|named| newest.as_ref().is_none_or(|newest| newest.version < *named)) {
            let found = newest.as_ref().map_or("there is none".to_owned(), |newest| format!("the newest there is is {}", newest.version));
            let damage = self.damaged_manifest(keys::manifest(self.id, named), format!("manifest {named} is missing, {found}"));
            // Else all that it placed was deleted since; or it went with its topic.
            self.state.lock().check_readable()?;
            if damage.start < damage.end {
                return Err(ReadError::Damaged(Box::new(damage)));
            }
        }
        self.meet(newest)
    }

    /// A manifest that cannot be read is damage of what it alone places.
    pub(crate) fn of_manifest(&self, error: ReadError) -> ReadError {
        match error {
            ReadError::Format { what, source } if source.kind() == ErrorKind::Corrupt => {
                ReadError::Damaged(Box::new(self.damaged_manifest(what, source.to_string())))
            }
            other => other,
        }
    }

    fn damaged_manifest(&self, key: String, what: String) -> Damage {
        let state = self.state.lock();
        let (start, listed_from) = (state.line.log_start, state.line.segments.first().map_or(state.line.end, |first| first.base_offset));
        Damage { partition: self.id, start, end: listed_from.max(start), key, what, missing: false }
    }

    /// Whether records that were not where they were looked for should be there still.
    pub(crate) fn places(&self, damage: &Damage) -> bool {
        let state = self.state.lock();
        let at = damage.start.max(state.line.log_start);
        state.closed.is_none() && at < damage.end && state.placed_at(at).is_some_and(|placed| placed.pack.key() == damage.key)
    }

    /// Takes in a manifest that was read as the newest. Whoever meets a greater epoch, or an equal one of another's, is
    /// fenced (R15).
    pub(crate) fn meet(&self, newest: Option<Manifest>) -> Result<Option<Arc<Manifest>>, ReadError> {
        self.check_not_fenced(newest.as_ref())?;
        let mut state = self.state.lock();
        let knew_newest = std::mem::replace(&mut state.history_is_newest, true);
        match newest {
            Some(manifest) if !knew_newest || manifest.version > state.history.version() => {
                self.shared.tail_memory.released(state.install(manifest));
            }
            None if !knew_newest => state.history = History::None,
            // An older view than the one that is known: a read that was slow.
            Some(_) | None => {}
        }
        Ok(state.history.manifest().cloned())
    }

    fn check_not_fenced(&self, found: Option<&Manifest>) -> Result<(), ReadError> {
        let foreign = |found: &Manifest| found.epoch > self.epoch || (found.epoch == self.epoch && found.by != self.shared.incarnation);
        if let Some(found) = found.filter(|found| foreign(found)) {
            let ended = Ended::Fenced {
                by: Some(found.by),
                found: format!("manifest {} of {} is of epoch {}", found.version, self.id, found.epoch),
            };
            self.shared.end(ended.clone());
            return Err(ReadError::Ended(ended));
        }
        Ok(())
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
    pub(super) async fn has_moved(&self, store: &Store, offset: Offset, looked_up: &[SegmentRef]) -> Result<bool, ReadError> {
        let gone = looked_up.first().map(|segment| segment.pack);
        let moved = |partition: &Self| {
            let state = partition.state.lock();
            offset < state.line.log_start || state.placed_at(offset).is_none_or(|placed| Some(placed.pack) != gone)
        };
        if moved(self) {
            return Ok(true);
        }
        self.read_newest_by(store).await?;
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
