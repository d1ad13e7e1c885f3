//! `floe verify`: reads every object of a store and says what contradicts what. Changes nothing; on a store that is
//! being written, what comes meanwhile is not looked at.

mod placement;

use crate::partition::Line;
use bytes::Bytes;
use floe_formats::keys::{self, Key};
use floe_formats::{CatalogVersion, Claim, Cluster, End, Index, Kind, Manifest, Object, PackFooter, PackRef, Stop};
use floe_metadata::View;
use floe_objstore::{Store, StoreError};
use floe_types::{Incarnation, PartitionId, SlotNumber};
use placement::Placed;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Objects listed by one request.
const PAGE: usize = 1000;
/// Times that a store which is being written is looked through before what was found is believed.
const LOOKS: u32 = 4;

/// What a store was found to hold. Clean when `problems` is empty; orphans are waste, not damage.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub objects: u64,
    pub bytes: u64,
    pub records: u64,
    pub partitions: u64,
    pub problems: Vec<Problem>,
    /// Objects that nothing names: void slots, recovery packs of losers, packs never named by a manifest.
    pub orphans: Vec<String>,
    /// Objects that were gone before they were read: somebody deletes meanwhile.
    pub vanished: u64,
}

/// One contradiction.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    pub key: String,
    pub what: String,
}

impl Report {
    /// Nothing contradicts anything.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, key: impl Into<String>, what: impl Into<String>) {
        self.problems.push(Problem { key: key.into(), what: what.into() });
    }
}

/// One pack, as far as the rows need it.
#[derive(Debug)]
struct Pack {
    footer: PackFooter,
    len: u64,
    footer_len: u32,
}

#[derive(Debug, Default)]
struct ChainObjects {
    claims: usize,
    slots: BTreeMap<SlotNumber, Option<Pack>>,
    recovery: BTreeMap<PackRef, Pack>,
    indexes: BTreeMap<u64, Index>,
    end: Option<End>,
    base: Option<Incarnation>,
}

/// Checks every object, reporting progress as (objects, bytes) so far.
///
/// # Errors
/// The store did not answer: nothing is known then (T24).
pub async fn verify(store: &Store, mut progress: impl FnMut(u64, u64)) -> Result<Report, StoreError> {
    for _ in 1..LOOKS {
        let report = look(store, &mut progress).await?;
        // What contradicts something that has gone meanwhile may be no contradiction.
        if report.is_clean() || report.vanished == 0 {
            return Ok(report);
        }
    }
    look(store, &mut progress).await
}

/// What was read, by what it is.
#[derive(Debug, Default)]
struct Found {
    chains: BTreeMap<Incarnation, ChainObjects>,
    versions: BTreeSet<u64>,
    placed: Placed,
}

async fn look(store: &Store, progress: &mut impl FnMut(u64, u64)) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let mut found = Found::default();
    let mut after: Option<String> = None;
    loop {
        let page = store.list("", after.as_deref(), PAGE).await?;
        for object in &page {
            let bytes = match store.get(&object.key).await {
                Ok(bytes) => bytes,
                Err(StoreError::NotFound { .. }) => {
                    report.vanished += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            report.objects += 1;
            report.bytes += bytes.len() as u64;
            look_at(&mut report, &mut found, &object.key, &bytes);
            progress(report.objects, report.bytes);
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
            _ => break,
        }
    }
    check_catalog(&mut report, &found.versions);
    let view = floe_metadata::load(store).await;
    if let Err(error) = &view {
        report.problem(keys::catalog_prefix(), error.to_string());
    }
    check_chains(&mut report, found, &view.unwrap_or_default());
    Ok(report)
}

fn look_at(report: &mut Report, found: &mut Found, key: &str, bytes: &Bytes) {
    let Found { chains, versions, placed } = found;
    let parsed = match Key::parse(key) {
        Ok(parsed) => parsed,
        Err(error) => return report.problem(key, error.to_string()),
    };
    match parsed {
        Key::Cluster => drop(read::<Cluster>(report, key, bytes)),
        Key::Catalog { version } => {
            if read::<CatalogVersion>(report, key, bytes).is_some_and(|body| body.version == version) {
                versions.insert(version);
            }
        }
        Key::Claim { incarnation, .. } => {
            let chain = chains.entry(incarnation).or_default();
            chain.claims += 1;
            if let Some(claim) = read::<Claim>(report, key, bytes) {
                chain.base = chain.base.or(claim.base);
            }
        }
        Key::Slot { incarnation, slot } => {
            let stop = floe_formats::peek(bytes).is_ok_and(|header| header.kind == Kind::Stop);
            let pack = if stop { read::<Stop>(report, key, bytes).map(|_| None) } else { read_pack(report, key, bytes).map(Some) };
            if let Some(pack) = pack {
                if let Some(pack) = &pack {
                    placed.pack(PackRef::Slot { incarnation, slot }, &pack.footer);
                }
                chains.entry(incarnation).or_default().slots.insert(slot, pack);
            }
        }
        Key::Recovery { incarnation, by, number } => {
            if let Some(pack) = read_pack(report, key, bytes) {
                let stored = PackRef::Recovery { incarnation, by, number };
                placed.pack(stored, &pack.footer);
                chains.entry(incarnation).or_default().recovery.insert(stored, pack);
            }
        }
        Key::End { incarnation } => chains.entry(incarnation).or_default().end = read::<End>(report, key, bytes),
        Key::Index { incarnation, number } => {
            if let Some(index) = read::<Index>(report, key, bytes) {
                chains.entry(incarnation).or_default().indexes.insert(number, index);
            }
        }
        Key::Manifest { partition, version } => {
            if let Some(manifest) = read::<Manifest>(report, key, bytes) {
                placed.manifest(report, key, manifest, (partition, version));
            }
        }
        Key::OwnPack { partition, epoch, ulid } => {
            if let Some(pack) = read_pack(report, key, bytes) {
                placed.pack(PackRef::Own { partition, epoch, ulid }, &pack.footer);
            }
        }
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

fn read_pack(report: &mut Report, key: &str, bytes: &Bytes) -> Option<Pack> {
    let (_, footer) = floe_formats::verify_pack(bytes).map_err(|error| report.problem(key, error.to_string())).ok()?;
    let trailer = floe_formats::decode_trailer(bytes, bytes.len() as u64).map_err(|error| report.problem(key, error.to_string())).ok()?;
    for segment in &footer.segments {
        report.records += segment.records;
        for block in &segment.blocks {
            let start = usize::try_from(block.position).unwrap_or(usize::MAX);
            let stored = bytes.slice(start.min(bytes.len())..(start + block.len as usize).min(bytes.len()));
            check_block(report, key, segment.partition, block, stored);
        }
    }
    Some(Pack { footer, len: bytes.len() as u64, footer_len: trailer.footer_len })
}

/// Every batch of a block: its checksum, and that offsets follow one another from the block's first to its last.
fn check_block(report: &mut Report, key: &str, partition: PartitionId, block: &floe_formats::Block, stored: Bytes) {
    let raw = match floe_formats::open_block(block, &stored) {
        Ok(raw) => raw,
        Err(error) => return report.problem(key, error.to_string()),
    };
    let mut next = block.base_offset;
    for batch in floe_records::Batches::new(raw) {
        let checked = batch.and_then(|(_, bytes)| floe_records::verify(&bytes));
        match checked {
            Ok(header) if header.base_offset == next => next = header.end_offset(),
            Ok(header) => {
                return report.problem(key, format!("{partition}: a batch starts at {} where {next} is next", header.base_offset));
            }
            Err(error) => return report.problem(key, format!("{partition} at {next}: {error}")),
        }
    }
    if next != block.end_offset {
        report.problem(key, format!("{partition}: a block ends at {next}, its footer says {}", block.end_offset));
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

fn check_chains(report: &mut Report, found: Found, view: &View) {
    let Found { chains, mut placed, .. } = found;
    let newest = chains.keys().next_back().copied();
    let mut partitions = BTreeSet::new();
    for (incarnation, chain) in &chains {
        if chain.claims == 0 {
            report.problem(keys::chain_prefix(*incarnation), "a chain without a claim");
        }
        let base = chain.base.and_then(|base| chains.get(&base)).and_then(|base| base.end.as_ref());
        let stop = check_row(report, *incarnation, chain);
        let (mut lines, is_whole) = rebuild(chain, *incarnation, base, stop);
        lines.retain(|partition, _| !view.is_deleted(partition.topic));
        for line in lines.values().filter(|_| is_whole) {
            if let Some(why) = &line.broken {
                report.problem(keys::chain_prefix(*incarnation), format!("partition {}: {why}", line.partition));
            }
        }
        partitions.extend(lines.keys().copied());
        if let Some(end) = &chain.end {
            check_end(report, chain, end, view, is_whole.then_some(&lines));
            // Of chains before the newest, what nobody needs is deleted; whether all that is needed is there, `placed` tells.
            if newest == Some(*incarnation) {
                check_named(report, chain, end);
            }
        } else if newest != Some(*incarnation) && stop.is_some() {
            tracing::debug!(incarnation = incarnation.0, "stopped, and not ended yet");
        }
        check_recovery(report, chain);
        // A chain that nobody has ended, and that is not the newest, is being recovered: what it inherits counts still.
        if newest == Some(*incarnation) {
            lines.values().filter(|line| line.broken.is_none()).for_each(|line| placed.check(report, line));
        }
    }
    placed.orphans(report);
    report.partitions = partitions.len() as u64;
}

/// The row has no hole before its first stop; what lies behind the stop is void.
fn check_row(report: &mut Report, incarnation: Incarnation, chain: &ChainObjects) -> Option<SlotNumber> {
    let front = chain.front();
    // A stop that came too late, where a slot was deleted, stays (R18).
    let deleted = chain.slots.range(..front).filter(|(_, pack)| pack.is_some());
    report.orphans.extend(deleted.map(|(slot, _)| keys::slot(incarnation, *slot)));
    let mut next = front;
    let mut stop = None;
    for (slot, pack) in chain.slots.range(front..) {
        if stop.is_some() {
            if pack.is_some() {
                report.orphans.push(keys::slot(incarnation, *slot));
            }
            continue;
        }
        if *slot != next {
            // Uploads in flight when the writer died, with no stop yet: not final, and nobody relies on them.
            report.orphans.push(keys::slot(incarnation, *slot));
            continue;
        }
        next = slot.next();
        if pack.is_none() {
            stop = Some(*slot);
        }
    }
    stop
}

impl ChainObjects {
    fn front(&self) -> SlotNumber {
        self.indexes.values().next_back().map_or(SlotNumber(0), |index| index.front)
    }
}

/// The partitions as the row and the recovery packs make them, from what the chain inherited; where the row's first slots
/// are deleted, from what the newest index says of them. False if recovery packs are gone, so that something is missing.
fn rebuild(
    chain: &ChainObjects,
    incarnation: Incarnation,
    base: Option<&End>,
    stop: Option<SlotNumber>,
) -> (BTreeMap<PartitionId, Line>, bool) {
    let newest = chain.indexes.values().next_back().filter(|index| index.front > SlotNumber(0));
    let (inherited, from) = match newest {
        Some(index) => (index.partitions.clone(), index.covers),
        None => (base.map(|end| end.index.partitions.clone()).unwrap_or_default(), SlotNumber(0)),
    };
    let mut lines: BTreeMap<_, _> = inherited.into_iter().map(|line| (line.partition, Line::from_index(line))).collect();
    if let (Some(index), Some(end)) = (newest, &chain.end)
        && index.number > end.index.number
    {
        // A cleaner's: it repeats what `end` lists, recovery packs and all.
        return (lines, true);
    }
    let mut is_whole = true;
    let mut apply = |stored: PackRef, pack: &Pack| {
        for segment in &pack.footer.segments {
            let line = lines.entry(segment.partition).or_insert_with(|| Line::empty(segment.partition));
            line.apply(segment, segment.to_ref(stored, pack.len, pack.footer_len));
        }
    };
    let rest = chain.slots.range(from..).zip(from.0..);
    let contiguous = rest.take_while(|((slot, _), at)| slot.0 == *at && stop.is_none_or(|stop| **slot < stop));
    for ((slot, pack), _) in contiguous {
        if let Some(pack) = pack {
            apply(PackRef::Slot { incarnation, slot: *slot }, pack);
        }
    }
    for stored in chain.end.iter().flat_map(|end| &end.recovery) {
        match chain.recovery.get(stored) {
            Some(pack) => apply(*stored, pack),
            None => is_whole = false,
        }
    }
    (lines, is_whole)
}

fn check_named(report: &mut Report, chain: &ChainObjects, end: &End) {
    for stored in end.recovery.iter().filter(|stored| !chain.recovery.contains_key(stored)) {
        report.problem(stored.key(), "named by the chain's end, and not there");
    }
}

/// The `end` says what its row and its recovery packs say, where all of them are there.
fn check_end(report: &mut Report, chain: &ChainObjects, end: &End, view: &View, lines: Option<&BTreeMap<PartitionId, Line>>) {
    let key = keys::end(end.incarnation);
    match chain.slots.get(&end.stop) {
        Some(None) => {}
        _ => report.problem(&key, format!("slot {} is not a stop", end.stop)),
    }
    let Some(lines) = lines else { return };
    for listed in end.index.partitions.iter().filter(|listed| !view.is_deleted(listed.partition.topic)) {
        let rebuilt = lines.get(&listed.partition);
        let (end, log_start) = rebuilt.map_or((0, 0), |line| (line.end, line.log_start));
        if (listed.end, listed.log_start) != (end, log_start) {
            let found = format!("{}..{}", listed.log_start, listed.end);
            report.problem(&key, format!("{} is {found} here, its packs make it {log_start}..{end}", listed.partition));
        }
    }
}

fn check_recovery(report: &mut Report, chain: &ChainObjects) {
    let named: BTreeSet<&PackRef> = chain.end.iter().flat_map(|end| &end.recovery).collect();
    for stored in chain.recovery.keys().filter(|stored| !named.contains(stored)) {
        report.orphans.push(stored.key());
    }
}
