//! Chains: their rows without holes, their `end` as its packs make it, and what the newest of them says of each partition,
//! which `placement.rs` looks for.
//!
//! A pack that cannot be read is told once, by what it holds; that the row around it makes no whole is no news then.

mod several;

use super::{ChainObjects, Found, Pack, Report, Slot};
use crate::partition::Line;
use floe_formats::{End, Index, PackRef, keys};
use floe_metadata::View;
use floe_types::{Incarnation, PartitionId, SlotNumber};
use std::collections::{BTreeMap, BTreeSet};

type Lines = BTreeMap<PartitionId, Line>;

/// Says what is wrong, and which slots are missing from rows that are not known to have moved past them.
pub(super) fn check(report: &mut Report, found: Found, view: &View) -> BTreeMap<Incarnation, Vec<SlotNumber>> {
    if found.is_of_cluster {
        return several::check(report, found, view);
    }
    let Found { chains, mut placed, .. } = found;
    let newest = chains.keys().next_back().copied();
    let mut partitions = BTreeSet::new();
    let mut missing = BTreeMap::new();
    for (incarnation, chain) in &chains {
        if chain.claims == 0 {
            report.problem(keys::chain_prefix(*incarnation), "a chain without a claim");
        }
        let base = chain.base.and_then(|base| chains.get(&base)).and_then(|base| base.end.as_ref());
        let stop = check_row(report, *incarnation, chain);
        missing.insert(*incarnation, chain.missing_slots());
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
            let opened = opened(chain, *incarnation, base, stop);
            // A line that a gap has broken, too: whether its other records are there is worth knowing.
            opened.values().filter(|line| !view.is_deleted(line.partition.topic)).for_each(|line| placed.check(report, line));
        }
    }
    placed.orphans(report);
    report.partitions = partitions.len() as u64;
    missing.retain(|_, slots| !slots.is_empty());
    missing
}

/// The row has no hole before its first stop; what lies behind the stop is void.
fn check_row(report: &mut Report, incarnation: Incarnation, chain: &ChainObjects) -> Option<SlotNumber> {
    let front = chain.front();
    // A stop that came too late, where a slot was deleted, stays (R18).
    let deleted = chain.slots.range(..front).filter(|(_, slot)| !slot.is_stop());
    report.orphans.extend(deleted.map(|(slot, _)| keys::slot(incarnation, *slot)));
    // What lies before the stop that `end` names is final, whatever is missing of it.
    let named = chain.end.as_ref().map_or(front, |end| end.stop);
    let mut next = front;
    let mut stop = None;
    for (slot, held) in chain.slots.range(front..) {
        if stop.is_some() {
            if !held.is_stop() {
                report.orphans.push(keys::slot(incarnation, *slot));
            }
            continue;
        }
        if *slot != next && *slot > named {
            // Uploads in flight when the writer died, with no stop yet: not final, and nobody relies on them.
            report.orphans.push(keys::slot(incarnation, *slot));
            continue;
        }
        next = slot.next();
        if held.is_stop() {
            stop = Some(*slot);
        }
    }
    stop
}

impl ChainObjects {
    fn front(&self) -> SlotNumber {
        self.indexes.values().next_back().map_or(SlotNumber(0), |index| index.front)
    }

    /// Slots that are final, not deleted, and not there. Behind what the newest index covers, or `end` names, a hole is an upload
    /// that has not landed.
    fn missing_slots(&self) -> Vec<SlotNumber> {
        let covered = self.indexes.values().next_back().map_or(SlotNumber(0), |index| index.covers);
        let end = self.end.as_ref().map_or(covered, |end| end.stop.next());
        (self.front().0..end.0).map(SlotNumber).filter(|slot| !self.slots.contains_key(slot)).collect()
    }

    /// What whoever opens the chain begins with: its `end`'s index, or its newest one.
    fn newest_index(&self) -> Option<&Index> {
        self.end.as_ref().map(|end| &end.index).or_else(|| self.indexes.values().next_back())
    }
}

/// The partitions as the row and the recovery packs make them, from what the chain inherited; where the row's first slots
/// are deleted, from what the newest index says of them. False if a pack is gone or unreadable, so that something is missing.
fn rebuild(chain: &ChainObjects, incarnation: Incarnation, base: Option<&End>, stop: Option<SlotNumber>) -> (Lines, bool) {
    let newest = chain.indexes.values().next_back().filter(|index| index.front > SlotNumber(0));
    if let (Some(index), Some(end)) = (newest, &chain.end)
        && (index.covers, &index.partitions) == (end.stop, &end.index.partitions)
    {
        // A cleaner's: it repeats what `end` lists, recovery packs and all. The owner's own last one may be newer than `end`, too,
        // where it was late, but says only what it knew.
        return (lines_of(index), true);
    }
    let (mut lines, from) = match newest {
        Some(index) => (lines_of(index), index.covers),
        None => (base.map(|end| lines_of(&end.index)).unwrap_or_default(), SlotNumber(0)),
    };
    let mut is_whole = apply_row(&mut lines, chain, incarnation, from, stop);
    for stored in chain.end.iter().flat_map(|end| &end.recovery) {
        match chain.recovery.get(stored) {
            Some(pack) => apply(&mut lines, *stored, pack),
            None => is_whole = false,
        }
    }
    (lines, is_whole)
}

/// The partitions as whoever opens the chain finds them, whatever is missing of what they name.
fn opened(chain: &ChainObjects, incarnation: Incarnation, base: Option<&End>, stop: Option<SlotNumber>) -> Lines {
    let (mut lines, from) = match chain.newest_index() {
        Some(index) => (lines_of(index), index.covers),
        None => (base.map(|end| lines_of(&end.index)).unwrap_or_default(), SlotNumber(0)),
    };
    if chain.end.is_none() {
        apply_row(&mut lines, chain, incarnation, from, stop);
    }
    lines
}

fn lines_of(index: &Index) -> Lines {
    index.partitions.iter().map(|line| (line.partition, Line::from_index(line.clone()))).collect()
}

/// Takes in the slots from `from` up to the stop, or the first hole; one that cannot be read is passed over, and breaks the lines
/// of what it held. False if there was one, or one is missing before the stop.
fn apply_row(lines: &mut Lines, chain: &ChainObjects, incarnation: Incarnation, from: SlotNumber, stop: Option<SlotNumber>) -> bool {
    let (mut next, mut is_whole) = (from, true);
    for (slot, held) in chain.slots.range(from..).take_while(|(slot, _)| stop.is_none_or(|stop| **slot < stop)) {
        if *slot != next {
            break;
        }
        match held {
            Slot::Pack(pack) => apply(lines, PackRef::Slot { incarnation, slot: *slot }, pack),
            Slot::Unreadable => is_whole = false,
            Slot::Stop => {}
        }
        next = slot.next();
    }
    is_whole && stop.is_none_or(|stop| next >= stop)
}

fn apply(lines: &mut Lines, stored: PackRef, pack: &Pack) {
    for segment in &pack.footer.segments {
        let line = lines.entry(segment.partition).or_insert_with(|| Line::empty(segment.partition));
        line.apply(segment, segment.to_ref(stored, pack.len, pack.footer_len));
    }
}

fn check_named(report: &mut Report, chain: &ChainObjects, end: &End) {
    for stored in end.recovery.iter().filter(|stored| !chain.recovery.contains_key(stored)) {
        report.problem(stored.key(), "named by the chain's end, and not there");
    }
}

/// The `end` says what its row and its recovery packs say, where all of them are there.
fn check_end(report: &mut Report, chain: &ChainObjects, end: &End, view: &View, lines: Option<&Lines>) {
    let key = keys::end(end.incarnation);
    if !chain.slots.get(&end.stop).is_some_and(Slot::is_stop) {
        report.problem(&key, format!("slot {} is not a stop", end.stop));
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
