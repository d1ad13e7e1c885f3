//! Passes over partitions of a simulated broker: what is charged, what fits, what is not there yet.

use super::super::plan::Terms;
use super::super::session::Run;
use super::*;
use crate::testing::{World, batch, create_topic};
use floe_log::{Durability, EngineOptions};
use floe_protocol::message;
use floe_protocol::messages::fetch_request::{FetchPartition as Asked, FetchTopic as AskedTopic};
use floe_records::BatchHeader;
use futures::FutureExt;

async fn append(broker: &Broker, partition: &Arc<Partition>, len: usize) {
    let batch = batch(&broker.env, len);
    let header = BatchHeader::parse(&batch).expect("well formed");
    let appended = partition.append(&batch, &header).expect("appended");
    partition.committed(appended.end_offset).await.expect("committed");
}

fn plan(broker: &Broker, topic: &str, partitions: &[(i32, i64)], partition_max_bytes: i32, max_bytes: i32) -> Plan {
    let asked = |(partition, fetch_offset): &(i32, i64)| {
        message!(Asked { partition: *partition, fetch_offset: *fetch_offset, partition_max_bytes })
    };
    let topic = message!(AskedTopic { topic: topic.into(), partitions: partitions.iter().map(asked).collect() });
    let terms = Terms { by_id: false, is_follower: false, max_bytes, read_committed: false };
    Plan::new(broker, terms, &[Run::from(&topic)])
}

#[tokio::test(start_paused = true)]
async fn history_waits_for_its_own_budget_and_the_tail_does_not() {
    let world = World::new(1);
    let broker = world.broker().await;
    let partitions = create_topic(&broker, "old", 2, Durability::Object).await;
    for partition in &partitions {
        append(&broker, partition, 1_000).await;
    }
    drop(partitions);
    world.stop(broker).await;

    let broker = world.broker_with(Default::default(), EngineOptions::default()).await;
    let new = create_topic(&broker, "new", 1, Durability::Local).await;
    append(&broker, &new[0], 1_000).await;
    let everything = broker.replays.acquire(usize::MAX).await;
    let replay = plan(&broker, "old", &[(0, 0), (1, 0)], 1 << 20, 8 << 20);
    let mut replaying = Box::pin(pass(&broker, &replay, usize::MAX));
    assert!(replaying.as_mut().now_or_never().is_none(), "no room for history");
    let tail = pass(&broker, &plan(&broker, "new", &[(0, 0)], 1 << 20, 8 << 20), usize::MAX).await;
    assert!(tail.bytes > 1_000);
    assert_eq!(broker.answers.in_use(), tail.bytes, "charged for what was read");
    drop((tail, everything));
    let replayed = replaying.await;
    assert_eq!(replayed.answers.iter().filter(|a| !a.records.is_empty()).count(), 2);
    assert_eq!((broker.replays.in_use(), broker.answers.in_use()), (replayed.bytes, 0));
    drop(replayed);
    assert_eq!(broker.replays.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_wave_takes_as_many_partitions_as_fit_together() {
    let world = World::new(2);
    let broker = world.broker().await;
    let partitions = create_topic(&broker, "t", 5, Durability::Local).await;
    for partition in &partitions {
        append(&broker, partition, 1_000).await;
    }
    let plan = plan(&broker, "t", &[(0, 0), (1, 1), (2, 0), (3, 0), (4, 0)], 1_000, 10_000);
    let mut queue: VecDeque<_> = plan
        .all()
        .enumerate()
        .map(|(at, planned)| {
            let partition = planned.partition.as_ref().expect("led here");
            Wanted { at, planned, partition, has_records: planned.offset == 0, at_least_one: at == 0 }
        })
        .collect();
    let limits = |wave: Vec<(Wanted<'_>, usize)>| wave.iter().map(|(wanted, limit)| (wanted.at, *limit)).collect::<Vec<_>>();
    assert_eq!(limits(next_wave(&mut queue, 2_500)), [(0, 1_000), (1, 0), (2, 1_000)], "an empty one takes no room");
    assert_eq!(limits(next_wave(&mut queue, 400)), [(3, 400)], "what is left of the room bounds the next");
    assert_eq!(limits(next_wave(&mut queue, 0)), [(4, 0)], "without room they are still looked at");
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_committed_is_not_an_error_and_not_there() {
    let world = World::new(3);
    let broker = world.broker().await;
    let partitions = create_topic(&broker, "t", 1, Durability::Object).await;
    world.store.set_available(false);
    let bytes = batch(&broker.env, 10);
    let header = BatchHeader::parse(&bytes).expect("well formed");
    partitions[0].append(&bytes, &header).expect("appended");
    for (offset, code) in [(0, 0), (1, 0), (2, 1)] {
        let pass = pass(&broker, &plan(&broker, "t", &[(0, offset)], 1_000, 1_000), usize::MAX).await;
        let answer = &pass.answers[0];
        assert_eq!((answer.error_code, answer.high_watermark, answer.records.len()), (code, 0, 0), "at {offset}");
    }
}
