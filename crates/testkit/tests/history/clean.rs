//! Giving back what earlier incarnations and deleted topics have left, and nothing else.

use crate::support::*;
use floe_formats::{End, Index, PackRef, keys};
use floe_log::{Ended, EngineOptions};
use floe_records::BatchHeader;
use floe_testkit::sim_store::SimStore;
use floe_testkit::store_faults::{FaultRule, StoreFault, StoreOp};
use floe_types::{Incarnation, PartitionId, SlotNumber, TopicId};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const VALUE: &str = "a value of some length, so that a few of them are worth a pack of their own";

fn cleaning() -> EngineOptions {
    EngineOptions {
        settle_bytes: 2_000,
        settle_age: 60 * SECOND,
        settle_least_bytes: 300,
        settle_check: SECOND,
        index_every_slots: 4,
        ..object()
    }
}

async fn fill(room: &Room, broker: &Broker, id: PartitionId, count: usize) {
    for _ in 0..count {
        append(&broker.partition(id), &batch(&[(room.env.now_ms(), VALUE)])).await.expect("appended");
    }
}

/// Packs in slots and recovery packs of a chain: what is larger than a stop.
fn packs(store: &SimStore, incarnation: u64) -> Vec<String> {
    let chain = Incarnation(incarnation);
    let keys = [keys::slots_prefix(chain), keys::recoveries_prefix(chain)].map(|prefix| store.peek_keys(&prefix)).concat();
    keys.into_iter().filter(|key| store.peek(key).is_some_and(|bytes| bytes.len() > 128)).collect()
}

fn slot(incarnation: u64, number: u64) -> String {
    keys::slot(Incarnation(incarnation), SlotNumber(number))
}

#[test]
fn an_index_that_a_late_owner_wrote_after_its_end_is_no_contradiction() {
    run(async {
        let room = Room::new(46);
        let broker = room.start(EngineOptions { index_every_slots: 2, ..object() }).await;
        let id = broker.topic("t", &[]).await;
        for _ in 0..5 {
            flush_each(&room, &broker.partition(id), &[VALUE]).await;
        }
        room.crash(broker).await;
        let chain = keys::indexes_prefix(Incarnation(1));
        let newest = room.store.peek_keys(&chain).first().cloned().expect("the owner wrote indexes");
        let bytes = room.store.peek(&newest).expect("it is listed");
        let (header, index) = floe_formats::decode::<Index>(&bytes).expect("an index");
        room.crash(room.with_new_disk().start(object()).await).await;
        let end = room.store.peek(&keys::end(Incarnation(1))).expect("it was recovered");
        let (_, end) = floe_formats::decode::<End>(&end).expect("an end");
        assert!(index.covers < end.stop, "it says less than the end");
        // It was frozen when its row was stopped, and goes on deleting what it may: as if the first slot were settled.
        let late = Index { number: end.index.number + 10, front: SlotNumber(1), ..index };
        room.store.plant(&keys::index(Incarnation(1), late.number), floe_formats::encode(&header.writer, &late));
        room.assert_clean().await;
    });
}

#[test]
fn a_closed_chain_is_emptied_once_its_records_are_settled() {
    run(async {
        let room = Room::new(41);
        let mut broker = room.start(cleaning()).await;
        let id = broker.topic("t", &[]).await;
        for _ in 0..4 {
            fill(&room, &broker, id, 33).await;
            room.crash(broker).await;
            broker = room.with_new_disk().start(cleaning()).await;
        }
        assert!(!packs(&room.store, 4).is_empty(), "what was flushed last is not settled yet");
        fill(&room, &broker, id, 33).await;
        room.pass(200 * SECOND).await;
        for chain in 1..=4 {
            assert_eq!(packs(&room.store, chain), Vec::<String>::new(), "chain {chain}");
            assert!(room.store.peek(&keys::end(Incarnation(chain))).is_some(), "ends stay");
            assert!(!room.store.peek_keys(&keys::claims_prefix(Incarnation(chain))).is_empty(), "claims stay");
        }
        assert_eq!(values(&broker.partition(id), 0).await, numbered(0, &[VALUE; 165]));
        let before = room.store.counts().total_requests();
        room.pass(3600 * SECOND).await;
        assert_eq!(room.store.counts().total_requests() - before, 0, "and then nothing is asked any more");
        room.crash(broker).await;
        let broker = room.with_new_disk().start(cleaning()).await;
        assert_eq!(values(&broker.partition(id), 0).await, numbered(0, &[VALUE; 165]));
        room.assert_clean().await;
    });
}

#[test]
fn t53_a_slot_goes_only_when_all_its_partitions_are_elsewhere() {
    run(async {
        let room = Room::new(42);
        let broker = room.start(cleaning()).await;
        let (large, small) = (broker.topic("large", &[]).await, broker.topic("small", &[]).await);
        fill(&room, &broker, large, 5).await;
        // One slot holds a record of each.
        let (of_large, of_small) = (broker.partition(large), broker.partition(small));
        let (first, second) = (batch(&[(1, VALUE)]), batch(&[(1, "x")]));
        let both = tokio::join!(append(&of_large, &first), append(&of_small, &second));
        assert_eq!(both, (Ok(6), Ok(1)), "{both:?}");
        fill(&room, &broker, large, 20).await;
        room.crash(broker).await;
        let broker = room.with_new_disk().start(cleaning()).await;
        fill(&room, &broker, large, 20).await;
        room.pass(300 * SECOND).await;
        let left = packs(&room.store, 1);
        assert!(!left.is_empty() && left[0] > slot(1, 0), "those before it are gone, it stays: {left:?}");
        assert_eq!(values(&broker.partition(small), 0).await, numbered(0, &["x"]));
        assert_eq!(values(&broker.partition(large), 0).await, numbered(0, &[VALUE; 46]));
        assert_eq!(broker.partition(small).delete_records(None).await, Ok(1));
        fill(&room, &broker, large, 20).await;
        room.pass(100 * SECOND).await;
        assert_eq!(packs(&room.store, 1), Vec::<String>::new(), "the log start has passed it");
        room.crash(broker).await;
        room.assert_clean().await;
    });
}

#[test]
fn t29_a_deleted_topic_gives_its_space_back_and_its_name_is_new() {
    run(async {
        let room = Room::new(43);
        let broker = room.start(cleaning()).await;
        let old = broker.topic("t", &[]).await;
        fill(&room, &broker, old, 60).await;
        room.crash(broker).await;
        let broker = room.with_new_disk().start(cleaning()).await;
        fill(&room, &broker, old, 60).await;
        room.pass(20 * SECOND).await;
        assert!(!room.store.peek_keys(&keys::topic_prefix(old.topic)).is_empty());
        broker.engine.delete_topic(old.topic).await.expect("deleted");
        let new = broker.topic("t", &[]).await;
        fill(&room, &broker, new, 3).await;
        room.pass(20 * SECOND).await;
        assert_eq!(room.store.peek_keys(&keys::topic_prefix(old.topic)), Vec::<String>::new());
        assert_eq!(packs(&room.store, 1), Vec::<String>::new());
        assert!(packs(&room.store, 2).len() <= 4, "only what is new: {:?}", packs(&room.store, 2));
        assert_eq!(values(&broker.partition(new), 0).await, numbered(0, &[VALUE; 3]));
        room.crash(broker).await;
        let broker = room.with_new_disk().start(cleaning()).await;
        assert!(broker.engine.partition(old).is_none());
        assert_eq!(values(&broker.partition(new), 0).await, numbered(0, &[VALUE; 3]));
        room.assert_clean().await;
    });
}

#[test]
fn t28_what_nobody_knows_is_left_alone() {
    run(async {
        let room = Room::new(44);
        let broker = room.start(cleaning()).await;
        let id = broker.topic("t", &[]).await;
        fill(&room, &broker, id, 30).await;
        room.pass(10 * SECOND).await;
        let own = room.store.peek_keys(&keys::own_packs_prefix(id)).remove(0);
        let unknown = PartitionId { topic: TopicId(12345), index: 0 };
        let foreign = PackRef::Own { partition: unknown, epoch: 1, ulid: floe_formats::Ulid(1) }.key();
        room.store.plant(&foreign, room.store.peek(&own).expect("it is there"));
        let other = broker.topic("other", &[]).await;
        broker.engine.delete_topic(other.topic).await.expect("deleted");
        room.pass(60 * SECOND).await;
        assert!(room.store.peek(&foreign).is_some(), "the catalog does not list its topic as deleted (R21)");
        assert_eq!(values(&broker.partition(id), 0).await, numbered(0, &[VALUE; 30]));
    });
}

#[test]
fn t52_losers_packs_and_void_slots_are_swept_when_the_end_stands() {
    run(async {
        let room = Room::new(45);
        let broker = room.start(cleaning()).await;
        let id = broker.topic("t", &[]).await;
        append(&broker.partition(id), &batch(&[(1, "x")])).await.expect("appended");
        let pack = room.store.peek(&slot(1, 0)).expect("it is there");
        let loser = keys::recovery(Incarnation(1), Incarnation(77), 0);
        room.store.plant(&loser, pack.clone());
        room.pass(60 * SECOND).await;
        assert!(room.store.peek(&loser).is_some(), "the chain is open: its recoverer may only be slow");
        room.crash(broker).await;
        let broker = room.with_new_disk().start(cleaning()).await;
        let stops = room.store.peek_keys(&keys::slots_prefix(Incarnation(1))).len();
        let void = slot(1, 500);
        room.store.plant(&void, pack);
        broker.engine.delete_topic(broker.topic("other", &[]).await.topic).await.expect("deleted");
        room.pass(60 * SECOND).await;
        assert_eq!((room.store.peek(&loser).is_some(), room.store.peek(&void).is_some()), (false, false));
        assert_eq!(room.store.peek_keys(&keys::slots_prefix(Incarnation(1))).len(), stops, "stops stay, and what is needed");
        assert_eq!(values(&broker.partition(id), 0).await, numbered(0, &["x"]));
        room.assert_clean().await;
    });
}

#[test]
fn t63_a_put_that_lands_after_its_slot_was_deleted_brings_nothing_back() {
    run(async {
        let room = Room::new(46);
        let broker = room.start(cleaning()).await;
        let id = broker.topic("t", &[]).await;
        append(&broker.partition(id), &batch(&[(1, "first")])).await.expect("appended");
        let first = room.store.peek(&slot(1, 0)).expect("it is there");
        fill(&room, &broker, id, 60).await;
        assert_eq!(broker.partition(id).delete_records(Some(20)).await, Ok(20));
        room.pass(20 * SECOND).await;
        assert!(room.store.peek(&slot(1, 0)).is_none(), "deleted");
        room.store.plant(&slot(1, 0), first);
        room.crash(broker).await;
        let broker = room.with_new_disk().start(cleaning()).await;
        assert_eq!(broker.partition(id).offsets().end, 61, "the row did not end there");
        assert_eq!(values(&broker.partition(id), 20).await, numbered(20, &[VALUE; 41]));
        room.pass(60 * SECOND).await;
        assert!(room.store.peek(&slot(1, 0)).is_none(), "swept with what lies before the front");
        room.assert_clean().await;
    });
}

#[test]
fn t51_an_owner_that_creates_its_slot_again_after_it_was_deleted_says_nothing_that_is_not_so() {
    run(async {
        let room = Room::new(47);
        let old = room.start(cleaning()).await;
        let id = old.topic("t", &[]).await;
        append(&old.partition(id), &batch(&[(1, "first")])).await.expect("appended");
        // The next slot is written, and its writer stands still before it hears of that.
        let unheard = FaultRule { op: Some(StoreOp::Create), prefix: slot(1, 1), fault: StoreFault::Hang, count: 1 };
        room.store.add_rule(unheard);
        let second = batch(&[(1, "second")]);
        let appended = old.partition(id).append(&second, &BatchHeader::parse(&second).expect("sound")).expect("appended");
        room.pass(Duration::from_millis(20)).await;
        old.env.freeze();

        let new = room.with_new_disk().start(cleaning()).await;
        assert_eq!(values(&new.partition(id), 0).await, numbered(0, &["first", "second"]));
        fill(&room, &new, id, 60).await;
        room.pass(120 * SECOND).await;
        assert!(room.store.peek(&slot(1, 1)).is_none(), "its records are elsewhere");
        let log = values(&new.partition(id), 0).await;

        old.env.thaw();
        // Its create succeeds once more, and what it says then is true: the record is there.
        old.partition(id).committed(appended.end_offset).await.expect("acknowledged");
        assert!(room.store.peek(&slot(1, 1)).is_some(), "this is what the test is about");
        let lost = append(&old.partition(id), &batch(&[(1, "lost")])).await;
        assert!(lost.is_err(), "{lost:?}");
        assert!(matches!(old.engine.ended().await, Ended::Fenced { .. }));
        assert_eq!(values(&new.partition(id), 0).await, log);
        append(&new.partition(id), &batch(&[(1, "third")])).await.expect("appended");
        room.stop(new).await;
        let last = room.with_new_disk().start(cleaning()).await;
        assert_eq!(values(&last.partition(id), 0).await.len(), log.len() + 1);
        room.assert_clean().await;
    });
}
