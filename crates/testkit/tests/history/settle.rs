//! Settling: from slots into own packs that a manifest names, and what is deleted then.

use crate::support::*;
use floe_formats::{BlockCodec, Manifest, Object, Writer, keys};
use floe_log::{Ended, EngineOptions};
use floe_testkit::store_faults::{FaultRule, StoreFault, StoreOp};
use floe_types::{Incarnation, PartitionId, WriteId};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const VALUE: &str = "a value of some length, so that a few of them are worth a pack of their own";

/// Everything of 2,000 bytes, or ten minutes old and 500 bytes, is settled.
fn settling() -> EngineOptions {
    EngineOptions {
        settle_bytes: 2_000,
        settle_age: 600 * SECOND,
        settle_least_bytes: 500,
        settle_check: SECOND,
        index_every_slots: 4,
        retention_check: 10 * SECOND,
        ..object()
    }
}

/// Appends so many records of [`VALUE`], flushed one by one.
async fn fill(room: &Room, broker: &Broker, id: PartitionId, count: usize) {
    for _ in 0..count {
        append(&broker.partition(id), &batch(&[(room.env.now_ms(), VALUE)])).await.expect("appended");
    }
}

fn manifest(room: &Room, id: PartitionId) -> Option<Manifest> {
    let newest = room.store.peek_keys(&keys::manifests_prefix(id)).into_iter().next()?;
    Some(floe_formats::decode(&room.store.peek(&newest).expect("it is there")).expect("sound").1)
}

fn count(room: &Room, prefix: &str) -> usize {
    room.store.peek_keys(prefix).len()
}

/// Plants an object as if another incarnation had written it.
fn plant<T: Object>(room: &Room, key: &str, object: &T) {
    let writer = Writer { write_id: WriteId(room.env.random_u128()), incarnation: Incarnation(99), revision: 0 };
    room.store.plant(key, floe_formats::encode(&writer, object));
}

#[test]
fn by_bytes_records_move_to_own_packs_and_the_row_in_front_of_them_goes() {
    run(async {
        let room = Room::new(21);
        let broker = room.start(settling()).await;
        let id = broker.topic("t", &[]).await;
        fill(&room, &broker, id, 100).await;
        room.pass(10 * SECOND).await;
        let settled = manifest(&room, id).expect("it was settled");
        let end = settled.segments.last().expect("it names something").end_offset;
        assert!(end >= 80, "all but less than a pack: {end} of 100");
        assert!(settled.segments.iter().all(|segment| segment.bytes >= 1_500), "{settled:?}");
        assert_eq!(count(&room, &keys::manifests_prefix(id)), 1, "older versions are pruned");
        let slots = count(&room, &keys::slots_prefix(Incarnation(1)));
        assert!(slots <= 24, "{slots} of 100 slots are left");
        assert!(count(&room, &keys::indexes_prefix(Incarnation(1))) <= 2, "older indexes are deleted");
        assert_eq!(values(&broker.partition(id), 0).await, numbered(0, &[VALUE; 100]));
        room.crash(broker).await;
        let broker = room.with_new_disk().start(settling()).await;
        assert_eq!(values(&broker.partition(id), 0).await, numbered(0, &[VALUE; 100]), "after a crash, on another disk");
        assert_eq!(append(&broker.partition(id), &batch(&[(1, "x")])).await, Ok(101));
        room.assert_clean().await;
    });
}

#[test]
fn every_byte_is_written_at_most_three_times() {
    run(async {
        let room = Room::new(22);
        // Bytes that cannot be compressed would take as many as these.
        let options = EngineOptions { settle_bytes: 200_000, index_every_slots: 64, block_codec: BlockCodec::None, ..settling() };
        let broker = room.start(options).await;
        let id = broker.topic("t", &[]).await;
        let value = "x".repeat(5_000);
        let before = room.store.counts().bytes_written;
        let mut appended = 0;
        for _ in 0..400 {
            let batch = batch(&[(room.env.now_ms(), &value)]);
            appended += batch.len() as u64;
            append(&broker.partition(id), &batch).await.expect("appended");
        }
        room.pass(30 * SECOND).await;
        let written = room.store.counts().bytes_written - before;
        let factor = written as f64 / appended as f64;
        println!("write amplification: {factor:.2}");
        assert!(broker.engine.status().settled_bytes >= appended * 9 / 10, "nearly all of it was settled");
        assert!(factor <= 3.0, "{factor}");
    });
}

#[test]
fn what_is_little_is_settled_by_age_and_what_is_less_stays() {
    run(async {
        let room = Room::new(23);
        let broker = room.start(settling()).await;
        let (some, little) = (broker.topic("some", &[]).await, broker.topic("little", &[]).await);
        fill(&room, &broker, some, 5).await;
        append(&broker.partition(little), &batch(&[(1, "x")])).await.expect("appended");
        room.pass(300 * SECOND).await;
        assert_eq!((manifest(&room, some), manifest(&room, little)), (None, None));
        room.pass(400 * SECOND).await;
        assert_eq!(manifest(&room, some).map(|manifest| manifest.snapshot.end), Some(5));
        let before = room.store.counts().total_requests();
        room.pass(24 * 3600 * SECOND).await;
        assert_eq!(manifest(&room, little), None);
        assert_eq!(room.store.counts().total_requests() - before, 0, "an idle broker makes no requests");
    });
}

#[test]
fn t27_a_reader_with_an_old_view_finds_where_its_records_went() {
    run(async {
        let room = Room::new(24);
        let old = room.start(settling()).await;
        let id = old.topic("t", &[]).await;
        fill(&room, &old, id, 15).await;
        // Nothing is settled yet when the next one takes over; the old one does not know, and settles.
        let new = room.with_new_disk().start(EngineOptions { settle_bytes: 1 << 30, ..settling() }).await;
        fill(&room, &new, id, 1).await;
        room.pass(30 * SECOND).await;
        let by = manifest(&room, id).expect("settled").by;
        assert_eq!(by, Incarnation(1), "by the old one, from its own certain slots");
        assert!(room.store.peek(&keys::slot(Incarnation(1), floe_types::SlotNumber(0))).is_none(), "which it has deleted");
        assert_eq!(values(&new.partition(id), 0).await, numbered(0, &[VALUE; 16]));
        fill(&room, &new, id, 30).await;
        room.crash(new).await;
        let last = room.with_new_disk().start(settling()).await;
        fill(&room, &last, id, 30).await;
        room.pass(30 * SECOND).await;
        assert_eq!(manifest(&room, id).expect("settled").by, Incarnation(3), "rebased upon the one of a lower epoch");
        assert_eq!(values(&last.partition(id), 0).await, numbered(0, &[VALUE; 76]));
        drop(old);
        room.crash(last).await;
        room.assert_clean().await;
    });
}

#[test]
fn t16_an_owner_that_meets_a_later_owners_manifest_publishes_nothing_more() {
    run(async {
        let room = Room::new(25);
        let broker = room.start(settling()).await;
        let id = broker.topic("t", &[]).await;
        fill(&room, &broker, id, 60).await;
        room.pass(10 * SECOND).await;
        let own = manifest(&room, id).expect("settled");
        let later = Manifest { version: own.version + 1, epoch: 7, by: Incarnation(7), ..own.clone() };
        plant(&room, &keys::manifest(id, later.version), &later);
        fill(&room, &broker, id, 60).await;
        let ended = room.env.timeout(60 * SECOND, broker.engine.ended()).await;
        assert!(matches!(ended, Ok(Ended::Fenced { by: Some(Incarnation(7)), .. })), "{ended:?}");
        assert_eq!(manifest(&room, id), Some(later));
    });
}

#[test]
fn t26_a_create_that_lands_late_does_not_undo_what_came_after_it() {
    run(async {
        let room = Room::new(26);
        let old = room.start(settling()).await;
        let id = old.topic("t", &[]).await;
        // The first manifest is on its way for a minute, and its sender dies meanwhile.
        let late = FaultRule {
            op: Some(StoreOp::Create),
            prefix: keys::manifests_prefix(id),
            fault: StoreFault::Late { by_ms: 60_000 },
            count: 100,
        };
        room.store.add_rule(late);
        fill(&room, &old, id, 40).await;
        room.pass(5 * SECOND).await;
        room.crash(old).await;
        room.store.clear_rules();
        let new = room.with_new_disk().start(settling()).await;
        fill(&room, &new, id, 40).await;
        room.pass(20 * SECOND).await;
        let counted = manifest(&room, id).expect("settled");
        assert_eq!(counted.by, Incarnation(2));
        room.pass(120 * SECOND).await;
        fill(&room, &new, id, 40).await;
        room.pass(20 * SECOND).await;
        assert!(manifest(&room, id).expect("settled").version > counted.version);
        assert_eq!(values(&new.partition(id), 0).await, numbered(0, &[VALUE; 120]));
        room.crash(new).await;
        room.assert_clean().await;
    });
}

#[test]
fn t28_what_earlier_owners_left_unnamed_is_swept_and_nothing_else_is() {
    run(async {
        let room = Room::new(27);
        let old = room.start(settling()).await;
        let id = old.topic("t", &[]).await;
        fill(&room, &old, id, 60).await;
        room.pass(10 * SECOND).await;
        room.crash(old).await;
        let orphan = |epoch| keys::own_pack(id, epoch, floe_formats::Ulid(u128::from(epoch.unsigned_abs())));
        let named = manifest(&room, id).expect("settled").segments[0].pack.key();
        for epoch in [1, 2, 3] {
            room.store.plant(&orphan(epoch), room.store.peek(&named).expect("it is there"));
        }
        let new = room.start(settling()).await;
        assert!(room.store.peek(&orphan(1)).is_some(), "not before this owner has published");
        fill(&room, &new, id, 60).await;
        room.pass(20 * SECOND).await;
        let there: Vec<bool> = [1, 2, 3].map(|epoch| room.store.peek(&orphan(epoch)).is_some()).to_vec();
        assert_eq!(there, [false, true, true], "own and later epochs may be on their way into a manifest");
        assert_eq!(values(&new.partition(id), 0).await, numbered(0, &[VALUE; 120]));
    });
}

#[test]
fn a_later_log_start_gives_the_space_of_own_packs_back() {
    run(async {
        let room = Room::new(28);
        let broker = room.start(settling()).await;
        let id = broker.topic("t", &[]).await;
        fill(&room, &broker, id, 100).await;
        room.pass(10 * SECOND).await;
        let before = count(&room, &keys::own_packs_prefix(id));
        assert_eq!(broker.partition(id).delete_records(Some(70)).await, Ok(70));
        room.pass(10 * SECOND).await;
        let after = count(&room, &keys::own_packs_prefix(id));
        assert!(before >= 4 && after <= 2, "{before} packs became {after}");
        let kept = manifest(&room, id).expect("settled");
        assert!(kept.log_start == 70 && kept.segments[0].base_offset <= 70, "{kept:?}");
        assert_eq!(values(&broker.partition(id), 70).await, numbered(70, &[VALUE; 30]));
        room.crash(broker).await;
        let broker = room.with_new_disk().start(settling()).await;
        assert_eq!(broker.log_start(id), 70);
        assert_eq!(values(&broker.partition(id), 70).await, numbered(70, &[VALUE; 30]));
        room.assert_clean().await;
    });
}

#[test]
fn retention_and_times_count_what_is_settled() {
    run(async {
        let room = Room::new(29);
        let broker = room.start(settling()).await;
        let id = broker.topic("t", &[("retention.ms", "3600000")]).await;
        let began = room.env.now_ms();
        fill(&room, &broker, id, 50).await;
        room.pass(1800 * SECOND).await;
        fill(&room, &broker, id, 50).await;
        room.pass(10 * SECOND).await;
        room.crash(broker).await;
        let broker = room.start(settling()).await;
        let partition = broker.partition(id);
        assert_eq!(partition.offset_for_time(began + 1_000_000).await.expect("readable").map(|(offset, _)| offset), Some(50));
        let latest = partition.offset_of_max_timestamp().await.expect("readable").expect("there are records");
        assert!(latest.0 >= 50 && latest.1 >= began + 1_800_000, "{latest:?}");
        room.pass(1900 * SECOND).await;
        let start = partition.offsets().log_start;
        assert!((25..=50).contains(&start), "the first half is an hour old, whole segments of it: {start}");
        assert_eq!(values(&partition, start).await.len() as i64, 100 - start);
    });
}

#[test]
fn what_cannot_be_deleted_is_tried_again() {
    run(async {
        let room = Room::new(30);
        let broker = room.start(settling()).await;
        let id = broker.topic("t", &[]).await;
        room.store.add_rule(FaultRule { op: Some(StoreOp::Delete), prefix: String::new(), fault: StoreFault::Lost, count: 40 });
        fill(&room, &broker, id, 100).await;
        room.pass(600 * SECOND).await;
        fill(&room, &broker, id, 30).await;
        room.pass(600 * SECOND).await;
        let slots = count(&room, &keys::slots_prefix(Incarnation(1)));
        assert!(slots <= 24, "{slots} of 130 slots are left");
        assert_eq!(values(&broker.partition(id), 0).await, numbered(0, &[VALUE; 130]));
    });
}
