//! An idempotent producer as librdkafka is one: batches in order, five at most on their way, each sent again until it
//! is answered, with the same sequence.

use super::history::Word;
use bytes::Bytes;
use floe_records::{BatchBuilder, Codec};
use floe_types::PartitionId;
use std::collections::VecDeque;

/// Batches on their way at once.
const IN_FLIGHT: usize = 5;

#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) values: Vec<u64>,
    pub(crate) bytes: Bytes,
    /// By whose word it counts since it was appended last.
    pub(crate) word: Option<Word>,
}

#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) partition: PartitionId,
    id: i64,
    sequence: i32,
    /// Not answered, oldest first.
    unanswered: VecDeque<Batch>,
    /// How many of them the present broker has been sent.
    pub(crate) sent: usize,
    /// Records have keys, by [`key_of`].
    pub(crate) keyed: bool,
}

/// Keys of a compacted topic.
const KEYS: u64 = 7;

/// The key of a value.
pub(super) fn key_of(value: u64) -> u64 {
    value % KEYS
}

impl Producer {
    pub(crate) fn new(partition: PartitionId, id: i64) -> Self {
        Self { partition, id, sequence: 0, unanswered: VecDeque::new(), sent: 0, keyed: false }
    }

    /// Its records have keys.
    pub(super) fn keyed(self, keyed: bool) -> Self {
        Self { keyed, ..self }
    }

    /// What is sent next: a batch that waits, or a new one of `values`. None while five are on their way.
    pub(crate) fn next(&mut self, values: impl FnOnce() -> Vec<u64>, padding: usize) -> Option<Batch> {
        if let Some(waiting) = self.unanswered.get(self.sent) {
            return Some(waiting.clone());
        }
        if self.unanswered.len() >= IN_FLIGHT {
            return None;
        }
        let values = values();
        let mut builder = BatchBuilder::new(Codec::None).producer(self.id, 0, self.sequence);
        for value in &values {
            let mut bytes = value.to_be_bytes().to_vec();
            bytes.resize(8 + padding, b'.');
            let key = key_of(*value).to_be_bytes();
            builder.append(1_000, self.keyed.then_some(key.as_slice()), Some(&bytes)).expect("a small record fits");
        }
        let batch = Batch { bytes: builder.build(), values, word: None };
        self.sequence += i32::try_from(batch.values.len()).unwrap_or(0);
        self.unanswered.push_back(batch.clone());
        Some(batch)
    }

    /// The batch that begins with this value was answered.
    pub(crate) fn answered(&mut self, first: u64) -> Option<Batch> {
        let at = self.unanswered.iter().position(|batch| batch.values.first() == Some(&first))?;
        self.sent = self.sent.saturating_sub(1);
        self.unanswered.remove(at)
    }

    /// The batch that begins with this value was appended, not recognised as a duplicate.
    pub(super) fn appended(&mut self, first: u64, word: Word) {
        if let Some(batch) = self.unanswered.iter_mut().find(|batch| batch.values.first() == Some(&first)) {
            batch.word = Some(word);
        }
    }

    /// The connection is gone: everything unanswered goes again.
    pub(crate) fn reconnect(&mut self) {
        self.sent = 0;
    }

    pub(crate) fn waits(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// Starts over as another producer; what was not answered is given up, as an application does after a fatal error.
    pub(super) fn start_over(&mut self, id: i64) {
        *self = Self::new(self.partition, id).keyed(self.keyed);
    }
}
