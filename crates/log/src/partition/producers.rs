//! Idempotent producers: the last batches of each, so that a repeat gets its first answer and a gap is refused.
//! The rules are Kafka's (`ProducerStateManager`, KIP-98, KIP-185): five batches, exact repeats only, sequences wrap
//! from 2^31-1 to 0.

use crate::AppendError;
use floe_formats::{ProducerBatch, ProducerUpdate};
use floe_records::BatchHeader;
use floe_types::{MAX_BATCHES_OF_PRODUCER, Offset};
use std::collections::BTreeMap;

/// Producers remembered per partition; the one idle longest makes room. Kafka forgets by time
/// (`producer.id.expiration.ms`); a count keeps memory bounded whatever clients do.
const MAX_PRODUCERS: usize = 20_000;

/// What a batch is to this partition.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Next,
    Duplicate(ProducerBatch),
}

#[derive(Debug, Default)]
pub(super) struct Producers(BTreeMap<i64, ProducerUpdate>);

/// What one batch adds to its producer's state; None for a producer without an id.
pub(crate) fn update_of(header: &BatchHeader, base_offset: Offset) -> Option<ProducerUpdate> {
    (header.producer_id >= 0).then(|| ProducerUpdate {
        producer_id: header.producer_id,
        epoch: header.producer_epoch,
        last_timestamp: header.max_timestamp,
        batches: vec![ProducerBatch {
            base_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            base_offset,
            end_offset: base_offset + i64::from(header.last_offset_delta) + 1,
            timestamp: header.max_timestamp,
        }],
    })
}

/// Adds an update to what is known of its producer: a newer epoch starts afresh, the last five batches stay.
pub(crate) fn merge(known: &mut BTreeMap<i64, ProducerUpdate>, update: &ProducerUpdate) {
    match known.get_mut(&update.producer_id) {
        Some(state) if state.epoch == update.epoch => {
            // What is known already may be told again.
            let known = state.batches.last().map_or(Offset::MIN, |last| last.base_offset);
            state.batches.extend(update.batches.iter().filter(|batch| batch.base_offset > known).copied());
            let surplus = state.batches.len().saturating_sub(MAX_BATCHES_OF_PRODUCER);
            state.batches.drain(..surplus);
            state.last_timestamp = state.last_timestamp.max(update.last_timestamp);
        }
        Some(state) if state.epoch > update.epoch => {}
        _ => {
            known.insert(update.producer_id, update.clone());
            if known.len() > MAX_PRODUCERS {
                forget_idlest(known);
            }
        }
    }
}

fn forget_idlest(known: &mut BTreeMap<i64, ProducerUpdate>) {
    let position = |update: &ProducerUpdate| update.batches.last().map_or(0, |batch| batch.base_offset);
    let idlest = known.values().min_by_key(|update| position(update)).map(|update| update.producer_id);
    if let Some(idlest) = idlest {
        known.remove(&idlest);
    }
}

impl Producers {
    pub(super) fn from_updates<'a>(updates: impl Iterator<Item = &'a ProducerUpdate>) -> Self {
        Self(updates.map(|update| (update.producer_id, update.clone())).collect())
    }

    /// Kafka's checks for a batch that is about to be appended.
    pub(super) fn check(&self, header: &BatchHeader) -> Result<Verdict, AppendError> {
        let producer_id = header.producer_id;
        if producer_id < 0 {
            return Ok(Verdict::Next);
        }
        // Nothing known: any sequence is accepted, as the state may have expired.
        let Some(state) = self.0.get(&producer_id) else { return Ok(Verdict::Next) };
        let found = header.base_sequence;
        if header.producer_epoch < state.epoch {
            return Err(AppendError::InvalidProducerEpoch { producer_id, current: state.epoch, found: header.producer_epoch });
        }
        if header.producer_epoch > state.epoch {
            return if found == 0 { Ok(Verdict::Next) } else { Err(AppendError::OutOfOrderSequence { producer_id, expected: 0, found }) };
        }
        let same = |batch: &&ProducerBatch| (batch.base_sequence, batch.last_sequence) == (found, header.last_sequence());
        if let Some(batch) = state.batches.iter().find(same) {
            return Ok(Verdict::Duplicate(*batch));
        }
        let expected = state.batches.last().map_or(0, |last| next_sequence(last.last_sequence));
        if found == expected {
            return Ok(Verdict::Next);
        }
        let full = state.batches.len() >= MAX_BATCHES_OF_PRODUCER;
        if full && state.batches.first().is_some_and(|oldest| is_before(header.last_sequence(), oldest.base_sequence)) {
            return Err(AppendError::DuplicateSequence { producer_id, found });
        }
        Err(AppendError::OutOfOrderSequence { producer_id, expected, found })
    }

    pub(super) fn all(&self) -> Vec<ProducerUpdate> {
        self.0.values().cloned().collect()
    }

    pub(super) fn record(&mut self, update: &ProducerUpdate) {
        merge(&mut self.0, update);
    }
}

fn next_sequence(last: i32) -> i32 {
    last.checked_add(1).unwrap_or(0)
}

/// Whether `a` comes before `b` on the circle of sequences.
fn is_before(a: i32, b: i32) -> bool {
    let distance = (i64::from(b) - i64::from(a)).rem_euclid(1 << 31);
    (1..1 << 30).contains(&distance)
}

#[cfg(test)]
mod tests;
