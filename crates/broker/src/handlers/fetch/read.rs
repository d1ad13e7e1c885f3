//! One pass over the partitions of a fetch: what each has now.
//!
//! Partitions are read side by side in waves whose limits together fit into the room that is left, so that history comes
//! in parallel and the answer stays within its size. Room is charged before history is read: the first wave waits for
//! the budget of replays, later ones take what is free or end the answer there.

use super::plan::{Plan, Planned, Refused};
use crate::broker::Broker;
use crate::budget::Held;
use crate::errors;
use floe_log::{Offsets, Partition, ReadError, ReadRequest, ReadResult};
use floe_protocol::ErrorCode;
use floe_protocol::fetch::FetchPartition;
use futures::future::join_all;
use std::collections::VecDeque;
use std::sync::Arc;

/// Partitions read side by side.
const WAVE: usize = 64;

/// What a pass found.
#[derive(Debug)]
pub(super) struct Pass {
    /// One for each partition of the plan, in its order.
    pub(super) answers: Vec<FetchPartition>,
    pub(super) bytes: usize,
    /// Whether a partition has something to say that must not wait.
    pub(super) failed: bool,
    pub(super) held: Vec<Held>,
}

/// A partition to be read.
struct Wanted<'a> {
    /// Its place in the answer.
    at: usize,
    planned: &'a Planned,
    partition: &'a Arc<Partition>,
    /// Whether it has records for this fetch. One that has none is read all the same: it may have been closed.
    has_records: bool,
    at_least_one: bool,
}

/// Reads once. With `min_bytes` of a partition, no more of it is waited for.
pub(super) async fn pass(broker: &Broker, plan: &Plan, min_bytes: usize) -> Pass {
    let mut pass = Pass { answers: Vec::new(), bytes: 0, failed: false, held: Vec::new() };
    let mut wanted = VecDeque::new();
    let mut first = true;
    for (at, planned) in plan.all().enumerate() {
        let (answer, partition) = look(planned);
        pass.failed |= answer.error_code != 0 || answer.diverging_epoch.is_some();
        if let Some(partition) = partition {
            let has_records = planned.offset < answer.high_watermark;
            wanted.push_back(Wanted { at, planned, partition, has_records, at_least_one: has_records && first });
            first &= !has_records;
        }
        pass.answers.push(answer);
    }
    pass.read_waves(broker, wanted, (min_bytes, plan.max_bytes)).await;
    if plan.read_committed {
        pass.answers.iter_mut().filter(|answer| answer.error_code == 0).for_each(|answer| answer.aborted = Some(Vec::new()));
    }
    pass
}

/// The answer without records, and the partition if it is to be read.
fn look(planned: &Planned) -> (FetchPartition, Option<&Arc<Partition>>) {
    let index = planned.index;
    let partition = match &planned.partition {
        Ok(partition) => partition,
        Err(Refused { code, leader }) => {
            let current_leader = leader.map(|leader| (leader.id, leader.epoch));
            return (FetchPartition { index, error_code: code.code(), current_leader, ..FetchPartition::default() }, None);
        }
    };
    let offsets = partition.offsets();
    if let Some(diverging_epoch) = diverging(partition, planned) {
        return (FetchPartition { diverging_epoch: Some(diverging_epoch), ..answer(index, &offsets) }, None);
    }
    if planned.offset < offsets.log_start || planned.offset > offsets.end {
        return (FetchPartition { error_code: ErrorCode::OffsetOutOfRange.code(), ..answer(index, &offsets) }, None);
    }
    // Between `committed` and `end` there is something, but not yet for consumers.
    let readable = planned.offset <= offsets.committed;
    (answer(index, &offsets), readable.then_some(partition))
}

fn answer(index: i32, offsets: &Offsets) -> FetchPartition {
    FetchPartition {
        index,
        high_watermark: offsets.committed,
        // No transactions: everything committed is stable.
        last_stable_offset: offsets.committed,
        log_start_offset: offsets.log_start,
        ..FetchPartition::default()
    }
}

/// Where the fetcher's log departs from this one (KIP-595), if it says which epoch it has read last.
fn diverging(partition: &Partition, planned: &Planned) -> Option<(i32, i64)> {
    if planned.last_fetched_epoch < 0 {
        return None;
    }
    let (epoch, end) = partition.end_of_epoch(planned.last_fetched_epoch)?;
    (epoch < planned.last_fetched_epoch || end < planned.offset).then_some((epoch, end))
}

impl Pass {
    async fn read_waves(&mut self, broker: &Broker, mut wanted: VecDeque<Wanted<'_>>, (min_bytes, max_bytes): (usize, usize)) {
        let mut room = max_bytes;
        let mut replayed = None;
        while !wanted.is_empty() {
            let wave = next_wave(&mut wanted, room);
            if !charge(broker, &wave, &mut replayed).await {
                break;
            }
            let mut reads = Vec::with_capacity(wave.len());
            for (wanted, limit) in &wave {
                let request =
                    ReadRequest { offset: wanted.planned.offset, max_bytes: *limit, at_least_one: wanted.at_least_one, min_bytes };
                reads.push(wanted.partition.read(request));
            }
            let results = join_all(reads).await;
            for ((wanted, _), result) in wave.iter().zip(results) {
                let read = self.take(broker, wanted, result);
                room = room.saturating_sub(read);
            }
        }
        self.settle(broker, replayed).await;
    }

    /// Puts one partition's records into the answer.
    fn take(&mut self, broker: &Broker, wanted: &Wanted<'_>, result: Result<ReadResult, ReadError>) -> usize {
        let Some(answer) = self.answers.get_mut(wanted.at) else { return 0 };
        match result {
            Ok(result) => {
                answer.high_watermark = result.committed;
                answer.last_stable_offset = result.committed;
                answer.log_start_offset = result.log_start;
                answer.records = result.batches;
                self.bytes += result.bytes;
                result.bytes
            }
            Err(error) => {
                let code = errors::of_read(&error);
                if code != ErrorCode::OffsetOutOfRange {
                    errors::log_read(broker, wanted.partition.id(), wanted.planned.offset, &error);
                    (answer.high_watermark, answer.last_stable_offset, answer.log_start_offset) = (-1, -1, -1);
                }
                answer.error_code = code.code();
                if code == ErrorCode::NotLeaderOrFollower {
                    // It was given away while this fetch waited (KIP-951).
                    let leader = broker.leader(wanted.partition.id()).filter(|leader| leader.id != broker.id());
                    answer.current_leader = leader.map(|leader| (leader.id, leader.epoch));
                }
                self.failed = true;
                0
            }
        }
    }

    /// Charges what was really read: history first, the rest to the answers.
    async fn settle(&mut self, broker: &Broker, replayed: Option<Held>) {
        let mut rest = self.bytes;
        if let Some(mut held) = replayed {
            held.shrink_to(rest);
            rest -= rest.min(held.bytes());
            self.held.push(held);
        }
        if rest > 0 {
            self.held.push(broker.answers.acquire(rest).await);
        }
    }
}

/// The next partitions whose limits fit into `room` together, at least one, each with its limit.
fn next_wave<'a>(wanted: &mut VecDeque<Wanted<'a>>, room: usize) -> Vec<(Wanted<'a>, usize)> {
    let mut wave = Vec::new();
    let mut left = room;
    while let Some(next) = wanted.front()
        && wave.len() < WAVE
    {
        let limit = if next.has_records { next.planned.max_bytes.min(room) } else { 0 };
        if limit > left && !wave.is_empty() {
            break;
        }
        left = left.saturating_sub(limit);
        let next = wanted.pop_front().expect("the front was just looked at");
        wave.push((next, limit));
    }
    wave
}

/// Takes room for what the wave may bring from history. False if there is none for a later wave.
async fn charge(broker: &Broker, wave: &[(Wanted<'_>, usize)], replayed: &mut Option<Held>) -> bool {
    let history = wave.iter().filter(|(wanted, _)| wanted.planned.offset < wanted.partition.tail_start());
    let bytes: usize = history.map(|(_, limit)| *limit).sum();
    match (bytes, replayed.as_mut()) {
        (0, _) => true,
        (_, None) => {
            *replayed = Some(broker.replays.acquire(bytes).await);
            true
        }
        (_, Some(held)) => match broker.replays.try_acquire(bytes) {
            Some(more) => {
                held.merge(more);
                true
            }
            None => false,
        },
    }
}

#[cfg(test)]
mod tests;
