//! What a broker exports by itself: the topics that ask for it, exact at every instant, whoever dies, is deposed, or exports beside it.

use crate::table::{check, files, number};
use crate::world::{World, export, options, record, run, small_files};
use floe_export::ExportOptions;
use floe_log::{Durability, EngineOptions, TopicError};
use floe_records::Codec;
use floe_testkit::sim_store::SimFaults;
use floe_types::Offset;
use std::collections::BTreeMap;
use std::time::Duration;

const YEAR_MS: u64 = 365 * 86_400_000;
const ASKS: [(&str, &str); 2] = [("floe.export", "parquet"), ("floe.export.freshness.ms", "1000")];

fn ends(world: &World) -> BTreeMap<i32, Offset> {
    check(&world.target, 0, &world.acknowledged, |_, _| false)
}

fn all_ends(world: &World) -> BTreeMap<i32, Offset> {
    world.acknowledged.iter().map(|(index, records)| (*index, records.last_key_value().map_or(0, |(offset, _)| offset + 1))).collect()
}

#[test]
fn a_topic_that_asks_for_it_is_exported_and_nothing_is_asked_of_the_target_while_nothing_is_new() {
    run(async {
        let mut world = World::new(1).await;
        let (topic, other) = (world.topic("t", 2, &ASKS).await, world.topic("other", 1, &[]).await);
        world.export_by_broker();
        let silent = record(Some("k"), Some("v"));
        for round in 0..5 {
            for index in 0..2 {
                world.produce_some(topic, index, 10).await;
            }
            world.env.sleep(Duration::from_secs(3)).await;
            assert_eq!(ends(&world), all_ends(&world), "round {round}");
        }
        world.append(other, 0, Codec::None, &[silent]).await;
        let asked = world.target.counts().total_requests();
        world.env.sleep(Duration::from_secs(600)).await;
        assert_eq!(world.target.counts().total_requests(), asked, "nothing is new");
        // Five rounds of two partitions, none of which was a file of its own for nothing.
        let status = world.exporter().status();
        assert_eq!((status.topics, status.refused, status.rows, status.files, status.failures), (1, 0, 300, 10, 0));
        // Settings count from then on.
        world.engine().set_topic_config(topic, "floe.export", Some("none".into())).await.expect("set");
        world.env.sleep(Duration::from_secs(3)).await;
        world.produce_some(topic, 0, 1).await;
        world.env.sleep(Duration::from_secs(30)).await;
        assert_eq!(ends(&world)[&0], 150);
        world.engine().set_topic_config(topic, "floe.export", Some("parquet".into())).await.expect("set");
        world.env.sleep(Duration::from_secs(3)).await;
        assert_eq!(ends(&world), all_ends(&world));
    });
}

#[test]
fn what_a_topic_asks_for_is_what_it_gets() {
    run(async {
        let mut world = World::new(2).await;
        let more = [("floe.export.mode", "json"), ("floe.export.layout", "partition"), ("floe.export.merge", "true")];
        let topic = world.topic("t", 1, &[&ASKS, &more[..]].concat()).await;
        world.export_by_broker();
        for n in 0..40 {
            world.produce(topic, 0, Codec::None, &[record(None, Some(&format!("{{\"n\":{n}}}")))]).await;
            world.env.sleep(Duration::from_secs(2)).await;
        }
        let batches = crate::json::batches(&world);
        assert_eq!(batches.len(), 40);
        assert!(batches.iter().all(|batch| crate::json::names(batch) == ["n", "_error"]));
        let keys = world.target.peek_keys("");
        assert!(keys.iter().filter(|key| key.ends_with(".parquet")).all(|key| key.starts_with(&format!("{topic}/partition=0/"))));
        assert!(
            keys.iter().any(|key| key.contains("/merged/")) && world.exporter().status().merged >= 16,
            "{:?}",
            world.exporter().status()
        );
        // What contradicts the table that there is, is told and does nothing.
        world.engine().set_topic_config(topic, "floe.export.mode", Some("raw".into())).await.expect("set");
        world.produce(topic, 0, Codec::None, &[record(None, None)]).await;
        world.env.sleep(Duration::from_secs(20)).await;
        assert!(world.exporter().status().failures > 0);
        assert_eq!(crate::json::batches(&world).len(), 40);
        world.engine().set_topic_config(topic, "floe.export.mode", Some("json".into())).await.expect("set");
        world.env.sleep(Duration::from_secs(20)).await;
        assert_eq!(crate::json::batches(&world).len(), 41);
        // A broker puts nothing where it may not.
        let refused = world.engine().set_topic_config(topic, "floe.export.target", Some("s3://elsewhere/t".into())).await;
        assert!(matches!(&refused, Err(TopicError::Config(why)) if why.contains("floe.export.targets")), "{refused:?}");
        world.crash().await;
        world.restart(EngineOptions { export_targets: Vec::new(), ..options() }).await;
        world.export_by_broker();
        world.produce(topic, 0, Codec::None, &[record(None, None)]).await;
        world.env.sleep(Duration::from_secs(20)).await;
        assert_eq!((world.exporter().status().refused, crate::json::batches(&world).len()), (1, 41));
    });
}

#[test]
fn killed_at_any_time_and_beside_other_exporters_the_table_is_exact_and_complete_in_the_end() {
    run(async {
        let (mut partly, mut lost) = (0, 0);
        for seed in 0..20 {
            let mut world = World::new(100 + seed).await;
            let topic = world.topic("t", 2, &ASKS).await;
            let bad = SimFaults { way_ms: 1..100, late: 100, after: 200, lost: 100, late_ms: 10..5_000, ..SimFaults::none() };
            world.target.set_faults(bad.clone());
            for _ in 0..4 {
                world.export_by_broker();
                for index in 0..2 {
                    let batches = 5 + world.env.random_below(30) as usize;
                    world.produce_some(topic, index, batches).await;
                }
                // Somebody exports by hand at the same time.
                let by_hand = export(world.env.process(), world.source.clone(), world.target.clone(), small_files());
                let _by_hand = world.env.spawn("by hand", by_hand);
                // Years to and fro: nothing follows from the clock.
                world.jump_clock(world.env.random_below(20 * YEAR_MS).cast_signed() - 10 * YEAR_MS.cast_signed());
                world.env.sleep(Duration::from_millis(world.env.random_below(2000))).await;
                let there = check_partly(&world);
                partly += u64::from(there != all_ends(&world));
                lost += world.exporter().status().lost;
                world.crash().await;
                check_partly(&world);
                world.restart(options()).await;
            }
            world.export_by_broker();
            world.target.set_faults(SimFaults::none());
            world.target.settled().await;
            world.env.sleep(Duration::from_secs(60)).await;
            assert_eq!(ends(&world), all_ends(&world), "seed {seed}");
        }
        assert!(partly > 10 && lost > 0, "killed {partly} times with a part exported; {lost} files were another's");
    });
}

/// As [`ends`], where a partition may have no file yet.
fn check_partly(world: &World) -> BTreeMap<i32, Offset> {
    let there = ends(world);
    all_ends(world).into_keys().map(|index| (index, there.get(&index).copied().unwrap_or(0))).collect()
}

#[test]
fn a_deposed_broker_that_wakes_changes_nothing() {
    run(async {
        let mut behind = 0;
        for seed in 0..20 {
            let mut world = World::new(200 + seed).await;
            let topic = world.topic("t", 2, &ASKS).await;
            world.target.set_faults(SimFaults { way_ms: 1..400, ..SimFaults::none() });
            world.export_by_broker();
            for index in 0..2 {
                world.produce_some(topic, index, 20).await;
            }
            world.env.sleep(Duration::from_millis(world.env.random_below(3000))).await;
            let old = world.take_over(options()).await;
            behind += u64::from(check_partly(&world) != all_ends(&world));
            world.export_by_broker();
            world.produce_some(topic, 0, 10).await;
            world.env.sleep(Duration::from_millis(world.env.random_below(3000))).await;
            old.thaw();
            world.produce_some(topic, 1, 10).await;
            world.env.sleep(Duration::from_secs(20)).await;
            assert_eq!(ends(&world), all_ends(&world), "seed {seed}");
            old.abort_all();
            old.tasks_ended().await;
        }
        assert!(behind > 3, "{behind} were behind when they were deposed");
    });
}

#[test]
fn what_only_this_brokers_disk_has_is_not_exported() {
    run(async {
        let local = || EngineOptions { durability: Durability::Local, ..options() };
        let mut world = World::with(5, local()).await;
        let topic = world.topic("t", 1, &ASKS).await;
        world.export_by_broker();
        world.produce_some(topic, 0, 10).await;
        world.env.sleep(Duration::from_secs(5)).await;
        assert_eq!(ends(&world)[&0], 30);
        world.source.set_available(false);
        world.produce_some(topic, 0, 5).await;
        world.env.sleep(Duration::from_secs(20)).await;
        assert_eq!(ends(&world)[&0], 30);
        // Its disk is lost, and other records get the offsets of those that were on it.
        world.source.set_available(true);
        let old = world.take_over(local()).await;
        old.abort_all();
        old.tasks_ended().await;
        world.acknowledged.get_mut(&0).expect("it has records").split_off(&30);
        world.export_by_broker();
        world.produce_some(topic, 0, 7).await;
        world.env.sleep(Duration::from_secs(5)).await;
        assert_eq!((ends(&world), ends(&world)[&0]), (all_ends(&world), 51));
    });
}

#[test]
fn what_retention_and_compaction_took_is_told() {
    run(async {
        let fast = EngineOptions { settle_bytes: 1_000, settle_least_bytes: 100, settle_check: Duration::from_secs(1), ..options() };
        let mut world = World::with(3, fast).await;
        let compacted = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01")];
        let topic = world.topic("t", 1, &compacted).await;
        for round in 0..40 {
            let records: Vec<_> =
                (0..4).map(|n| record(Some(&format!("key {n}")), Some(&format!("{round} {}", "x".repeat(100))))).collect();
            world.produce(topic, 0, Codec::None, &records).await;
        }
        world.env.sleep(Duration::from_secs(600)).await;
        world.partition(topic, 0).delete_records(Some(21)).await.expect("deleted");
        world.engine().set_topic_config(topic, "floe.export", Some("parquet".into())).await.expect("set");
        world.export_by_broker();
        world.env.sleep(Duration::from_secs(30)).await;
        let files = files(&world.target);
        let rows: Vec<Offset> = files.iter().flat_map(|file| file.rows.iter().map(|row| row.offset)).collect();
        let told = |why: &str| files.iter().map(|file| number(file, why)).sum::<i64>();
        assert!(rows.len() < 130 && (156..160).all(|offset| rows.contains(&offset)), "{rows:?}");
        assert_eq!((told("floe.gaps.deleted"), told("floe.gaps.compacted")), (21, 139 - rows.len() as i64));
        check(&world.target, 0, &world.acknowledged, |_, offset| !rows.contains(&offset));
    });
}

#[test]
fn more_partitions_another_topic_of_the_name_and_what_begun_by_hand_are_all_followed() {
    run(async {
        let mut world = World::new(4).await;
        let topic = world.topic("t", 1, &[]).await;
        world.produce_some(topic, 0, 20).await;
        world.export(ExportOptions { until: Some(floe_export::Place::Offset(31)), ..ExportOptions::default() }).await.expect("exported");
        world.export_by_broker();
        world.engine().set_topic_config(topic, "floe.export", Some("parquet".into())).await.expect("set");
        world.env.sleep(Duration::from_secs(15)).await;
        assert_eq!(ends(&world), all_ends(&world));
        world.more_partitions(topic, 2).await;
        world.produce_some(topic, 1, 5).await;
        world.env.sleep(Duration::from_secs(15)).await;
        assert_eq!(ends(&world), all_ends(&world));
        // Somebody throws the whole table away: it begins again, from the beginning.
        for key in world.target.peek_keys("") {
            world.target.uproot(&key);
        }
        world.produce_some(topic, 1, 1).await;
        world.env.sleep(Duration::from_secs(15)).await;
        assert_eq!(ends(&world)[&1], 18);
        world.produce_some(topic, 0, 1).await;
        world.env.sleep(Duration::from_secs(15)).await;
        assert_eq!(ends(&world), all_ends(&world));
        world.engine().delete_topic(topic).await.expect("deleted");
        let again = world.topic("t", 1, &ASKS).await;
        let before = files(&world.target).len();
        world.acknowledged.clear();
        world.produce_some(again, 0, 5).await;
        world.env.sleep(Duration::from_secs(15)).await;
        assert_eq!(files(&world.target).len(), before + 1);
        assert!(world.target.peek_keys(&again.to_string()).len() == 1);
    });
}
