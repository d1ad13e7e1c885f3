//! Giving back what this incarnation has not written itself: closed chains and deleted topics.
//!
//! A single broker's chains are closed by their `end` before the next one serves, and the newest incarnation by claim is
//! who cleans them. In a cluster closed chains are shared out among the brokers that live; two that clean the same do no
//! harm. A slot of a closed chain goes as one of the own row does: front first, after an index of that chain
//! that names the new front, and only when every partition that it lists is served from elsewhere (R19, T53): of what
//! others lead, the newest manifest tells, and nothing else. Recovery
//! packs that `end` does not name go at once, named ones as slots do (R20). Of topics, only those that the catalog lists
//! as deleted are swept (R21). Claims, stops, ends, and the newest index stay for ever (R18).
//!
//! It works when there is news - a start, a deleted topic, an index that names less than the one before, in a cluster a
//! life that was closed - and is idle otherwise; but for chains of which others' partitions keep something, which are
//! looked at ever more rarely.

use super::manifest::read_newest;
use super::stats::Indexed;
use crate::ReadError;
use crate::chain::Chain;
use crate::shared::Shared;
use floe_env::{Mutant, mutated};
use floe_formats::keys::{self, Key};
use floe_formats::{End, Index, Manifest, Object, PackFooter, PackRef, PackTail, decode_footer, decode_tail};
use floe_metadata::Catalog;
use floe_objstore::{Created, ObjectInfo, Payload, StoreError};
use floe_types::{ErrorKind, Incarnation, Offset, PartitionId, SlotNumber};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Keys listed by one request.
const PAGE: usize = 1000;
/// Enough of a pack's tail for most footers.
const TAIL: u64 = 64 << 10;
/// A stop is smaller, a pack larger.
const LARGEST_STOP: u64 = 128;
/// Until others' partitions are looked at again: twice as long each time that nothing could go.
const AGAIN: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);
/// Manifests of others' partitions that are kept during a pass.
const MANIFESTS: usize = 4096;

/// Why a pass was cut short.
#[derive(Debug, thiserror::Error)]
enum CleanError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{key}: {source}")]
    Format { key: String, source: floe_formats::FormatError },
}

impl CleanError {
    /// What cannot be read stays, and holds up nothing else.
    fn is_damage(&self) -> bool {
        let kind = match self {
            Self::Store(error) => error.kind(),
            Self::Read(error) => error.kind(),
            Self::Format { source, .. } => source.kind(),
        };
        kind == ErrorKind::Corrupt
    }
}

pub(crate) struct Cleaner {
    shared: Arc<Shared>,
    catalog: Arc<Catalog>,
    /// Closed chains of which nothing is left that may ever go.
    clean: BTreeSet<Incarnation>,
    /// The newest manifests of others' partitions, as this pass has read them.
    manifests: BTreeMap<PartitionId, Option<Arc<Manifest>>>,
    /// Objects that it has deleted.
    deleted: u64,
}

/// Which closed chains are this broker's to clean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CleaningShare {
    /// Every so-manieth of the closed chains, from this one on.
    pub(crate) every: u64,
    pub(crate) from: u64,
    /// Chains that have no `end` yet.
    pub(crate) living: BTreeSet<Incarnation>,
}

impl Default for CleaningShare {
    fn default() -> Self {
        Self { every: 1, from: 0, living: BTreeSet::new() }
    }
}

impl CleaningShare {
    fn has(&self, incarnation: Incarnation) -> bool {
        !self.living.contains(&incarnation) && incarnation.0 % self.every.max(1) == self.from
    }
}

impl std::fmt::Debug for Cleaner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cleaner").field("clean", &self.clean).finish_non_exhaustive()
    }
}

impl Cleaner {
    pub(crate) fn new(shared: Arc<Shared>, catalog: Arc<Catalog>) -> Self {
        Self { shared, catalog, clean: BTreeSet::new(), manifests: BTreeMap::new(), deleted: 0 }
    }

    /// Works through what there is whenever there is news, for as long as the incarnation lives.
    pub(crate) async fn run(mut self) {
        let mut again = AGAIN;
        loop {
            let (mut is_left, before) = (false, self.deleted);
            while self.shared.ended.get().is_none() {
                match self.pass().await {
                    Ok(left) => {
                        is_left = left;
                        break;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "not cleaned; trying again");
                        self.shared.env.sleep(self.shared.options.settle_check).await;
                    }
                }
            }
            self.manifests.clear();
            if self.deleted > before {
                again = AGAIN;
            }
            let news = self.shared.history.clean_is_wanted();
            if is_left && self.shared.options.in_cluster {
                // Whoever leads what is left does not tell when it has settled that.
                let _news = self.shared.env.timeout(again, news).await;
                again = (again * 2).min(LONGEST);
            } else {
                news.await;
            }
        }
    }

    /// One look at everything; whether closed chains of this broker's share have something left.
    async fn pass(&mut self) -> Result<bool, CleanError> {
        self.sweep_topics().await?;
        let shared = self.shared.clone();
        let folders = shared.merging.list_folders(&keys::chains_prefix()).await?;
        let others = folders.iter().filter_map(|name| keys::parse_chain_folder(name).ok());
        let closed: Vec<Incarnation> = if shared.options.in_cluster {
            let share = shared.cleaning.lock().clone();
            others.filter(|i| *i != shared.incarnation && share.has(*i)).collect()
        } else {
            others.filter(|i| *i < shared.incarnation).collect()
        };
        let unclean: BTreeSet<Incarnation> = closed.into_iter().filter(|i| !self.clean.contains(i)).collect();
        if unclean.is_empty() {
            return Ok(false);
        }
        let stands = shared.history.newest_index();
        if stands.number == 0 {
            // Nothing may go before an index of this chain stands that does not name it.
            shared.history.want_index();
            return Ok(true);
        }
        let mut is_left = false;
        for incarnation in unclean {
            match self.clean_chain(incarnation, &stands).await {
                Ok(true) => {
                    self.clean.insert(incarnation);
                }
                Ok(false) => is_left = true,
                Err(error) if error.is_damage() => {
                    tracing::error!(incarnation = incarnation.0, %error, "what is left of this chain stays: it is damaged");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(is_left)
    }

    /// Everything of topics that the catalog lists as deleted (R21).
    async fn sweep_topics(&mut self) -> Result<(), CleanError> {
        let view = self.catalog.view();
        for name in self.shared.merging.list_folders(&keys::topics_prefix()).await? {
            let Some(topic) = keys::parse_topic_folder(&name).ok().filter(|topic| view.is_deleted(*topic)) else { continue };
            loop {
                let page = self.shared.merging.list(&keys::topic_prefix(topic), None, PAGE).await?;
                for object in &page {
                    self.delete(&object.key).await?;
                }
                if page.len() < PAGE {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes what may go of one closed chain. True if nothing that may ever go is left.
    async fn clean_chain(&mut self, incarnation: Incarnation, stands: &Indexed) -> Result<bool, CleanError> {
        // Without an `end` it is being recovered, or its end is about to stand.
        let Some(end) = self.read::<End>(&keys::end(incarnation)).await? else { return Ok(false) };
        let front = self.move_front(&end, stands).await?;
        self.delete_slots(&end, front).await?;
        self.delete_indexes(incarnation).await?;
        let recovery_is_clean = self.clean_recovery(&end, stands).await?;
        Ok(front == end.stop && recovery_is_clean)
    }

    /// Sees to it that an index of the closed chain stands that names how far its row may be deleted, and says how far.
    /// As everywhere, a create counts only if a listing begun after it shows nothing newer; a number that is taken is
    /// rebased upon.
    async fn move_front(&mut self, end: &End, stands: &Indexed) -> Result<SlotNumber, CleanError> {
        loop {
            let newest = self.newest_index(end.incarnation).await?;
            let listed = newest.as_ref().map_or((0, SlotNumber(0)), |index| (index.number, index.front));
            // A front that `end` alone names is no index's yet: a recoverer that is late lists indexes (R6).
            let (number, front) = (listed.0.max(end.index.number), listed.1);
            let moved = self.front_of(end, front, stands).await?;
            if moved == front || self.write_front(end, number + 1, moved).await? {
                return Ok(moved);
            }
        }
    }

    async fn newest_index(&self, incarnation: Incarnation) -> Result<Option<Index>, CleanError> {
        loop {
            let listed = self.shared.merging.list(&keys::indexes_prefix(incarnation), None, 1).await?;
            let Some(newest) = listed.first() else { return Ok(None) };
            // Gone since it was listed: another has written a newer one.
            if let Some(index) = self.read::<Index>(&newest.key).await? {
                return Ok(Some(index));
            }
        }
    }

    /// How far the row may be deleted: up to the first slot that something is to be read from.
    async fn front_of(&mut self, end: &End, front: SlotNumber, stands: &Indexed) -> Result<SlotNumber, CleanError> {
        let incarnation = end.incarnation;
        let mut next = front;
        loop {
            let after = next.0.checked_sub(1).map(|before| keys::slot(incarnation, SlotNumber(before)));
            let page = self.shared.merging.list(&keys::slots_prefix(incarnation), after.as_deref(), PAGE).await?;
            for object in &page {
                let Ok((_, slot)) = keys::parse_slot(&object.key) else { return Ok(next) };
                if slot >= end.stop {
                    return Ok(end.stop);
                }
                let stored = PackRef::Slot { incarnation, slot };
                // A stop that came too late, where a slot was deleted, holds nothing.
                if object.size > LARGEST_STOP && !self.may_go(stored, stands).await? {
                    return Ok(next);
                }
                next = slot.next();
            }
            if page.len() < PAGE {
                return Ok(end.stop);
            }
        }
    }

    /// Whether every partition that a pack lists is served from elsewhere (R19): its topic is deleted, its log starts
    /// behind, or its manifest, or a pack that the newest index which stands names, places what the pack holds of it.
    async fn may_go(&mut self, stored: PackRef, stands: &Indexed) -> Result<bool, CleanError> {
        if stands.names(&stored) {
            return Ok(false);
        }
        let view = self.catalog.view();
        let footer = match self.footer(&stored.key()).await {
            Ok(footer) => footer,
            Err(error) if error.is_damage() => {
                tracing::error!(key = stored.key(), %error, "this stays, with all behind it: nobody knows what it holds");
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        for segment in &footer.segments {
            let (id, range) = (segment.partition, segment.base_offset..segment.end_offset);
            if view.is_deleted(id.topic) {
                continue;
            }
            let elsewhere = match self.shared.partition(id) {
                Some(partition) => {
                    partition.is_elsewhere(range.clone(), stored, stands) || {
                        partition.read_history().await?;
                        partition.is_elsewhere(range, stored, stands)
                    }
                }
                None if self.shared.options.in_cluster => self.has_settled(id, range, stored).await? || mutated(Mutant::OthersSlotsDeleted),
                None => false,
            };
            if !elsewhere {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the newest manifest of a partition that another broker leads, or nobody, places all of `offsets` in other packs, or has dropped them (R19).
    async fn has_settled(&mut self, id: PartitionId, offsets: Range<Offset>, pack: PackRef) -> Result<bool, CleanError> {
        let manifest = match self.manifests.get(&id) {
            Some(manifest) => manifest.clone(),
            None => {
                let manifest = read_newest(&self.shared.merging, id).await?.map(Arc::new);
                if self.manifests.len() >= MANIFESTS {
                    self.manifests.clear();
                }
                self.manifests.insert(id, manifest.clone());
                manifest
            }
        };
        let Some(manifest) = manifest else { return Ok(false) };
        // Pages name own packs.
        let pages = manifest.pages.iter().map(|page| (page.base_offset, page.end_offset));
        let counts = |at: &PackRef| *at != pack && matches!(at, PackRef::Own { .. });
        let segments = manifest.segments.iter().filter(|segment| counts(&segment.pack));
        let mut next = offsets.start.max(manifest.log_start);
        for (base_offset, end_offset) in pages.chain(segments.map(|segment| (segment.base_offset, segment.end_offset))) {
            if next >= offsets.end || base_offset > next {
                break;
            }
            next = next.max(end_offset);
        }
        Ok(next >= offsets.end)
    }

    async fn footer(&self, key: &str) -> Result<PackFooter, CleanError> {
        let store = &self.shared.merging;
        let format = |source| CleanError::Format { key: key.to_owned(), source };
        let (len, tail) = store.get_tail(key, TAIL).await?;
        match decode_tail(&tail, len).map_err(format)? {
            PackTail::Footer(_, footer) => Ok(footer),
            PackTail::Before(trailer) => decode_footer(&store.get_range(key, trailer.footer_range()).await?).map_err(format),
        }
    }

    /// An index of the closed chain that names its new front. False if another one was first.
    async fn write_front(&self, end: &End, number: u64, front: SlotNumber) -> Result<bool, CleanError> {
        let index = Index { number, front, covers: end.stop, ..end.index.clone() };
        let body = Payload::from(floe_formats::encode(&Chain::writer(&self.shared), &index));
        let key = keys::index(end.incarnation, number);
        if self.shared.merging.create(&key, &body).await? == Created::Lost {
            return Ok(false);
        }
        let listed = self.shared.merging.list(&keys::indexes_prefix(end.incarnation), None, 1).await?;
        Ok(listed.first().is_some_and(|newest| newest.key == key))
    }

    /// Packs below the front, the first first, and those behind the stop, which are void. Stops stay.
    async fn delete_slots(&mut self, end: &End, front: SlotNumber) -> Result<(), CleanError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.shared.merging.list(&keys::slots_prefix(end.incarnation), after.as_deref(), PAGE).await?;
            for ObjectInfo { key, size } in &page {
                let is_gone = |slot: SlotNumber| slot < front || slot > end.stop;
                if *size > LARGEST_STOP && keys::parse_slot(key).is_ok_and(|(_, slot)| is_gone(slot)) {
                    self.delete(key).await?;
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// All indexes but the newest.
    async fn delete_indexes(&mut self, incarnation: Incarnation) -> Result<(), CleanError> {
        loop {
            let page = self.shared.merging.list(&keys::indexes_prefix(incarnation), None, PAGE).await?;
            for object in page.iter().skip(1) {
                self.delete(&object.key).await?;
            }
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// Recovery packs: losers' at once, named ones as slots. True if none is left.
    async fn clean_recovery(&mut self, end: &End, stands: &Indexed) -> Result<bool, CleanError> {
        let listed = self.shared.merging.list(&keys::recoveries_prefix(end.incarnation), None, PAGE).await?;
        // What lies behind a full page is looked at in another pass.
        let mut clean = listed.len() < PAGE;
        for object in listed {
            let Ok(Key::Recovery { incarnation, by, number }) = Key::parse(&object.key) else { continue };
            let stored = PackRef::Recovery { incarnation, by, number };
            let counts = end.recovery.contains(&stored);
            if counts && !self.may_go(stored, stands).await? {
                clean = false;
            } else {
                self.delete(&object.key).await?;
            }
        }
        Ok(clean)
    }

    async fn read<T: Object>(&self, key: &str) -> Result<Option<T>, CleanError> {
        match self.shared.merging.get(key).await {
            Ok(bytes) => {
                let format = |source| CleanError::Format { key: key.to_owned(), source };
                Ok(Some(floe_formats::decode(&bytes).map_err(format)?.1))
            }
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(&mut self, key: &str) -> Result<(), CleanError> {
        self.shared.merging.delete(key).await?;
        self.deleted += 1;
        self.shared.history.deleted();
        Ok(())
    }
}
