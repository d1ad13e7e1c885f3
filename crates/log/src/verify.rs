//! `floe verify`: reads every object of a store and says what contradicts what. Changes nothing; on a store that is
//! being written, what comes meanwhile is not looked at.
//!
//! Damage is told where it is: by object, partition and offsets (`examine.rs`, `placement.rs`). Objects are read side by
//! side, packs in pieces, so that memory is bounded whatever the store holds.

mod examine;
mod placement;
mod rows;

use bytes::Bytes;
use examine::{Examined, PackFindings, examine};
use floe_formats::keys::{self, Key};
use floe_formats::{CatalogVersion, Claim, Cluster, End, Index, Manifest, ManifestPage, Mark, Mode, Object, PackFooter, PackRef, Stop};
use floe_objstore::{ObjectInfo, Store, StoreError};
use floe_types::{Incarnation, Offset, PartitionId, SlotNumber};
use futures::stream::{self, StreamExt};
use placement::Placed;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Objects listed by one request.
const PAGE: usize = 1000;
/// Times that a store which is being written is looked through before what was found is believed.
const LOOKS: u32 = 4;
/// Objects read side by side, each up to one piece of a pack.
const PARALLEL: usize = 8;

/// How much of a store is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What describes records: rows, indexes, manifests, catalog, and the footers of packs.
    Footers,
    /// All of it: every record's checksum.
    Records,
}

/// How far a check has come. What is written meanwhile may take it past its totals; where much was deleted meanwhile it
/// begins again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub objects: u64,
    pub all_objects: u64,
    /// Of the objects as they are stored, whether all of them is read or not.
    pub bytes: u64,
    pub all_bytes: u64,
}

/// What a store was found to hold. Clean when `problems` is empty; orphans are waste, not damage.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub objects: u64,
    pub bytes: u64,
    pub records: u64,
    pub partitions: u64,
    pub problems: Vec<Problem>,
    /// Objects that nothing names: void slots, recovery packs of losers, packs and pages that no manifest names.
    pub orphans: Vec<String>,
    /// Objects that were gone before they were read: somebody deletes meanwhile.
    pub vanished: u64,
    /// Brokers of a cluster may be at work: what was read at different times may not fit together.
    #[serde(skip)]
    moves: bool,
}

/// One contradiction.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    pub key: String,
    pub what: String,
    /// The topic's name, where it is a partition's problem and the catalog has the topic.
    pub topic: Option<String>,
    pub partition: Option<i32>,
    /// The offsets that cannot be read, end-exclusive.
    pub offsets: Option<(Offset, Offset)>,
    #[serde(skip)]
    of: Option<PartitionId>,
}

impl Problem {
    fn new(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into(), topic: None, partition: None, offsets: None, of: None }
    }

    /// A partition's, and of no certain records.
    fn of_partition(key: &str, partition: PartitionId, what: impl Into<String>) -> Self {
        Self { partition: Some(partition.index), of: Some(partition), ..Self::new(key, what) }
    }

    /// Records that cannot be read.
    fn of_records(key: &str, partition: PartitionId, offsets: (Offset, Offset), what: impl Into<String>) -> Self {
        Self { offsets: Some(offsets), ..Self::of_partition(key, partition, what) }
    }
}

impl Report {
    /// Nothing contradicts anything.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, key: impl Into<String>, what: impl Into<String>) {
        self.problems.push(Problem::new(key, what));
    }
}

/// One pack, as far as the rows need it.
#[derive(Debug)]
struct Pack {
    footer: PackFooter,
    len: u64,
    footer_len: u32,
}

#[derive(Debug)]
enum Slot {
    Pack(Box<Pack>),
    Stop,
    /// A pack whose footer cannot be read.
    Unreadable,
}

impl Slot {
    fn is_stop(&self) -> bool {
        matches!(self, Self::Stop)
    }
}

#[derive(Debug, Default)]
struct ChainObjects {
    claims: usize,
    slots: BTreeMap<SlotNumber, Slot>,
    recovery: BTreeMap<PackRef, Pack>,
    indexes: BTreeMap<u64, Index>,
    end: Option<End>,
    base: Option<Incarnation>,
}

/// Checks every byte, reporting progress as (objects, bytes) so far.
///
/// # Errors
/// As [`verify_at`].
pub async fn verify(store: &Store, mut progress: impl FnMut(u64, u64)) -> Result<Report, StoreError> {
    verify_at(store, Depth::Records, |now| progress(now.objects, now.bytes)).await
}

/// Checks every object as deep as asked.
///
/// # Errors
/// The store did not answer: nothing is known then (T24).
pub async fn verify_at(store: &Store, depth: Depth, mut progress: impl FnMut(Progress)) -> Result<Report, StoreError> {
    for _ in 1..LOOKS {
        let report = look(store, depth, &mut progress).await?;
        // What contradicts something that has gone meanwhile may be no contradiction; nor what partitions moved past while they were looked at.
        if report.is_clean() || (report.vanished == 0 && !report.moves) {
            return Ok(report);
        }
    }
    look(store, depth, &mut progress).await
}

/// What was read, by what it is.
#[derive(Debug, Default)]
struct Found {
    chains: BTreeMap<Incarnation, ChainObjects>,
    versions: BTreeSet<u64>,
    placed: Placed,
    /// Several chains are written at once.
    is_of_cluster: bool,
}

async fn look(store: &Store, depth: Depth, progress: &mut impl FnMut(Progress)) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let mut found = Found::default();
    let mut now = Progress::default();
    each_page(store, |page| {
        now.all_objects += page.len() as u64;
        now.all_bytes += page.iter().map(|object| object.size).sum::<u64>();
    })
    .await?;
    progress(now);
    let mut after: Option<String> = None;
    loop {
        let page = store.list("", after.as_deref(), PAGE).await?;
        let (last, full) = (page.last().map(|last| last.key.clone()), page.len() == PAGE);
        let mut reads = Vec::with_capacity(page.len());
        for object in page {
            reads.push(examine(store, object, depth));
        }
        let mut reads = stream::iter(reads).buffered(PARALLEL);
        while let Some(read) = reads.next().await {
            let (object, examined) = read?;
            now.objects += 1;
            now.bytes += object.size;
            if matches!(examined, Examined::Gone) {
                report.vanished += 1;
            } else {
                report.objects += 1;
                report.bytes += object.size;
            }
            look_at(&mut report, &mut found, &object.key, examined);
            progress(now);
        }
        match last {
            Some(last) if full => after = Some(last),
            _ => break,
        }
    }
    check_catalog(&mut report, &found.versions);
    let view = floe_metadata::load(store).await;
    if let Err(error) = &view {
        report.problem(keys::catalog_prefix(), error.to_string());
    }
    let view = view.unwrap_or_default();
    let missing = rows::check(&mut report, found, &view);
    still_missing(store, &mut report, missing).await?;
    for problem in &mut report.problems {
        problem.topic = problem.of.and_then(|partition| view.by_id(partition.topic)).map(|topic| topic.name.clone());
    }
    Ok(report)
}

/// Slots that were not there although their row had not moved past them: a row that is being deleted moves while it is listed.
async fn still_missing(store: &Store, report: &mut Report, missing: BTreeMap<Incarnation, Vec<SlotNumber>>) -> Result<(), StoreError> {
    for (incarnation, slots) in missing {
        let newest = store.list(&keys::indexes_prefix(incarnation), None, 1).await?;
        let front = match newest.first() {
            Some(object) => match store.get(&object.key).await {
                // One that cannot be read is told already.
                Ok(bytes) => floe_formats::decode::<Index>(&bytes).map_or(SlotNumber(0), |(_, index)| index.front),
                Err(StoreError::NotFound { .. }) => {
                    report.vanished += 1;
                    SlotNumber(0)
                }
                Err(error) => return Err(error),
            },
            None => SlotNumber(0),
        };
        for slot in slots.into_iter().filter(|slot| *slot >= front) {
            report.problem(keys::slot(incarnation, slot), "the slot is missing, and the row's front is not past it");
        }
    }
    Ok(())
}

async fn each_page(store: &Store, mut look: impl FnMut(&[ObjectInfo])) -> Result<(), StoreError> {
    let mut after: Option<String> = None;
    loop {
        let page = store.list("", after.as_deref(), PAGE).await?;
        look(&page);
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
            _ => return Ok(()),
        }
    }
}

fn look_at(report: &mut Report, found: &mut Found, key: &str, examined: Examined) {
    let parsed = match Key::parse(key) {
        Ok(parsed) => parsed,
        Err(error) => return report.problem(key, error.to_string()),
    };
    match examined {
        Examined::Gone => {}
        Examined::Pack(findings) => look_at_pack(report, found, parsed, findings),
        Examined::Whole(bytes) => look_at_whole(report, found, key, parsed, &bytes),
    }
}

fn look_at_pack(report: &mut Report, found: &mut Found, parsed: Key, findings: PackFindings) {
    let stored = match parsed {
        Key::Slot { incarnation, slot } => PackRef::Slot { incarnation, slot },
        Key::Recovery { incarnation, by, number } => PackRef::Recovery { incarnation, by, number },
        Key::OwnPack { partition, epoch, ulid } => PackRef::Own { partition, epoch, ulid },
        _ => return,
    };
    report.records += findings.records;
    match &findings.pack {
        Some(pack) => found.placed.pack(stored, &pack.footer),
        None => found.placed.unreadable(stored, findings.problems.first().map(|problem| problem.what.clone())),
    }
    report.problems.extend(findings.problems);
    match (stored, findings.pack) {
        (PackRef::Slot { incarnation, slot }, pack) => {
            let slots = &mut found.chains.entry(incarnation).or_default().slots;
            slots.insert(slot, pack.map_or(Slot::Unreadable, |pack| Slot::Pack(Box::new(pack))));
        }
        (PackRef::Recovery { incarnation, .. }, Some(pack)) => {
            found.chains.entry(incarnation).or_default().recovery.insert(stored, pack);
        }
        (PackRef::Recovery { .. }, None) | (PackRef::Own { .. }, _) => {}
    }
}

fn look_at_whole(report: &mut Report, found: &mut Found, key: &str, parsed: Key, bytes: &Bytes) {
    let Found { chains, versions, placed, is_of_cluster } = found;
    match parsed {
        Key::Cluster => *is_of_cluster |= read::<Cluster>(report, key, bytes).is_some_and(|cluster| cluster.mode == Mode::Cluster),
        Key::Adopted => *is_of_cluster |= read::<Cluster>(report, key, bytes).is_some(),
        Key::Catalog { version } => {
            if read::<CatalogVersion>(report, key, bytes).is_some_and(|body| body.version == version) {
                versions.insert(version);
            }
        }
        Key::Mark { .. } => {
            read::<Mark>(report, key, bytes);
        }
        Key::Claim { incarnation, .. } => {
            let chain = chains.entry(incarnation).or_default();
            chain.claims += 1;
            if let Some(claim) = read::<Claim>(report, key, bytes) {
                chain.base = chain.base.or(claim.base);
            }
        }
        Key::Slot { incarnation, slot } => {
            if read::<Stop>(report, key, bytes).is_some() {
                chains.entry(incarnation).or_default().slots.insert(slot, Slot::Stop);
            }
        }
        Key::End { incarnation } => chains.entry(incarnation).or_default().end = read::<End>(report, key, bytes),
        Key::Index { incarnation, number } => {
            if let Some(index) = read::<Index>(report, key, bytes) {
                chains.entry(incarnation).or_default().indexes.insert(number, index);
            }
        }
        Key::Manifest { partition, version } => match floe_formats::decode::<Manifest>(bytes) {
            Ok((_, manifest)) => placed.manifest(report, key, manifest, (partition, version)),
            Err(error) => {
                report.problems.push(Problem::of_partition(key, partition, error.to_string()));
                placed.unreadable_manifest(partition);
            }
        },
        Key::Page { partition, epoch, ulid } => {
            let page = floe_formats::decode::<ManifestPage>(bytes).map(|(_, page)| page).map_err(|error| error.to_string());
            placed.page(key, page, (partition, epoch, ulid));
        }
        // Packs are examined in pieces.
        Key::Recovery { .. } | Key::OwnPack { .. } => {}
    }
}

fn read<T: Object>(report: &mut Report, key: &str, bytes: &Bytes) -> Option<T> {
    match floe_formats::decode::<T>(bytes) {
        Ok((_, body)) => Some(body),
        Err(error) => {
            report.problem(key, error.to_string());
            None
        }
    }
}

fn check_catalog(report: &mut Report, versions: &BTreeSet<u64>) {
    let newest = versions.last().copied().unwrap_or(0);
    // Older ones may be gone below a checkpoint; between those that are there, none may be missing.
    let oldest = versions.first().copied().unwrap_or(1);
    for missing in (oldest..newest).filter(|version| !versions.contains(version)) {
        report.problem(keys::catalog(missing), "this catalog version is missing");
    }
}
