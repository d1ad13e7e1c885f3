//! What a store holds and for whom, and what in it nobody needs any more: `floe du` and `floe gc --dry-run`. Lists every
//! key, reads footers and the newest indexes and manifests, and changes nothing. What comes and goes meanwhile may be
//! missing, or counted although it is gone.

use crate::by_epoch::ByEpoch;
use crate::pack_reader::AHEAD_RUN;
use bytes::Bytes;
use floe_formats::keys::{self, Key};
use floe_formats::{
    Cluster, End, Index, Manifest, ManifestPage, Mode, Object, PackFooter, PackRef, PackTail, PageRef, Ulid, decode_footer, decode_tail,
};
use floe_metadata::{MetadataError, View};
use floe_objstore::{Store, StoreError};
use floe_types::{ErrorKind, Incarnation, LeaderEpoch, PartitionId, SlotNumber, TopicId};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Keys listed by one request.
const PAGE: usize = 1000;
/// Footers read at the same time.
const PARALLEL: usize = 16;
/// Enough of a pack's tail for most footers.
const TAIL: u64 = 64 << 10;
/// A stop is smaller, a pack larger.
const LARGEST_STOP: u64 = 128;

/// The class of a key.
pub type ClassOf<'a> = dyn Fn(&str) -> usize + Sync + 'a;

/// Why a survey could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error("{key}: {source}")]
    Format { key: String, source: floe_formats::FormatError },
}

impl SurveyError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Metadata(error) => error.kind(),
            Self::Format { source, .. } => source.kind(),
        }
    }
}

/// What one topic takes. Sizes are bytes as stored.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TopicUse {
    /// None: the catalog does not know it.
    pub name: Option<String>,
    pub deleted: bool,
    /// Objects of this topic alone.
    pub objects: u64,
    pub own_bytes: u64,
    /// Its part of objects that it shares with others: bytes, and how many objects that is.
    pub shared_bytes: u64,
    pub shared_objects: f64,
    /// Requests that read all its records from the store once, in as large pieces as consumers of history get.
    pub reads: u64,
    /// Its bytes by the class that the caller has given each key.
    #[serde(skip)]
    pub by_class: ByClass,
}

/// Bytes by class of key: how a store is priced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByClass(BTreeMap<usize, u64>);

impl ByClass {
    fn add(&mut self, class: usize, bytes: u64) {
        *self.0.entry(class).or_default() += bytes;
    }

    /// Classes of which there is something, and their bytes.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.iter().map(|(class, bytes)| (*class, *bytes))
    }
}

/// One object that nobody needs.
#[derive(Debug, Clone, Serialize)]
pub struct Unneeded {
    pub key: String,
    pub bytes: u64,
    pub why: &'static str,
}

/// A whole store.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Survey {
    pub objects: u64,
    pub bytes: u64,
    pub topics: BTreeMap<String, TopicUse>,
    /// Bytes of no topic: claims, indexes, ends, the catalog, headers and footers.
    pub other_bytes: u64,
    /// All bytes by the class that the caller has given each key.
    #[serde(skip)]
    pub by_class: ByClass,
    pub unneeded: Vec<Unneeded>,
}

/// Objects of one chain.
#[derive(Debug, Default)]
struct ChainKeys {
    slots: Vec<(SlotNumber, u64)>,
    recovery: Vec<(PackRef, u64)>,
    /// Newest first.
    indexes: Vec<(u64, u64)>,
    ended: bool,
}

/// Objects of one partition.
#[derive(Debug, Default)]
struct PartitionKeys {
    /// Newest first.
    manifests: Vec<(u64, u64)>,
    packs: Vec<(PackRef, u64)>,
    /// By leader epoch and name.
    pages: Vec<(LeaderEpoch, Ulid, u64)>,
}

/// All keys, by what they belong to.
#[derive(Debug, Default)]
struct Keys {
    chains: BTreeMap<Incarnation, ChainKeys>,
    partitions: BTreeMap<PartitionId, PartitionKeys>,
}

/// Looks a whole store through, reporting progress as objects so far. `class_of`: the class of a key, of the caller's making.
///
/// # Errors
/// The store did not answer, or something that says what counts is damaged.
pub async fn survey(store: &Store, class_of: &ClassOf<'_>, mut progress: impl FnMut(u64)) -> Result<Survey, SurveyError> {
    let mut survey = Survey::default();
    let mut all = Keys::default();
    let mut after: Option<String> = None;
    loop {
        let page = store.list("", after.as_deref(), PAGE).await?;
        for object in &page {
            survey.objects += 1;
            survey.bytes += object.size;
            survey.by_class.add(class_of(&object.key), object.size);
            all.add(&object.key, object.size);
        }
        progress(survey.objects);
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
            _ => break,
        }
    }
    let view = floe_metadata::load(store).await?;
    let named = named_by_the_newest(store, &all).await?;
    for (incarnation, chain) in &all.chains {
        unneeded_of_chain(store, &mut survey, *incarnation, chain, &named).await?;
    }
    for (partition, objects) in &all.partitions {
        of_partition(store, &mut survey, (&view, class_of), *partition, objects).await?;
    }
    of_shared_packs(store, &mut survey, (&view, class_of), &all).await?;
    let of_topics: u64 = survey.topics.values().map(|topic| topic.own_bytes + topic.shared_bytes).sum();
    survey.other_bytes = survey.bytes.saturating_sub(of_topics);
    Ok(survey)
}

impl Keys {
    fn add(&mut self, key: &str, size: u64) {
        match Key::parse(key) {
            Ok(Key::Slot { incarnation, slot }) => self.chains.entry(incarnation).or_default().slots.push((slot, size)),
            Ok(Key::Recovery { incarnation, by, number }) => {
                let stored = PackRef::Recovery { incarnation, by, number };
                self.chains.entry(incarnation).or_default().recovery.push((stored, size));
            }
            Ok(Key::Index { incarnation, number }) => self.chains.entry(incarnation).or_default().indexes.push((number, size)),
            Ok(Key::End { incarnation }) => self.chains.entry(incarnation).or_default().ended = true,
            Ok(Key::Claim { incarnation, .. }) => drop(self.chains.entry(incarnation).or_default()),
            Ok(Key::Manifest { partition, version }) => self.partitions.entry(partition).or_default().manifests.push((version, size)),
            Ok(Key::OwnPack { partition, epoch, ulid }) => {
                self.partitions.entry(partition).or_default().packs.push((PackRef::Own { partition, epoch, ulid }, size));
            }
            Ok(Key::Page { partition, epoch, ulid }) => self.partitions.entry(partition).or_default().pages.push((epoch, ulid, size)),
            Ok(Key::Cluster | Key::Adopted | Key::Catalog { .. } | Key::Mark { .. }) | Err(_) => {}
        }
    }
}

impl Survey {
    fn unneeded(&mut self, key: String, bytes: u64, why: &'static str) {
        self.unneeded.push(Unneeded { key, bytes, why });
    }

    fn topic(&mut self, view: &View, topic: TopicId) -> &mut TopicUse {
        let entry = self.topics.entry(topic.to_string()).or_default();
        entry.name = view.by_id(topic).map(|topic| topic.name.clone());
        entry.deleted = view.is_deleted(topic);
        entry
    }
}

async fn read<T: Object>(store: &Store, key: &str) -> Result<Option<T>, SurveyError> {
    match store.get(key).await {
        Ok(bytes) => {
            let format = |source| SurveyError::Format { key: key.to_owned(), source };
            Ok(Some(floe_formats::decode(&bytes).map_err(format)?.1))
        }
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The packs that the newest index, or end, names - in a cluster, where several chains live, any of them that an owner may rely on: what a chain has in slots behind that is not
/// looked at.
async fn named_by_the_newest(store: &Store, all: &Keys) -> Result<BTreeSet<PackRef>, SurveyError> {
    let is_of_cluster = read::<Cluster>(store, &keys::cluster()).await?.is_some_and(|cluster| cluster.mode == Mode::Cluster);
    let is_of_cluster = is_of_cluster || read::<Cluster>(store, &keys::adopted()).await?.is_some();
    let mut by_epoch = ByEpoch::default();
    for (incarnation, chain) in all.chains.iter().rev() {
        let index = match (chain.ended, chain.indexes.first()) {
            (true, _) => read::<End>(store, &keys::end(*incarnation)).await?.map(|end| end.index),
            (false, Some((number, _))) => read::<Index>(store, &keys::index(*incarnation, *number)).await?,
            (false, None) => None,
        };
        let Some(index) = index else { continue };
        by_epoch.index(&index.partitions);
        if !is_of_cluster {
            break;
        }
    }
    Ok(by_epoch.finish().values().flat_map(|line| &line.segments).map(|segment| segment.pack).collect())
}

async fn unneeded_of_chain(
    store: &Store,
    survey: &mut Survey,
    incarnation: Incarnation,
    chain: &ChainKeys,
    named: &BTreeSet<PackRef>,
) -> Result<(), SurveyError> {
    for (number, size) in chain.indexes.iter().skip(1) {
        survey.unneeded(keys::index(incarnation, *number), *size, "a newer index stands");
    }
    let newest = match chain.indexes.first() {
        Some((number, _)) => read::<Index>(store, &keys::index(incarnation, *number)).await?,
        None => None,
    };
    let front = newest.map_or(SlotNumber(0), |index| index.front);
    let end = if chain.ended { read::<End>(store, &keys::end(incarnation)).await? } else { None };
    let mut in_front = true;
    for (slot, size) in chain.slots.iter().filter(|(_, size)| *size > LARGEST_STOP) {
        let key = keys::slot(incarnation, *slot);
        match &end {
            _ if *slot < front => survey.unneeded(key, *size, "it lies before the front of its row"),
            Some(end) if *slot > end.stop => survey.unneeded(key, *size, "it lies behind the stop of its row"),
            Some(_) => {
                // Front first: what lies behind a slot that is needed stays as well.
                in_front &= !named.contains(&PackRef::Slot { incarnation, slot: *slot });
                if in_front {
                    survey.unneeded(key, *size, "nothing is read from it any more");
                }
            }
            None => {}
        }
    }
    let Some(end) = end else { return Ok(()) };
    for (stored, size) in &chain.recovery {
        if !end.recovery.contains(stored) {
            survey.unneeded(stored.key(), *size, "the end of its chain does not name it");
        } else if !named.contains(stored) {
            survey.unneeded(stored.key(), *size, "nothing is read from it any more");
        }
    }
    Ok(())
}

async fn of_partition(
    store: &Store,
    survey: &mut Survey,
    (view, class_of): (&View, &ClassOf<'_>),
    partition: PartitionId,
    objects: &PartitionKeys,
) -> Result<(), SurveyError> {
    let manifests = objects.manifests.iter().map(|(version, size)| (keys::manifest(partition, *version), *size));
    let packs = objects.packs.iter().map(|(pack, size)| (pack.key(), *size));
    let pages = objects.pages.iter().map(|(epoch, ulid, size)| (keys::page(partition, *epoch, *ulid), *size));
    let topic = survey.topic(view, partition.topic);
    topic.reads += objects.packs.iter().map(|(_, size)| reads(*size)).sum::<u64>();
    for (key, size) in manifests.chain(packs).chain(pages) {
        (topic.objects, topic.own_bytes) = (topic.objects + 1, topic.own_bytes + size);
        topic.by_class.add(class_of(&key), size);
    }
    if view.is_deleted(partition.topic) {
        for (version, size) in &objects.manifests {
            survey.unneeded(keys::manifest(partition, *version), *size, "its topic is deleted");
        }
        objects.packs.iter().for_each(|(pack, size)| survey.unneeded(pack.key(), *size, "its topic is deleted"));
        for (epoch, ulid, size) in &objects.pages {
            survey.unneeded(keys::page(partition, *epoch, *ulid), *size, "its topic is deleted");
        }
        return Ok(());
    }
    let Some((newest, _)) = objects.manifests.first() else { return Ok(()) };
    let Some(manifest) = read::<Manifest>(store, &keys::manifest(partition, *newest)).await? else { return Ok(()) };
    for (version, size) in objects.manifests.iter().skip(1) {
        survey.unneeded(keys::manifest(partition, *version), *size, "a newer manifest stands");
    }
    for (epoch, ulid, size) in objects.pages.iter().filter(|(epoch, ..)| *epoch < manifest.epoch) {
        if manifest.pages.iter().all(|page| page.ulid != *ulid) {
            survey.unneeded(keys::page(partition, *epoch, *ulid), *size, "an earlier owner left it, and no manifest names it");
        }
    }
    // A page that is gone was of an old version: nothing is said of packs then.
    let Some(named) = named_by(store, &manifest).await? else { return Ok(()) };
    for (pack, size) in &objects.packs {
        // One of this epoch or a later one may be on its way into a manifest.
        let earlier = matches!(pack, PackRef::Own { epoch, .. } if *epoch < manifest.epoch);
        if earlier && !named.contains(pack) {
            survey.unneeded(pack.key(), *size, "an earlier owner left it, and no manifest names it");
        }
    }
    Ok(())
}

/// The packs that a manifest names above its log start, itself and by pages. None if one of those is gone.
async fn named_by(store: &Store, manifest: &Manifest) -> Result<Option<BTreeSet<PackRef>>, SurveyError> {
    let kept = |segment: &&floe_formats::SegmentRef| segment.end_offset > manifest.log_start;
    let mut named: BTreeSet<PackRef> = manifest.segments.iter().map(|segment| segment.pack).collect();
    let pages: Vec<PageRef> = manifest.pages.clone();
    let mut pages =
        stream::iter(pages).map(|page| async move { read::<ManifestPage>(store, &page.key(manifest.partition)).await }).buffered(PARALLEL);
    while let Some(page) = pages.try_next().await? {
        let Some(page) = page else { return Ok(None) };
        named.extend(page.segments.iter().filter(kept).map(|segment| segment.pack));
    }
    Ok(Some(named))
}

/// Whose the bytes in slots and recovery packs are.
async fn of_shared_packs(
    store: &Store,
    survey: &mut Survey,
    (view, class_of): (&View, &ClassOf<'_>),
    all: &Keys,
) -> Result<(), SurveyError> {
    let slots = all.chains.iter().flat_map(|(incarnation, chain)| {
        let packs = chain.slots.iter().filter(|(_, size)| *size > LARGEST_STOP);
        packs.map(|(slot, _)| PackRef::Slot { incarnation: *incarnation, slot: *slot })
    });
    let recovery = all.chains.values().flat_map(|chain| chain.recovery.iter().map(|(stored, _)| *stored));
    let packs: Vec<PackRef> = slots.chain(recovery).collect();
    let read = |pack: PackRef| async move { Ok::<_, SurveyError>((pack.key(), footer(store, pack.key()).await?)) };
    let mut footers = stream::iter(packs).map(read).buffered(PARALLEL);
    while let Some((key, footer)) = footers.try_next().await? {
        let mut of_topics: BTreeMap<TopicId, u64> = BTreeMap::new();
        for segment in footer.iter().flat_map(|footer| &footer.segments) {
            *of_topics.entry(segment.partition.topic).or_default() += segment.blocks.iter().map(|block| u64::from(block.len)).sum::<u64>();
        }
        let all: u64 = of_topics.values().sum();
        for (topic, bytes) in of_topics {
            let topic = survey.topic(view, topic);
            topic.shared_bytes += bytes;
            topic.shared_objects += bytes as f64 / all.max(1) as f64;
            topic.reads += reads(bytes);
            topic.by_class.add(class_of(&key), bytes);
        }
    }
    Ok(())
}

/// Requests for so many bytes of one pack: its footer, and its blocks.
fn reads(bytes: u64) -> u64 {
    1 + bytes.div_ceil(AHEAD_RUN)
}

/// A pack's footer; None if the pack has gone since it was listed.
async fn footer(store: &Store, key: String) -> Result<Option<PackFooter>, SurveyError> {
    let format = |source| SurveyError::Format { key: key.clone(), source };
    let (len, tail): (u64, Bytes) = match store.get_tail(&key, TAIL).await {
        Ok(tail) => tail,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match decode_tail(&tail, len).map_err(format)? {
        PackTail::Footer(_, footer) => Ok(Some(footer)),
        PackTail::Before(trailer) => {
            let bytes = store.get_range(&key, trailer.footer_range()).await?;
            Ok(Some(decode_footer(&bytes).map_err(format)?))
        }
    }
}
