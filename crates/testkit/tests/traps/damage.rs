//! Stored records that are damaged: the error says which, everything else is served, and `floe verify` says the same.

use crate::room::{Broker, Room, append, batch, run};
use bytes::Bytes;
use floe_formats::{PackFooter, PackTail, keys};
use floe_log::verify::{Depth, Report, verify_at};
use floe_log::{Damage, Durability, ReadError, ReadRequest};
use floe_objstore::{Store, StoreOptions};
use floe_types::{Incarnation, Offset, PartitionId};

pub(crate) const RECORDS_OF_PACK: i64 = 12;
pub(crate) const PACKS: i64 = 3;

/// Three packs with segments of two partitions, each of several blocks; and a broker that has read none of them.
async fn three_packs(room: &Room) -> (Broker, [PartitionId; 2], Vec<String>) {
    let broker = room.start(Durability::Object).await;
    let first = broker.topic("orders", 2).await;
    let ids = [first, PartitionId { index: 1, ..first }];
    for _ in 0..PACKS {
        for id in ids {
            for n in 0..RECORDS_OF_PACK {
                append(&broker.partition(id), &batch(&format!("{n:0>60000}").repeat(2))).expect("appended");
            }
        }
        let end = broker.partition(ids[0]).offsets().end;
        broker.partition(ids[0]).committed(end).await.expect("acknowledged");
    }
    room.stop(broker).await;
    let of_slots = keys::slots_prefix(Incarnation(1));
    let packs: Vec<String> = room.store.peek_keys(&of_slots).into_iter().filter(|key| footer(room, key).is_some()).collect();
    assert_eq!(packs.len() as i64, PACKS);
    (room.start(Durability::Object).await, ids, packs)
}

pub(crate) fn footer(room: &Room, key: &str) -> Option<PackFooter> {
    let bytes = room.store.peek(key)?;
    match floe_formats::decode_tail(&bytes, bytes.len() as u64) {
        Ok(PackTail::Footer(_, footer)) => Some(footer),
        _ => None,
    }
}

async fn read(broker: &Broker, id: PartitionId, offset: Offset) -> Result<Offset, Damage> {
    let request = ReadRequest::new(offset, 1 << 20);
    match broker.partition(id).read(request).await {
        Ok(read) => Ok(read.batches.last().map_or(offset, |last| floe_records::verify(last).expect("sound").end_offset())),
        Err(ReadError::Damaged(damage)) => Err(*damage),
        Err(error) => panic!("{error}"),
    }
}

/// Reads a partition to its end, past what is damaged.
pub(crate) async fn damages(broker: &Broker, id: PartitionId) -> Vec<(Offset, Offset, String)> {
    let (mut offset, mut found) = (0, Vec::new());
    while offset < RECORDS_OF_PACK * PACKS {
        match read(broker, id, offset).await {
            Ok(next) => {
                assert!(next > offset, "at {offset}");
                offset = next;
            }
            Err(damage) => {
                assert_eq!((damage.partition, damage.start), (id, offset), "all before it was given: {damage}");
                found.push((damage.start, damage.end, damage.key.clone()));
                offset = damage.end;
            }
        }
    }
    found
}

pub(crate) async fn verified(room: &Room, depth: Depth) -> Report {
    let store = Store::new(room.env.process(), room.store.backend(), StoreOptions::default());
    let mut seen = Vec::new();
    let report = verify_at(&store, depth, |progress| seen.push(progress)).await.expect("the store answers");
    let last = seen.last().expect("it reports");
    assert_eq!((last.objects, last.bytes), (last.all_objects, last.all_bytes), "it comes to its end");
    assert!(seen.len() as u64 > report.objects && seen.is_sorted_by_key(|progress| progress.bytes));
    report
}

/// The problems of records: topic, partition, offsets, object.
pub(crate) fn told(report: &Report) -> Vec<(String, i32, Offset, Offset, String)> {
    let of = |problem: &floe_log::verify::Problem| {
        let (start, end) = problem.offsets?;
        Some((problem.topic.clone()?, problem.partition?, start, end, problem.key.clone()))
    };
    report.problems.iter().filter_map(of).collect()
}

#[test]
fn t23_a_flipped_bit_costs_one_block_and_says_which() {
    run(231, async |room| {
        let (broker, ids, packs) = three_packs(room).await;
        let footer = footer(room, &packs[1]).expect("a pack");
        let segment = footer.segments_of(ids[0]).next().expect("it is in every pack");
        assert!(segment.blocks.len() >= 4, "{} blocks", segment.blocks.len());
        let block = &segment.blocks[2];
        let mut bytes = room.store.peek(&packs[1]).expect("it is there").to_vec();
        bytes[block.position as usize + 7] ^= 4;
        room.store.plant(&packs[1], Bytes::from(bytes));
        room.expect_damage();

        assert_eq!(damages(&broker, ids[0]).await, [(block.base_offset, block.end_offset, packs[1].clone())]);
        assert_eq!(damages(&broker, ids[1]).await, []);
        let report = verified(room, Depth::Records).await;
        assert_eq!(told(&report), [("orders".to_owned(), 0, block.base_offset, block.end_offset, packs[1].clone())]);
        assert_eq!(report.problems.len(), 1, "and nothing follows from it: {:?}", report.problems);
        assert!(verified(room, Depth::Footers).await.is_clean(), "no footer is damaged");
    });
}

#[test]
fn t23_a_pack_that_is_cut_or_missing_costs_its_own_segments() {
    for left in [None, Some(40), Some(60)] {
        run(232, async |room| {
            let (broker, ids, packs) = three_packs(room).await;
            match left {
                None => room.store.uproot(&packs[1]),
                Some(percent) => {
                    let bytes = room.store.peek(&packs[1]).expect("it is there");
                    room.store.plant(&packs[1], bytes.slice(..bytes.len() * percent / 100));
                }
            }
            room.expect_damage();
            let lost = (RECORDS_OF_PACK, 2 * RECORDS_OF_PACK, packs[1].clone());
            for id in ids {
                assert_eq!(damages(&broker, id).await, std::slice::from_ref(&lost), "{left:?}");
                broker.produce(id, "new records are taken").await.expect("acknowledged");
            }
            for depth in [Depth::Records, Depth::Footers] {
                let of = |index| ("orders".to_owned(), index, lost.0, lost.1, lost.2.clone());
                assert_eq!(told(&verified(room, depth).await), [of(0), of(1)], "{left:?}");
            }
        });
    }
}

#[test]
fn bits_that_flip_on_the_way_are_not_taken_for_damage() {
    run(233, async |room| {
        let (broker, ids, packs) = three_packs(room).await;
        let whole = room.store.peek(&packs[0]).expect("it is there");
        let mut flipped = whole.to_vec();
        flipped[200] ^= 1;
        room.store.plant(&packs[0], Bytes::from(flipped));
        // The footer comes first, then the block, which is read again.
        let (store, key) = (room.store.clone(), packs[0].clone());
        room.store.then(Some(floe_testkit::store_faults::StoreOp::Read), &packs[0], 1, move || store.plant(&key, whole));
        assert!(read(&broker, ids[0], 0).await.is_ok());
    });
}
