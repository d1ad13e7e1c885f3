//! What a fetch asks for, with every partition looked up once. Partitions that cannot be read are refused here; the
//! others are read as often as the long poll needs.

use super::session::Run;
use crate::broker::{Broker, check_leader_epoch, find_topic};
use crate::nodes::Leader;
use floe_formats::Topic;
use floe_log::Partition;
use floe_protocol::ErrorCode;
use floe_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use floe_protocol::messages::{StrBytes, Uuid};
use floe_types::PartitionId;
use std::sync::Arc;

/// What is asked of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AskedPartition {
    pub(super) index: i32,
    pub(super) offset: i64,
    pub(super) max_bytes: i32,
    /// The epoch that the client knows; -1 if it knows none.
    pub(super) leader_epoch: i32,
    pub(super) last_fetched_epoch: i32,
}

impl From<&FetchPartition> for AskedPartition {
    fn from(asked: &FetchPartition) -> Self {
        Self {
            index: asked.partition,
            offset: asked.fetch_offset,
            max_bytes: asked.partition_max_bytes,
            leader_epoch: asked.current_leader_epoch,
            last_fetched_epoch: asked.last_fetched_epoch,
        }
    }
}

impl From<&FetchTopic> for Run {
    fn from(asked: &FetchTopic) -> Self {
        Self { name: asked.topic.clone(), id: asked.topic_id, partitions: asked.partitions.iter().map(AskedPartition::from).collect() }
    }
}

/// What a request says besides its partitions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) by_id: bool,
    pub(super) is_follower: bool,
    /// Bytes of records in the whole answer, as the client wants it.
    pub(super) max_bytes: i32,
    pub(super) read_committed: bool,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) topics: Vec<PlannedTopic>,
    /// Bytes of records in the whole answer.
    pub(super) max_bytes: usize,
    pub(super) read_committed: bool,
}

#[derive(Debug)]
pub(super) struct PlannedTopic {
    pub(super) name: StrBytes,
    pub(super) id: Uuid,
    pub(super) partitions: Vec<Planned>,
}

/// One partition of the request.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) index: i32,
    pub(super) offset: i64,
    pub(super) max_bytes: usize,
    /// The epoch of the record before `offset` in the fetcher's log; -1 if it does not say.
    pub(super) last_fetched_epoch: i32,
    pub(super) partition: Result<Arc<Partition>, Refused>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Refused {
    pub(super) code: ErrorCode,
    /// Who leads it, where the client believes something else (KIP-951).
    pub(super) leader: Option<Leader>,
}

impl Plan {
    pub(super) fn new(broker: &Broker, terms: Terms, runs: &[Run]) -> Self {
        let limit = usize::try_from(broker.settings().fetch_max_bytes.0).unwrap_or(usize::MAX);
        let max_bytes = usize::try_from(terms.max_bytes).unwrap_or(0).min(limit);
        let view = broker.view();
        let topics = runs
            .iter()
            .map(|run| {
                let topic =
                    if terms.is_follower { Err(ErrorCode::NotLeaderOrFollower) } else { find_topic(&view, &run.name, run.id, terms.by_id) };
                PlannedTopic::new(broker, topic, run)
            })
            .collect();
        Self { topics, max_bytes, read_committed: terms.read_committed }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.topics.iter().all(|topic| topic.partitions.is_empty())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Planned> {
        self.topics.iter().flat_map(|topic| &topic.partitions)
    }

    /// Those that can be read.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.all().filter_map(|planned| planned.partition.as_ref().ok())
    }
}

impl PlannedTopic {
    fn new(broker: &Broker, topic: Result<Arc<Topic>, ErrorCode>, run: &Run) -> Self {
        let partitions = run.partitions.iter().map(|asked| Planned::new(broker, &topic, *asked)).collect();
        Self { name: run.name.clone(), id: run.id, partitions }
    }
}

impl Planned {
    fn new(broker: &Broker, topic: &Result<Arc<Topic>, ErrorCode>, asked: AskedPartition) -> Self {
        let refused = |code| {
            let topic = topic.as_ref().ok().filter(|_| code == ErrorCode::NotLeaderOrFollower);
            let leader = topic.and_then(|topic| broker.leader(PartitionId { topic: topic.id, index: asked.index }));
            Refused { code, leader }
        };
        let partition = topic.as_ref().map_err(|code| *code).and_then(|topic| broker.partition(topic, asked.index)).map_err(refused);
        let partition = partition.and_then(|partition| match check_leader_epoch(&partition, asked.leader_epoch) {
            Ok(()) => Ok(partition),
            Err(code) => {
                let fenced = code == ErrorCode::FencedLeaderEpoch;
                Err(Refused { code, leader: fenced.then(|| Leader { id: broker.id(), epoch: partition.leader_epoch() }) })
            }
        });
        Self {
            index: asked.index,
            offset: asked.offset,
            max_bytes: usize::try_from(asked.max_bytes).unwrap_or(0),
            last_fetched_epoch: asked.last_fetched_epoch,
            partition,
        }
    }
}
