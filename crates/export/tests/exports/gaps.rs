//! What retention and compaction took away is told, and nothing else is missing.

use crate::table::{check, files, number};
use crate::world::{World, export, options, record, run, small_files};
use floe_export::{ExportError, ExportOptions, Place};
use floe_log::EngineOptions;
use floe_records::{BatchBuilder, Codec};
use floe_testkit::sim_store::{SimFaults, SimStore};
use floe_types::Offset;
use std::time::Duration;

#[test]
fn what_retention_took_before_the_first_file_and_between_two_is_told() {
    run(async {
        let mut world = World::new(1).await;
        let topic = world.topic("t", 1, &[]).await;
        world.produce_some(topic, 0, 20).await;
        world.export(ExportOptions { until: Some(Place::Offset(10)), ..ExportOptions::default() }).await.expect("exported");
        world.partition(topic, 0).delete_records(Some(31)).await.expect("deleted");
        world.export(ExportOptions::default()).await.expect("exported");
        let files = files(&world.target);
        assert_eq!(files.iter().map(|file| (file.header.start, file.header.end)).collect::<Vec<_>>(), [(0, 10), (10, 60)]);
        assert_eq!(files[1].metadata["floe.gaps"], r#"[[10,31,"deleted"]]"#);
        check(&world.target, 0, &world.acknowledged, |_, offset| (10..31).contains(&offset));
        // A new target begins where the log does: nothing before that ever was there.
        world.target = SimStore::new(&world.env, SimFaults::none());
        world.export(small_files()).await.expect("exported");
        check(&world.target, 31, &world.acknowledged, |_, _| false);
    });
}

#[test]
fn all_records_gone_is_no_file_and_what_comes_later_is_one() {
    run(async {
        let mut world = World::new(2).await;
        let topic = world.topic("t", 1, &[]).await;
        world.produce_some(topic, 0, 4).await;
        world.export(ExportOptions { until: Some(Place::Offset(3)), ..ExportOptions::default() }).await.expect("exported");
        world.partition(topic, 0).delete_records(None).await.expect("deleted");
        assert_eq!(world.export(ExportOptions::default()).await.expect("nothing to do").files, 0);
        world.produce_some(topic, 0, 1).await;
        world.export(ExportOptions::default()).await.expect("exported");
        let last = files(&world.target).pop().expect("a file");
        assert_eq!((last.header.start, last.header.end, number(&last, "floe.gaps.deleted")), (3, 15, 9));
        check(&world.target, 0, &world.acknowledged, |_, offset| (3..12).contains(&offset));
    });
}

#[test]
fn a_compacted_topic_is_every_version_that_is_left_and_the_rest_is_told() {
    run(async {
        let fast = EngineOptions { settle_bytes: 1_000, settle_least_bytes: 100, settle_check: Duration::from_secs(1), ..options() };
        let mut world = World::with(3, fast).await;
        let topic = world.topic("t", 1, &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01")]).await;
        for round in 0..40 {
            let records: Vec<_> =
                (0..4).map(|n| record(Some(&format!("key {n}")), Some(&format!("{round} {}", "x".repeat(100))))).collect();
            world.produce(topic, 0, Codec::None, &records).await;
        }
        world.env.sleep(Duration::from_secs(600)).await;
        world.export(small_files()).await.expect("exported");
        let rows: Vec<Offset> = files(&world.target).iter().flat_map(|file| file.rows.iter().map(|row| row.offset)).collect();
        assert!(rows.len() < 140, "something was compacted: {} rows are left", rows.len());
        let told: i64 = files(&world.target).iter().map(|file| number(file, "floe.gaps.compacted")).sum();
        assert_eq!(told, 160 - rows.len() as i64);
        // The newest version of every key is there.
        assert!((156..160).all(|offset| rows.contains(&offset)), "{rows:?}");
        check(&world.target, 0, &world.acknowledged, |_, offset| !rows.contains(&offset));
    });
}

#[test]
fn from_and_until_bound_a_new_export_by_offset_and_by_time() {
    run(async {
        let mut world = World::new(4).await;
        let topic = world.topic("t", 1, &[]).await;
        for at in 0..30 {
            let at_time = floe_records::Record { timestamp: 1000 * at, ..record(None, Some("v")) };
            world.produce(topic, 0, Codec::None, &[at_time.clone(), at_time]).await;
        }
        let between = |from, until| ExportOptions { from: Some(from), until: Some(until), ..ExportOptions::default() };
        let report = world.export(between(Place::Time(4_500), Place::Time(9_000))).await.expect("exported");
        assert_eq!(report.rows, 8);
        let ends = check(&world.target, 10, &world.acknowledged, |_, _| false);
        assert_eq!(ends[&0], 18);
        // Going on, in the middle of a batch.
        world.export(between(Place::Offset(10), Place::Offset(21))).await.expect("exported");
        assert_eq!(check(&world.target, 10, &world.acknowledged, |_, _| false)[&0], 21);
        // What would be a hole, or stand before the beginning, is refused.
        for from in [Place::Offset(9), Place::Offset(22), Place::Time(0), Place::Time(20_000)] {
            let refused = world.export(ExportOptions { from: Some(from), ..ExportOptions::default() }).await.expect_err("refused");
            assert!(matches!(refused, ExportError::Refused(_)), "{refused}");
        }
        assert_eq!(
            world.export(ExportOptions { from: Some(Place::Time(4_500)), ..ExportOptions::default() }).await.expect("exported").rows,
            39
        );
        assert_eq!(check(&world.target, 10, &world.acknowledged, |_, _| false)[&0], 60);
    });
}

#[test]
fn a_topic_that_is_deleted_and_created_again_never_mixes() {
    run(async {
        let mut world = World::new(6).await;
        let old = world.topic("t", 1, &[]).await;
        world.produce_some(old, 0, 5).await;
        world.export(ExportOptions::default()).await.expect("exported");
        world.engine().delete_topic(old).await.expect("deleted");
        assert!(matches!(world.export(ExportOptions::default()).await, Err(ExportError::NoTopic(_))));
        let new = world.topic("t", 1, &[]).await;
        world.acknowledged.clear();
        world.produce_some(new, 0, 2).await;
        world.export(ExportOptions::default()).await.expect("exported");
        let rows_of = |topic| files_of(&world, topic).iter().map(|file| file.rows.len()).sum::<usize>();
        assert_eq!((rows_of(old), rows_of(new)), (15, 6));
    });
}

#[test]
fn a_topic_that_goes_and_comes_again_while_it_is_exported_is_exact_as_far_as_that_went() {
    run(async {
        let (mut whole, mut told) = (0, 0);
        for seed in 0..12 {
            let mut world = World::new(50 + seed).await;
            let old = world.topic("t", 1, &[]).await;
            world.produce_some(old, 0, 40).await;
            world.target.set_faults(SimFaults { way_ms: 1..300, ..SimFaults::none() });
            let exporting = export(world.env.process(), world.source.clone(), world.target.clone(), small_files());
            let exporter = world.env.spawn("an exporter", exporting);
            world.env.sleep(Duration::from_millis(world.env.random_below(6_000))).await;
            world.engine().delete_topic(old).await.expect("deleted");
            let new = world.topic("t", 1, &[]).await;
            let before = std::mem::take(&mut world.acknowledged);
            world.produce_some(new, 0, 10).await;
            // Its objects go while they are read.
            world.env.sleep(Duration::from_secs(600)).await;
            told += u64::from(exporter.join().await.expect("no panic").is_err());
            let end = check(&world.target, 0, &before, |_, _| false).get(&0).copied().unwrap_or(0);
            whole += u64::from(end == 120);
            world.export(small_files()).await.expect("exported");
            assert_eq!(files_of(&world, new).iter().map(|file| file.rows.len()).sum::<usize>(), 30);
            assert_eq!(files_of(&world, old).last().map_or(0, |file| file.header.end), end, "seed {seed}");
        }
        assert!(whole > 2 && told > 2, "{whole} were exported as a whole, {told} were told that it is gone");
    });
}

fn files_of(world: &World, topic: floe_types::TopicId) -> Vec<crate::table::File> {
    let keys = world.target.peek_keys(&topic.to_string());
    keys.iter().map(|key| crate::table::file(&world.target.peek(key).expect("listed"))).collect()
}

/// A broker accepts neither today (`broker/tests/broker/produce.rs`): they get into the log by its own interface.
#[test]
fn markers_of_transactions_are_no_rows_and_records_of_transactions_are_refused() {
    run(async {
        let mut world = World::new(9).await;
        let topic = world.topic("t", 1, &[]).await;
        world.produce_some(topic, 0, 1).await;
        let mut marker = BatchBuilder::new(Codec::None).producer(7, 0, 0).transactional().control();
        marker.append(1, Some(&[0, 0, 0, 1]), Some(&[0; 6])).expect("it fits");
        assert_eq!(world.append_batch(topic, 0, marker).await, 3);
        world.produce_some(topic, 0, 1).await;
        let report = world.export(ExportOptions::default()).await.expect("exported");
        assert_eq!(report.rows, 6);
        let file = files(&world.target).pop().expect("a file");
        assert_eq!((file.header.end, file.metadata["floe.gaps"].as_str()), (7, r#"[[3,4,"control"]]"#));
        check(&world.target, 0, &world.acknowledged, |_, offset| offset == 3);
        // Whether it was aborted is not known here: neither in the table nor passed over.
        let mut doubtful = BatchBuilder::new(Codec::None).producer(8, 0, 0).transactional();
        doubtful.append(1, Some(b"k"), Some(b"v")).expect("it fits");
        assert_eq!(world.append_batch(topic, 0, doubtful).await, 7);
        let refused = world.export(ExportOptions::default()).await.expect_err("a record of a transaction");
        assert!(matches!(refused, ExportError::Transaction { offset: 7 }), "{refused}");
        assert_eq!(files(&world.target).len(), 1);
    });
}
