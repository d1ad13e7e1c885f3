//! A start, and the first look at what is old: how many requests they take.

use crate::support::*;
use bytes::Bytes;
use floe_formats::{BatchSlice, Manifest, PackBuilder, PackKind, PackRef, PartitionIndex, SegmentMeta, SegmentRef, Ulid, Writer, keys};
use floe_log::{EngineOptions, ReadRequest};
use floe_testkit::store_faults::StoreOp;
use floe_types::{Incarnation, Offset, PartitionId, SlotNumber, WriteId};
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const VALUE: &str = "a value of some length, so that a few of them are worth a pack of their own";

/// Every few records are a pack of their own.
fn many_packs() -> EngineOptions {
    EngineOptions { settle_bytes: 500, settle_least_bytes: 100, settle_check: SECOND, index_every_slots: 4, ..object() }
}

/// A partition of so many records, one a second from unix second 1,000 on, most of them in own packs.
async fn filled(seed: u64, records: i64) -> (Room, PartitionId) {
    let room = Room::new(seed);
    let broker = room.start(many_packs()).await;
    let id = broker.topic("t", &[]).await;
    for n in 0..records {
        append(&broker.partition(id), &batch(&[(1_000_000 + 1_000 * n, VALUE)])).await.expect("appended");
    }
    room.pass(20 * SECOND).await;
    room.crash(broker).await;
    (room.with_new_disk(), id)
}

/// Requests since `before`, by kind.
fn since(room: &Room, before: &BTreeMap<StoreOp, u64>) -> BTreeMap<StoreOp, u64> {
    let now = room.store.counts().requests;
    now.into_iter().map(|(op, count)| (op, count - before.get(&op).copied().unwrap_or(0))).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn a_start_asks_as_much_of_a_partition_with_a_long_history_as_of_one_with_a_short() {
    run(async {
        let mut asked = Vec::new();
        for records in [20, 600] {
            let (room, id) = filled(71, records).await;
            let packs = room.store.peek_keys(&keys::own_packs_prefix(id)).len();
            assert!(records < 600 || packs > 80, "{packs}");
            let before = room.store.counts().total_requests();
            let broker = room.start(many_packs()).await;
            asked.push(room.store.counts().total_requests() - before);
            assert_eq!(append(&broker.partition(id), &batch(&[(1, "x")])).await, Ok(records + 1));
        }
        assert!(asked[1] <= asked[0] + 4, "a few slots more or less: {asked:?}");
    });
}

#[test]
fn a_cold_offset_and_a_cold_time_take_three_requests() {
    run(async {
        let (room, id) = filled(72, 600).await;
        for (wanted, by_time) in [(3, false), (251, false), (3, true), (251, true)] {
            // Nothing happens by itself while we look.
            let broker = room.start(EngineOptions { settle_check: 100_000 * SECOND, ..many_packs() }).await;
            room.pass(SECOND).await;
            let partition = broker.partition(id);
            let before = room.store.counts().requests;
            if by_time {
                let found = partition.offset_for_time(1_000_000 + 1_000 * wanted - 500).await.expect("readable");
                assert_eq!(found, Some((wanted, 1_000_000 + 1_000 * wanted)));
            } else {
                let request = ReadRequest { offset: wanted, max_bytes: 1, at_least_one: true };
                let read = partition.read(request).await.expect("readable");
                assert_eq!(floe_records::BatchHeader::parse(&read.batches[0]).expect("sound").base_offset, wanted as Offset);
            }
            let asked = since(&room, &before);
            assert!(asked.values().sum::<u64>() <= 3, "manifest, footer, block: {asked:?}");
            room.crash(broker).await;
        }
    });
}

/// Settles a partition's batches of one record each as its owner of epoch 1 would: every batch in a pack of its own.
fn settle_each(room: &Room, id: PartitionId, count: Offset) {
    let writer = Writer { write_id: WriteId(7), incarnation: Incarnation(1), revision: 0 };
    let mut segments: Vec<SegmentRef> = Vec::new();
    for offset in 0..count {
        let timestamp = 1_000_000 + 1_000 * offset;
        let mut bytes = batch(&[(timestamp, VALUE)]).to_vec();
        floe_records::stamp(&mut bytes, offset, 1);
        let slice = BatchSlice { bytes: bytes.into(), base_offset: offset, end_offset: offset + 1, max_timestamp: timestamp, records: 1 };
        let meta = SegmentMeta { partition: id, epoch: 1, base_offset: offset, log_start: 0, events: vec![], producers: vec![] };
        let mut pack = PackBuilder::new(writer, PackKind::Own, Incarnation(1), None);
        pack.add_segment(meta, vec![slice]).expect("in order");
        let built = pack.finish(None, SlotNumber(0)).expect("small");
        let stored = PackRef::Own { partition: id, epoch: 1, ulid: Ulid(offset.unsigned_abs().into()) };
        room.store.plant(&stored.key(), built.payload.concat().into());
        segments.extend(built.segment_refs(stored).map(|(_, segment)| segment));
    }
    let snapshot = PartitionIndex {
        partition: id,
        epoch: 1,
        epochs: vec![floe_formats::EpochStart { epoch: 1, start: 0 }],
        log_start: 0,
        end: count,
        segments: vec![],
        producers: vec![],
        manifest: None,
    };
    let manifest = Manifest { partition: id, version: 1, epoch: 1, by: Incarnation(1), log_start: 0, segments, snapshot, compacted: 0 };
    room.store.plant(&keys::manifest(id, 1), floe_formats::encode(&writer, &manifest));
}

#[test]
fn a_partition_with_a_hundred_thousand_segments_opens_and_is_searched_as_fast_as_one_with_few() {
    const SEGMENTS: Offset = 100_000;
    run(async {
        let room = Room::new(74);
        let broker = room.start(EngineOptions { settle_check: 100_000 * SECOND, ..many_packs() }).await;
        let id = broker.topic("t", &[]).await;
        let partition = broker.partition(id);
        for offset in 0..SEGMENTS {
            let record: Bytes = batch(&[(1_000_000 + 1_000 * offset, VALUE)]);
            partition.append(&record, &floe_records::BatchHeader::parse(&record).expect("well formed")).expect("appended");
            if offset % 1_000 == 999 {
                partition.committed(offset + 1).await.expect("committed");
            }
        }
        drop(partition);
        room.crash(broker).await;
        settle_each(&room, id, SEGMENTS);
        // Its owner finds what is settled, and lists none of it any more.
        let room = room.with_new_disk();
        let broker = room.start(many_packs()).await;
        assert_eq!(append(&broker.partition(id), &batch(&[(1, VALUE)])).await, Ok(SEGMENTS + 1));
        room.pass(20 * SECOND).await;
        room.stop(broker).await;
        let manifest = room.store.peek(&room.store.peek_keys(&keys::manifests_prefix(id))[0]).expect("it is there");
        let quiet = || EngineOptions { settle_check: 100_000 * SECOND, ..many_packs() };
        for (wanted, by_time) in [(77_777, false), (77_777, true), (3, false)] {
            let room = room.with_new_disk();
            let before = room.store.counts().total_requests();
            let broker = room.start(quiet()).await;
            let asked = room.store.counts().total_requests() - before;
            assert!(asked <= 40, "a start asks {asked} times");
            room.pass(SECOND).await;
            let partition = broker.partition(id);
            let before = room.store.counts().requests;
            if by_time {
                let found = partition.offset_for_time(1_000_000 + 1_000 * wanted - 500).await.expect("readable");
                assert_eq!(found, Some((wanted, 1_000_000 + 1_000 * wanted)));
            } else {
                let read = partition.read(ReadRequest { offset: wanted, max_bytes: 1, at_least_one: true }).await.expect("readable");
                assert_eq!(floe_records::BatchHeader::parse(&read.batches[0]).expect("sound").base_offset, wanted);
            }
            let asked = since(&room, &before);
            assert!(asked.values().sum::<u64>() <= 3, "manifest, footer, block: {asked:?}");
            room.crash(broker).await;
        }
        println!("a manifest of {SEGMENTS} segments: {} bytes, {} in memory", manifest.len(), SEGMENTS as usize * size_of::<SegmentRef>());
        assert!(manifest.len() <= 8 << 20, "{}", manifest.len());
        assert!(SEGMENTS as usize * size_of::<SegmentRef>() <= 16 << 20);
    });
}

#[test]
fn t26_a_late_create_under_the_number_that_an_index_names_is_not_taken_for_what_it_named() {
    run(async {
        let (room, id) = filled(75, 300).await;
        let quiet = || EngineOptions { settle_check: 100_000 * SECOND, ..many_packs() };
        let key = room.store.peek_keys(&keys::manifests_prefix(id)).remove(0);
        let (header, named) = floe_formats::decode::<Manifest>(&room.store.peek(&key).expect("it is there")).expect("a manifest");
        // A later version counts, the one that the index names was pruned, and that of a deposed owner has landed in its place.
        let later = Manifest { version: named.version + 1, ..named.clone() };
        let mut late = named.clone();
        let gone = late.segments.split_off(late.segments.len() - 5);
        let first = gone.first().expect("it was there").base_offset;
        late.snapshot.end = first;
        room.store.plant(&keys::manifest(id, later.version), floe_formats::encode(&header.writer, &later));
        room.store.plant(&key, floe_formats::encode(&header.writer, &late));
        for by_time in [false, true] {
            let broker = room.with_new_disk().start(quiet()).await;
            let partition = broker.partition(id);
            if by_time {
                let found = partition.offset_for_time(1_000_000 + 1_000 * first).await.expect("readable");
                assert_eq!(found, Some((first, 1_000_000 + 1_000 * first)));
            } else {
                assert_eq!(values(&partition, 0).await, numbered(0, &[VALUE; 300]));
            }
            room.crash(broker).await;
        }
    });
}

#[test]
fn an_old_view_of_the_manifest_serves_readers_until_something_of_it_is_gone() {
    run(async {
        let (room, id) = filled(73, 300).await;
        let newest = room.store.peek_keys(&keys::manifests_prefix(id)).remove(0);
        let old = room.store.peek(&newest).expect("it is there");
        let broker = room.start(many_packs()).await;
        assert_eq!(broker.partition(id).delete_records(Some(100)).await, Ok(100));
        for _ in 0..30 {
            append(&broker.partition(id), &batch(&[(1, VALUE)])).await.expect("appended");
        }
        room.pass(20 * SECOND).await;
        room.crash(broker).await;
        // The version that was pruned lands again, as a paused writer's PUT would.
        room.store.plant(&newest, old);
        let broker = room.with_new_disk().start(many_packs()).await;
        assert_eq!(broker.log_start(id), 100);
        assert_eq!(values(&broker.partition(id), 100).await, numbered(100, &[VALUE; 230]));
        for _ in 0..30 {
            append(&broker.partition(id), &batch(&[(1, VALUE)])).await.expect("appended");
        }
        room.pass(20 * SECOND).await;
        assert_eq!(values(&broker.partition(id), 100).await, numbered(100, &[VALUE; 260]));
        room.crash(broker).await;
        room.assert_clean().await;
    });
}

#[test]
fn t51_what_stands_under_the_name_of_a_version_that_was_deleted_is_no_more_than_a_view() {
    run(async {
        for shape in ["less", "gone", "more"] {
            let (room, id) = filled(75, 60).await;
            let broker = room.start(many_packs()).await;
            room.pass(20 * SECOND).await;
            for _ in 0..2 {
                append(&broker.partition(id), &batch(&[(1, VALUE)])).await.expect("appended");
            }
            room.stop(broker).await;
            // The next owner published on top of what `end` names, deleted that, and died; then an earlier one's create lands.
            let key = room.store.peek_keys(&keys::manifests_prefix(id)).remove(0);
            let (header, named): (_, Manifest) = floe_formats::decode(&room.store.peek(&key).expect("it is there")).expect("sound");
            let newest = Manifest { version: named.version + 1, ..named.clone() };
            room.store.plant(&keys::manifest(id, newest.version), floe_formats::encode(&header.writer, &newest));
            let gone = |n: usize| PackRef::Own { partition: id, epoch: 1, ulid: Ulid(n as u128) };
            let mut late = Manifest { epoch: 1, by: Incarnation(1), ..named };
            match shape {
                "less" => late.segments.truncate(late.segments.len() / 2),
                "gone" => late.segments.iter_mut().enumerate().for_each(|(n, segment)| segment.pack = gone(n)),
                _ => {
                    let last = late.segments.last().expect("there are some").clone();
                    assert!(last.end_offset < 62, "some are in slots only");
                    late.segments.push(SegmentRef { pack: gone(0), base_offset: last.end_offset, end_offset: 62, ..last });
                }
            }
            room.store.plant(&key, floe_formats::encode(&header.writer, &late));
            let room = room.with_new_disk();
            let broker = room.start(many_packs()).await;
            assert_eq!(values(&broker.partition(id), 0).await, numbered(0, &[VALUE; 62]), "{shape}");
            append(&broker.partition(id), &batch(&[(1, VALUE)])).await.expect("appended");
            room.pass(20 * SECOND).await;
            room.crash(broker).await;
            let room = room.with_new_disk();
            let broker = room.start(many_packs()).await;
            assert_eq!(values(&broker.partition(id), 0).await, numbered(0, &[VALUE; 63]), "{shape}");
            room.crash(broker).await;
            room.assert_clean().await;
        }
    });
}
