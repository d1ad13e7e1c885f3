//! Packs that settling made, and the manifests that name them, damaged: what readers and `floe verify` are told, that nothing is
//! built on it, and that nothing goes which is needed.

use crate::damage::{PACKS, RECORDS_OF_PACK, damages, footer, told, verified};
use crate::room::{Broker, Room, append, options, run};
use bytes::Bytes;
use floe_formats::{BlockCodec, PackTail, keys};
use floe_log::verify::Depth;
use floe_log::{CLEANUP_POLICY, Durability, EngineOptions, OpenError, ReadError, ReadRequest};
use floe_records::{BatchBuilder, Codec};
use floe_types::{Incarnation, Offset, PartitionId};
use std::time::Duration;

const END: i64 = RECORDS_OF_PACK * PACKS;

/// What one flush brings of a partition is worth a pack of its own.
fn settling() -> EngineOptions {
    EngineOptions {
        block_codec: BlockCodec::None,
        settle_bytes: 1 << 20,
        settle_least_bytes: 1 << 19,
        settle_check: Duration::from_secs(1),
        retention_check: Duration::from_secs(1),
        index_every_slots: 1,
        ..options(Durability::Object)
    }
}

/// Where an own pack, a slot, or a manifest is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    Missing,
    /// So many of a hundred bytes are left.
    Cut(usize),
    /// One bit of the third block.
    Block,
    /// One bit of what lists the blocks.
    Footer,
    /// One bit of what says where the footer is.
    Trailer,
}

const HARMS: [Harm; 6] = [Harm::Missing, Harm::Cut(40), Harm::Cut(99), Harm::Block, Harm::Footer, Harm::Trailer];

fn harm(room: &Room, key: &str, harm: Harm) {
    room.expect_damage();
    let mut bytes = room.store.peek(key).expect("it is there").to_vec();
    let at = match harm {
        Harm::Missing => return room.store.uproot(key),
        Harm::Cut(percent) => {
            bytes.truncate(bytes.len() * percent / 100);
            return room.store.plant(key, Bytes::from(bytes));
        }
        Harm::Block => footer(room, key).expect("a pack").segments[0].blocks[2].position as usize + 7,
        Harm::Footer => match floe_formats::decode_tail(&bytes, bytes.len() as u64) {
            Ok(PackTail::Footer(trailer, _)) => (trailer.footer_range().start + trailer.footer_range().end) as usize / 2,
            _ => panic!("{key} is no pack"),
        },
        Harm::Trailer => bytes.len() - 12,
    };
    bytes[at] ^= 4;
    room.store.plant(key, Bytes::from(bytes));
}

/// So many records of about 120 kB, whose keys come again and again.
fn fill(broker: &Broker, id: PartitionId, count: i64) -> Offset {
    let mut end = 0;
    for n in 0..count {
        let mut builder = BatchBuilder::new(Codec::None);
        let value = format!("{n:0>60000}").repeat(2);
        builder.append(1, Some(format!("{}", n % 5).as_bytes()), Some(value.as_bytes())).expect("it fits");
        end = append(&broker.partition(id), &builder.build()).expect("appended");
    }
    end
}

async fn fill_and_wait(broker: &Broker, id: PartitionId, count: i64) {
    let end = fill(broker, id, count);
    broker.partition(id).committed(end).await.expect("acknowledged");
}

/// The own packs of a partition, in the order of their records.
fn own_packs(room: &Room, id: PartitionId) -> Vec<String> {
    let mut packs = room.store.peek_keys(&keys::own_packs_prefix(id));
    packs.sort_by_key(|key| footer(room, key).map(|footer| footer.segments[0].base_offset));
    packs
}

/// Two partitions with three own packs each; and a broker that has read none of them.
async fn settled(room: &Room, options: EngineOptions) -> (Broker, [PartitionId; 2], Vec<String>) {
    let broker = room.open(&room.env.process(), &room.disk, settling()).await.expect("starts");
    let first = broker.topic("orders", 2).await;
    let ids = [first, PartitionId { index: 1, ..first }];
    for _ in 0..PACKS {
        for id in ids {
            fill_and_wait(&broker, id, RECORDS_OF_PACK).await;
        }
    }
    room.pass(10_000).await;
    room.stop(broker).await;
    let packs = own_packs(room, ids[0]);
    assert_eq!((packs.len() as i64, own_packs(room, ids[1]).len() as i64), (PACKS, PACKS));
    (room.open(&room.env.process(), &room.disk, options).await.expect("starts"), ids, packs)
}

/// Reasons for which work has stopped.
fn stopped(broker: &Broker) -> Vec<String> {
    broker.engine.status().stopped_because
}

fn newest_manifest(room: &Room, id: PartitionId) -> String {
    room.store.peek_keys(&keys::manifests_prefix(id)).into_iter().next().expect("it was settled")
}

#[test]
fn t30_a_damaged_own_pack_costs_its_own_records_and_no_others() {
    for what in HARMS {
        run(234, async |room| {
            let (broker, ids, packs) = settled(room, settling()).await;
            let segment = footer(room, &packs[1]).expect("a pack").segments[0].clone();
            assert!(segment.blocks.len() >= 4, "{} blocks", segment.blocks.len());
            harm(room, &packs[1], what);
            let (start, end) = match what {
                Harm::Block => (segment.blocks[2].base_offset, segment.blocks[2].end_offset),
                _ => (segment.base_offset, segment.end_offset),
            };
            let lost = if what == Harm::Trailer { Vec::new() } else { vec![(start, end, packs[1].clone())] };
            assert_eq!(damages(&broker, ids[0]).await, lost, "{what:?}: a reader knows where the footer is from the manifest");
            assert_eq!(damages(&broker, ids[1]).await, [], "{what:?}");
            for id in ids {
                broker.produce(id, "new records are taken").await.expect("acknowledged");
            }
            let expected = [("orders".to_owned(), 0, start, end, packs[1].clone())];
            assert_eq!(told(&verified(room, Depth::Records).await), expected, "{what:?}");
            let shallow = verified(room, Depth::Footers).await;
            assert_eq!(told(&shallow), if what == Harm::Block { &[][..] } else { &expected[..] }, "{what:?}");
        });
    }
}

#[test]
fn t30_compaction_does_not_build_on_a_damaged_pack_and_takes_nothing_away() {
    for what in [Harm::Missing, Harm::Block, Harm::Footer] {
        run(235, async |room| {
            let (broker, ids, packs) = settled(room, settling()).await;
            let before = room.store.peek(&packs[1]).expect("it is there");
            harm(room, &packs[1], what);
            let manifest = newest_manifest(room, ids[0]);
            broker.engine.set_topic_config(ids[0].topic, CLEANUP_POLICY, Some("compact".into())).await.expect("altered");
            let small = |key: &String| room.store.peek(key).is_some_and(|bytes| bytes.len() < 1 << 20);
            room.pass(30_000).await;
            assert_eq!(newest_manifest(room, ids[0]), manifest, "{what:?}: nothing is published");
            let expected: Vec<_> = packs.iter().filter(|key| what != Harm::Missing || **key != packs[1]).cloned().collect();
            let mut left = room.store.peek_keys(&keys::own_packs_prefix(ids[0]));
            left.sort_by_key(|key| packs.iter().position(|pack| pack == key));
            assert_eq!(left, expected, "{what:?}: and nothing is deleted, or left behind");
            let why = stopped(&broker);
            assert!(why.len() == 1 && why[0].starts_with("compaction: ") && why[0].contains(&packs[1]), "{why:?}");
            assert!(own_packs(room, ids[1]).iter().all(small), "{what:?}: the other partition was compacted");
            let requests = room.store.counts().total_requests();
            room.pass(60_000).await;
            assert!(room.store.counts().total_requests() < requests + 10, "{what:?}: it is not read again and again");

            // The operator brings it back.
            room.store.plant(&packs[1], before);
            room.pass(700_000).await;
            assert_eq!(stopped(&broker), [""; 0], "{what:?}");
            assert!(own_packs(room, ids[0]).iter().all(small), "{what:?}: then it is compacted, too");
            assert!(verified(room, Depth::Records).await.is_clean());
            room.damage_is_mended();
        });
    }
}

#[test]
fn t30_settling_stops_at_a_damaged_slot_for_its_partitions_alone_and_goes_on_behind_it() {
    for what in [Harm::Missing, Harm::Block, Harm::Footer] {
        run(236, async |room| {
            // Nothing is settled before the damage is there.
            let late = EngineOptions { settle_check: Duration::from_secs(60), ..settling() };
            let broker = room.open(&room.env.process(), &room.disk, late).await.expect("starts");
            let first = broker.topic("orders", 2).await;
            let [a, b] = [first, PartitionId { index: 1, ..first }];
            let c = broker.topic("others", 1).await;
            let ends = [fill(&broker, a, RECORDS_OF_PACK), fill(&broker, b, RECORDS_OF_PACK)];
            for (id, end) in [a, b].into_iter().zip(ends) {
                broker.partition(id).committed(end).await.expect("acknowledged");
            }
            fill_and_wait(&broker, c, RECORDS_OF_PACK).await;
            let slots = room.store.peek_keys(&keys::slots_prefix(Incarnation(1)));
            let of_both = |key: &&String| footer(room, key).is_some_and(|footer| footer.segments.len() == 2);
            let slot = slots.iter().find(of_both).expect("one flush brought both").clone();
            harm(room, &slot, what);
            // The block is of the first partition of the pack, the footer of both.
            let lost = if what == Harm::Block { vec![a] } else { vec![a, b] };
            room.pass(130_000).await;
            for id in [a, b, c] {
                let is_settled = !own_packs(room, id).is_empty();
                assert_eq!(is_settled, !lost.contains(&id), "{what:?}: {id}");
            }
            let why = stopped(&broker);
            assert_eq!(why.len(), lost.len(), "{why:?}");
            assert!(why.iter().all(|why| why.starts_with("settling: ") && why.contains(&slot)), "{why:?}");
            assert_eq!(room.store.peek(&slot).is_some(), what != Harm::Missing, "it stays, and all behind it");
            assert!(slots.iter().all(|key| *key == slot || room.store.peek(key).is_some()));

            // The operator gives up what is lost.
            for id in &lost {
                assert_eq!(broker.partition(*id).delete_records(Some(RECORDS_OF_PACK)).await, Ok(RECORDS_OF_PACK));
                fill_and_wait(&broker, *id, RECORDS_OF_PACK).await;
            }
            room.pass(130_000).await;
            assert_eq!(stopped(&broker), [""; 0], "{what:?}");
            assert!(lost.iter().all(|id| !own_packs(room, *id).is_empty()), "{what:?}: what came later is settled");
            assert!(room.store.peek(&slot).is_none(), "{what:?}: and the slot goes");
            assert!(verified(room, Depth::Records).await.is_clean());
            room.damage_is_mended();
        });
    }
}

#[test]
fn t30_a_manifest_that_is_damaged_missing_or_set_back_is_not_built_on() {
    for what in ["damaged", "missing", "set back"] {
        run(237, async |room| {
            let broker = room.open(&room.env.process(), &room.disk, settling()).await.expect("starts");
            let first = broker.topic("orders", 2).await;
            let ids = [first, PartitionId { index: 1, ..first }];
            let mut older = None;
            for round in 0..PACKS {
                for id in ids {
                    fill_and_wait(&broker, id, RECORDS_OF_PACK).await;
                }
                room.pass(5_000).await;
                if round == 0 {
                    let key = newest_manifest(room, ids[0]);
                    older = Some((key.clone(), room.store.peek(&key).expect("it is there")));
                }
            }
            room.stop(broker).await;
            let (packs, newest) = (own_packs(room, ids[0]), newest_manifest(room, ids[0]));
            let (older_key, older_bytes) = older.expect("it was settled");
            assert_ne!(older_key, newest);
            let sound = room.store.peek(&newest).expect("it is there");
            room.expect_damage();
            match what {
                "damaged" => {
                    let mut bytes = sound.to_vec();
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    room.store.plant(&newest, Bytes::from(bytes));
                }
                "missing" => room.store.uproot(&newest),
                _ => {
                    room.store.uproot(&newest);
                    room.store.plant(&older_key, older_bytes);
                }
            }
            let broker = room.open(&room.env.process(), &room.disk, settling()).await.expect("starts");
            let request = ReadRequest::new(0, 1);
            match broker.partition(ids[0]).read(request).await {
                Err(ReadError::Damaged(damage)) => {
                    assert_eq!((damage.partition, damage.start, damage.end, &damage.key), (ids[0], 0, END, &newest), "{what}: {damage}");
                }
                other => panic!("{what}: {other:?}"),
            }
            assert_eq!(damages(&broker, ids[1]).await, [], "{what}");
            for id in ids {
                fill_and_wait(&broker, id, RECORDS_OF_PACK).await;
            }
            room.pass(30_000).await;
            assert_eq!(own_packs(room, ids[0]), packs, "{what}: nothing is swept on the word of another manifest");
            assert!(own_packs(room, ids[1]).len() > packs.len(), "{what}: the other partition goes on");
            let why = stopped(&broker);
            assert!(why.len() == 1 && why[0].starts_with("settling: ") && why[0].contains(&newest), "{what}: {why:?}");
            let report = verified(room, Depth::Footers).await;
            let of_manifest = |problem: &&floe_log::verify::Problem| problem.key == newest && problem.partition == Some(0);
            assert!(report.problems.iter().any(|problem| of_manifest(&problem)), "{what}: {:?}", report.problems);
            assert!(what != "damaged" || report.orphans.is_empty(), "nobody knows which packs are needed: {:?}", report.orphans);

            room.store.uproot(&older_key);
            room.store.plant(&newest, sound);
            room.pass(700_000).await;
            assert_eq!(stopped(&broker), [""; 0], "{what}");
            assert_eq!(damages(&broker, ids[0]).await, [], "{what}");
            assert!(own_packs(room, ids[0]).len() > packs.len(), "{what}");
            room.damage_is_mended();
        });
    }
}

#[test]
fn t30_a_start_refuses_a_damaged_slot_that_no_index_lists_and_says_what_to_do() {
    for what in [Harm::Footer, Harm::Cut(60), Harm::Trailer] {
        run(238, async |room| {
            let broker = room.start(Durability::Object).await;
            let id = broker.topic("orders", 1).await;
            for n in 0..3 {
                broker.produce(id, &format!("{n}")).await.expect("acknowledged");
            }
            room.kill(broker).await;
            let slot = room.store.peek_keys(&keys::slots_prefix(Incarnation(1))).into_iter().nth(1).expect("a slot for each");
            let sound = room.store.peek(&slot).expect("it is there");
            harm(room, &slot, what);
            for _ in 0..2 {
                let refused = room.open(&room.env.process(), &room.disk, settling()).await.err().expect("it is not served without it");
                assert!(matches!(refused, OpenError::DamagedSlot { incarnation: Incarnation(1), .. }), "{what:?}: {refused}");
                let said = refused.to_string();
                assert!(said.contains(&slot) && said.contains("Do not delete it") && said.contains("floe verify"), "{said}");
            }
            let report = verified(room, Depth::Footers).await;
            assert!(report.problems.iter().any(|problem| problem.key == slot), "{what:?}: {:?}", report.problems);
            room.store.plant(&slot, sound);
            let broker = room.open(&room.env.process(), &room.disk, settling()).await.expect("starts");
            assert_eq!(broker.values(id).await, ["0", "1", "2"], "{what:?}");
            room.damage_is_mended();
        });
    }
}

#[test]
fn verify_tells_of_everything_that_is_damaged_whatever_else_is() {
    run(239, async |room| {
        let (broker, ids, packs) = settled(room, EngineOptions { settle_bytes: 1 << 30, index_every_slots: 1000, ..settling() }).await;
        for n in 0..4 {
            fill_and_wait(&broker, ids[1], 1 + n % 2).await;
        }
        broker.produce(ids[0], "one more").await.expect("acknowledged");
        room.kill(broker).await;
        let slots = room.store.peek_keys(&keys::slots_prefix(Incarnation(2)));
        assert!(slots.len() >= 5, "{slots:?}");
        harm(room, &slots[1], Harm::Footer);
        harm(room, &packs[2], Harm::Missing);
        let report = verified(room, Depth::Footers).await;
        assert!(report.problems.iter().any(|problem| problem.key == slots[1] && problem.offsets.is_none()), "the slot itself");
        let found = told(&report);
        let gap = found.iter().find(|(_, partition, ..)| *partition == 1).expect("what follows it shows which offsets are gone");
        assert_eq!((gap.2, gap.3), (END + 1, END + 3), "{found:?}");
        let own = ("orders".to_owned(), 0, END - RECORDS_OF_PACK, END, packs[2].clone());
        assert!(found.contains(&own), "and what else is missing: {found:?}");
    });
}

#[test]
fn verify_misses_a_slot_of_which_nothing_is_needed() {
    run(240, async |room| {
        let late = EngineOptions { settle_check: Duration::from_secs(3600), ..settling() };
        let broker = room.open(&room.env.process(), &room.disk, late).await.expect("starts");
        let (kept, moved) = (broker.topic("kept", 1).await, broker.topic("moved", 1).await);
        broker.produce(kept, "the front stays here").await.expect("acknowledged");
        for n in 0..3 {
            broker.produce(moved, &format!("{n}")).await.expect("acknowledged");
        }
        assert_eq!(broker.partition(moved).delete_records(Some(3)).await, Ok(3));
        room.stop(broker).await;
        assert!(verified(room, Depth::Footers).await.is_clean());
        let slots = room.store.peek_keys(&keys::slots_prefix(Incarnation(1)));
        harm(room, &slots[2], Harm::Missing);
        let report = verified(room, Depth::Footers).await;
        let problems: Vec<&String> = report.problems.iter().map(|problem| &problem.key).collect();
        assert_eq!(problems, [&slots[2]], "{:?}", report.problems);
    });
}
