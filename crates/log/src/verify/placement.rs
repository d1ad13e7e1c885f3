//! Whether every record that is to be there lies where the newest index, or end, and the newest manifest say (R17).

use super::Report;
use crate::history::manifest::History;
use crate::partition::Line;
use floe_formats::{Manifest, PackFooter, PackRef, SegmentRef, keys};
use floe_types::{Offset, PartitionId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A segment, as a pack's footer names it.
type InPack = (PartitionId, Offset, Offset);

/// What the store holds, as far as placing needs it.
#[derive(Debug, Default)]
pub(super) struct Placed {
    packs: BTreeMap<PackRef, BTreeSet<InPack>>,
    manifests: BTreeMap<PartitionId, Arc<Manifest>>,
    /// Own packs, to tell those that nothing names.
    own: BTreeSet<PackRef>,
}

impl Placed {
    pub(super) fn pack(&mut self, stored: PackRef, footer: &PackFooter) {
        let segments = footer.segments.iter().map(|segment| (segment.partition, segment.base_offset, segment.end_offset)).collect();
        self.packs.insert(stored, segments);
        if matches!(stored, PackRef::Own { .. }) {
            self.own.insert(stored);
        }
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

    /// Checks one partition that exists: `line` is what the newest chain says of it.
    pub(super) fn check(&mut self, report: &mut Report, line: &Line) {
        let history = self.manifests.get(&line.partition).map_or(History::None, |manifest| History::Is(manifest.clone()));
        let log_start = history.manifest().map_or(line.log_start, |manifest| line.log_start.max(manifest.log_start));
        let what = || keys::partition_prefix(line.partition);
        if history.end() > line.end {
            report.problem(what(), format!("the manifest ends at {}, the log at {}", history.end(), line.end));
        }
        for segment in history.segments() {
            self.own.remove(&segment.pack);
            self.check_pack(report, line.partition, segment);
        }
        let listed = line.segments.iter().filter(|segment| segment.end_offset > history.end().max(log_start));
        let mut next = log_start;
        for segment in history.segments().iter().chain(listed).filter(|segment| segment.end_offset > log_start) {
            if segment.base_offset > next {
                report.problem(what(), format!("offsets {next}..{} are nowhere", segment.base_offset));
            }
            next = next.max(segment.end_offset);
            if !matches!(segment.pack, PackRef::Own { .. }) {
                self.check_pack(report, line.partition, segment);
            }
        }
        if next < line.end {
            report.problem(what(), format!("offsets {next}..{} are nowhere", line.end));
        }
    }

    fn check_pack(&self, report: &mut Report, partition: PartitionId, segment: &SegmentRef) {
        let wanted = (partition, segment.base_offset, segment.end_offset);
        let key = segment.pack.key();
        match self.packs.get(&segment.pack) {
            None => report.problem(key, format!("named for {partition} at {}, and not there", segment.base_offset)),
            Some(held) if !held.contains(&wanted) => {
                report.problem(key, format!("{partition} {}..{} is not in it", segment.base_offset, segment.end_offset));
            }
            Some(_) => {}
        }
    }

    /// Own packs that no newest manifest names.
    pub(super) fn orphans(self, report: &mut Report) {
        report.orphans.extend(self.own.iter().map(PackRef::key));
    }
}
