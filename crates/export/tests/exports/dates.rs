//! Folders of days: a file is of one day, whoever decides it and whatever he sees.

use crate::table::{check, files, number};
use crate::world::{World, export, record, run};
use bytes::Bytes;
use floe_export::{ExportError, ExportOptions, Folders};
use floe_records::{Codec, Record};
use floe_testkit::sim_store::SimFaults;
use floe_types::{Offset, TopicId};
use std::collections::BTreeSet;

const DAY: i64 = 24 * 3600 * 1000;

fn by_date() -> ExportOptions {
    ExportOptions { folders: Some(Folders::Date), ..ExportOptions::default() }
}

async fn produce(world: &mut World, topic: TopicId, index: i32, days: &[i64]) {
    let of_day = |day: &i64| Record { timestamp: if *day < 0 { -1 } else { day * DAY + DAY - 1 }, ..record(Some("k"), Some("v")) };
    let records: Vec<Record> = days.iter().map(of_day).collect();
    world.produce(topic, index, Codec::None, &records).await;
}

fn parquet(world: &World) -> Vec<String> {
    world.target.peek_keys("").into_iter().filter(|key| key.ends_with(".parquet")).collect()
}

/// Every file's rows are of the day that its name says.
fn check_days(world: &World) {
    for key in parquet(world) {
        let days: BTreeSet<Option<i64>> =
            crate::table::file(&world.target.peek(&key).expect("listed")).rows.iter().map(|row| row.timestamp.map(|at| at / DAY)).collect();
        let folder = key.split('/').nth(1).expect("a folder of a day").to_owned();
        let expected =
            |day: &Option<i64>| day.map_or("date=__HIVE_DEFAULT_PARTITION__".to_owned(), |day| format!("date=1970-01-{:02}", day + 1));
        assert!(days.iter().all(|day| expected(day) == folder), "{key}: {days:?}");
    }
}

#[test]
fn a_file_ends_where_the_day_changes() {
    run(async {
        let mut world = World::new(1).await;
        let topic = world.topic("t", 2, &[]).await;
        produce(&mut world, topic, 0, &[0, 0, 1, 1, 0, -1]).await;
        produce(&mut world, topic, 0, &[-1, 2]).await;
        produce(&mut world, topic, 1, &[2]).await;
        world.export(by_date()).await.expect("exported");
        let name = |day: &str, partition: i32, start: i64| format!("{topic}/date={day}/{partition}/{start:020}.parquet");
        let none = "__HIVE_DEFAULT_PARTITION__";
        let expected = [
            name("1970-01-01", 0, 0),
            name("1970-01-01", 0, 4),
            name("1970-01-02", 0, 2),
            name("1970-01-03", 0, 7),
            name("1970-01-03", 1, 0),
            name(none, 0, 5),
        ];
        assert_eq!(parquet(&world), expected);
        check_days(&world);
        check(&world.target, 0, &world.acknowledged, |_, _| false);
        // It goes on, in the middle of a day, and says nothing twice.
        produce(&mut world, topic, 0, &[2, 2, 3]).await;
        assert_eq!(world.export(ExportOptions::default()).await.expect("exported").files, 2);
        check(&world.target, 0, &world.acknowledged, |_, _| false);
        let refused = world.export(ExportOptions { folders: Some(Folders::Plain), ..ExportOptions::default() }).await.expect_err("refused");
        assert!(matches!(&refused, ExportError::Refused(why) if why.contains("Date")), "{refused}");
    });
}

#[test]
fn folders_by_partition_are_hives() {
    run(async {
        let mut world = World::new(2).await;
        let topic = world.topic("t", 2, &[]).await;
        produce(&mut world, topic, 1, &[0, 1]).await;
        for _ in 0..2 {
            world.export(ExportOptions { folders: Some(Folders::Partition), ..ExportOptions::default() }).await.expect("exported");
        }
        assert_eq!(parquet(&world), [format!("{topic}/partition=1/{:020}.parquet", 0)]);
        check(&world.target, 0, &world.acknowledged, |_, _| false);
    });
}

#[test]
fn racing_and_killed_exporters_split_alike() {
    run(async {
        let (mut lost, mut partly) = (0, 0);
        for seed in 0..25 {
            let mut world = World::new(seed).await;
            let topic = world.topic("t", 2, &[]).await;
            for index in 0..2 {
                for _ in 0..6 {
                    let days: Vec<i64> = (0..4).map(|_| world.env.random_below(3) as i64).collect();
                    produce(&mut world, topic, index, &days).await;
                }
            }
            world.target.set_faults(SimFaults::rough());
            let racer = || {
                let process = world.env.process();
                let racing = export(process.clone(), world.source.clone(), world.target.clone(), by_date());
                (process.clone(), process.spawn("a racer", racing))
            };
            let racers = [racer(), racer(), racer()];
            world.env.sleep(std::time::Duration::from_millis(world.env.random_below(3000))).await;
            // One is killed wherever it is.
            racers[0].0.abort_all();
            racers[0].0.tasks_ended().await;
            partly += u64::from(!parquet(&world).is_empty());
            for (_, racer) in racers.into_iter().skip(1) {
                lost += racer.join().await.expect("no panic").map_or(0, |report| report.lost);
            }
            world.target.set_faults(SimFaults::none());
            world.target.settled().await;
            world.export(by_date()).await.expect("on a good store");
            let ends = check(&world.target, 0, &world.acknowledged, |_, _| false);
            assert_eq!((ends[&0], ends[&1]), (24, 24), "seed {seed}");
            check_days(&world);
        }
        assert!(lost > 20 && partly > 5, "they met {lost} times, and were killed {partly} times with a part of it there");
    });
}

fn plant(world: &World, topic: TopicId, start: Offset, day: i64, first: Offset) {
    let text = format!("{{\"write_id\":\"{:032x}\",\"version\":1,\"day\":{day},\"first\":{first}}}\n", 7);
    world.target.plant(&format!("_floe/{topic}/day/0/{start:020}.json"), Bytes::from(text));
}

#[test]
fn a_day_that_was_decided_by_records_that_are_gone_meanwhile_stays() {
    run(async {
        let mut world = World::new(3).await;
        let topic = world.topic("t", 1, &[]).await;
        produce(&mut world, topic, 0, &[0, 0]).await;
        produce(&mut world, topic, 0, &[1, 1]).await;
        world.export(ExportOptions { until: Some(floe_export::Place::Offset(0)), ..by_date() }).await.expect("begun");
        // An exporter decided for the day of offset 0, and died; then retention took the first two.
        plant(&world, topic, 0, 0, 0);
        world.partition(topic, 0).delete_records(Some(2)).await.expect("deleted");
        assert_eq!(world.export(by_date()).await.expect("exported").files, 2);
        check(&world.target, 0, &world.acknowledged, |_, offset| offset < 2);
        let all = files(&world.target);
        assert_eq!(
            all.iter().map(|file| (file.header.start, file.header.end, file.rows.len())).collect::<Vec<_>>(),
            [(0, 2, 0), (2, 4, 2)]
        );
        assert_eq!(number(&all[0], "floe.gaps.deleted"), 2);
        check_days(&world);
    });
}

#[test]
fn records_that_were_gone_for_whoever_decided_the_day_are_left_out_by_who_still_sees_them() {
    run(async {
        let mut world = World::new(4).await;
        let topic = world.topic("t", 1, &[]).await;
        produce(&mut world, topic, 0, &[0, 1, 0, 2]).await;
        world.export(ExportOptions { until: Some(floe_export::Place::Offset(0)), ..by_date() }).await.expect("begun");
        // It saw a log that began at offset 2.
        plant(&world, topic, 0, 0, 2);
        assert_eq!(world.export(by_date()).await.expect("exported").files, 2);
        check(&world.target, 0, &world.acknowledged, |_, offset| offset < 2);
        assert_eq!(files(&world.target).iter().map(|file| (file.header.start, file.header.end)).collect::<Vec<_>>(), [(0, 3), (3, 4)]);
        // One that contradicts the record that it names is nobody's.
        produce(&mut world, topic, 0, &[2]).await;
        plant(&world, topic, 4, 0, 4);
        assert!(matches!(world.export(by_date()).await, Err(ExportError::Foreign { key, .. }) if key.contains("/day/")));
    });
}
