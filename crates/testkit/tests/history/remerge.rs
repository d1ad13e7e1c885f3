//! Many small segments of small partitions become few in larger shared packs of the chain.

use crate::support::*;
use floe_formats::{BlockCodec, Index, PackRef, keys};
use floe_log::EngineOptions;
use floe_types::{Incarnation, PartitionId, SlotNumber};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Nothing is ever enough for a pack of its own.
fn merging() -> EngineOptions {
    EngineOptions {
        settle_bytes: 64 << 20,
        settle_least_bytes: 32 << 20,
        settle_check: SECOND,
        index_every_slots: 4,
        merge_segments: 40,
        ..object()
    }
}

fn newest_index(room: &Room, incarnation: u64) -> (Index, usize) {
    let key = room.store.peek_keys(&keys::indexes_prefix(Incarnation(incarnation))).into_iter().next().expect("there is one");
    let bytes = room.store.peek(&key).expect("it is there");
    (floe_formats::decode(&bytes).expect("sound").1, bytes.len())
}

fn listed(index: &Index) -> usize {
    index.partitions.iter().map(|line| line.segments.len()).sum()
}

/// Packs in slots of a chain: what is larger than a stop.
fn packs(room: &Room, incarnation: u64) -> Vec<SlotNumber> {
    let keys = room.store.peek_keys(&keys::slots_prefix(Incarnation(incarnation))).into_iter();
    let packs = keys.filter(|key| room.store.peek(key).is_some_and(|bytes| bytes.len() > 128));
    packs.map(|key| keys::parse_slot(&key).expect("a slot").1).collect()
}

async fn trickle(room: &Room, broker: &Broker, ids: &[PartitionId], rounds: std::ops::Range<usize>) {
    for round in rounds {
        for id in ids {
            append(&broker.partition(*id), &batch(&[(room.env.now_ms(), &round.to_string())])).await.expect("appended");
        }
    }
}

async fn assert_all(broker: &Broker, ids: &[PartitionId], rounds: usize) {
    let expected: Vec<String> = (0..rounds).map(|round| round.to_string()).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    for id in ids {
        assert_eq!(values(&broker.partition(*id), 0).await, numbered(0, &expected));
    }
}

#[test]
fn small_partitions_move_into_few_larger_packs_and_the_row_in_front_of_them_goes() {
    run(async {
        let room = Room::new(81);
        let broker = room.start(merging()).await;
        let mut ids = Vec::new();
        for n in 0..10 {
            ids.push(broker.topic(&format!("t{n}"), &[]).await);
        }
        trickle(&room, &broker, &ids, 0..150).await;
        room.pass(60 * SECOND).await;
        let (index, _) = newest_index(&room, 1);
        assert!(listed(&index) <= 400, "{} of 1,500 segments are listed", listed(&index));
        // From the first merged pack on: it waits for others of its size.
        assert!(packs(&room, 1).len() <= 1_250, "{} of 1,500 slots are left", packs(&room, 1).len());
        assert!(broker.engine.status().remerged_segments > 0);
        assert_all(&broker, &ids, 150).await;
        room.crash(broker).await;
        let broker = room.with_new_disk().start(merging()).await;
        assert_all(&broker, &ids, 150).await;
        assert_eq!(append(&broker.partition(ids[3]), &batch(&[(1, "x")])).await, Ok(151));
        room.assert_clean().await;
    });
}

#[test]
fn t53_what_is_merged_into_a_later_chain_frees_the_earlier_one() {
    run(async {
        let room = Room::new(82);
        let broker = room.start(merging()).await;
        let ids = [broker.topic("a", &[]).await, broker.topic("b", &[]).await];
        trickle(&room, &broker, &ids, 0..30).await;
        room.crash(broker).await;
        let broker = room.with_new_disk().start(merging()).await;
        assert!(!packs(&room, 1).is_empty());
        trickle(&room, &broker, &ids, 30..60).await;
        room.pass(60 * SECOND).await;
        let (index, _) = newest_index(&room, 2);
        let of_first = |pack: &PackRef| matches!(pack, PackRef::Slot { incarnation: Incarnation(1), .. } | PackRef::Recovery { .. });
        let named = index.partitions.iter().flat_map(|line| &line.segments).filter(|segment| of_first(&segment.pack)).count();
        assert_eq!((named, packs(&room, 1)), (0, vec![]), "all of it lies in the chain of today");
        assert_all(&broker, &ids, 60).await;
        room.crash(broker).await;
        let broker = room.with_new_disk().start(merging()).await;
        assert_all(&broker, &ids, 60).await;
        room.assert_clean().await;
    });
}

#[test]
fn what_was_merged_is_settled_when_it_is_enough_and_retained_as_the_topic_says() {
    run(async {
        let room = Room::new(83);
        let options = EngineOptions { settle_bytes: 6_000, settle_least_bytes: 6_000, retention_check: SECOND, ..merging() };
        let broker = room.start(options).await;
        let (kept, short) = (broker.topic("kept", &[]).await, broker.topic("short", &[("retention.bytes", "2000")]).await);
        trickle(&room, &broker, &[kept, short], 0..150).await;
        room.pass(60 * SECOND).await;
        assert!(!room.store.peek_keys(&keys::manifests_prefix(kept)).is_empty(), "enough for a pack of its own");
        assert_all(&broker, &[kept], 150).await;
        let start = broker.log_start(short);
        assert!(start > 0, "whole segments go, merged or not");
        let left = values(&broker.partition(short), start).await;
        assert_eq!(left.last(), Some(&(149, "149".to_owned())));
        room.crash(broker).await;
        room.assert_clean().await;
    });
}

/// Records of each ten seconds.
const OF_A_TICK: usize = 42;

/// So many partitions get a record each in turn, for so many ticks of ten seconds. What is stored is not compressed: records
/// that cannot be would take as much.
#[expect(clippy::print_stdout, reason = "what was measured is shown with --nocapture")]
async fn trickle_for_long(partitions: i32, ticks: u64) {
    let room = Room::new(84);
    let options = EngineOptions {
        settle_check: 10 * SECOND,
        index_every_slots: 64,
        merge_segments: 4096,
        block_codec: BlockCodec::None,
        ..merging()
    };
    let broker = room.start(options).await;
    let new = floe_log::NewTopic { name: "many".into(), partitions, configs: Default::default() };
    let topic = broker.engine.create_topic(new).await.expect("created").id;
    let partitions: Vec<_> = (0..partitions).map(|index| broker.partition(PartitionId { topic, index })).collect();
    let before = room.store.counts();
    let (mut next, mut most_bytes, mut bytes, mut most_slots) = (0, 0, 0_u64, 0);
    for tick in 0..ticks {
        let value = "a value of a hundred bytes or so, as a sensor sends it: on 21.5, off 19.0, state 3, battery 88 %";
        let record = batch(&[(room.env.now_ms(), value)]);
        let header = floe_records::BatchHeader::parse(&record).expect("well formed");
        let mut last = None;
        for _ in 0..OF_A_TICK {
            let partition = &partitions[next % partitions.len()];
            last = Some((partition, partition.append(&record, &header).expect("appended").end_offset));
            next += 1;
            bytes += record.len() as u64;
        }
        let (partition, end) = last.expect("some were appended");
        partition.committed(end).await.expect("committed");
        room.pass(10 * SECOND).await;
        if tick % 100 == 99 && tick >= 1_100 {
            most_bytes = most_bytes.max(newest_index(&room, 1).1);
            most_slots = most_slots.max(packs(&room, 1).len());
        }
    }
    let after = room.store.counts();
    let requests = after.total_requests() - before.total_requests();
    let status = broker.engine.status();
    let of = |kind: &str| after.written.get(kind).copied().unwrap_or(0) - before.written.get(kind).copied().unwrap_or(0);
    let amplification = (after.bytes_written - before.bytes_written) as f64 / bytes as f64;
    println!(
        "{next} records of {bytes} bytes, {amplification:.2} times as much written: {} to slots, of that {} of records again, {} to \
         indexes; an index of {most_bytes} bytes at most, {requests} requests for {ticks} flushes, {most_slots} slots at most",
        of("slot"),
        status.remerged_bytes,
        of("index"),
    );
    assert!(status.remerged_bytes > 0 && amplification <= 3.0, "{amplification}");
    assert!(of("index") * 4 <= of("slot"), "indexes are a small part of what is written");
    assert!(most_bytes <= 64 << 20, "{most_bytes}");
    assert!(requests <= 5 * ticks, "by bytes and time, not by partitions: {requests}");
    // From the oldest merged pack on, which holds the front: 32 turns before the next merge, and those of an index.
    let turn = partitions.len().div_ceil(OF_A_TICK);
    assert!(most_slots <= 42 * turn, "{most_slots}");
}

#[test]
fn five_thousand_partitions_trickle_for_a_day_and_little_is_written_for_it() {
    let full = std::env::var_os("FLOE_TEST_FULL").is_some();
    run(async move { if full { trickle_for_long(5_000, 8_640).await } else { trickle_for_long(1_000, 1_728).await } });
}
