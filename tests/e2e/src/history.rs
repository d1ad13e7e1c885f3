//! What producers sent and readers saw, and what in it breaks a promise.
//!
//! Every value is sent once, so a value found at two offsets, or an offset with two values, is the broker's doing. Not looked for are
//! gaps between offsets: control records leave them. The history holds what clients saw, never what the broker says of itself.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

/// Unique in a history: the producer's number in the upper bits, its sequence below.
pub type Value = u64;

/// A topic's partition.
pub type Partition = (String, i32);

/// The value that `producer` sends as its `sequence`-th.
pub fn value(producer: u16, sequence: u64) -> Value {
    u64::from(producer) << 48 | sequence
}

#[derive(Debug, Clone)]
struct Send {
    partition: Partition,
    /// The offset, if it was acknowledged. What was not may be there or not.
    acknowledged: Option<i64>,
}

/// One record as a reader got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub partition: Partition,
    pub offset: i64,
    pub value: Value,
}

/// Sends and reads of one test.
#[derive(Debug, Default)]
pub struct History {
    sends: BTreeMap<Value, Send>,
    /// In the order in which each reader got them.
    readers: Vec<Vec<Read>>,
    last: Vec<Read>,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// One offset held two values.
    InconsistentOffset { partition: Partition, offset: i64, values: [Value; 2] },
    /// Acknowledged, below what was read of its partition, and read by nobody.
    LostWrite { partition: Partition, offset: i64, value: Value },
    /// Acknowledged, and not among the final reads.
    Unseen { partition: Partition, offset: i64, value: Value },
    /// Read once, and gone in the final reads: it was visible before it was committed, or was lost.
    ReadAndGone { partition: Partition, offset: i64, value: Value },
    /// One value, two offsets.
    Duplicate { partition: Partition, value: Value, offsets: [i64; 2] },
    /// A reader's offsets went back, or stood still.
    ReadOutOfOrder { reader: usize, partition: Partition, offsets: [i64; 2] },
    /// A producer's later send got the lower offset.
    SentOutOfOrder { partition: Partition, values: [Value; 2] },
    /// Read, and never sent there.
    Phantom { partition: Partition, offset: i64, value: Value },
}

impl History {
    /// `value` was handed to a producer.
    pub fn sent(&mut self, value: Value, partition: Partition) {
        let before = self.sends.insert(value, Send { partition, acknowledged: None });
        assert!(before.is_none(), "value {value} was sent twice: the test is wrong");
    }

    /// The broker answered that `value` lies at `offset`; below 0 where it only knows that it has had it before (DUPLICATE_SEQUENCE_NUMBER).
    pub fn acknowledged(&mut self, value: Value, offset: i64) {
        self.sends.get_mut(&value).expect("what is acknowledged was sent").acknowledged = Some(offset);
    }

    /// What one reader got, in its order.
    pub fn read(&mut self, reads: Vec<Read>) {
        self.readers.push(reads);
    }

    /// What was read from start to end after everything else.
    pub fn read_at_last(&mut self, reads: Vec<Read>) {
        self.last = reads.clone();
        self.readers.push(reads);
    }

    pub fn acknowledgements(&self) -> usize {
        self.sends.values().filter(|send| send.acknowledged.is_some()).count()
    }

    /// All findings, sorted. Empty: every promise was kept.
    pub fn check(&self) -> Vec<Finding> {
        let mut findings = BTreeSet::new();
        let places = self.places(&mut findings);
        self.check_duplicates(&places, &mut findings);
        self.check_reads(&mut findings);
        self.check_acknowledged(&mut findings);
        self.check_order_of_sends(&mut findings);
        findings.into_iter().collect()
    }

    /// Which value was seen at each offset, by anybody.
    fn places(&self, findings: &mut BTreeSet<Finding>) -> BTreeMap<(Partition, i64), Value> {
        let mut places = BTreeMap::new();
        let place = |send: &Send| send.acknowledged.filter(|offset| *offset >= 0);
        let acknowledged = self.sends.iter().filter_map(|(value, send)| Some((send.partition.clone(), place(send)?, *value)));
        let reads = self.readers.iter().flatten().map(|read| (read.partition.clone(), read.offset, read.value));
        for (partition, offset, value) in acknowledged.chain(reads) {
            let before = *places.entry((partition.clone(), offset)).or_insert(value);
            if before != value {
                let values = [before.min(value), before.max(value)];
                findings.insert(Finding::InconsistentOffset { partition, offset, values });
            }
        }
        places
    }

    fn check_duplicates(&self, places: &BTreeMap<(Partition, i64), Value>, findings: &mut BTreeSet<Finding>) {
        let mut first: BTreeMap<(&Partition, Value), i64> = BTreeMap::new();
        for ((partition, offset), value) in places {
            let before = *first.entry((partition, *value)).or_insert(*offset);
            if before != *offset {
                findings.insert(Finding::Duplicate { partition: partition.clone(), value: *value, offsets: [before, *offset] });
            }
        }
        for ((partition, offset), value) in places {
            if self.sends.get(value).is_none_or(|send| send.partition != *partition) {
                findings.insert(Finding::Phantom { partition: partition.clone(), offset: *offset, value: *value });
            }
        }
    }

    fn check_reads(&self, findings: &mut BTreeSet<Finding>) {
        let last: BTreeSet<(&Partition, i64)> = self.last.iter().map(|read| (&read.partition, read.offset)).collect();
        for (reader, reads) in self.readers.iter().enumerate() {
            let mut positions: BTreeMap<&Partition, i64> = BTreeMap::new();
            for read in reads {
                if let Some(before) = positions.insert(&read.partition, read.offset)
                    && before >= read.offset
                {
                    let offsets = [before, read.offset];
                    findings.insert(Finding::ReadOutOfOrder { reader, partition: read.partition.clone(), offsets });
                }
                if !last.contains(&(&read.partition, read.offset)) {
                    findings.insert(Finding::ReadAndGone { partition: read.partition.clone(), offset: read.offset, value: read.value });
                }
            }
        }
    }

    fn check_acknowledged(&self, findings: &mut BTreeSet<Finding>) {
        let mut highest: BTreeMap<&Partition, i64> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for read in self.readers.iter().flatten() {
            let offset = highest.entry(&read.partition).or_insert(read.offset);
            *offset = (*offset).max(read.offset);
            seen.insert((&read.partition, read.value));
        }
        let last: BTreeSet<(&Partition, Value)> = self.last.iter().map(|read| (&read.partition, read.value)).collect();
        for (value, send) in &self.sends {
            let (Some(offset), partition, value) = (send.acknowledged, send.partition.clone(), *value) else { continue };
            if highest.get(&partition).is_some_and(|highest| offset <= *highest) && !seen.contains(&(&partition, value)) {
                findings.insert(Finding::LostWrite { partition, offset, value });
            } else if !last.contains(&(&partition, value)) {
                findings.insert(Finding::Unseen { partition, offset, value });
            }
        }
    }

    fn check_order_of_sends(&self, findings: &mut BTreeSet<Finding>) {
        let mut before: BTreeMap<(u64, &Partition), (Value, i64)> = BTreeMap::new();
        for (value, send) in &self.sends {
            let Some(offset) = send.acknowledged.filter(|offset| *offset >= 0) else { continue };
            if let Some((earlier, lower)) = before.insert((value >> 48, &send.partition), (*value, offset))
                && lower >= offset
            {
                findings.insert(Finding::SentOutOfOrder { partition: send.partition.clone(), values: [earlier, *value] });
            }
        }
    }
}
