//! The newest version of each key: that of a model, whatever was merged before, in every mode and folder, and whoever makes it at the same time.

use crate::table::{Row, file};
use crate::world::{World, merge, record, run, small_files};
use bytes::Bytes;
use floe_export::{ExportError, ExportOptions, Folders, Latest, Mode};
use floe_records::{Codec, Record};
use floe_testkit::sim_store::SimFaults;
use floe_types::{Offset, TopicId};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
struct List {
    number: u64,
    ends: BTreeMap<i32, Offset>,
    files: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    key: String,
    partition: i32,
    rows: u64,
    bytes: u64,
}

fn lists(world: &World) -> Vec<List> {
    let keys = world.target.peek_keys("_floe").into_iter().filter(|key| key.contains("/latest/"));
    keys.map(|key| serde_json::from_slice(&world.target.peek(&key).expect("it is listed")).expect("JSON")).collect()
}

/// What is left of a partition's acknowledged records below `end` when each key has its newest version only.
fn left(world: &World, partition: i32, end: Offset) -> Vec<(Offset, Record)> {
    let (mut newest, mut left) = (BTreeMap::new(), BTreeMap::new());
    for (offset, record) in world.acknowledged[&partition].range(..end) {
        match &record.key {
            None => left.insert(*offset, record.clone()),
            Some(key) => newest.insert(key.clone(), (*offset, record.clone())).and(None),
        };
    }
    left.extend(newest.into_values().filter(|(_, record)| record.value.is_some()));
    left.into_iter().collect()
}

/// Every list has the newest version of each key and nothing else. How many rows the newest has.
fn check(world: &World) -> u64 {
    let mut all = 0;
    for (at, list) in lists(world).iter().enumerate() {
        assert_eq!(list.number, at as u64 + 1);
        let mut rows: BTreeMap<i32, Vec<Row>> = BTreeMap::new();
        for entry in &list.files {
            let body = world.target.peek(&entry.key).expect("it is there");
            let found = file(&body);
            assert_eq!((body.len() as u64, found.rows.len() as u64, found.header.partition), (entry.bytes, entry.rows, entry.partition));
            assert!(found.rows.is_sorted_by(|a, b| a.offset < b.offset), "{}", entry.key);
            let range = found.header.start..found.header.end;
            assert!(found.rows.iter().all(|row| range.contains(&row.offset)), "{}", entry.key);
            rows.entry(entry.partition).or_default().extend(found.rows);
        }
        for (partition, end) in &list.ends {
            let mut rows = rows.remove(partition).unwrap_or_default();
            rows.sort_by_key(|row| row.offset);
            // A key or value that is no text stands in `_error`.
            let octets = |row: &Row| {
                let error = row.error.clone().unwrap_or_default();
                (row.offset, row.key.clone().or(error.key), row.value.clone().or(error.value))
            };
            let of = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| bytes.to_vec());
            let found: Vec<_> = rows.iter().map(octets).collect();
            let known: Vec<_> = left(world, *partition, *end).into_iter().map(|(at, r)| (at, of(&r.key), of(&r.value))).collect();
            assert_eq!(found, known, "partition {partition} of list {}", list.number);
        }
        assert!(rows.is_empty());
        all = list.files.iter().map(|entry| entry.rows).sum();
    }
    all
}

async fn produce(world: &mut World, topic: TopicId, batches: usize) {
    for at in 0..batches {
        let records: Vec<Record> = (0..4)
            .map(|_| {
                let (key, value) = (world.env.random_below(60), world.env.random_below(9));
                let odd = Some(Bytes::from_static(&[0xff, 0xfe]));
                Record {
                    timestamp: i64::try_from(world.env.random_below(3)).expect("small") * 86_400_000,
                    key: if key == 59 { odd.clone() } else { (key > 0).then(|| Bytes::from(format!("key {key}"))) },
                    value: if value == 8 { odd } else { (value > 1).then(|| Bytes::from(format!("{{\"v\":{value}}}"))) },
                    ..record(None, None)
                }
            })
            .collect();
        world.produce(topic, (at % 2) as i32, Codec::None, &records).await;
    }
}

#[test]
fn it_is_that_of_a_model_in_every_mode_and_folder_whatever_was_merged_before() {
    run(async {
        let layouts = [Folders::Plain, Folders::Partition, Folders::Date];
        for (seed, (mode, folders)) in
            [Mode::Raw, Mode::String, Mode::Json].into_iter().flat_map(|mode| layouts.map(|l| (mode, l))).enumerate()
        {
            let mut world = World::new(seed as u64).await;
            let topic = world.topic("t", 2, &[]).await;
            let options = ExportOptions { mode: Some(mode), folders: Some(folders), ..small_files() };
            for round in 0..4 {
                produce(&mut world, topic, 12).await;
                world.export(options.clone()).await.expect("exported");
                if round % 2 == 1 {
                    world.merge(ExportOptions { file_bytes: 40_000, ..ExportOptions::default() }).await.expect("merged");
                }
                let bytes = if round == 2 { 500 } else { 64 << 20 };
                let made = world.latest(ExportOptions { file_bytes: bytes, ..ExportOptions::default() }).await.expect("made");
                assert!(made.is_new && made.rows == check(&world) && made.rows > 15, "{made:?}");
                assert!(round != 2 || made.files > 2, "small ones are several: {made:?}");
                // Nothing is new: nothing is made.
                let again = world.latest(ExportOptions::default()).await.expect("there");
                assert_eq!(again, Latest { is_new: false, ..made });
            }
            assert_eq!(lists(&world).len(), 4);
        }
    });
}

#[test]
fn racing_and_killed_makers_leave_lists_that_are_exact() {
    run(async {
        let (mut made, mut first) = (0, 0);
        for seed in 0..15 {
            let mut world = World::new(seed).await;
            let topic = world.topic("t", 2, &[]).await;
            for _ in 0..2 {
                produce(&mut world, topic, 16).await;
                world.export(small_files()).await.expect("exported");
                world.target.set_faults(SimFaults { way_ms: 1..40, late: 200, after: 300, lost: 200, ..SimFaults::rough() });
                let merging = merge(world.env.process(), world.source.clone(), world.target.clone(), small_files());
                let limit = std::time::Duration::from_millis(world.env.random_below(3_000));
                let killed = world.env.timeout(limit, world.latest(ExportOptions::default()));
                let (a, b, _, _) =
                    tokio::join!(world.latest(ExportOptions::default()), world.latest(ExportOptions::default()), killed, merging);
                for ended in [a, b] {
                    made += u64::from(ended.as_ref().is_ok_and(|latest| latest.is_new));
                    first += u64::from(matches!(ended, Err(ExportError::Overtaken(_))));
                }
                world.target.set_faults(SimFaults::none());
                world.target.settled().await;
                check(&world);
            }
            let last = world.latest(ExportOptions::default()).await.expect("on a good store");
            assert_eq!(last.rows, check(&world));
        }
        assert!(made > 10 && first > 5, "{made} were made, {first} were second");
    });
}

#[test]
fn what_cannot_be_known_or_has_no_room_is_refused() {
    run(async {
        let mut world = World::new(3).await;
        let topic = world.topic("t", 1, &[]).await;
        let json = ExportOptions { mode: Some(Mode::Json), drop_value: true, ..ExportOptions::default() };
        assert!(matches!(world.latest(json.clone()).await, Err(ExportError::Refused(_))), "there is none");
        world.produce(topic, 0, Codec::None, &[record(Some("k"), Some("{\"a\":1}"))]).await;
        world.export(json.clone()).await.expect("exported");
        let refused = world.latest(json).await.expect_err("values are left out");
        assert!(matches!(&refused, ExportError::Refused(why) if why.contains("--drop-value")), "{refused}");
        let mut many = World::new(4).await;
        let topic = many.topic("t", 1, &[]).await;
        for batch in 0..40 {
            let records: Vec<Record> = (0..5_000).map(|n| record(Some(&format!("{}", batch * 5_000 + n)), Some("v"))).collect();
            many.produce(topic, 0, Codec::Zstd, &records).await;
        }
        many.export(ExportOptions::default()).await.expect("exported");
        let little = ExportOptions { memory_bytes: 64 << 20, ..ExportOptions::default() };
        let refused = many.latest(little).await.expect_err("too many keys");
        assert!(matches!(&refused, ExportError::Refused(why) if why.contains("keys") && why.contains("--memory")), "{refused}");
        assert!(many.target.peek_keys("_floe").iter().all(|key| !key.contains("/versions/")), "before anything was made");
        let made = many.latest(ExportOptions::default()).await.expect("there is room");
        assert_eq!((made.rows, check(&many)), (200_000, 200_000));
    });
}
