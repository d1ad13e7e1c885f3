//! Every record once: repeated, raced, killed, taken over, on good stores and bad ones.

use crate::table::{check, files};
use crate::world::{World, export, options, run, small_files};
use floe_export::{ExportOptions, Place};
use floe_objstore::{Store, StoreOptions};
use floe_testkit::sim_store::SimFaults;
use floe_types::Offset;
use std::collections::BTreeMap;
use std::sync::Arc;

fn ends(world: &World) -> BTreeMap<i32, Offset> {
    check(&world.target, 0, &world.acknowledged, |_, _| false)
}

fn all_ends(world: &World) -> BTreeMap<i32, Offset> {
    world.acknowledged.iter().map(|(index, records)| (*index, records.last_key_value().map_or(0, |(offset, _)| offset + 1))).collect()
}

#[test]
fn a_second_run_adds_only_what_is_new() {
    run(async {
        let mut world = World::new(1).await;
        let topic = world.topic("t", 3, &[]).await;
        for index in 0..2 {
            world.produce_some(topic, index, 40).await;
        }
        let first = world.export(small_files()).await.expect("exported");
        assert_eq!((first.partitions, first.rows, first.lost), (3, 240, 0));
        assert!(first.files > 4, "small files are many: {first:?}");
        assert_eq!(ends(&world), all_ends(&world));
        let keys = world.target.peek_keys("");
        let again = world.export(small_files()).await.expect("nothing to do");
        assert_eq!((again.rows, again.files), (0, 0));
        assert_eq!(world.target.peek_keys(""), keys);
        world.produce_some(topic, 1, 5).await;
        world.produce_some(topic, 2, 1).await;
        let more = world.export(ExportOptions::default()).await.expect("exported");
        assert_eq!((more.rows, more.files), (18, 2));
        assert_eq!(ends(&world), all_ends(&world));
    });
}

#[test]
fn no_broker_has_to_run_and_one_that_crashed_is_no_trouble() {
    run(async {
        let mut world = World::new(2).await;
        let topic = world.topic("t", 1, &[]).await;
        world.produce_some(topic, 0, 20).await;
        world.crash().await;
        assert_eq!(world.export(small_files()).await.expect("exported").rows, 60);
        world.restart(options()).await;
        world.produce_some(topic, 0, 20).await;
        world.stop().await;
        assert_eq!(world.export(small_files()).await.expect("exported").rows, 60);
        assert_eq!(ends(&world), all_ends(&world));
    });
}

#[test]
fn broker_after_broker_is_followed_while_they_write_settle_and_go() {
    run(async {
        let fast = || floe_log::EngineOptions {
            settle_bytes: 500,
            settle_least_bytes: 100,
            manifest_segments: 2,
            index_every_slots: 3,
            ..options()
        };
        let mut world = World::with(3, fast()).await;
        let topic = world.topic("t", 2, &[]).await;
        for round in 0..8 {
            for index in 0..2 {
                world.produce_some(topic, index, 12).await;
            }
            if round % 3 == 2 {
                world.crash().await;
                world.restart(fast()).await;
            }
            // Time to settle, and to delete slots.
            world.env.sleep(std::time::Duration::from_secs(60 * (round % 2))).await;
            world.export(small_files()).await.expect("exported");
            assert_eq!(ends(&world), all_ends(&world));
        }
        let of_topic = world.source.peek_keys(&format!("topic/{topic}"));
        assert!(of_topic.iter().any(|key| key.contains("/page/")), "enough was settled for pages: {of_topic:?}");
    });
}

#[test]
fn racing_exporters_collide_instead_of_doubling() {
    run(async {
        let mut lost = 0;
        for seed in 0..40 {
            let mut world = World::new(seed).await;
            let topic = world.topic("t", 2, &[]).await;
            for index in 0..2 {
                world.produce_some(topic, index, 25).await;
            }
            world.target.set_faults(SimFaults::rough());
            let racer = |file_bytes| {
                // Their clocks are years apart: nothing follows from them.
                let skew = i64::try_from(file_bytes).expect("small") * 31_536_000 - 120_000_000_000;
                let (env, options) = (world.env.process().with_clock_skew(skew), ExportOptions { file_bytes, ..ExportOptions::default() });
                world.env.spawn("a racer", export(env, world.source.clone(), world.target.clone(), options)).join()
            };
            let (a, b, c) = tokio::join!(racer(3_000), racer(5_000), racer(3_001));
            for ended in [a, b, c] {
                // On a store as bad as this one may give up: what it has created counts all the same.
                lost += ended.expect("no panic").map_or(0, |report| report.lost);
            }
            world.target.set_faults(SimFaults::none());
            world.target.settled().await;
            ends(&world);
            world.export(small_files()).await.expect("on a good store");
            assert_eq!(ends(&world), all_ends(&world), "seed {seed}");
        }
        assert!(lost > 20, "they met often enough: {lost}");
    });
}

#[test]
fn killed_at_any_point_the_table_is_exact_and_the_next_goes_on() {
    run(async {
        let (mut killed, mut partly) = (0, 0);
        for seed in 0..40 {
            let mut world = World::new(1000 + seed).await;
            let topic = world.topic("t", 2, &[]).await;
            for index in 0..2 {
                world.produce_some(topic, index, 30).await;
            }
            for _ in 0..5 {
                world.target.set_faults(SimFaults { late: 500, lost: 500, after: 500, ..SimFaults::rough() });
                let process = world.env.process();
                let exporter = export(process.clone(), world.source.clone(), world.target.clone(), small_files());
                let exporter = process.spawn("an exporter", exporter);
                world.env.sleep(std::time::Duration::from_millis(world.env.random_below(1500))).await;
                killed += u64::from(!exporter.is_finished());
                process.abort_all();
                process.tasks_ended().await;
                let before = ends(&world);
                partly += u64::from(before != all_ends(&world) && !before.is_empty());
            }
            world.target.set_faults(SimFaults::none());
            world.target.settled().await;
            world.export(small_files()).await.expect("on a good store");
            assert_eq!(ends(&world), all_ends(&world), "seed {seed}");
        }
        assert!(killed > 50 && partly > 20, "killed {killed} times in the middle, {partly} times with a part of it there");
    });
}

#[test]
fn a_zombies_late_file_changes_nothing() {
    run(async {
        let mut world = World::new(5).await;
        let topic = world.topic("t", 1, &[]).await;
        world.produce_some(topic, 0, 10).await;
        world.export(ExportOptions { until: Some(Place::Offset(6)), ..ExportOptions::default() }).await.expect("exported");
        let key = format!("{topic}/0/{:020}.parquet", 6);
        // It was to hold offsets 6 to 30, and lands when another has put 6 to 12 there.
        let zombies = {
            let elsewhere = floe_testkit::sim_store::SimStore::new(&world.env, SimFaults::none());
            for known in world.target.peek_keys("") {
                elsewhere.plant(&known, world.target.peek(&known).expect("listed"));
            }
            export(world.env.process(), world.source.clone(), elsewhere.clone(), ExportOptions::default()).await.expect("exported");
            elsewhere.peek(&key).expect("the zombie's file")
        };
        world.export(ExportOptions { until: Some(Place::Offset(12)), ..ExportOptions::default() }).await.expect("exported");
        let store = Store::new(world.env.clone(), world.target.backend(), StoreOptions::default());
        let created = store.create(&key, &floe_objstore::Payload::from(zombies)).await.expect("answered");
        assert_eq!(created, floe_objstore::Created::Lost);
        world.export(ExportOptions::default()).await.expect("exported");
        assert_eq!(files(&world.target).iter().map(|file| file.header.end).collect::<Vec<_>>(), [6, 12, 30]);
        assert_eq!(ends(&world), all_ends(&world));
    });
}

#[test]
fn whoever_reads_while_the_broker_retains_and_compacts_sees_an_exact_table() {
    run(async {
        let fast = floe_log::EngineOptions { settle_bytes: 1_000, settle_least_bytes: 100, index_every_slots: 2, ..options() };
        let mut world = World::with(7, fast).await;
        let topic = world.topic("t", 1, &[]).await;
        let world = Arc::new(tokio::sync::Mutex::new({
            world.produce_some(topic, 0, 60).await;
            world
        }));
        let (source, target, env) = {
            let world = world.lock().await;
            world.source.set_faults(SimFaults { way_ms: 1..40, ..SimFaults::none() });
            world.target.set_faults(SimFaults { way_ms: 1..400, ..SimFaults::none() });
            (world.source.clone(), world.target.clone(), world.env.clone())
        };
        let exporter = env.spawn("an exporter", export(env.process(), source, target, small_files()));
        // Slots and packs go while they are read.
        for before in [30, 90] {
            env.sleep(std::time::Duration::from_millis(700)).await;
            let partition = world.lock().await.partition(topic, 0);
            partition.delete_records(Some(before)).await.expect("deleted");
            env.sleep(std::time::Duration::from_secs(25)).await;
        }
        exporter.join().await.expect("no panic").expect("exported");
        let world = world.lock().await;
        let told: i64 = files(&world.target).iter().map(|file| crate::table::number(file, "floe.gaps.deleted")).sum();
        let rows: Vec<Offset> = files(&world.target).iter().flat_map(|file| file.rows.iter().map(|row| row.offset)).collect();
        let missing: std::collections::BTreeSet<Offset> = (0..180).filter(|offset| !rows.contains(offset)).collect();
        assert_eq!(told, missing.len() as i64);
        assert!(missing.iter().all(|offset| *offset < 90), "only what was deleted is missing: {missing:?}");
        check(&world.target, 0, &world.acknowledged, |_, offset| missing.contains(&offset));
    });
}
