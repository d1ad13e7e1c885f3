//! DescribeLogDirs: where a partition's bytes are. Kafka's directories are places here: `wal` holds what only the local
//! disk has, `store` what the object store has, `cache` copies of that, which are not counted by partition.
//!
//! How far a place is behind is how many committed records it lacks: for `store`, those that are still to be flushed.

use crate::broker::Broker;
use floe_formats::Topic;
use floe_log::PartitionSizes;
use floe_protocol::message;
use floe_protocol::messages::describe_log_dirs_response::{DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic};
use floe_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use floe_types::PartitionId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) fn handle(broker: &Broker, request: &DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let (mut wal, mut store) = (Vec::new(), Vec::new());
    for (topic, indexes) in wanted(broker, request) {
        let sizes = |index| Some((index, broker.engine.partition(PartitionId { topic: topic.id, index })?.sizes()));
        let sizes: Vec<(i32, PartitionSizes)> = indexes.into_iter().filter_map(sizes).collect();
        wal.push(describe(&topic, sizes.iter().map(|(index, sizes)| (*index, sizes.wal_bytes, 0))));
        store.push(describe(&topic, sizes.iter().map(|(index, sizes)| (*index, sizes.stored_bytes, sizes.records_not_stored))));
    }
    let (options, status) = (broker.engine.options(), broker.engine.status());
    let results = vec![
        place("wal", wal, Some((options.wal_budget, status.wal_bytes))),
        place("store", store, None),
        place("cache", Vec::new(), Some((options.cache_bytes, status.cached_bytes))),
    ];
    message!(DescribeLogDirsResponse { results })
}

/// The topics asked for, with those of their partitions that are; what is not there is not named.
fn wanted(broker: &Broker, request: &DescribeLogDirsRequest) -> Vec<(Arc<Topic>, BTreeSet<i32>)> {
    let view = broker.view();
    let Some(asked) = &request.topics else {
        return view.topics().map(|topic| (topic.clone(), (0..topic.partitions).collect())).collect();
    };
    let mut wanted: BTreeMap<&str, (Arc<Topic>, BTreeSet<i32>)> = BTreeMap::new();
    for asked in asked {
        let Some(topic) = view.by_name(&asked.topic) else { continue };
        let indexes = asked.partitions.iter().copied().filter(|index| (0..topic.partitions).contains(index));
        wanted.entry(asked.topic.as_str()).or_insert_with(|| (topic.clone(), BTreeSet::new())).1.extend(indexes);
    }
    wanted.into_values().collect()
}

/// Index, bytes, and how far behind.
fn describe(topic: &Topic, partitions: impl Iterator<Item = (i32, u64, i64)>) -> DescribeLogDirsTopic {
    let partitions = partitions.map(|(index, bytes, lag)| {
        message!(DescribeLogDirsPartition { partition_index: index, partition_size: whole(bytes), offset_lag: lag })
    });
    message!(DescribeLogDirsTopic { name: topic.name.as_str().into(), partitions: partitions.collect() })
}

/// `limit` is how many bytes may be there and how many are; where there is no limit, neither is known.
fn place(name: &str, topics: Vec<DescribeLogDirsTopic>, limit: Option<(u64, u64)>) -> DescribeLogDirsResult {
    let (total_bytes, usable_bytes) = limit.map_or((-1, -1), |(total, used)| (whole(total), whole(total.saturating_sub(used))));
    message!(DescribeLogDirsResult { log_dir: name.into(), topics, total_bytes, usable_bytes })
}

fn whole(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
