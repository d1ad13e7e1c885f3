//! The merged table: every row once in each list that ever stood, whoever merges and exports at the same time and whoever was stopped, and
//! nothing of it in the plain glob.

use crate::table::{File, check, file, number, row};
use crate::world::{World, export, merge, open, record, run, small_files};
use arrow_array::RecordBatch;
use floe_export::{Export, ExportError, ExportOptions, Folders, Follow, Merged, Mode};
use floe_records::{Codec, Record};
use floe_testkit::sim_store::{SimFaults, SimStore};
use floe_types::{Offset, TopicId};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

type Ends = BTreeMap<i32, Offset>;
type ByPartition<T> = BTreeMap<i32, Vec<T>>;

#[derive(Debug, Clone, Deserialize)]
struct List {
    number: u64,
    files: Vec<Entry>,
}

#[derive(Debug, Clone, Deserialize)]
struct Entry {
    key: String,
    partition: i32,
    folder: String,
    ranges: Vec<(Offset, Offset)>,
    bytes: u64,
    made_of: u64,
}

impl Entry {
    fn is_merged(&self) -> bool {
        self.key.contains("/merged/")
    }
}

/// Files of so many bytes.
fn of_bytes(file_bytes: u64) -> ExportOptions {
    ExportOptions { file_bytes, ..ExportOptions::default() }
}

fn lists(target: &SimStore) -> Vec<List> {
    let keys = target.peek_keys("_floe").into_iter().filter(|key| key.contains("/list/"));
    keys.map(|key| {
        let list: List = serde_json::from_slice(&target.peek(&key).expect("it is listed")).expect("JSON");
        assert!(key.ends_with(&format!("/{:020}.json", list.number)), "{key}");
        list
    })
    .collect()
}

fn merged_keys(target: &SimStore) -> BTreeSet<String> {
    target.peek_keys("_floe").into_iter().filter(|key| key.contains("/merged/")).collect()
}

/// The files of a list tile their partitions from `begin` on, each in the folder of what it is made of, and hold every acknowledged record
/// of their offsets once, as it was - but for `gone`. Where they end.
fn check_list(world: &World, list: &List, begin: Offset, gone: impl Fn(Offset) -> bool) -> Ends {
    let (mut ranges, mut rows) = (ByPartition::<(Offset, Offset)>::new(), ByPartition::new());
    for entry in &list.files {
        let body = world.target.peek(&entry.key).unwrap_or_else(|| panic!("{} is listed and not there", entry.key));
        assert_eq!(body.len() as u64, entry.bytes, "{}", entry.key);
        assert!(entry.key.contains(&format!("/{}/", entry.folder)) && entry.is_merged() == (entry.made_of > 1), "{entry:?}");
        let found = file(&body);
        check_file(&found, entry);
        ranges.entry(entry.partition).or_default().extend(&entry.ranges);
        rows.entry(entry.partition).or_default().extend(found.rows);
    }
    let mut ends = Ends::new();
    for (partition, mut ranges) in ranges {
        ranges.sort_unstable();
        let end = ranges.iter().fold(begin, |before, (start, end)| {
            assert_eq!(before, *start, "partition {partition} of list {}", list.number);
            *end
        });
        let mut rows = rows.remove(&partition).unwrap_or_default();
        rows.sort_by_key(|row| row.offset);
        let all = world.acknowledged[&partition].range(begin..end).filter(|(offset, _)| !gone(**offset));
        let expected: Vec<_> = all.map(|(_, record)| row(partition, record)).collect();
        assert!(rows == expected, "partition {partition} of list {}: {} rows, not {}", list.number, rows.len(), expected.len());
        ends.insert(partition, end);
    }
    ends
}

/// What a file says of itself is what the list says of it, and what it holds.
fn check_file(found: &File, entry: &Entry) {
    let (start, end) = (entry.ranges[0].0, entry.ranges.last().expect("one at least").1);
    assert_eq!((found.header.partition, found.header.start, found.header.end), (entry.partition, start, end));
    assert_eq!((number(found, "floe.start"), number(found, "floe.end")), (start, end));
    assert_eq!(number(found, "floe.rows"), found.rows.len() as i64);
    let gaps: i64 = ["deleted", "compacted", "control"].iter().map(|why| number(found, &format!("floe.gaps.{why}"))).sum();
    let covered: i64 = entry.ranges.iter().map(|(start, end)| end - start).sum();
    assert_eq!(covered, found.rows.len() as i64 + gaps, "every offset is a row or told to be missing");
    let offsets: Vec<Offset> = found.rows.iter().map(|row| row.offset).collect();
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
    assert!(offsets.iter().all(|offset| entry.ranges.iter().any(|(start, end)| (start..end).contains(&offset))), "{entry:?}");
    if entry.is_merged() {
        let told: Vec<(Offset, Offset)> = serde_json::from_str(&found.metadata["floe.ranges"]).expect("JSON");
        assert_eq!(told, entry.ranges);
    }
}

/// All lists that stand, each with all that the one before had, and the plain glob. Where the newest list ends.
fn check_all(world: &World) -> Ends {
    check(&world.target, 0, &world.acknowledged, |_, _| false);
    let mut before = Ends::new();
    for (at, list) in lists(&world.target).iter().enumerate() {
        assert_eq!(list.number, at as u64 + 1);
        let ends = check_list(world, list, 0, |_| false);
        assert!(before.iter().all(|(partition, end)| ends[partition] >= *end), "{before:?}, then {ends:?}");
        before = ends;
    }
    before
}

fn all_ends(world: &World) -> Ends {
    world.acknowledged.iter().map(|(index, records)| (*index, records.last_key_value().map_or(0, |(offset, _)| offset + 1))).collect()
}

/// A world with very many small files in two partitions.
async fn exported(seed: u64, batches: usize) -> (World, TopicId, u64) {
    let mut world = World::new(seed).await;
    let topic = world.topic("t", 2, &[]).await;
    for index in 0..2 {
        world.produce_some(topic, index, batches).await;
    }
    let report = world.export(small_files()).await.expect("exported");
    (world, topic, report.files)
}

async fn opened(world: &World) -> Export {
    open(world.env.process(), world.source.clone(), world.target.clone(), ExportOptions::default()).await.expect("opened")
}

/// All rows of a file, as one batch.
fn batch(world: &World, key: &str) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(world.target.peek(key).expect("it is there")).expect("a Parquet file");
    builder.with_batch_size(1 << 20).build().expect("readable").next().expect("it has rows").expect("sound")
}

#[test]
fn small_files_become_large_ones_and_a_second_merge_takes_only_what_is_new() {
    run(async {
        let (mut world, topic, files) = exported(1, 60).await;
        assert!(files > 10, "{files} small files");
        let first = world.merge(of_bytes(40_000)).await.expect("merged");
        assert!(first.sources == files && first.files == first.merged && first.merged < files / 2, "{first:?} of {files}");
        assert_eq!(check_all(&world), all_ends(&world));
        // Nothing is new: nothing is written, and the same list counts.
        let keys = world.target.peek_keys("");
        let again = world.merge(of_bytes(40_000)).await.expect("nothing to merge");
        assert_eq!(again, Merged { sources: 0, merged: 0, bytes: 0, ..first.clone() });
        assert_eq!(world.target.peek_keys(""), keys);
        world.produce_some(topic, 1, 30).await;
        let new = world.export(small_files()).await.expect("exported").files;
        let second = world.merge(of_bytes(40_000)).await.expect("merged");
        assert!(second.sources >= new && second.sources <= new + 2, "{second:?} of {new} new files");
        assert_eq!(check_all(&world), all_ends(&world));
        let [before, after] = lists(&world.target).try_into().expect("two lists");
        let kept: BTreeSet<&String> = after.files.iter().map(|entry| &entry.key).collect();
        let large: Vec<&Entry> = before.files.iter().filter(|entry| entry.bytes >= 20_000 || entry.partition == 0).collect();
        assert!(!large.is_empty() && large.iter().all(|entry| kept.contains(&entry.key)), "{large:?} are left as they are: {after:?}");
    });
}

#[test]
fn large_files_are_listed_as_they_are() {
    run(async {
        let (world, _, files) = exported(2, 40).await;
        let merged = world.merge(of_bytes(2_000)).await.expect("listed");
        assert_eq!((merged.sources, merged.files), (0, files));
        assert!(merged_keys(&world.target).is_empty() && lists(&world.target).len() == 1);
        assert_eq!(check_all(&world), all_ends(&world));
    });
}

#[test]
fn racing_mergers_agree() {
    run(async {
        let (mut met, mut gave_up) = (0, 0);
        for seed in 0..25 {
            let (mut world, topic, _) = exported(seed, 30).await;
            for _ in 0..2 {
                world.target.set_faults(SimFaults { way_ms: 1..40, late: 200, after: 300, lost: 200, ..SimFaults::rough() });
                let racer = |bytes| {
                    let racing = merge(world.env.process(), world.source.clone(), world.target.clone(), of_bytes(bytes));
                    world.env.spawn("a racer", racing).join()
                };
                let (a, b, c) = tokio::join!(racer(30_000), racer(30_000), racer(50_000));
                for ended in [a, b, c] {
                    match ended.expect("no panic") {
                        Ok(merged) => met += u64::from(merged.sources == 0),
                        Err(_) => gave_up += 1,
                    }
                }
                world.target.set_faults(SimFaults::none());
                world.target.settled().await;
                check_all(&world);
                world.produce_some(topic, 0, 9).await;
                world.export(small_files()).await.expect("exported");
            }
            world.merge(of_bytes(30_000)).await.expect("on a good store");
            assert_eq!(check_all(&world), all_ends(&world), "seed {seed}");
        }
        assert!(met > 30 && gave_up < 75, "another was first {met} times; {gave_up} of 150 gave up");
    });
}

#[test]
fn killed_after_any_request_nothing_is_wrong_and_the_next_takes_what_is_there() {
    run(async {
        let mut taken = 0;
        for at in 0.. {
            let (world, _, _) = exported(7, 20).await;
            let process = world.env.process();
            let killed = process.clone();
            world.target.then(None, "", at, move || killed.abort_all());
            let merger = merge(process.clone(), world.source.clone(), world.target.clone(), of_bytes(30_000));
            let ended = process.spawn("a merger", merger).join().await;
            process.tasks_ended().await;
            world.target.clear_hooks();
            check_all(&world);
            let left = merged_keys(&world.target);
            world.merge(of_bytes(30_000)).await.expect("merged");
            assert_eq!(check_all(&world), all_ends(&world), "killed after request {at}");
            // Whoever merges the same finds it done: none is there in vain.
            let listed: BTreeSet<String> = lists(&world.target)[0].files.iter().map(|entry| entry.key.clone()).collect();
            assert_eq!(merged_keys(&world.target), listed, "killed after request {at}");
            taken += u64::from(!left.is_empty() && ended.is_err());
            if ended.is_ok() {
                assert!(at > 20 && taken > 3, "{at} requests, after {taken} of which a file was there");
                return;
            }
        }
    });
}

#[test]
fn merged_while_exporters_write_every_list_is_exact() {
    run(async {
        let mut lists_seen = 0;
        for seed in 0..10 {
            let mut world = World::new(seed).await;
            let topic = world.topic("t", 2, &[]).await;
            for index in 0..2 {
                world.produce_some(topic, index, 60).await;
            }
            world.target.set_faults(SimFaults { way_ms: 1..100, ..SimFaults::none() });
            let options = ExportOptions { folders: Some(Folders::Partition), ..small_files() };
            let exporter = |options| export(world.env.process(), world.source.clone(), world.target.clone(), options);
            let exporters = [world.env.spawn("one", exporter(options.clone())), world.env.spawn("another", exporter(options))];
            while !exporters.iter().all(floe_env::Task::is_finished) {
                world.env.sleep(Duration::from_millis(30)).await;
                match merge(world.env.process(), world.source.clone(), world.target.clone(), of_bytes(20_000)).await {
                    Ok(_) | Err(ExportError::Refused(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            for exporter in exporters {
                exporter.join().await.expect("no panic").expect("exported");
            }
            world.merge(of_bytes(20_000)).await.expect("merged");
            assert_eq!(check_all(&world), all_ends(&world), "seed {seed}");
            lists_seen += lists(&world.target).len();
        }
        assert!(lists_seen > 20, "{lists_seen} lists");
    });
}

#[test]
fn what_lies_behind_a_hole_waits() {
    run(async {
        let (world, topic, files) = exported(3, 40).await;
        let first: Vec<String> =
            world.target.peek_keys(&format!("{topic}/0")).into_iter().filter(|key| key.ends_with(".parquet")).collect();
        let body = world.target.peek(&first[2]).expect("it is there");
        world.target.uproot(&first[2]);
        let merged = world.merge(of_bytes(60_000)).await.expect("merged");
        assert_eq!((merged.waiting, merged.sources), (first.len() as u64 - 3, files - first.len() as u64 + 2));
        world.target.plant(&first[2], body);
        assert_eq!(world.merge(of_bytes(60_000)).await.expect("merged").waiting, 0);
        assert_eq!(check_all(&world), all_ends(&world));
    });
}

const DAY: i64 = 24 * 3600 * 1000;

#[test]
fn days_are_merged_each_in_its_folder() {
    run(async {
        let mut world = World::new(4).await;
        let topic = world.topic("t", 2, &[]).await;
        for at in 0..40 {
            let records: Vec<Record> = [at / 10, (at + 1) / 10, -1]
                .iter()
                .map(|day| Record { timestamp: if *day < 0 { -1 } else { day * DAY }, ..record(Some("k"), Some("v")) })
                .collect();
            world.produce(topic, (at % 2) as i32, Codec::None, &records[..2 + usize::from(at % 7 == 0)]).await;
        }
        world.export(ExportOptions { folders: Some(Folders::Date), ..small_files() }).await.expect("exported");
        let merged = world.merge(ExportOptions::default()).await.expect("merged");
        // Four days in one partition and five in the other, and what has none.
        assert_eq!(merged.files, lists(&world.target)[0].files.iter().map(|entry| &entry.folder).collect::<BTreeSet<_>>().len() as u64);
        assert!(merged.files == 11 && merged.sources >= 16, "{merged:?}");
        assert_eq!(check_all(&world), all_ends(&world));
        for entry in &lists(&world.target)[0].files {
            let day = |row: &crate::table::Row| row.timestamp.map(|at| format!("date=1970-01-{:02}/{}", at / DAY + 1, entry.partition));
            let none = || format!("date=__HIVE_DEFAULT_PARTITION__/{}", entry.partition);
            let rows = file(&world.target.peek(&entry.key).expect("it is there")).rows;
            assert!(rows.iter().all(|row| day(row).unwrap_or_else(none) == entry.folder), "{entry:?}");
        }
        assert!(lists(&world.target)[0].files.iter().any(|entry| entry.ranges.len() > 1), "some have others' offsets in between");
    });
}

#[test]
fn columns_that_came_later_are_there_however_deep_they_lie() {
    run(async {
        let mut world = World::new(5).await;
        let topic = world.topic("t", 1, &[]).await;
        let json = ExportOptions { mode: Some(Mode::Json), ..ExportOptions::default() };
        let values = [
            r#"{"a": 1, "list": [{"x": 1}, null], "at": {"in": {"x": 1.5}}}"#,
            r#"{"a": 2, "list": [{"x": 2, "y": "z"}], "b": "new"}"#,
            r#"{"at": {"in": {"x": 2.5, "more": [true]}, "id": 7}, "a": "no number"}"#,
        ];
        for value in values {
            world.produce(topic, 0, Codec::None, &[record(Some("k"), Some(value))]).await;
            world.export(json.clone()).await.expect("exported");
        }
        assert_eq!(world.merge(ExportOptions::default()).await.expect("merged").sources, 3);
        let list = lists(&world.target).pop().expect("a list");
        let merged = batch(&world, &list.files[0].key);
        // As one exporter would have written it that knew all columns before.
        let whole = SimStore::new(&world.env, SimFaults::none());
        for key in world.target.peek_keys("_floe").into_iter().filter(|key| key.contains("/schema/") || key.ends_with("begin.json")) {
            whole.plant(&key, world.target.peek(&key).expect("it is there"));
        }
        let separate = std::mem::replace(&mut world.target, whole);
        assert_eq!(world.export(json).await.expect("exported").files, 1);
        assert_eq!(merged, batch(&world, &format!("{topic}/0/{:020}.parquet", 0)));
        assert_eq!(crate::json::names(&merged), ["a", "list", "at", "b", "_error"]);
        // What no version of the columns has is not left out in silence.
        world.target = separate;
        for key in world.target.peek_keys("_floe").into_iter().filter(|key| key.contains("/schema/") || key.contains("/list/")) {
            world.target.uproot(&key);
        }
        for key in merged_keys(&world.target) {
            world.target.uproot(&key);
        }
        let lost = world.merge(ExportOptions::default()).await.expect_err("refused");
        assert!(matches!(&lost, ExportError::Foreign { why, .. } if why.contains("a column a")), "{lost}");
    });
}

#[test]
fn gaps_are_told_together() {
    run(async {
        let mut world = World::new(6).await;
        let topic = world.topic("t", 1, &[]).await;
        world.produce_some(topic, 0, 20).await;
        let until = |offset| ExportOptions { until: Some(floe_export::Place::Offset(offset)), ..ExportOptions::default() };
        world.export(until(5)).await.expect("exported");
        world.partition(topic, 0).delete_records(Some(8)).await.expect("deleted");
        world.export(until(20)).await.expect("exported");
        world.partition(topic, 0).delete_records(Some(31)).await.expect("deleted");
        world.export(ExportOptions::default()).await.expect("exported");
        assert_eq!(world.merge(ExportOptions::default()).await.expect("merged").sources, 3);
        let list = lists(&world.target).pop().expect("a list");
        check_list(&world, &list, 0, |offset| (5..8).contains(&offset) || (20..31).contains(&offset));
        let merged = file(&world.target.peek(&list.files[0].key).expect("it is there"));
        assert_eq!(merged.metadata["floe.gaps"], r#"[[5,8,"deleted"],[20,31,"deleted"]]"#);
        assert_eq!((number(&merged, "floe.gaps.deleted"), merged.metadata["floe.topic"].as_str()), (14, "t"));
    });
}

#[test]
fn what_is_no_table_is_not_merged() {
    run(async {
        let mut world = World::new(8).await;
        let topic = world.topic("t", 1, &[]).await;
        let refused = world.merge(ExportOptions::default()).await.expect_err("there is none");
        assert!(matches!(refused, ExportError::Refused(_)), "{refused}");
        world.produce_some(topic, 0, 2).await;
        world.export(ExportOptions::default()).await.expect("exported");
        let mine = format!("{topic}/0/mine.parquet");
        world.target.plant(&mine, bytes::Bytes::from_static(&[7; 100]));
        let foreign = world.merge(ExportOptions::default()).await.expect_err("refused");
        assert!(matches!(&foreign, ExportError::Foreign { key, .. } if *key == mine), "{foreign}");
        world.target.uproot(&mine);
        assert_eq!(world.merge(ExportOptions::default()).await.expect("one file, as it is").files, 1);
    });
}

#[test]
fn who_follows_merges_at_first_and_then_when_enough_is_new() {
    run(async {
        let (mut world, topic, files) = exported(10, 30).await;
        let mut follow = Follow::new(true);
        let mut merged = Vec::new();
        for round in 0..40 {
            world.produce(topic, round % 2, Codec::None, &[record(Some("k"), Some("v"))]).await;
            let done = follow.round(&opened(&world).await, |_| {}).await.expect("exported");
            assert_eq!(done.report.files, 1, "round {round}");
            merged.extend(done.merged.map(|merged| (round, merged.expect("merged").sources)));
        }
        // The one that made them is among those files: 16 for each of two partitions lie between two merges.
        assert!(matches!(merged[..], [(0, first), (32, second)] if first == files + 1 && second >= 32), "{merged:?} of {files}");
        assert_eq!(check_all(&world).values().sum::<Offset>(), all_ends(&world).values().sum::<Offset>() - 7);
        check(&world.target, 0, &world.acknowledged, |_, _| false);
        assert!(Follow::new(false).round(&opened(&world).await, |_| {}).await.expect("exported").merged.is_none());
    });
}

/// Of how many of these keys a file's bloom filter says that they may be there; None: it has none.
fn maybe_there(world: &World, key: &str, keys: impl Iterator<Item = String>) -> Option<usize> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(world.target.peek(key).expect("it is there")).expect("a Parquet file");
    let at = builder.parquet_schema().columns().iter().position(|column| column.path().string() == "key").expect("it has keys");
    let filter = builder.get_row_group_column_bloom_filter(0, at).expect("readable")?;
    Some(keys.filter(|key| filter.check(key.as_str())).count())
}

#[test]
fn keys_have_a_bloom_filter_where_one_is_wanted_and_only_there() {
    run(async {
        let mut world = World::new(9).await;
        let topic = world.topic("t", 1, &[]).await;
        let bloom = ExportOptions { bloom: true, ..ExportOptions::default() };
        for round in 0..3 {
            let records: Vec<Record> = (0..200).map(|n| record(Some(&format!("key {round} {n}")), None)).collect();
            world.produce(topic, 0, Codec::None, &records).await;
            let options = if round == 0 { ExportOptions::default() } else { bloom.clone() };
            world.export(options).await.expect("exported");
        }
        world.merge(bloom).await.expect("merged");
        let there = |round: i64| (0..200).map(move |n| format!("key {round} {n}"));
        let name = |round: i64| format!("{topic}/0/{:020}.parquet", 200 * round);
        assert_eq!(maybe_there(&world, &name(0), there(0)), None);
        for round in 1..3 {
            assert_eq!(maybe_there(&world, &name(round), there(round)), Some(200));
            assert!(maybe_there(&world, &name(round), there(0)).is_some_and(|wrong| wrong < 40), "it tells most others");
        }
        let merged = lists(&world.target).pop().expect("a list").files[0].key.clone();
        assert_eq!(maybe_there(&world, &merged, (0..3).flat_map(there)), Some(600));
        assert!(maybe_there(&world, &merged, there(3)).is_some_and(|wrong| wrong < 40), "it tells most others");
    });
}
