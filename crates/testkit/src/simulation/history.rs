//! What clients have seen of each partition, and what that forbids from then on.
//!
//! Checked at every read: offsets follow one another without a gap (P2); one offset has one value for ever, for every
//! reader (P2); no value stands at two offsets (P6); every acknowledged record is where its answer said, and below
//! `committed` (P1). Only three things excuse a missing record: it was acknowledged by a disk's word alone, and that
//! disk was given up or damaged; somebody asked for its deletion; or its topic is compacted, and a later record has its
//! key. A deletion that was answered stands for ever.

use super::producer::key_of;
use floe_types::{DiskId, Offset, PartitionId};
use std::collections::{BTreeMap, BTreeSet};

/// Whose word an acknowledgement was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// The store has it: nothing excuses its loss.
    Store,
    /// This disk has it.
    Disk(DiskId),
}

#[derive(Debug, Default)]
struct Log {
    acknowledged: BTreeMap<Offset, (u64, Word)>,
    seen: BTreeMap<Offset, u64>,
    offset_of: BTreeMap<u64, Offset>,
    /// The greatest log start that anybody asked for.
    asked: Offset,
    /// The greatest that was answered.
    deleted: Offset,
}

impl Log {
    /// What compaction left out, it left out for a later record of the same key.
    fn check_left_out(&self, partition: PartitionId, from: Offset, values: &[Option<u64>]) -> Result<(), String> {
        let mut later = BTreeSet::new();
        let offsets = from..from + values.len() as Offset;
        for (offset, value) in offsets.rev().zip(values.iter().rev()) {
            let known = self.seen.get(&offset).or_else(|| self.acknowledged.get(&offset).map(|(value, _)| value));
            match (value, known) {
                (Some(value), _) => {
                    later.insert(key_of(*value));
                }
                (None, Some(known)) if !later.contains(&key_of(*known)) => {
                    return Err(format!("{partition}: {known} at {offset} was compacted away, and no later record has its key"));
                }
                (None, _) => {}
            }
        }
        Ok(())
    }
}

/// All partitions' histories. Values are unique numbers.
#[derive(Debug, Default)]
pub struct History {
    logs: BTreeMap<PartitionId, Log>,
    /// Disks whose word counts no more.
    failed: BTreeSet<DiskId>,
}

impl History {
    /// An acknowledgement reached a client.
    pub(crate) fn acknowledged(&mut self, partition: PartitionId, offset: Offset, value: u64, word: Word) {
        self.logs.entry(partition).or_default().acknowledged.insert(offset, (value, word));
    }

    /// A client, or a topic's settings, want what lies below `start` deleted.
    pub(crate) fn asked_to_delete(&mut self, partition: PartitionId, start: Offset) {
        let log = self.logs.entry(partition).or_default();
        log.asked = log.asked.max(start);
    }

    /// A client was told that the log starts at `start`, or later.
    pub(crate) fn deleted(&mut self, partition: PartitionId, start: Offset) {
        let log = self.logs.entry(partition).or_default();
        log.deleted = log.deleted.max(start);
    }

    pub(super) fn is_failed(&self, disk: DiskId) -> bool {
        self.failed.contains(&disk)
    }

    /// A topic is gone, and with it what it promised.
    pub(crate) fn forget(&mut self, partition: PartitionId) {
        self.logs.remove(&partition);
    }

    /// A reader saw `values` from `from` up to the end, one for each offset; none where compaction left the record out.
    ///
    /// # Errors
    /// The promise that this breaks.
    pub(crate) fn read(&mut self, partition: PartitionId, from: Offset, values: &[Option<u64>]) -> Result<(), String> {
        let log = self.logs.entry(partition).or_default();
        log.check_left_out(partition, from, values)?;
        for (offset, value) in (from..).zip(values).filter_map(|(offset, value)| Some((offset, value.as_ref()?))) {
            if let Some(before) = log.seen.insert(offset, *value).filter(|before| before != value) {
                return Err(format!("{partition} offset {offset} was {before} and is {value}"));
            }
            if let Some(other) = log.offset_of.insert(*value, offset).filter(|other| *other != offset) {
                return Err(format!("{partition}: {value} stands at {other} and at {offset}"));
            }
            if let Some((acknowledged, _)) = log.acknowledged.get(&offset).filter(|(acknowledged, _)| acknowledged != value) {
                return Err(format!("{partition} offset {offset} was acknowledged as {acknowledged} and holds {value}"));
            }
        }
        Ok(())
    }

    /// A disk's word counts no more: at the next start, what only it vouched for is excused.
    pub(super) fn give_up(&mut self, disk: DiskId) {
        self.failed.insert(disk);
    }

    /// After a start: the whole committed log is `values`, from `start` on. What is excused is forgotten, everything else
    /// must be there.
    ///
    /// # Errors
    /// The promise that this breaks.
    pub(crate) fn restarted(&mut self, partition: PartitionId, start: Offset, values: &[Option<u64>]) -> Result<(), String> {
        let failed = &self.failed;
        let log = self.logs.entry(partition).or_default();
        if start > log.asked {
            return Err(format!("{partition} starts at {start}, nobody asked for more than {}", log.asked));
        }
        if start < log.deleted {
            return Err(format!("{partition} was deleted up to {}, and starts at {start}", log.deleted));
        }
        log.acknowledged = log.acknowledged.split_off(&start);
        log.seen = log.seen.split_off(&start);
        let at = |offset: Offset| usize::try_from(offset - start).ok().and_then(|at| values.get(at)?.as_ref());
        log.acknowledged.retain(|offset, (value, word)| match word {
            Word::Disk(disk) if failed.contains(disk) => at(*offset) == Some(value),
            _ => true,
        });
        if !failed.is_empty() {
            // What was seen and not acknowledged to anybody was committed by a disk that may have failed.
            let acknowledged = &log.acknowledged;
            log.seen.retain(|offset, value| at(*offset) == Some(value) || acknowledged.contains_key(offset));
            let seen = &log.seen;
            log.offset_of.retain(|value, offset| seen.get(offset) == Some(value));
        }
        let end = start + values.len() as Offset;
        if let Some((offset, (value, word))) = log.acknowledged.iter().find(|(offset, _)| **offset >= end) {
            return Err(format!("{partition}: {value} was acknowledged at {offset} ({word:?}), and the log ends at {end}"));
        }
        if let Some((offset, value)) = log.seen.iter().find(|(offset, _)| **offset >= end) {
            return Err(format!("{partition}: {value} was seen at {offset}, and the log ends at {end}"));
        }
        self.read(partition, start, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_types::TopicId;

    const P: PartitionId = PartitionId { topic: TopicId(1), index: 0 };
    const D: DiskId = DiskId(7);

    #[test]
    fn a_lost_a_changed_and_a_doubled_record_are_found() {
        let mut history = History::default();
        history.acknowledged(P, 1, 11, Word::Store);
        assert!(history.restarted(P, 0, &[Some(10)]).is_err(), "lost");
        assert!(history.read(P, 0, &[Some(10), Some(12)]).is_err(), "changed");
        let mut history = History::default();
        history.read(P, 0, &[Some(10), Some(11)]).expect("nothing is wrong yet");
        assert!(history.read(P, 2, &[Some(10)]).is_err(), "doubled");
        assert!(history.restarted(P, 0, &[Some(10)]).is_err(), "seen, and gone");
    }

    #[test]
    fn only_what_was_asked_for_is_deleted_and_it_stays_deleted() {
        let mut history = History::default();
        history.acknowledged(P, 0, 10, Word::Store);
        history.acknowledged(P, 1, 11, Word::Store);
        assert!(history.restarted(P, 1, &[Some(11)]).is_err(), "nobody asked");
        history.asked_to_delete(P, 1);
        history.restarted(P, 0, &[Some(10), Some(11)]).expect("not yet");
        history.restarted(P, 1, &[Some(11)]).expect("deleted");
        history.deleted(P, 1);
        assert!(history.restarted(P, 0, &[Some(10), Some(11)]).is_err(), "it has come back");
    }

    #[test]
    fn only_the_word_of_a_failed_disk_is_excused() {
        let mut history = History::default();
        history.acknowledged(P, 0, 10, Word::Store);
        history.acknowledged(P, 1, 11, Word::Disk(D));
        assert!(history.restarted(P, 0, &[Some(10)]).is_err(), "the disk has not failed");
        history.give_up(D);
        history.restarted(P, 0, &[Some(10)]).expect("excused");
        assert!(history.restarted(P, 0, &[]).is_err(), "what the store vouched for is not");
    }

    #[test]
    fn compaction_excuses_what_a_later_record_of_its_key_outdates_and_nothing_else() {
        let mut history = History::default();
        let (old, other, new) = (10, 11, 17);
        assert_eq!((key_of(old), key_of(new)), (key_of(new), key_of(old)));
        for (offset, value) in [old, other, new].into_iter().enumerate() {
            history.acknowledged(P, Offset::try_from(offset).expect("small"), value, Word::Store);
        }
        history.restarted(P, 0, &[None, Some(other), Some(new)]).expect("outdated");
        assert!(history.restarted(P, 0, &[None, None, Some(new)]).is_err(), "nothing outdates it");
        assert!(history.restarted(P, 0, &[Some(old), Some(other), None]).is_err(), "the newest");
    }
}
