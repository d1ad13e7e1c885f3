//! The same of a cluster's store: each chain by itself, and of each partition what was said under the greatest epoch.
//!
//! Is not: a check of who owns what, which etcd knows. A dead owner that nobody has recovered is believed as far as its slots go.

use super::{Found, Lines, Slot, check_recovery, check_row};
use crate::by_epoch::ByEpoch;
use crate::verify::{ChainObjects, Problem, Report};
use floe_formats::{PackRef, Segment, keys};
use floe_metadata::View;
use floe_types::{Incarnation, Offset, SlotNumber};
use std::collections::BTreeMap;

pub(super) fn check(report: &mut Report, found: Found, view: &View) -> BTreeMap<Incarnation, Vec<SlotNumber>> {
    let Found { chains, mut placed, .. } = found;
    let mut missing = BTreeMap::new();
    let mut by_epoch = ByEpoch::default();
    for (incarnation, chain) in &chains {
        if chain.claims == 0 {
            report.problem(keys::chain_prefix(*incarnation), "a chain without a claim");
        }
        report.moves |= chain.end.is_none();
        let stop = check_row(report, *incarnation, chain);
        missing.insert(*incarnation, chain.missing_slots());
        check_recovery(report, chain);
        match &chain.end {
            Some(end) => {
                by_epoch.index(&end.index.partitions);
                check_end(report, *incarnation, chain);
            }
            None => add_open(&mut by_epoch, *incarnation, chain, stop),
        }
    }
    let mut lines: Lines = by_epoch.finish();
    lines.retain(|partition, _| !view.is_deleted(partition.topic));
    report.partitions = lines.len() as u64;
    for line in lines.values_mut() {
        if let Some(why) = &line.broken {
            report.problems.push(Problem::of_partition(&keys::partition_prefix(line.partition), line.partition, why.clone()));
        }
        // Where it was moved away, and nothing was written since, its manifest knows more than any line.
        line.end = line.end.max(placed.manifest_end(line.partition));
        placed.check(report, line);
    }
    placed.orphans(report);
    missing.retain(|_, slots| !slots.is_empty());
    missing
}

/// The newest index, and what lies behind it up to the stop, or the first slot that is free or cannot be read.
fn add_open<'a>(by_epoch: &mut ByEpoch<'a>, incarnation: Incarnation, chain: &'a ChainObjects, stop: Option<SlotNumber>) {
    let index = chain.newest_index();
    by_epoch.index(index.map_or(&[], |index| index.partitions.as_slice()));
    let from = index.map_or(SlotNumber(0), |index| index.covers);
    let contiguous =
        chain.slots.range(from..).zip(from.0..).take_while(|((slot, _), at)| slot.0 == *at && stop.is_none_or(|stop| **slot < stop));
    for ((slot, held), _) in contiguous {
        let Slot::Pack(pack) = held else { break };
        let stored = PackRef::Slot { incarnation, slot: *slot };
        for segment in &pack.footer.segments {
            by_epoch.tail(segment, segment.to_ref(stored, pack.len, pack.footer_len));
        }
    }
}

/// The `end` leaves out nothing of what the final slots, and the recovery packs that it names, hold under the epochs that it lists.
fn check_end(report: &mut Report, incarnation: Incarnation, chain: &ChainObjects) {
    let Some(end) = &chain.end else { return };
    let key = keys::end(incarnation);
    if !chain.slots.get(&end.stop).is_some_and(Slot::is_stop) {
        report.problem(&key, format!("slot {} is not a stop", end.stop));
    }
    let rows = chain.slots.range(..end.stop).filter_map(|(_, slot)| match slot {
        Slot::Pack(pack) => Some(pack.as_ref()),
        Slot::Stop | Slot::Unreadable => None,
    });
    let named = end.recovery.iter().filter_map(|stored| chain.recovery.get(stored));
    let segments: Vec<&Segment> = rows.chain(named).flat_map(|pack| &pack.footer.segments).collect();
    for line in &end.index.partitions {
        let ends = segments
            .iter()
            .filter(|segment| (segment.partition, segment.epoch) == (line.partition, line.epoch))
            .map(|segment| segment.end_offset);
        let last: Offset = ends.max().unwrap_or(0);
        if last > line.end {
            report.problem(&key, format!("{} ends at {} here, its packs reach to {last}", line.partition, line.end));
        }
    }
}
