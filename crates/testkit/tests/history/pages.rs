//! Manifests with pages: the same history, whatever names it.

use crate::support::*;
use bytes::Bytes;
use floe_formats::{Manifest, ManifestPage, PackRef, Ulid, keys};
use floe_log::{EngineOptions, ReadError, ReadRequest};
use floe_objstore::{Store, StoreOptions};
use floe_types::{Incarnation, Offset, PartitionId};
use std::collections::BTreeSet;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const VALUE: &str = "a value of some length, so that a few of them are worth a pack of their own";

/// A pack for every few records, and a page for every two packs.
fn paging() -> EngineOptions {
    EngineOptions {
        settle_bytes: 500,
        settle_least_bytes: 100,
        settle_check: SECOND,
        index_every_slots: 4,
        retention_check: 10 * SECOND,
        manifest_segments: 4,
        ..object()
    }
}

async fn fill(room: &Room, broker: &Broker, id: PartitionId, count: usize) {
    for _ in 0..count {
        append(&broker.partition(id), &batch(&[(room.env.now_ms(), VALUE)])).await.expect("appended");
    }
}

fn manifest(room: &Room, id: PartitionId) -> Manifest {
    let newest = room.store.peek_keys(&keys::manifests_prefix(id)).into_iter().next().expect("it was settled");
    floe_formats::decode(&room.store.peek(&newest).expect("it is there")).expect("sound").1
}

fn page(room: &Room, key: &str) -> ManifestPage {
    floe_formats::decode(&room.store.peek(key).expect("it is there")).expect("sound").1
}

/// The packs that the newest manifest names above its log start, itself and by pages.
fn named(room: &Room, id: PartitionId) -> BTreeSet<String> {
    let manifest = manifest(room, id);
    let paged = manifest.pages.iter().flat_map(|named| page(room, &named.key(id)).segments);
    let kept = paged.chain(manifest.segments).filter(|segment| segment.end_offset > manifest.log_start);
    kept.map(|segment| segment.pack.key()).collect()
}

/// What is there is what is named.
fn assert_nothing_is_left_over(room: &Room, id: PartitionId) {
    let there: BTreeSet<String> = room.store.peek_keys(&keys::own_packs_prefix(id)).into_iter().collect();
    assert_eq!(there, named(room, id), "own packs");
    let pages: BTreeSet<String> = room.store.peek_keys(&keys::pages_prefix(id)).into_iter().collect();
    assert_eq!(pages, manifest(room, id).pages.iter().map(|page| page.key(id)).collect(), "pages");
}

#[test]
fn a_long_history_is_named_by_few_pages_and_read_as_any_other() {
    run(async {
        let room = Room::new(91);
        let broker = room.start(paging()).await;
        let id = broker.topic("t", &[]).await;
        fill(&room, &broker, id, 600).await;
        room.pass(10 * SECOND).await;
        let settled = manifest(&room, id);
        let paged: u64 = settled.pages.iter().map(|page| page.segments).sum();
        assert!(paged > 80 && settled.pages.len() < 20 && settled.segments.len() <= 4, "{} pages of {paged}", settled.pages.len());
        assert!(settled.pages.iter().any(|page| page.segments >= 16), "small pages become larger ones");
        assert_nothing_is_left_over(&room, id);
        assert_eq!(values(&broker.partition(id), 0).await, numbered(0, &[VALUE; 600]));
        room.crash(broker).await;
        let broker = room.with_new_disk().start(paging()).await;
        assert_eq!(values(&broker.partition(id), 0).await, numbered(0, &[VALUE; 600]), "after a crash, on another disk");
        fill(&room, &broker, id, 60).await;
        room.pass(10 * SECOND).await;
        assert_eq!(values(&broker.partition(id), 0).await, numbered(0, &[VALUE; 660]));
        assert_nothing_is_left_over(&room, id);
        room.stop(broker).await;
        room.assert_clean().await;
    });
}

#[test]
fn a_publish_writes_no_more_than_another_whatever_the_history() {
    run(async {
        let room = Room::new(92);
        let broker = room.start(EngineOptions { manifest_segments: 16, ..paging() }).await;
        let id = broker.topic("t", &[]).await;
        let mut most = Vec::new();
        for _ in 0..4 {
            let mut largest = 0;
            for _ in 0..20 {
                fill(&room, &broker, id, 20).await;
                room.pass(2 * SECOND).await;
                let newest = room.store.peek_keys(&keys::manifests_prefix(id)).remove(0);
                largest = largest.max(room.store.peek(&newest).expect("it is there").len());
            }
            most.push(largest);
        }
        assert!(most.iter().all(|bytes| *bytes <= 3_000), "bytes of the largest manifest, as history grows: {most:?}");
        assert_eq!(values(&broker.partition(id), 0).await, numbered(0, &[VALUE; 1_600]));
    });
}

#[test]
fn a_log_start_cuts_a_page_and_what_lies_below_it_goes() {
    run(async {
        let room = Room::new(93);
        let broker = room.start(paging()).await;
        let id = broker.topic("t", &[]).await;
        fill(&room, &broker, id, 300).await;
        room.pass(10 * SECOND).await;
        for start in [7, 51, 52, 130, 131, 190] {
            let pages = manifest(&room, id).pages;
            assert_eq!(broker.partition(id).delete_records(Some(start)).await, Ok(start));
            room.pass(10 * SECOND).await;
            let after = manifest(&room, id);
            let kept: Vec<_> = pages.into_iter().filter(|page| page.end_offset > start).collect();
            assert_eq!(after.pages, kept, "no page is written for it");
            let first = named(&room, id);
            assert_nothing_is_left_over(&room, id);
            assert!(first.len() as Offset <= (300 - start) / 2, "{} packs for what lies above {start}", first.len());
            assert_eq!(values(&broker.partition(id), start).await.len() as Offset, 300 - start);
        }
        room.crash(broker).await;
        let broker = room.with_new_disk().start(paging()).await;
        assert_eq!(broker.log_start(id), 190);
        let (count, value) = (110, VALUE);
        assert_eq!(values(&broker.partition(id), 190).await, numbered(190, &vec![value; count]));
        assert_eq!(broker.partition(id).delete_records(None).await, Ok(300));
        fill(&room, &broker, id, 30).await;
        room.pass(20 * SECOND).await;
        assert_eq!(values(&broker.partition(id), 300).await, numbered(300, &[VALUE; 30]));
        assert_nothing_is_left_over(&room, id);
        room.stop(broker).await;
        room.assert_clean().await;
    });
}

#[test]
fn retention_goes_through_pages_and_asks_nothing_while_nothing_is_due() {
    run(async {
        let room = Room::new(94);
        let broker = room.start(paging()).await;
        let by_size = broker.topic("size", &[("retention.bytes", "9000")]).await;
        let by_age = broker.topic("age", &[("retention.ms", "3600000")]).await;
        let began = room.env.now_ms();
        fill(&room, &broker, by_age, 150).await;
        room.pass(1800 * SECOND).await;
        fill(&room, &broker, by_age, 150).await;
        fill(&room, &broker, by_size, 300).await;
        room.pass(60 * SECOND).await;
        let (start, left) = (broker.log_start(by_size), 300 - broker.log_start(by_size));
        assert!(start > 150 && left * 150 >= 9_000, "no more goes than the size asks for: {start}");
        assert_eq!(values(&broker.partition(by_size), start).await.len() as Offset, left);
        assert_eq!(broker.log_start(by_age), 0);
        assert!(!manifest(&room, by_size).pages.is_empty(), "some are kept");
        let partition = broker.partition(by_age);
        let found = partition.offset_for_time(began + 1_000_000).await.expect("readable");
        assert_eq!(found.map(|(offset, _)| offset), Some(150), "a time is found by pages");
        let latest = partition.offset_of_max_timestamp().await.expect("readable").expect("there are records");
        assert!(latest.0 >= 150 && latest.1 >= began + 1_800_000, "{latest:?}");
        let before = room.store.counts().total_requests();
        room.pass(600 * SECOND).await;
        assert_eq!(room.store.counts().total_requests(), before, "an idle broker makes no requests");
        room.pass(1300 * SECOND).await;
        let start = broker.log_start(by_age);
        assert!((120..=150).contains(&start), "the first half is an hour old, whole segments of it: {start}");
        let latest = partition.offset_of_max_timestamp().await.expect("readable").expect("there are records");
        assert!(latest.1 >= began + 1_800_000, "{latest:?}");
        assert_eq!(values(&partition, start).await.len() as Offset, 300 - start);
        for id in [by_size, by_age] {
            assert_nothing_is_left_over(&room, id);
        }
        room.stop(broker).await;
        room.assert_clean().await;
    });
}

#[test]
fn t28_pages_of_earlier_owners_that_nothing_names_are_swept_and_what_pages_name_is_not() {
    run(async {
        let room = Room::new(95);
        let old = room.start(paging()).await;
        let id = old.topic("t", &[]).await;
        fill(&room, &old, id, 200).await;
        room.pass(10 * SECOND).await;
        room.crash(old).await;
        let bytes = room.store.peek(&manifest(&room, id).pages[0].key(id)).expect("it is there");
        for epoch in [1, 2, 3] {
            room.store.plant(&keys::page(id, epoch, Ulid(77)), bytes.clone());
        }
        let packs_before = named(&room, id);
        let new = room.with_new_disk().start(paging()).await;
        fill(&room, &new, id, 60).await;
        room.pass(20 * SECOND).await;
        let there = [1, 2, 3].map(|epoch| room.store.peek(&keys::page(id, epoch, Ulid(77))).is_some());
        assert_eq!(there, [false, true, true], "own and later epochs may be on their way into a manifest");
        assert!(packs_before.iter().all(|pack| room.store.peek(pack).is_some()), "named by pages only, for the most part");
        assert_eq!(values(&new.partition(id), 0).await, numbered(0, &[VALUE; 260]));
        let store = Store::new(room.env.process(), room.store.backend(), StoreOptions::default());
        let survey = floe_log::survey::survey(&store, &|_| 0, |_| {}).await.expect("the store answers");
        let unneeded: Vec<&str> = survey.unneeded.iter().map(|object| object.key.as_str()).filter(|key| key.contains("/pack/")).collect();
        assert_eq!(unneeded, Vec::<&str>::new(), "gc knows what pages name");
    });
}

#[test]
fn t27_an_old_view_whose_pages_are_gone_leads_to_the_newest() {
    run(async {
        let room = Room::new(96);
        let broker = room.start(paging()).await;
        let id = broker.topic("t", &[]).await;
        fill(&room, &broker, id, 200).await;
        room.pass(10 * SECOND).await;
        room.stop(broker).await;
        // The index names this version. Another owner has published since, with other pages, and that one's number was taken again.
        let newest = manifest(&room, id);
        let key = keys::manifest(id, newest.version);
        let writer = floe_formats::Writer { write_id: floe_types::WriteId(7), incarnation: Incarnation(1), revision: 0 };
        let mut gone = newest.clone();
        gone.pages.iter_mut().for_each(|page| page.ulid = Ulid(page.ulid.0 + 1));
        let later = Manifest { version: newest.version + 1, ..newest };
        room.store.plant(&keys::manifest(id, later.version), floe_formats::encode(&writer, &later));
        room.store.plant(&key, floe_formats::encode(&writer, &gone));
        for by_time in [false, true] {
            let broker = room.with_new_disk().start(EngineOptions { settle_check: 100_000 * SECOND, ..paging() }).await;
            let partition = broker.partition(id);
            if by_time {
                assert!(partition.offset_for_time(1).await.expect("readable").is_some());
            } else {
                assert_eq!(values(&partition, 0).await, numbered(0, &[VALUE; 200]));
            }
            room.crash(broker).await;
        }
    });
}

#[test]
fn t30_a_damaged_page_is_an_error_of_what_it_places_and_of_nothing_else() {
    run(async {
        let room = Room::new(97);
        let broker = room.start(paging()).await;
        let id = broker.topic("t", &[]).await;
        fill(&room, &broker, id, 300).await;
        room.pass(10 * SECOND).await;
        room.stop(broker).await;
        let damaged = manifest(&room, id).pages[1];
        let key = damaged.key(id);
        let whole = room.store.peek(&key).expect("it is there");
        let mut flipped = whole.to_vec();
        flipped[100] ^= 4;
        for found in [Some(Bytes::from(flipped)), Some(whole.slice(..whole.len() - 1)), None] {
            match &found {
                Some(bytes) => room.store.plant(&key, bytes.clone()),
                None => room.store.uproot(&key),
            }
            let broker = room.with_new_disk().start(EngineOptions { settle_check: 100_000 * SECOND, ..paging() }).await;
            let (mut offset, mut errors) = (0, Vec::new());
            while offset < 300 {
                let read = broker.partition(id).read(ReadRequest::new(offset, 1 << 20)).await;
                match read {
                    Ok(read) => offset = floe_records::verify(read.batches.last().expect("some")).expect("sound").end_offset(),
                    Err(ReadError::Damaged(damage)) => {
                        errors.push((damage.start, damage.end, damage.key.clone()));
                        offset = damage.end;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(errors, [(damaged.base_offset, damaged.end_offset, key.clone())]);
            room.crash(broker).await;
            let store = Store::new(room.env.process(), room.store.backend(), StoreOptions::default());
            let report = floe_log::verify::verify(&store, |_, _| {}).await.expect("the store answers");
            let told: Vec<_> = report.problems.iter().map(|problem| (problem.key.as_str(), problem.offsets)).collect();
            let expected = [(key.as_str(), Some((damaged.base_offset, damaged.end_offset)))];
            assert_eq!(told, expected, "nothing follows from it: {:#?}", report.problems);
            let of_partition = |key: &&String| key.starts_with(&keys::partition_prefix(id));
            assert_eq!(report.orphans.iter().find(of_partition), None, "nobody knows which packs are needed");
            let survey = floe_log::survey::survey(&store, &|_| 0, |_| {}).await;
            match (found.is_some(), survey) {
                (true, Err(error)) => assert!(error.to_string().contains(&key), "{error}"),
                (false, Ok(survey)) => assert!(survey.unneeded.iter().all(|one| !one.key.contains("/pack/")), "{:?}", survey.unneeded),
                (_, other) => panic!("{other:?}"),
            }
        }
    });
}

/// One bit of it flips, or it goes; how it was.
fn harm(room: &Room, key: &str, goes: bool) -> Bytes {
    let whole = room.store.peek(key).expect("it is there");
    let mut flipped = whole.to_vec();
    flipped[100] ^= 4;
    match goes {
        true => room.store.uproot(key),
        false => room.store.plant(key, Bytes::from(flipped)),
    }
    whole
}

#[test]
fn t30_what_needs_a_damaged_page_stops_and_all_else_goes_on() {
    for goes in [false, true] {
        run(async move {
            let room = Room::new(90);
            let broker = room.start(paging()).await;
            let id = broker.topic("t", &[]).await;
            fill(&room, &broker, id, 300).await;
            room.pass(10 * SECOND).await;
            room.stop(broker).await;
            let damaged = manifest(&room, id).pages[1];
            let key = damaged.key(id);
            let sound = harm(&room, &key, goes);
            let broker = room.with_new_disk().start(paging()).await;
            let stopped = || broker.engine.status().stopped_because;
            let (packs, paged) = (named_inline(&room, id), manifest(&room, id).pages.len());
            fill(&room, &broker, id, 60).await;
            room.pass(20 * SECOND).await;
            assert!(manifest(&room, id).pages.len() > paged, "settling needs no page that is there already");
            assert!(packs.iter().all(|pack| room.store.peek(pack).is_some()));
            assert_eq!(stopped(), [""; 0]);

            broker.engine.set_topic_config(id.topic, floe_log::CLEANUP_POLICY, Some("compact".into())).await.expect("altered");
            room.pass(60 * SECOND).await;
            let why = stopped();
            assert!(why.len() == 1 && why[0].starts_with("compaction: ") && why[0].contains(&key), "{why:?}");
            assert_eq!(manifest(&room, id).compacted, 0);
            broker.engine.set_topic_config(id.topic, floe_log::CLEANUP_POLICY, None).await.expect("altered");

            let start = damaged.base_offset + 5;
            assert_eq!(broker.partition(id).delete_records(Some(start)).await, Ok(start));
            room.pass(20 * SECOND).await;
            assert_eq!(manifest(&room, id).pages[0], damaged, "what lies before goes");
            assert_eq!(manifest(&room, id).log_start, start);
            let why = stopped();
            assert!(why.iter().any(|why| why.starts_with("deletion of what lies below") && why.contains(&key)), "{why:?}");
            let before = room.store.counts().total_requests();
            room.pass(60 * SECOND).await;
            assert!(room.store.counts().total_requests() < before + 10, "it is not read again and again");

            room.store.plant(&key, sound);
            room.pass(700 * SECOND).await;
            assert_eq!(values(&broker.partition(id), start).await.len() as Offset, 360 - start);
            assert!(!stopped().iter().any(|why| why.starts_with("deletion")), "{:?}", stopped());
            room.stop(broker).await;
            // What nobody could tell of meanwhile goes in another life.
            let broker = room.with_new_disk().start(paging()).await;
            fill(&room, &broker, id, 20).await;
            room.pass(20 * SECOND).await;
            assert_nothing_is_left_over(&room, id);
            room.assert_clean().await;
        });
    }
}

/// The packs that the newest manifest names itself.
fn named_inline(room: &Room, id: PartitionId) -> Vec<String> {
    manifest(room, id).segments.iter().map(|segment| segment.pack.key()).collect()
}

#[test]
fn t30_retention_takes_a_damaged_page_as_a_whole_and_tells_of_it_until_then() {
    for goes in [false, true] {
        run(async move {
            let room = Room::new(89);
            let broker = room.start(paging()).await;
            let by_age = broker.topic("age", &[("retention.ms", "3600000")]).await;
            fill(&room, &broker, by_age, 150).await;
            room.pass(1800 * SECOND).await;
            fill(&room, &broker, by_age, 150).await;
            room.pass(60 * SECOND).await;
            room.stop(broker).await;
            let damaged = manifest(&room, by_age).pages[0];
            assert!(damaged.end_offset < 150, "all of it is of one time");
            harm(&room, &damaged.key(by_age), goes);
            let broker = room.with_new_disk().start(paging()).await;
            room.pass(60 * SECOND).await;
            assert_eq!(broker.log_start(by_age), 0);
            let why = broker.engine.status().stopped_because;
            assert!(why.len() == 1 && why[0].starts_with("retention: ") && why[0].contains(&damaged.key(by_age)), "{why:?}");
            room.pass(2400 * SECOND).await;
            let start = broker.log_start(by_age);
            assert!((120..=150).contains(&start), "the first half is an hour old, whole segments of it: {start}");
            assert_eq!(broker.engine.status().stopped_because, [""; 0]);
            assert_eq!(values(&broker.partition(by_age), start).await.len() as Offset, 300 - start);
            assert!(room.store.peek(&damaged.key(by_age)).is_none(), "and nothing names it any more");
        });
    }
}

#[test]
fn compaction_rewrites_the_pages_that_it_touches() {
    run(async {
        let room = Room::new(98);
        let broker = room.start(EngineOptions { settle_bytes: 600, ..paging() }).await;
        let settings = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.9")];
        let id = broker.topic("t", &settings).await;
        let mut newest = std::collections::BTreeMap::new();
        for n in 0..400_i64 {
            let key = format!("key-{}", (n * n) % 37);
            let mut builder = floe_records::BatchBuilder::new(floe_records::Codec::None);
            builder.append(room.env.now_ms(), Some(key.as_bytes()), Some(n.to_string().as_bytes())).expect("it fits");
            append(&broker.partition(id), &builder.build()).await.expect("appended");
            newest.insert(key, n);
            if n % 50 == 49 {
                room.pass(20 * SECOND).await;
            }
        }
        room.pass(60 * SECOND).await;
        let after = manifest(&room, id);
        assert!(after.compacted >= 300, "{}", after.compacted);
        assert_nothing_is_left_over(&room, id);
        room.crash(broker).await;
        let broker = room.with_new_disk().start(paging()).await;
        let left: BTreeSet<Offset> = offsets(&broker, id).await;
        assert!(newest.values().all(|offset| left.contains(offset)), "the newest of each key: {left:?}");
        assert!(left.len() < 250, "{} of 400 are left", left.len());
        room.stop(broker).await;
        room.assert_clean().await;
    });
}

/// The offsets of all records that a reader sees.
async fn offsets(broker: &Broker, id: PartitionId) -> BTreeSet<Offset> {
    let (mut all, mut offset) = (BTreeSet::new(), 0);
    loop {
        let read = broker.partition(id).read(ReadRequest::new(offset, 1 << 20)).await.expect("readable");
        if read.batches.is_empty() {
            assert_eq!(offset, read.committed);
            return all;
        }
        for batch in &read.batches {
            all.extend(floe_records::records(batch, 1 << 20).expect("readable").map(|record| record.expect("sound").offset));
            offset = floe_records::verify(batch).expect("sound").end_offset();
        }
    }
}

#[test]
fn a_manifest_without_pages_gets_some_when_it_grows() {
    run(async {
        let room = Room::new(99);
        let broker = room.start(EngineOptions { manifest_segments: 10_000, ..paging() }).await;
        let id = broker.topic("t", &[]).await;
        fill(&room, &broker, id, 200).await;
        room.pass(10 * SECOND).await;
        assert!(manifest(&room, id).pages.is_empty());
        room.crash(broker).await;
        let broker = room.with_new_disk().start(paging()).await;
        fill(&room, &broker, id, 20).await;
        room.pass(10 * SECOND).await;
        let settled = manifest(&room, id);
        assert!(!settled.pages.is_empty() && settled.segments.len() <= 4);
        assert!(settled.segments.iter().all(|segment| matches!(segment.pack, PackRef::Own { .. })));
        assert_eq!(values(&broker.partition(id), 0).await, numbered(0, &[VALUE; 220]));
        assert_nothing_is_left_over(&room, id);
    });
}
