//! Where a partition's records lie: its manifest places what was settled, itself or by pages, its line what lies in slots. Where
//! both place an offset the manifest counts (R17).

use super::{Partition, State};
use crate::history::manifest::{History, from_offset, read_newest, read_version};
use crate::history::stats::Indexed;
use crate::{Damage, Ended, ReadError};
use floe_formats::{Manifest, ManifestPage, PackRef, PageRef, SegmentRef, keys};
use floe_objstore::Store;
use floe_types::{ErrorKind, Offset};
use std::ops::Range;
use std::sync::Arc;

/// Times that a page may be gone, and another be named, while an offset is looked for.
const PAGES_GONE: u32 = 16;

/// Where an offset lies.
#[derive(Debug)]
pub(super) enum Place {
    /// In the first of these segments.
    Segments(Vec<SegmentRef>),
    /// In a segment that this page names.
    Page(PageRef),
    /// Nothing that is known holds it.
    Nowhere,
}

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
        let from = manifest.base_offset().map_or(manifest.log_start, |base_offset| base_offset.max(manifest.log_start));
        let end = manifest.end_offset().unwrap_or(manifest.log_start);
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

    /// Whether records, or a page that names them, should still be where they were looked for and not found.
    ///
    /// # Errors
    /// As [`Partition::read`]: what is known names them by a page that cannot be read.
    pub(crate) async fn places(&self, damage: &Damage) -> Result<bool, ReadError> {
        let at = {
            let state = self.state.lock();
            let at = damage.start.max(state.line.log_start);
            if state.closed.is_some() || at >= damage.end {
                return Ok(false);
            }
            if state.history.pages().iter().any(|page| page.key(self.id) == damage.key) {
                return Ok(true);
            }
            at
        };
        Ok(self.locate(&self.shared.merging, at).await?.is_some_and(|placed| placed.pack.key() == damage.key))
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
            if self.may_be_anothers() {
                return Err(ReadError::NotOwner);
            }
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
        // Pages name own packs.
        let paged = state.pages().map(|page| (page.base_offset, page.end_offset));
        let listed = state.placed_behind_pages().filter(|segment| counts(&segment.pack));
        for (base_offset, end_offset) in paged.chain(listed.map(|segment| (segment.base_offset, segment.end_offset))) {
            if next >= offsets.end || base_offset > next {
                break;
            }
            next = next.max(end_offset);
        }
        next >= offsets.end
    }

    /// Opens a page that is named by what is known. None if it is gone, and the newest manifest does not name it: look again
    /// where the offset lies (R17).
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub(super) async fn open_page(&self, store: &Store, page: &PageRef) -> Result<Option<Arc<ManifestPage>>, ReadError> {
        match self.shared.pages.open(store, self.id, page).await {
            Ok(opened) => Ok(Some(opened)),
            Err(ReadError::Damaged(damage)) if damage.missing => {
                let is_named = |partition: &Self| partition.state.lock().history.names(page);
                if is_named(self) {
                    self.read_newest_by(store).await?;
                }
                if is_named(self) { Err(ReadError::Damaged(damage)) } else { Ok(None) }
            }
            Err(error) => Err(error),
        }
    }

    /// The segment that holds `offset`, if any is known to.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub(super) async fn locate(&self, store: &Store, offset: Offset) -> Result<Option<SegmentRef>, ReadError> {
        let mut opened = None;
        for _ in 0..PAGES_GONE {
            let place = self.state.lock().placed_from(offset, 1, opened.as_deref());
            match place {
                Place::Segments(segments) => return Ok(segments.into_iter().next()),
                Place::Page(page) => opened = self.open_page(store, &page).await?,
                Place::Nowhere => return Ok(None),
            }
        }
        Err(ReadError::Broken(format!("where offset {offset} lies changes faster than it can be read")))
    }

    /// Whether the records at `offset` are deleted, or lie elsewhere than in the first of `looked_up`, which was not there:
    /// looks at the newest manifest if what is known says otherwise.
    pub(super) async fn has_moved(&self, store: &Store, offset: Offset, looked_up: &[SegmentRef]) -> Result<bool, ReadError> {
        let gone = looked_up.first().map(|segment| segment.pack);
        if self.lies_elsewhere(store, offset, gone).await? {
            return Ok(true);
        }
        self.read_newest_by(store).await?;
        self.lies_elsewhere(store, offset, gone).await
    }

    async fn lies_elsewhere(&self, store: &Store, offset: Offset, gone: Option<PackRef>) -> Result<bool, ReadError> {
        if offset < self.offsets().log_start {
            return Ok(true);
        }
        Ok(self.locate(store, offset).await?.is_none_or(|placed| Some(placed.pack) != gone))
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

    /// The segment that holds `offset`, and some that follow it: at most so many. `page`: one that was opened for it.
    pub(super) fn placed_from(&self, offset: Offset, most: usize, page: Option<&ManifestPage>) -> Place {
        if let Some(named) = self.history.page_at(offset) {
            let Some(opened) = page.filter(|opened| opened.ulid == named.ulid) else { return Place::Page(*named) };
            return Place::Segments(from_offset(&opened.segments, offset).iter().take(most).cloned().collect()).or_nowhere();
        }
        let settled = from_offset(self.history.segments(), offset);
        let listed = match settled {
            [] => from_offset(&self.line.segments, offset),
            _ => behind(&self.line.segments, self.history.end()),
        };
        // Segments of events alone hold nothing to read.
        let following =
            settled.iter().chain(listed).enumerate().filter(|(at, segment)| *at == 0 || segment.base_offset < segment.end_offset);
        Place::Segments(following.take(most).map(|(_, segment)| segment.clone()).collect()).or_nowhere()
    }

    /// Pages that hold something above the log start, in offset order.
    pub(super) fn pages(&self) -> impl Iterator<Item = &PageRef> + Clone {
        let log_start = self.line.log_start;
        self.history.pages().iter().filter(move |page| page.end_offset > log_start)
    }

    /// All segments that hold something above the log start and that no page names, in offset order.
    pub(super) fn placed_behind_pages(&self) -> impl Iterator<Item = &SegmentRef> + Clone {
        let (log_start, settled) = (self.line.log_start, self.history.end());
        let settled_ones = self.history.segments().iter();
        let listed = self.line.segments.iter().filter(move |segment| segment.end_offset > settled);
        settled_ones.chain(listed).filter(move |segment| segment.end_offset > log_start)
    }
}

/// Of segments in offset order, those that end behind `offset`.
fn behind(segments: &[SegmentRef], offset: Offset) -> &[SegmentRef] {
    segments.get(segments.partition_point(|segment| segment.end_offset <= offset)..).unwrap_or_default()
}

impl Place {
    fn or_nowhere(self) -> Self {
        if matches!(&self, Self::Segments(segments) if segments.is_empty()) { Self::Nowhere } else { self }
    }
}
