//! Whether every record that is to be there lies where the newest index, or end, and the newest manifest say (R17). Of a
//! pack that is missing, or whose footer cannot be read, nothing but those names tells which records are gone.

use super::{Problem, Report};
use crate::history::manifest::History;
use crate::partition::Line;
use floe_formats::{Manifest, ManifestPage, PackFooter, PackRef, SegmentRef, Ulid, keys};
use floe_types::{LeaderEpoch, Offset, PartitionId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A segment, as a pack's footer names it.
type InPack = (PartitionId, Offset, Offset);

/// What the store holds, as far as placing needs it.
#[derive(Debug, Default)]
pub(super) struct Placed {
    packs: BTreeMap<PackRef, BTreeSet<InPack>>,
    /// Packs whose footer cannot be read, and why.
    unreadable: BTreeMap<PackRef, String>,
    manifests: BTreeMap<PartitionId, Arc<Manifest>>,
    /// Pages of manifests by key, and why one cannot be read.
    pages: BTreeMap<String, (PartitionId, Result<Arc<ManifestPage>, String>)>,
    /// Partitions with a manifest, or a page that it names, that cannot be read: nobody knows which packs are named.
    unreadable_manifests: BTreeSet<PartitionId>,
    /// Own packs, to tell those that nothing names.
    own: BTreeSet<PackRef>,
}

impl Placed {
    pub(super) fn pack(&mut self, stored: PackRef, footer: &PackFooter) {
        let segments = footer.segments.iter().map(|segment| (segment.partition, segment.base_offset, segment.end_offset)).collect();
        self.packs.insert(stored, segments);
        self.note(stored);
    }

    pub(super) fn unreadable(&mut self, stored: PackRef, why: Option<String>) {
        self.unreadable.insert(stored, why.unwrap_or_default());
        self.note(stored);
    }

    fn note(&mut self, stored: PackRef) {
        if matches!(stored, PackRef::Own { .. }) {
            self.own.insert(stored);
        }
    }

    pub(super) fn unreadable_manifest(&mut self, partition: PartitionId) {
        self.unreadable_manifests.insert(partition);
    }

    /// Of all versions the newest counts.
    pub(super) fn manifest(&mut self, report: &mut Report, key: &str, manifest: Manifest, named: (PartitionId, u64)) {
        if (manifest.partition, manifest.version) != named {
            return report.problem(key, "this manifest is another partition's, or another version");
        }
        let newer = self.manifests.get(&named.0).is_none_or(|known| known.version < manifest.version);
        if newer {
            self.manifests.insert(named.0, Arc::new(manifest));
        }
    }

    pub(super) fn page(&mut self, key: &str, page: Result<ManifestPage, String>, named: (PartitionId, LeaderEpoch, Ulid)) {
        let page = page.and_then(|page| match (page.partition, page.epoch, page.ulid) == named {
            true => Ok(Arc::new(page)),
            false => Err("this page is another's".to_owned()),
        });
        self.pages.insert(key.to_owned(), (named.0, page));
    }

    /// The segments that a manifest names by pages; what a page that cannot be had names is told, and known to have been there.
    fn paged(&mut self, report: &mut Report, manifest: &Manifest, told: &mut Vec<(Offset, Offset)>) -> Vec<SegmentRef> {
        let mut segments = Vec::new();
        for named in &manifest.pages {
            let key = named.key(manifest.partition);
            let what = match self.pages.remove(&key).map(|(_, page)| page) {
                Some(Ok(page)) if page.to_ref() == *named => {
                    segments.extend(page.segments.iter().cloned());
                    continue;
                }
                Some(Ok(_)) => "the manifest names another page than this".to_owned(),
                Some(Err(why)) => why,
                None => "the page is missing".to_owned(),
            };
            let offsets = (named.base_offset.max(manifest.log_start), named.end_offset);
            report.problems.push(Problem::of_records(&key, manifest.partition, offsets, what));
            told.push(offsets);
            self.unreadable_manifests.insert(manifest.partition);
        }
        segments
    }

    /// Where the newest manifest of a partition ends; 0 without one.
    pub(super) fn manifest_end(&self, partition: PartitionId) -> Offset {
        self.manifests.get(&partition).and_then(|manifest| manifest.end_offset()).unwrap_or(0)
    }

    /// Checks one partition that exists: `line` is what the newest chain says of it.
    pub(super) fn check(&mut self, report: &mut Report, line: &Line) {
        let history = self.manifests.get(&line.partition).map_or(History::None, |manifest| History::Is(manifest.clone()));
        let log_start = history.manifest().map_or(line.log_start, |manifest| line.log_start.max(manifest.log_start));
        let what = || keys::partition_prefix(line.partition);
        if let Some(named) =
            line.manifest.filter(|named| *named > history.version() && !self.unreadable_manifests.contains(&line.partition))
        {
            let what = format!("the index names this manifest, and it is missing: the newest there is is {}", history.version());
            report.problems.push(Problem::of_partition(&keys::manifest(line.partition, named), line.partition, what));
        }
        if history.end() > line.end {
            report.problem(what(), format!("the manifest ends at {}, the log at {}", history.end(), line.end));
        }
        let mut told = Vec::new();
        let mut settled = history.manifest().map(|manifest| self.paged(report, manifest, &mut told)).unwrap_or_default();
        // What a page names below the manifest's log start is gone, or about to go.
        let kept_from = history.manifest().map_or(0, |manifest| manifest.log_start);
        settled.retain(|segment| segment.end_offset > kept_from);
        settled.extend(history.segments().iter().cloned());
        for segment in &settled {
            self.own.remove(&segment.pack);
            self.check_pack(report, line.partition, log_start, segment);
        }
        let nowhere = |from, to| Problem::of_records(&what(), line.partition, (from, to), format!("offsets {from}..{to} are nowhere"));
        let listed = line.segments.iter().filter(|segment| segment.end_offset > history.end().max(log_start));
        listed.clone().for_each(|segment| self.check_pack(report, line.partition, log_start, segment));
        let placed = settled.iter().chain(listed).map(|segment| (segment.base_offset, segment.end_offset));
        let mut spans: Vec<_> = placed.chain(told).filter(|(_, end)| *end > log_start).collect();
        spans.sort_unstable();
        let mut next = log_start;
        for (start, end) in spans {
            if start > next {
                report.problems.push(nowhere(next, start));
            }
            next = next.max(end);
        }
        if next < line.end {
            report.problems.push(nowhere(next, line.end));
        }
    }

    fn check_pack(&self, report: &mut Report, partition: PartitionId, log_start: Offset, segment: &SegmentRef) {
        let wanted = (partition, segment.base_offset, segment.end_offset);
        let what = match (self.packs.get(&segment.pack), self.unreadable.get(&segment.pack)) {
            (Some(held), _) if held.contains(&wanted) => return,
            (Some(_), _) => format!("{partition} {}..{} is not in it", segment.base_offset, segment.end_offset),
            (None, Some(why)) => why.clone(),
            (None, None) => "the pack is missing".to_owned(),
        };
        // One below the log start may be named, and is read no more.
        let offsets = (segment.base_offset.max(log_start.min(segment.end_offset)), segment.end_offset);
        report.problems.push(Problem::of_records(&segment.pack.key(), partition, offsets, what));
    }

    /// Own packs, and pages, that no newest manifest names.
    pub(super) fn orphans(self, report: &mut Report) {
        let unknown = |partition: &PartitionId| self.unreadable_manifests.contains(partition);
        let of_unknown = |pack: &&PackRef| matches!(pack, PackRef::Own { partition, .. } if unknown(partition));
        report.orphans.extend(self.own.iter().filter(|pack| !of_unknown(pack)).map(PackRef::key));
        for (key, (partition, page)) in &self.pages {
            if let Err(why) = page {
                report.problems.push(Problem::of_partition(key, *partition, why));
            }
            if !unknown(partition) {
                report.orphans.push(key.clone());
            }
        }
    }
}
