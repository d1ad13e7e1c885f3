//! What a fetch asks for, with every partition looked up once. Partitions that cannot be read are refused here; the
//! others are read as often as the long poll needs.

use crate::broker::{Broker, check_leader_epoch, find_topic};
use floe_formats::Topic;
use floe_log::Partition;
use floe_protocol::ErrorCode;
use floe_protocol::messages::fetch_request::{FetchPartition as Asked, FetchTopic as AskedTopic};
use floe_protocol::messages::{FetchRequest, StrBytes, Uuid};
use std::sync::Arc;

/// First version that names topics by id.
const TOPIC_IDS: i16 = 13;

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
    /// This broker's epoch, where the client's is older (KIP-951).
    pub(super) leader_epoch: Option<i32>,
}

impl Plan {
    pub(super) fn new(broker: &Broker, version: i16, request: FetchRequest) -> Self {
        let limit = usize::try_from(broker.config.fetch_max_bytes.0).unwrap_or(usize::MAX);
        let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(limit);
        let is_follower = request.replica_id >= 0 || request.replica_state.replica_id >= 0;
        let view = broker.view();
        let topics = request
            .topics
            .into_iter()
            .map(|asked| {
                let topic = if is_follower {
                    Err(ErrorCode::NotLeaderOrFollower)
                } else {
                    find_topic(&view, &asked.topic, asked.topic_id, version >= TOPIC_IDS)
                };
                PlannedTopic::new(broker, topic, asked)
            })
            .collect();
        Self { topics, max_bytes, read_committed: request.isolation_level == 1 }
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
    fn new(broker: &Broker, topic: Result<Arc<Topic>, ErrorCode>, asked: AskedTopic) -> Self {
        let partitions = asked.partitions.iter().map(|asked| Planned::new(broker, &topic, asked)).collect();
        Self { name: asked.topic, id: asked.topic_id, partitions }
    }
}

impl Planned {
    fn new(broker: &Broker, topic: &Result<Arc<Topic>, ErrorCode>, asked: &Asked) -> Self {
        let refused = |code| Refused { code, leader_epoch: None };
        let partition = topic.as_ref().map_err(|code| *code).and_then(|topic| broker.partition(topic, asked.partition)).map_err(refused);
        let partition = partition.and_then(|partition| match check_leader_epoch(&partition, asked.current_leader_epoch) {
            Ok(()) => Ok(partition),
            Err(code) => {
                let fenced = code == ErrorCode::FencedLeaderEpoch;
                Err(Refused { code, leader_epoch: fenced.then(|| partition.leader_epoch()) })
            }
        });
        Self {
            index: asked.partition,
            offset: asked.fetch_offset,
            max_bytes: usize::try_from(asked.partition_max_bytes).unwrap_or(0),
            last_fetched_epoch: asked.last_fetched_epoch,
            partition,
        }
    }
}
