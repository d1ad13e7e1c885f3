//! A start, and the first look at what is old: how many requests they take.

use crate::support::*;
use floe_formats::{
    BatchSlice, Manifest, ManifestPage, PackBuilder, PackKind, PackRef, PageRef, PartitionIndex, SegmentMeta, SegmentRef, Ulid, Writer,
    keys,
};
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
        // No more than a manifest names itself.
        let (room, id) = filled(72, 260).await;
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
                // There is room for what the next packs hold: they are not waited for.
                let request = ReadRequest { min_bytes: 1, ..ReadRequest::new(wanted, 1 << 20) };
                let read = partition.read(request).await.expect("readable");
                assert_eq!(floe_records::BatchHeader::parse(&read.batches[0]).expect("sound").base_offset, wanted as Offset);
            }
            let asked = since(&room, &before);
            assert!(asked.values().sum::<u64>() <= 3, "manifest, footer, block: {asked:?}");
            room.crash(broker).await;
        }
    });
}

/// A record a second, from unix second 1,000 on.
fn timestamp(offset: Offset) -> i64 {
    1_000_000 + 1_000 * offset
}

fn writer() -> Writer {
    Writer { write_id: WriteId(7), incarnation: Incarnation(1), revision: 0 }
}

/// An own pack of one record, stored.
fn own_pack(room: &Room, id: PartitionId, offset: Offset) -> SegmentRef {
    let mut bytes = batch(&[(timestamp(offset), VALUE)]).to_vec();
    floe_records::stamp(&mut bytes, offset, 1);
    let slice =
        BatchSlice { bytes: bytes.into(), base_offset: offset, end_offset: offset + 1, max_timestamp: timestamp(offset), records: 1 };
    let meta = SegmentMeta { partition: id, epoch: 1, base_offset: offset, log_start: 0, events: vec![], producers: vec![] };
    let mut pack = PackBuilder::new(writer(), PackKind::Own, Incarnation(1), None);
    pack.add_segment(meta, vec![slice]).expect("in order");
    let built = pack.finish(None, SlotNumber(0)).expect("small");
    let stored = PackRef::Own { partition: id, epoch: 1, ulid: Ulid(offset.unsigned_abs().into()) };
    room.store.plant(&stored.key(), built.payload.concat().into());
    built.segment_refs(stored).map(|(_, segment)| segment).next().expect("one segment")
}

/// Settles a partition's records as its owner of epoch 1 would: every one in a pack of its own, which manifest 1 names by
/// `pages`, or itself. Of the packs, only those of these offsets are there.
fn settle_each(room: &Room, id: PartitionId, count: Offset, there: &[Offset], pages: bool) {
    let like = own_pack(room, id, 0);
    let named = |offset: Offset| match there.contains(&offset) {
        true => own_pack(room, id, offset),
        false => SegmentRef {
            pack: PackRef::Own { partition: id, epoch: 1, ulid: Ulid(offset.unsigned_abs().into()) },
            base_offset: offset,
            end_offset: offset + 1,
            max_timestamp: timestamp(offset),
            ..like.clone()
        },
    };
    let mut segments: Vec<SegmentRef> = (0..count).map(named).collect();
    let mut paged = Vec::new();
    if pages {
        let newest = segments.split_off(segments.len() - 100);
        for (run, name) in segments.chunks(4_096).zip(1_u128 << 64..) {
            let page = ManifestPage { partition: id, epoch: 1, ulid: Ulid(name), segments: run.to_vec() };
            room.store.plant(&page.to_ref().key(id), floe_formats::encode(&writer(), &page));
            paged.push(page.to_ref());
        }
        segments = newest;
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
    let (by, compacted) = (Incarnation(1), 0);
    let manifest = Manifest { partition: id, version: 1, epoch: 1, by, log_start: 0, segments, snapshot, compacted, pages: paged };
    room.store.plant(&keys::manifest(id, 1), floe_formats::encode(&writer(), &manifest));
}

fn quiet() -> EngineOptions {
    EngineOptions { settle_check: 100_000 * SECOND, ..many_packs() }
}

/// A partition of so many records, settled as [`settle_each`] does, which its present owner has gone on with.
#[expect(clippy::print_stdout, reason = "what was measured is shown with --nocapture")]
async fn long(seed: u64, count: Offset, there: &[Offset], pages: bool) -> (Room, PartitionId, Manifest) {
    let room = Room::new(seed);
    let broker = room.start(quiet()).await;
    let id = broker.topic("t", &[]).await;
    let records: Vec<(i64, &str)> = (0..1_000).map(|n| (timestamp(n), "x")).collect();
    let thousand = batch(&records);
    for end in (1..=count / 1_000).map(|thousands| thousands * 1_000) {
        assert_eq!(append(&broker.partition(id), &thousand).await, Ok(end));
    }
    room.crash(broker).await;
    settle_each(&room, id, count, there, pages);
    // Its owner finds what is settled, lists none of it any more, and publishes on top of it.
    let room = room.with_new_disk();
    let broker = room.start(many_packs()).await;
    for n in 1..=10 {
        assert_eq!(append(&broker.partition(id), &batch(&[(timestamp(count + n), VALUE)])).await, Ok(count + n));
    }
    room.pass(20 * SECOND).await;
    room.stop(broker).await;
    let newest = room.store.peek(&room.store.peek_keys(&keys::manifests_prefix(id))[0]).expect("it is there");
    let manifest: Manifest = floe_formats::decode(&newest).expect("sound").1;
    assert!(manifest.version > 1, "published anew");
    println!("{count} segments: a manifest of {} bytes, {} pages", newest.len(), manifest.pages.len());
    assert!(newest.len() <= 32 << 10, "{}", newest.len());
    let in_memory = manifest.pages.capacity() * size_of::<PageRef>() + manifest.segments.capacity() * size_of::<SegmentRef>();
    assert!(in_memory <= 64 << 10, "{in_memory} bytes in memory");
    (room, id, manifest)
}

/// Looks one offset up, or its time; requests that it took.
async fn look_up(room: &Room, broker: &Broker, id: PartitionId, (wanted, by_time): (Offset, bool)) -> u64 {
    let partition = broker.partition(id);
    let before = room.store.counts().requests;
    if by_time {
        let found = partition.offset_for_time(timestamp(wanted) - 500).await.expect("readable");
        assert_eq!(found, Some((wanted, timestamp(wanted))));
    } else {
        let read = partition.read(ReadRequest::new(wanted, 1)).await.expect("readable");
        assert_eq!(floe_records::BatchHeader::parse(&read.batches[0]).expect("sound").base_offset, wanted);
    }
    since(room, &before).values().sum()
}

/// A start, and look-ups, ask as little of so many segments as of few.
async fn assert_cold(room: &Room, id: PartitionId, count: Offset, offsets: &[Offset]) {
    for (wanted, by_time) in offsets.iter().copied().zip([false, true].into_iter().cycle()) {
        let room = room.with_new_disk();
        let before = room.store.counts().total_requests();
        let broker = room.start(quiet()).await;
        let asked = room.store.counts().total_requests() - before;
        assert!(asked <= 40, "a start asks {asked} times");
        room.pass(SECOND).await;
        let most = if wanted >= count - 10 { 3 } else { 4 };
        let asked = look_up(&room, &broker, id, (wanted, by_time)).await;
        assert!(asked <= most, "manifest, page if it is old, footer, block: {asked} for {wanted}");
        // Others, so that nobody is taken for a reader who goes on.
        for other in offsets.iter().copied().filter(|other| *other != wanted) {
            let asked = look_up(&room, &broker, id, (other, by_time)).await;
            assert!(asked <= 3, "page, footer, block: {asked} for {other}");
        }
        room.crash(broker).await;
    }
}

#[test]
fn a_partition_with_a_hundred_thousand_segments_opens_and_is_searched_as_fast_as_one_with_few() {
    const SEGMENTS: Offset = 100_000;
    let there = [3, 4_094, 4_097, 50_000, 77_777, SEGMENTS - 3];
    run(async move {
        // By an owner that knew no pages.
        let (room, id, manifest) = long(74, SEGMENTS, &there, false).await;
        assert!(manifest.pages.len() <= 40, "{}", manifest.pages.len());
        assert_cold(&room, id, SEGMENTS, &there).await;
    });
}

#[test]
fn a_million_segments_take_no_more_memory_and_no_more_requests() {
    const SEGMENTS: Offset = 1_000_000;
    let there: Vec<Offset> = (2..SEGMENTS).step_by(4_096).chain([777_777, SEGMENTS - 3]).collect();
    run(async move {
        let (room, id, _) = long(76, SEGMENTS, &there, true).await;
        assert_cold(&room, id, SEGMENTS, &[4_098, 777_777 / 4_096 * 4_096 + 2, 777_777, SEGMENTS - 3]).await;
        let broker = room.with_new_disk().start(quiet()).await;
        room.pass(SECOND).await;
        let mut most_bytes = 0;
        for wanted in there {
            let asked = look_up(&room, &broker, id, (wanted, false)).await;
            assert!(asked <= 4, "{asked} for {wanted}");
            most_bytes = most_bytes.max(broker.engine.status().manifest_page_bytes);
        }
        println!("{most_bytes} bytes of pages in memory at most, all pages looked into");
        assert!((1 << 20..=16 << 20).contains(&most_bytes), "{most_bytes}");
        room.crash(broker).await;
    });
}

#[test]
fn t26_a_late_create_under_the_number_that_an_index_names_is_not_taken_for_what_it_named() {
    run(async {
        let (room, id) = filled(75, 300).await;
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
