//! Compaction: the newest record of each key stays, at its offset, whatever happens in the middle of it.

use crate::support::*;
use bytes::Bytes;
use floe_formats::{BlockCodec, Manifest, PackTail, PartitionEvent, SegmentRef, decode_tail, keys};
use floe_log::{EngineOptions, Partition, ReadRequest};
use floe_records::{BatchBuilder, Codec, Record};
use floe_testkit::sim_store::SimFaults;
use floe_types::{Incarnation, Offset, PartitionId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// A compacted topic whose tombstones stay for a minute.
const COMPACT: &[(&str, &str)] = &[("cleanup.policy", "compact"), ("delete.retention.ms", "60000")];

/// Settles and compacts whenever there are a few hundred bytes.
fn compacting() -> EngineOptions {
    EngineOptions {
        settle_bytes: 4_000,
        settle_age: 600 * SECOND,
        settle_least_bytes: 300,
        settle_check: SECOND,
        index_every_slots: 4,
        retention_check: 10 * SECOND,
        ..object()
    }
}

fn keyed(timestamp: i64, records: &[(&str, Option<&str>)]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for (key, value) in records {
        builder.append(timestamp, Some(key.as_bytes()), value.map(str::as_bytes)).expect("it fits");
    }
    builder.build()
}

async fn put(room: &Room, broker: &Broker, id: PartitionId, records: &[(&str, Option<&str>)]) {
    append(&broker.partition(id), &keyed(room.env.now_ms(), records)).await.expect("appended");
}

/// Everything that a reader sees from `from` on; it always gets to the end (T38).
async fn read(partition: &Partition, from: Offset) -> Vec<Record> {
    let (mut all, mut offset) = (Vec::new(), from);
    loop {
        let read = partition.read(ReadRequest::new(offset, 500)).await.expect("readable");
        if read.batches.is_empty() {
            assert_eq!(offset, read.committed, "a reader gets to the end");
            return all;
        }
        for batch in &read.batches {
            let header = floe_records::verify(batch).expect("sound");
            all.extend(floe_records::records(batch, 1 << 20).expect("readable").map(|record| record.expect("sound")));
            offset = header.end_offset();
        }
    }
}

fn shown(records: &[Record]) -> Vec<(Offset, String, Option<String>)> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).expect("text");
    records.iter().map(|r| (r.offset, r.key.as_ref().map(text).unwrap_or_default(), r.value.as_ref().map(text))).collect()
}

fn manifest(room: &Room, id: PartitionId) -> Option<Manifest> {
    let newest = room.store.peek_keys(&keys::manifests_prefix(id)).into_iter().next()?;
    Some(floe_formats::decode(&room.store.peek(&newest).expect("it is there")).expect("sound").1)
}

fn compacted(room: &Room, id: PartitionId) -> Offset {
    manifest(room, id).map_or(0, |manifest| manifest.compacted)
}

/// Whether one group was rewritten as several packs between these two versions: nothing was settled meanwhile, and all of
/// the earlier one together is no more than one group takes.
fn is_split(before: &Manifest, after: &Manifest, settle_bytes: u64) -> bool {
    let is_one_group = before.pages.is_empty() && before.segments.iter().map(|segment| segment.bytes).sum::<u64>() <= settle_bytes;
    let is_new = |segment: &&SegmentRef| before.segments.iter().all(|old| old.pack != segment.pack);
    let new: BTreeSet<_> = after.segments.iter().filter(is_new).map(|segment| segment.pack).collect();
    is_one_group && after.end_offset() == before.end_offset() && new.len() > 1
}

/// Lets time pass by small steps. Whether a rewrite was split meanwhile.
async fn pass_and_look(room: &Room, id: PartitionId, time: Duration, settle_bytes: u64) -> bool {
    let (until, mut split, mut before) = (room.env.monotonic() + time, false, manifest(room, id));
    while room.env.monotonic() < until {
        room.pass((SECOND / 20).min(until - room.env.monotonic())).await;
        let now = manifest(room, id);
        split |= before.as_ref().zip(now.as_ref()).is_some_and(|(before, now)| is_split(before, now, settle_bytes));
        before = now;
    }
    split
}

fn row(offset: Offset, key: &str, value: Option<&str>) -> (Offset, String, Option<String>) {
    (offset, key.to_owned(), value.map(str::to_owned))
}

#[test]
fn the_newest_record_of_each_key_stays_at_its_offset() {
    run(async {
        let room = Room::new(61);
        let broker = room.start(compacting()).await;
        let id = broker.topic("t", COMPACT).await;
        for round in 0..20 {
            let value = format!("round {round}, and some more to make it worth something");
            put(&room, &broker, id, &[("a", Some(&value)), ("b", Some(&value))]).await;
        }
        put(&room, &broker, id, &[("c", Some("once"))]).await;
        room.pass(20 * SECOND).await;
        assert_eq!(compacted(&room, id), 41);
        let last = "round 19, and some more to make it worth something";
        let expected = [row(38, "a", Some(last)), row(39, "b", Some(last)), row(40, "c", Some("once"))];
        assert_eq!(shown(&read(&broker.partition(id), 0).await), expected);
        assert_eq!(shown(&read(&broker.partition(id), 17).await), expected, "from the middle of nothing");
        let from = broker.partition(id).offset_for_time(0).await.expect("readable").expect("there is one");
        assert_eq!(from.0, 38, "the first that there is");
        room.crash(broker).await;
        let broker = room.with_new_disk().start(compacting()).await;
        assert_eq!(shown(&read(&broker.partition(id), 0).await), expected, "after a crash, on another disk");
        assert_eq!(append(&broker.partition(id), &keyed(1, &[("a", Some("x"))])).await, Ok(42));
        room.assert_clean().await;
    });
}

#[test]
fn tombstones_go_when_their_time_has_come_and_no_key_rises() {
    run(async {
        let room = Room::new(62);
        let broker = room.start(compacting()).await;
        let id = broker.topic("t", COMPACT).await;
        let value = "x".repeat(100);
        for key in ["a", "b", "c", "d"] {
            put(&room, &broker, id, &[(key, Some(&value))]).await;
        }
        put(&room, &broker, id, &[("a", None), ("b", None)]).await;
        put(&room, &broker, id, &[("e", Some(&value))]).await;
        room.pass(20 * SECOND).await;
        let kept = [row(2, "c", Some(&value)), row(3, "d", Some(&value)), row(4, "a", None), row(5, "b", None), row(6, "e", Some(&value))];
        assert_eq!(shown(&read(&broker.partition(id), 0).await), kept, "tombstones stay for a while");
        room.pass(60 * SECOND).await;
        for key in ["f", "g", "h", "i", "j"] {
            put(&room, &broker, id, &[(key, Some(&value))]).await;
        }
        room.pass(20 * SECOND).await;
        let left = shown(&read(&broker.partition(id), 0).await);
        assert_eq!(left[..3], [kept[0].clone(), kept[1].clone(), kept[4].clone()], "{left:?}");
        assert_eq!(left.len(), 8);
        room.assert_clean().await;
    });
}

#[test]
fn t38_a_reader_gets_to_the_end_though_the_last_records_were_tombstones() {
    run(async {
        let room = Room::new(63);
        let options = EngineOptions { settle_least_bytes: 1, ..compacting() };
        let broker = room.start(options).await;
        let configs = [("cleanup.policy", "compact"), ("delete.retention.ms", "0"), ("min.cleanable.dirty.ratio", "0")];
        let id = broker.topic("t", &configs).await;
        put(&room, &broker, id, &[("a", Some("1")), ("b", Some("1"))]).await;
        put(&room, &broker, id, &[("a", None), ("b", None)]).await;
        room.pass(20 * SECOND).await;
        // Each pass needs something new.
        for _ in 0..3 {
            put(&room, &broker, id, &[("c", None)]).await;
            room.pass(20 * SECOND).await;
        }
        let left = shown(&read(&broker.partition(id), 0).await);
        assert_eq!(left.last(), Some(&row(6, "c", None)), "the newest record stays: {left:?}");
        assert!(left.iter().all(|(_, key, _)| key == "c"), "all others have gone: {left:?}");
        for from in 0..7 {
            read(&broker.partition(id), from).await;
        }
        room.assert_clean().await;
    });
}

#[test]
fn more_keys_than_memory_holds_take_several_passes() {
    run(async {
        let room = Room::new(64);
        // Room for about thirty keys.
        let broker = room.start(EngineOptions { compaction_bytes: 1_000, settle_least_bytes: 1, ..compacting() }).await;
        let id = broker.topic("t", &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")]).await;
        for round in 0..4 {
            for key in 0..100 {
                let (key, value) = (format!("key {key}"), format!("round {round}"));
                put(&room, &broker, id, &[(&key, Some(&value))]).await;
            }
        }
        room.pass(60 * SECOND).await;
        assert_eq!(compacted(&room, id), 400);
        let expected: Vec<_> = (0..100).map(|key| row(300 + key, &format!("key {key}"), Some("round 3"))).collect();
        assert_eq!(shown(&read(&broker.partition(id), 0).await), expected);
        room.assert_clean().await;
    });
}

#[test]
fn what_is_rewritten_is_split_into_packs_and_no_offset_is_lost_between_them() {
    run(async {
        let room = Room::new(69);
        // As stored, a pack of values that are all the same would never be full.
        let options = EngineOptions { block_codec: BlockCodec::None, ..compacting() };
        let broker = room.start(options.clone()).await;
        let id = broker.topic("t", &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")]).await;
        let value = "x".repeat(200);
        let mut splits = 0;
        for round in 0..8 {
            let records: Vec<_> =
                (0..2).map(|n| (format!("key {round} {n}"), Some(value.as_str()))).chain([("a".into(), Some("y"))]).collect();
            let records: Vec<_> = records.iter().map(|(key, value)| (key.as_str(), *value)).collect();
            put(&room, &broker, id, &records).await;
            splits += u32::from(pass_and_look(&room, id, 10 * SECOND, options.settle_bytes).await);
        }
        assert!(splits > 0, "none was split");
        assert_eq!(compacted(&room, id), 24);
        let named = manifest(&room, id).expect("there is one").segments;
        assert!(named.windows(2).all(|two| two[0].end_offset == two[1].base_offset), "{named:?}");
        assert_eq!((named[0].base_offset, named[named.len() - 1].end_offset), (0, 24));
        let mut expected: Vec<_> = (0..16).map(|n| row(n / 2 * 3 + n % 2, &format!("key {} {}", n / 2, n % 2), Some(&value))).collect();
        expected.push(row(23, "a", Some("y")));
        assert_eq!(shown(&read(&broker.partition(id), 0).await), expected);
        for from in 0..24 {
            let left: Vec<_> = expected.iter().filter(|(offset, ..)| *offset >= from).cloned().collect();
            let seen = shown(&read(&broker.partition(id), from).await);
            assert_eq!(seen.into_iter().filter(|(offset, ..)| *offset >= from).collect::<Vec<_>>(), left, "from {from}");
        }
        room.crash(broker).await;
        let broker = room.with_new_disk().start(options).await;
        assert_eq!(shown(&read(&broker.partition(id), 0).await), expected, "after a crash, on another disk");
        room.assert_clean().await;
    });
}

#[test]
fn t68_nothing_is_left_out_before_an_event_in_a_certain_slot_allows_it() {
    run(async {
        let room = Room::new(65);
        let broker = room.start(compacting()).await;
        let id = broker.topic("t", COMPACT).await;
        let mut allowed: Offset = 0;
        for round in 0..60 {
            let value = format!("round {round}, and some more to make it worth something");
            put(&room, &broker, id, &[("a", Some(&value)), ("b", Some(&value))]).await;
            room.pass(SECOND / 5).await;
            for key in room.store.peek_keys(&keys::slots_prefix(Incarnation(1))) {
                let bytes = room.store.peek(&key).expect("it is there");
                let Ok(PackTail::Footer(_, footer)) = decode_tail(&bytes, bytes.len() as u64) else { continue };
                for event in footer.segments_of(id).flat_map(|segment| &segment.events) {
                    if let PartitionEvent::Compaction { before } = event {
                        allowed = allowed.max(*before);
                    }
                }
            }
            assert!(compacted(&room, id) <= allowed, "{} of {allowed}", compacted(&room, id));
        }
        assert!(compacted(&room, id) > 0 && allowed > 0);
    });
}

#[test]
fn young_records_wait_and_records_that_wait_too_long_do_not() {
    run(async {
        let room = Room::new(66);
        let broker = room.start(compacting()).await;
        let young = broker.topic("young", &[("cleanup.policy", "compact"), ("min.compaction.lag.ms", "100000")]).await;
        let few = broker.topic("few", &[("cleanup.policy", "compact"), ("max.compaction.lag.ms", "30000")]).await;
        let value = "x".repeat(100);
        for _ in 0..10 {
            put(&room, &broker, young, &[("a", Some(&value))]).await;
        }
        put(&room, &broker, few, &[("a", Some("1")), ("a", Some("2"))]).await;
        room.pass(20 * SECOND).await;
        assert_eq!((compacted(&room, young), compacted(&room, few)), (0, 0));
        assert_eq!(read(&broker.partition(young), 0).await.len(), 10);
        room.pass(20 * SECOND).await;
        assert_eq!((compacted(&room, young), compacted(&room, few)), (0, 2), "a few bytes, and old enough");
        assert_eq!(shown(&read(&broker.partition(few), 0).await), [row(1, "a", Some("2"))]);
        room.pass(100 * SECOND).await;
        assert_eq!(compacted(&room, young), 10);
        assert_eq!(shown(&read(&broker.partition(young), 0).await), [row(9, "a", Some(&value))]);
    });
}

#[test]
fn records_without_keys_stay_and_an_idle_partition_asks_nothing() {
    run(async {
        let room = Room::new(67);
        let broker = room.start(compacting()).await;
        let id = broker.topic("t", COMPACT).await;
        for _ in 0..5 {
            append(&broker.partition(id), &batch(&[(room.env.now_ms(), "from before it was compacted, and long enough to be settled")]))
                .await
                .expect("appended");
            put(&room, &broker, id, &[("a", Some("1"))]).await;
        }
        room.pass(60 * SECOND).await;
        let offsets: Vec<Offset> = read(&broker.partition(id), 0).await.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, [0, 2, 4, 6, 8, 9]);
        let before = room.store.counts().total_requests();
        room.pass(24 * 3600 * SECOND).await;
        assert_eq!(room.store.counts().total_requests(), before, "nothing new, nothing to do");
    });
}

#[test]
fn a_topic_that_is_compacted_and_deleted_loses_its_oldest_too() {
    run(async {
        let room = Room::new(68);
        let broker = room.start(compacting()).await;
        let id = broker.topic("t", &[("cleanup.policy", "compact,delete"), ("retention.bytes", "3000")]).await;
        let value = "x".repeat(100);
        for round in 0..40 {
            put(&room, &broker, id, &[("a", Some(&value)), (&format!("key {round}"), Some(&value))]).await;
        }
        room.pass(60 * SECOND).await;
        let start = broker.log_start(id);
        assert!(start > 0, "retention takes segments");
        let left = shown(&read(&broker.partition(id), start).await);
        assert_eq!(left.iter().filter(|(_, key, _)| key == "a").count(), 1, "{left:?}");
        assert!(left.iter().all(|(offset, ..)| *offset >= start));
        room.assert_clean().await;
    });
}

/// What was written, by offset.
type Written = BTreeMap<Offset, (String, Option<String>)>;

/// What compaction may show of it, and must.
fn check(written: &Written, seen: &[(Offset, String, Option<String>)], compacted: Offset) -> Result<(), String> {
    let newest: BTreeMap<&str, Offset> = written.iter().map(|(offset, (key, _))| (key.as_str(), *offset)).collect();
    let mut shown: BTreeMap<&str, Vec<Offset>> = BTreeMap::new();
    for (offset, key, value) in seen {
        if written.get(offset) != Some(&(key.clone(), value.clone())) {
            return Err(format!("{key}={value:?} at {offset} was never written there"));
        }
        shown.entry(key).or_default().push(*offset);
    }
    for (key, newest) in newest {
        let offsets = shown.get(key).map(Vec::as_slice).unwrap_or_default();
        let is_tombstone = written[&newest].1.is_none();
        match offsets.last() {
            Some(last) if *last == newest => {}
            None if is_tombstone => {}
            last => return Err(format!("{key} is at {newest}, and the last that is seen is {last:?}")),
        }
        if offsets.iter().filter(|offset| **offset < compacted).count() > 1 {
            return Err(format!("{key} is there twice below {compacted}: {offsets:?}"));
        }
    }
    Ok(())
}

/// One random history, with crashes at any moment and owners that come and go.
async fn live(seed: u64) -> Result<(), String> {
    let mut room = Room::new(seed);
    room.store.set_faults(SimFaults { way_ms: 1..200, ..SimFaults::none() });
    let below = |env: &floe_env::Env, n: u64| env.random_below(n);
    let ratio = ["0", "0.3", "0.5"][usize::try_from(below(&room.env, 3)).expect("small")];
    let options = EngineOptions {
        settle_bytes: 300 + below(&room.env, 2_000),
        settle_least_bytes: if ratio == "0" { 1 } else { 1 + below(&room.env, 200) },
        compaction_bytes: 200 + below(&room.env, 3_000),
        settle_check: SECOND / 2,
        block_codec: if seed.is_multiple_of(2) { BlockCodec::None } else { BlockCodec::Lz4 },
        ..compacting()
    };
    let mut broker = room.start(options.clone()).await;
    let retention = ["0", "2000", "100000"][usize::try_from(below(&room.env, 3)).expect("small")];
    let configs = [("cleanup.policy", "compact"), ("delete.retention.ms", retention), ("min.cleanable.dirty.ratio", ratio)];
    let id = broker.topic("t", &configs).await;
    let key_count = 1 + below(&room.env, 40);
    let mut written = Written::new();
    for step in 0..120 {
        let count = 1 + below(&room.env, 4);
        let records: Vec<(String, Option<String>)> = (0..count)
            .map(|n| (format!("key {}", below(&room.env, key_count)), (below(&room.env, 4) > 0).then(|| format!("{step}.{n}"))))
            .collect();
        let borrowed: Vec<(&str, Option<&str>)> = records.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        let end = append(&broker.partition(id), &keyed(room.env.now_ms(), &borrowed)).await.map_err(|error| error.to_string())?;
        let base = end - Offset::try_from(count).expect("small");
        written.extend((base..).zip(records));
        room.pass(Duration::from_millis(below(&room.env, 700))).await;
        if below(&room.env, 12) == 0 {
            room.crash(broker).await;
            room = room.with_new_disk();
            broker = room.start(options.clone()).await;
        }
        if below(&room.env, 6) == 0 {
            let seen = shown(&read(&broker.partition(id), 0).await);
            check(&written, &seen, 0).map_err(|why| format!("step {step}: {why}"))?;
        }
    }
    room.pass(120 * SECOND).await;
    let last = *written.keys().last().expect("something was written");
    // With memory for a handful of keys there are many passes.
    for _ in 0..60 {
        if ratio == "0" && compacted(&room, id) < last {
            room.pass(60 * SECOND).await;
        }
    }
    let seen = shown(&read(&broker.partition(id), 0).await);
    check(&written, &seen, compacted(&room, id))?;
    if ratio == "0" && compacted(&room, id) < last {
        return Err(format!("compacted up to {} only", compacted(&room, id)));
    }
    room.crash(broker).await;
    room.assert_clean().await;
    Ok(())
}

#[test]
fn t26_a_compacted_log_is_the_last_value_of_each_key_whatever_crashes() {
    let first: u64 = std::env::var("FLOE_COMPACT_FIRST").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let seeds: u64 = std::env::var("FLOE_COMPACT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    for seed in first..first + seeds {
        run(async {
            if let Err(why) = live(seed).await {
                panic!("seed {seed}: {why}");
            }
        });
    }
}

#[test]
fn the_check_of_a_compacted_log_finds_what_is_wrong() {
    let written: Written = [(0, ("a", Some("1"))), (1, ("a", Some("2"))), (2, ("b", Some("1"))), (3, ("b", None))]
        .into_iter()
        .map(|(offset, (key, value))| (offset, (key.to_owned(), value.map(str::to_owned))))
        .collect();
    let good = [row(1, "a", Some("2")), row(3, "b", None)];
    assert_eq!(check(&written, &good, 4), Ok(()));
    assert_eq!(check(&written, &good[..1], 4), Ok(()), "the tombstone has gone");
    for (bad, why) in [
        (vec![row(1, "a", Some("1")), row(3, "b", None)], "another value"),
        (vec![row(3, "b", None)], "the newest is missing"),
        (vec![row(1, "a", Some("2")), row(2, "b", Some("1"))], "a key rises"),
        (vec![row(0, "a", Some("1")), row(1, "a", Some("2")), row(3, "b", None)], "twice"),
    ] {
        assert!(check(&written, &bad, 4).is_err(), "{why}");
    }
}
