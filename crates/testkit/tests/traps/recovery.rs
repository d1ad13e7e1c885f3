//! What a successor keeps of a row, of a WAL, and of producers.

use crate::room::{Broker, Room, append, batch, options, run, sequenced};
use bytes::{Bytes, BytesMut};
use floe_formats::{
    BatchSlice, EpochStart, Index, PackBuilder, PackKind, PackRef, PackTail, PartitionIndex, SegmentMeta, SegmentRef, Writer, decode_tail,
    keys,
};
use floe_log::{AppendError, Durability, EngineOptions, ReadError, ReadRequest};
use floe_testkit::sim_store::SimStore;
use floe_testkit::store_faults::{StoreFault, StoreOp};
use floe_types::{Incarnation, PartitionId, SlotNumber, WriteId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const OLD: Incarnation = Incarnation(1);

fn slot(number: u64) -> String {
    keys::slot(OLD, SlotNumber(number))
}

fn writer(of: Incarnation, id: u64) -> Writer {
    Writer { write_id: WriteId(0xf10e_0000 + u128::from(id)), incarnation: of, revision: 0 }
}

/// A pack that the old incarnation might have written: one record of each of these partitions at these offsets.
fn pack(number: u64, segments: &[(PartitionId, i64, &str)]) -> Bytes {
    let mut pack = PackBuilder::new(writer(OLD, number), PackKind::Shared, OLD, Some(SlotNumber(number)));
    for (partition, base_offset, value) in segments {
        let mut bytes = BytesMut::from(batch(value).as_ref());
        floe_records::stamp(&mut bytes, *base_offset, 1);
        let (base_offset, end_offset) = (*base_offset, *base_offset + 1);
        let slice = BatchSlice { bytes: bytes.freeze(), base_offset, end_offset, max_timestamp: 1, records: 1 };
        let meta = SegmentMeta { partition: *partition, epoch: 1, base_offset, log_start: 0, events: vec![], producers: vec![] };
        pack.add_segment(meta, vec![slice]).expect("it fits");
    }
    pack.finish(None, SlotNumber(0)).expect("well formed").payload.concat().into()
}

#[test]
fn t17_a_pack_that_lands_between_the_look_at_the_row_and_its_stop_is_not_missed() {
    run(17, async |room| {
        let old = room.start(Durability::Object).await;
        let id = old.topic("t", 1).await;
        for value in ["a", "b"] {
            old.produce(id, value).await.expect("acknowledged");
        }
        room.kill(old).await;
        // As if the second had still been on its way, and acknowledged when it landed.
        let late = room.store.peek(&slot(1)).expect("it is there");
        room.store.uproot(&slot(1));
        let store = room.store.clone();
        room.store.then(Some(StoreOp::List), &keys::slots_prefix(OLD), 0, move || store.plant(&slot(1), late));
        let new = room.start(Durability::Object).await;
        assert_eq!(new.values(id).await, ["a", "b"]);
        assert_eq!(new.produce(id, "c").await, Ok(2));
    });
}

#[test]
fn t23_a_partition_whose_stored_state_contradicts_itself_stops_and_the_others_go_on() {
    run(23, async |room| {
        let old = room.start(Durability::Object).await;
        let first = old.topic("t", 3).await;
        let ids = [0, 1, 2].map(|index| PartitionId { index, ..first });
        for id in ids {
            old.append(id, "a").expect("appended");
        }
        old.partition(ids[2]).committed(1).await.expect("acknowledged");
        room.kill(old).await;
        // What comes next in the row continues partition 1, and has a hole before what it says of partition 0.
        let next = room.store.peek_keys(&keys::slots_prefix(OLD)).len() as u64;
        room.store.plant(&slot(next), pack(next, &[(ids[0], 5, "behind a hole"), (ids[1], 1, "b")]));
        room.expect_damage();
        for life in ["recovered from the row", "read from its end"] {
            let broker = room.start(Durability::Object).await;
            assert!(matches!(broker.append(ids[0], "x"), Err(AppendError::Broken(_))), "{life}");
            let read = broker.partition(ids[0]).read(ReadRequest::new(0, 1)).await;
            assert!(matches!(read, Err(ReadError::Broken(_))), "{life}: {read:?}");
            for id in &ids[1..] {
                broker.produce(*id, life).await.expect("the others are served");
            }
            room.stop(broker).await;
        }
        let broker = room.start(Durability::Object).await;
        assert_eq!(broker.values(ids[1]).await, ["a", "b", "recovered from the row", "read from its end"]);
        assert_eq!(broker.values(ids[2]).await, ["a", "recovered from the row", "read from its end"]);
    });
}

/// A producer's last batch is known, and the next one follows it.
async fn goes_on(broker: &Broker, id: PartitionId, producer: i64, (sequence, offset): (i32, i64)) {
    let send = async |sequence| {
        let end = append(&broker.partition(id), &sequenced(producer, sequence, "v"))?;
        broker.partition(id).committed(end).await.map(|()| end - 1)
    };
    assert_eq!(send(sequence).await, Ok(offset), "the repeat is given its first offset");
    let skipped = send(sequence + 2).await;
    assert!(matches!(skipped, Err(AppendError::OutOfOrderSequence { .. })), "{skipped:?}");
}

#[test]
fn t39_producers_go_on_wherever_their_partition_goes_however_long_they_were_idle() {
    run(39, async |room| {
        let indexed = || EngineOptions { index_every_slots: 2, ..options(Durability::Local) };
        let broker = room.open(&room.env.process(), &room.disk, indexed()).await.expect("starts");
        let id = broker.topic("t", 1).await;
        let (idle, busy) = (broker.engine.allocate_producer_id(), broker.engine.allocate_producer_id());
        let partition = broker.partition(id);
        for sequence in 0..7 {
            append(&partition, &sequenced(idle, sequence, "v")).expect("appended");
        }
        // Behind several indexes, in the row behind the last one, and in the WAL alone.
        for sequence in 0..6 {
            append(&partition, &sequenced(busy, sequence, "v")).expect("appended");
            room.pass(1_500).await;
        }
        room.creates("chain/", StoreFault::Lost, u64::MAX);
        let end = append(&partition, &sequenced(busy, 6, "v")).expect("appended");
        partition.committed(end).await.expect("acknowledged");
        drop(partition);
        room.kill(broker).await;
        room.store.clear_rules();
        for life in 0..4 {
            // The same disk after a crash; the same after a drain; another one; one that takes over.
            let broker = if life < 2 { room.start(Durability::Local).await } else { room.take_over(Durability::Local).await };
            goes_on(&broker, id, idle, (6, 6)).await;
            goes_on(&broker, id, busy, (6 + life, 13 + i64::from(life))).await;
            let next = append(&broker.partition(id), &sequenced(busy, 7 + life, "v")).expect("the next one follows");
            assert_eq!(next, 15 + i64::from(life));
            room.pass(3_000).await;
            if life == 0 || life == 1 {
                room.stop(broker).await;
            }
        }
        let broker = room.take_over(Durability::Local).await;
        let next = append(&broker.partition(id), &sequenced(idle, 7, "v")).expect("the idle one wakes");
        assert_eq!(next, 19);
    });
}

/// An owner that writes so many slots between any two looks at its row, as long as it meets no stop.
fn writes_on(store: SimStore, id: PartitionId, at_once: u64, next: Arc<AtomicU64>) {
    store.clone().then(Some(StoreOp::List), &keys::slots_prefix(OLD), 0, move || {
        for _ in 0..at_once {
            let number = next.load(Ordering::Relaxed);
            if store.peek(&slot(number)).is_some() {
                return;
            }
            store.plant(&slot(number), pack(number, &[(id, number as i64, &number.to_string())]));
            next.store(number + 1, Ordering::Relaxed);
        }
        writes_on(store, id, at_once, next);
    });
}

#[test]
fn t59_recovery_wins_against_an_owner_that_writes_faster_than_it_reads() {
    run(59, async |room| {
        let old = room.start(Durability::Object).await;
        let id = old.topic("t", 1).await;
        old.produce(id, "0").await.expect("acknowledged");
        room.kill(old).await;
        let next = Arc::new(AtomicU64::new(1));
        writes_on(room.store.clone(), id, 200, next.clone());
        let new = room.start(Durability::Object).await;
        let written = next.load(Ordering::Relaxed);
        assert!((400..4000).contains(&written), "{written} slots until a stop stood before the owner");
        let values = new.values(id).await;
        assert_eq!(values.len() as u64, written, "everything before the stop counts");
        assert_eq!(values.last(), Some(&(written - 1).to_string()));
    });
}

fn segment(room: &Room, number: u64) -> SegmentRef {
    let bytes = room.store.peek(&slot(number)).expect("it is there");
    let Ok(PackTail::Footer(trailer, footer)) = decode_tail(&bytes, bytes.len() as u64) else { panic!("a pack") };
    footer.segments[0].to_ref(PackRef::Slot { incarnation: OLD, slot: SlotNumber(number) }, bytes.len() as u64, trailer.footer_len)
}

#[test]
fn t63_a_row_that_is_deleted_under_a_recoverer_is_not_stopped_at_its_deleted_front() {
    run(63, async |room| {
        let old = room.start(Durability::Object).await;
        let id = old.topic("t", 1).await;
        for n in 0..10 {
            old.produce(id, &n.to_string()).await.expect("acknowledged");
        }
        room.kill(old).await;
        // The owner's retention, right after the recoverer found no index: slots 0 to 5 go.
        let line = PartitionIndex {
            partition: id,
            epoch: 1,
            epochs: vec![EpochStart { epoch: 1, start: 0 }],
            log_start: 6,
            end: 8,
            segments: vec![segment(room, 6), segment(room, 7)],
            producers: vec![],
            manifest: None,
        };
        let index = Index { incarnation: OLD, number: 1, front: SlotNumber(6), covers: SlotNumber(8), base: None, partitions: vec![line] };
        let body = floe_formats::encode(&writer(OLD, 0), &index);
        let store = room.store.clone();
        room.store.then(Some(StoreOp::List), &keys::indexes_prefix(OLD), 0, move || {
            store.plant(&keys::index(OLD, 1), body);
            (0..6).for_each(|number| store.uproot(&slot(number)));
        });
        let new = room.start(Durability::Object).await;
        assert_eq!(new.values(id).await, ["6", "7", "8", "9"]);
        assert_eq!(new.produce(id, "10").await, Ok(10));
    });
}
