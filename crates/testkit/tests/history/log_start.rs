//! Moving the log start: DeleteRecords and retention.

use crate::support::*;
use floe_formats::keys;
use floe_log::{DeleteError, EngineOptions, ReadError, ReadRequest};
use floe_testkit::store_faults::{FaultRule, StoreFault, StoreOp};
use floe_types::Incarnation;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn deleted_records_are_gone_after_a_crash_and_on_another_disk() {
    run(async {
        let room = Room::new(1);
        let broker = room.start(local()).await;
        let id = broker.topic("t", &[]).await;
        append(&broker.partition(id), &batch(&[(1, "a"), (2, "b"), (3, "c")])).await.expect("appended");
        append(&broker.partition(id), &batch(&[(4, "d")])).await.expect("appended");
        assert_eq!(broker.partition(id).delete_records(Some(2)).await, Ok(2), "inside a batch");
        let below = broker.partition(id).read(ReadRequest::new(1, 100)).await;
        assert!(matches!(below, Err(ReadError::OutOfRange { log_start: 2, .. })), "{below:?}");
        assert_eq!(values(&broker.partition(id), 2).await, numbered(2, &["c", "d"]));
        room.crash(broker).await;
        let broker = room.start(local()).await;
        assert_eq!(broker.log_start(id), 2);
        assert_eq!(values(&broker.partition(id), 2).await, numbered(2, &["c", "d"]));
        assert_eq!(broker.partition(id).delete_records(None).await, Ok(4), "everything");
        room.stop(broker).await;
        let broker = room.with_new_disk().start(local()).await;
        assert_eq!(broker.log_start(id), 4);
        assert_eq!(append(&broker.partition(id), &batch(&[(5, "e")])).await, Ok(5));
        assert_eq!(values(&broker.partition(id), 4).await, numbered(4, &["e"]));
        room.assert_clean().await;
    });
}

#[test]
fn a_deletion_is_answered_only_once_its_slot_is_certain() {
    run(async {
        let room = Room::new(2);
        let broker = room.start(local()).await;
        let id = broker.topic("t", &[]).await;
        let partition = broker.partition(id);
        flush_each(&room, &partition, &["a", "b", "c"]).await;
        let rule =
            FaultRule { op: Some(StoreOp::Create), prefix: keys::slots_prefix(Incarnation(1)), fault: StoreFault::Lost, count: u64::MAX };
        room.store.add_rule(rule);
        let answer = room.env.timeout(30 * SECOND, partition.delete_records(Some(2))).await;
        assert!(answer.is_err(), "not while the store does not take the event: {answer:?}");
        assert_eq!(values(&partition, 0).await, numbered(0, &["a", "b", "c"]), "and until then everything is there");
        drop(partition);
        room.crash(broker).await;
        room.store.clear_rules();
        let broker = room.start(local()).await;
        assert_eq!(broker.log_start(id), 0, "an event that was never certain did not happen");
        assert_eq!(broker.partition(id).delete_records(Some(2)).await, Ok(2));
        room.assert_clean().await;
    });
}

#[test]
fn t68_a_deposed_owner_deletes_nothing() {
    run(async {
        let room = Room::new(3);
        let old = room.start(object()).await;
        let id = old.topic("t", &[]).await;
        append(&old.partition(id), &batch(&[(1, "a"), (2, "b")])).await.expect("appended");
        let new = room.with_new_disk().start(object()).await;
        let answer = old.partition(id).delete_records(None).await;
        assert!(matches!(answer, Err(DeleteError::Ended(_))), "{answer:?}");
        assert_eq!(values(&new.partition(id), 0).await, numbered(0, &["a", "b"]));
        assert_eq!(new.log_start(id), 0);
        room.assert_clean().await;
    });
}

#[test]
fn the_log_start_never_goes_back_and_never_beyond_what_is_committed() {
    run(async {
        let room = Room::new(4);
        let broker = room.start(local()).await;
        let id = broker.topic("t", &[]).await;
        let partition = broker.partition(id);
        append(&partition, &batch(&[(1, "a"), (2, "b"), (3, "c")])).await.expect("appended");
        for beyond in [4, i64::MAX, -1, i64::MIN] {
            let refused = partition.delete_records(Some(beyond)).await;
            assert!(matches!(refused, Err(DeleteError::OutOfRange { committed: 3, .. })), "{beyond}: {refused:?}");
        }
        assert_eq!(partition.delete_records(Some(2)).await, Ok(2));
        assert_eq!(partition.delete_records(Some(1)).await, Ok(2));
        let (first, second) = tokio::join!(partition.delete_records(Some(3)), partition.delete_records(Some(3)));
        assert_eq!((first, second), (Ok(3), Ok(3)), "two at once");
    });
}

#[test]
fn a_drain_waits_for_deletions_that_were_asked_for() {
    run(async {
        let room = Room::new(5);
        let broker = room.start(local()).await;
        let id = broker.topic("t", &[]).await;
        append(&broker.partition(id), &batch(&[(1, "a"), (2, "b")])).await.expect("appended");
        let partition = broker.partition(id);
        let (deleted, ended) = tokio::join!(partition.delete_records(Some(1)), broker.engine.drain());
        assert_eq!((deleted, ended), (Ok(1), floe_log::Ended::Drained));
        drop((partition, broker));
        let broker = room.with_new_disk().start(local()).await;
        assert_eq!(broker.log_start(id), 1);
    });
}

#[test]
fn times_are_looked_up_above_the_log_start_only() {
    run(async {
        let room = Room::new(6);
        let broker = room.start(local()).await;
        let id = broker.topic("t", &[]).await;
        append(&broker.partition(id), &batch(&[(10, "a"), (90, "b"), (20, "c"), (30, "d")])).await.expect("appended");
        room.pass(2 * SECOND).await;
        assert_eq!(broker.partition(id).offset_of_max_timestamp().await.expect("readable"), Some((1, 90)));
        assert_eq!(broker.partition(id).delete_records(Some(2)).await, Ok(2));
        assert_eq!(broker.partition(id).offset_of_max_timestamp().await.expect("readable"), Some((3, 30)));
        assert_eq!(broker.partition(id).offset_for_time(5).await.expect("readable"), Some((2, 20)));
        assert_eq!(broker.partition(id).offset_for_time(40).await.expect("readable"), None);
        room.stop(broker).await;
        let broker = room.start(local()).await;
        assert_eq!(broker.partition(id).offset_of_max_timestamp().await.expect("readable"), Some((3, 30)));
        assert_eq!(broker.partition(id).delete_records(None).await, Ok(4));
        assert_eq!(broker.partition(id).offset_of_max_timestamp().await.expect("readable"), None);
    });
}

#[test]
fn retention_by_age_takes_whole_flushed_segments_and_makes_no_other_request() {
    run(async {
        let room = Room::new(7);
        let broker = room.start(EngineOptions { retention_check: 10 * SECOND, ..local() }).await;
        let aged = broker.topic("aged", &[("retention.ms", "60000")]).await;
        let kept = broker.topic("kept", &[]).await;
        let compacted = broker.topic("compacted", &[("retention.ms", "60000"), ("cleanup.policy", "compact")]).await;
        for minute in 0..3 {
            let now = room.env.now_ms();
            for id in [aged, kept, compacted] {
                append(&broker.partition(id), &batch(&[(now, "x"), (now, "y")])).await.expect("appended");
            }
            room.pass(if minute < 2 { 40 * SECOND } else { SECOND }).await;
        }
        assert_eq!(broker.log_start(aged), 2, "the first segment is older than a minute");
        room.pass(120 * SECOND).await;
        assert_eq!(broker.log_start(aged), 6);
        let before = room.store.counts().total_requests();
        room.pass(3600 * SECOND).await;
        assert_eq!(room.store.counts().total_requests() - before, 0, "nothing is left to take");
        assert_eq!((broker.log_start(kept), broker.log_start(compacted)), (0, 0));
        assert_eq!(append(&broker.partition(aged), &batch(&[(room.env.now_ms(), "z")])).await, Ok(7));
        room.crash(broker).await;
        let broker = room.start(local()).await;
        assert_eq!((broker.log_start(aged), broker.log_start(kept)), (6, 0));
        assert_eq!(values(&broker.partition(aged), 6).await, numbered(6, &["z"]));
        room.assert_clean().await;
    });
}

#[test]
fn t25_records_without_or_with_odd_timestamps_outlive_nothing_they_should_not() {
    run(async {
        let room = Room::new(8);
        let broker = room.start(EngineOptions { retention_check: 10 * SECOND, ..local() }).await;
        let none = broker.topic("none", &[("retention.ms", "60000")]).await;
        let future = broker.topic("future", &[("retention.ms", "60000")]).await;
        append(&broker.partition(none), &batch(&[(-1, "no timestamp")])).await.expect("appended");
        append(&broker.partition(future), &batch(&[(i64::MAX, "the end of time")])).await.expect("appended");
        room.pass(50 * SECOND).await;
        assert_eq!(broker.log_start(none), 0, "it is as old as it is known");
        room.pass(200 * SECOND).await;
        assert_eq!((broker.log_start(none), broker.log_start(future)), (1, 0));
    });
}

#[test]
fn retention_by_size_keeps_at_least_what_was_asked_for() {
    run(async {
        let room = Room::new(9);
        let broker = room.start(EngineOptions { retention_check: 10 * SECOND, ..local() }).await;
        let one = batch(&[(1, "0123456789")]).len();
        let id = broker.topic("t", &[("retention.bytes", &(2 * one).to_string())]).await;
        flush_each(&room, &broker.partition(id), &["0123456789"; 5]).await;
        room.pass(30 * SECOND).await;
        assert_eq!(broker.log_start(id), 3);
        assert_eq!(values(&broker.partition(id), 3).await.len(), 2);
    });
}

#[test]
fn t68_retention_that_was_lengthened_counts_at_the_next_look() {
    run(async {
        let room = Room::new(10);
        let broker = room.start(EngineOptions { retention_check: 10 * SECOND, ..local() }).await;
        let id = broker.topic("t", &[("retention.ms", "60000")]).await;
        append(&broker.partition(id), &batch(&[(room.env.now_ms(), "a")])).await.expect("appended");
        room.pass(55 * SECOND).await;
        broker.engine.set_topic_config(id.topic, "retention.ms", Some("600000".into())).await.expect("set");
        room.pass(120 * SECOND).await;
        assert_eq!(broker.log_start(id), 0);
        broker.engine.set_topic_config(id.topic, "retention.ms", Some("60000".into())).await.expect("set");
        room.pass(20 * SECOND).await;
        assert_eq!(broker.log_start(id), 1);
    });
}
