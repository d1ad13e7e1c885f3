//! What is stored and read back: from memory, the WAL, blocks and packs.

use crate::room::{append, of_records, options, run, values};
use floe_env::sim::Latency;
use floe_log::{Durability, EngineOptions, ReadRequest};
use floe_records::{BatchBuilder, Codec};
use futures::future::join_all;
use std::time::Duration;

#[test]
fn t25_times_further_apart_than_32_bits_are_found_in_packs_as_in_memory() {
    run(25, async |room| {
        let broker = room.start(Durability::Local).await;
        let id = broker.topic("t", 1).await;
        // Milliseconds: 2^31 are 25 days, 2^32 fifty, 2^41 seventy years.
        let times = [0, 1 << 31, (1 << 32) + 1, (1 << 33) + 7, 1 << 41, i64::MAX - 1];
        for time in times {
            append(&broker.partition(id), &of_records(BatchBuilder::new(Codec::None), &[(time, "v"), (time + 1, "w")])).expect("appended");
        }
        room.stop(broker).await;
        let broker = room.start(Durability::Local).await;
        let partition = broker.partition(id);
        for (n, time) in times.into_iter().enumerate() {
            let offset = 2 * n as i64;
            assert_eq!(partition.offset_for_time(time).await.expect("readable"), Some((offset, time)));
            assert_eq!(partition.offset_for_time(time + 1).await.expect("readable"), Some((offset + 1, time + 1)));
        }
        assert_eq!(partition.offset_for_time((1 << 40) + 5).await.expect("readable"), Some((8, 1 << 41)));
        assert_eq!(partition.offset_of_max_timestamp().await.expect("readable"), Some((11, i64::MAX)));
        assert_eq!(values(&partition, 0).await.len(), 12);
    });
}

#[test]
fn t27_a_reader_whose_wal_file_is_given_back_under_it_gets_its_records_from_the_pack() {
    run(27, async |room| {
        let small = EngineOptions { tail_bytes: 1, wal_file_bytes: 300_000, ..options(Durability::Local) };
        let broker = room.open(&room.env.process(), &room.disk, small).await.expect("starts");
        let id = broker.topic("t", 1).await;
        for round in 0..5 {
            for n in 0..100 {
                broker.produce(id, &format!("{}{n:0>10000}", round)).await.expect("acknowledged");
            }
            // Reads of the WAL that take until long after the flush, the trim, and the next use of the file.
            room.disk.set_latency(Latency { read: Duration::from_secs(20), ..Latency::default() });
            let partition = broker.partition(id);
            let readers = (round * 100..(round + 1) * 100).map(|offset| {
                let partition = partition.clone();
                broker.env.spawn("reader", async move { partition.read(ReadRequest::new(offset, 1)).await })
            });
            let readers: Vec<_> = readers.collect();
            room.pass(100).await;
            for reader in join_all(readers.into_iter().map(floe_env::Task::join)).await {
                let read = reader.expect("no panic").expect("the records are in the pack");
                assert_eq!(read.batches.len(), 1);
            }
            room.disk.set_latency(Latency::default());
        }
        room.pass(60_000).await;
        assert_eq!(broker.engine.status().wal_bytes, 0, "it was trimmed under them");
    });
}

#[test]
fn t34_a_cache_that_is_full_or_too_small_for_a_block_holds_up_no_reader() {
    for cache_bytes in [0, 1, 300_000] {
        run(34 + cache_bytes, async |room| {
            let small = || EngineOptions { cache_bytes, ..options(Durability::Object) };
            let broker = room.open(&room.env.process(), &room.disk, small()).await.expect("starts");
            let id = broker.topic("t", 1).await;
            let mut expected = Vec::new();
            for n in 0..40 {
                let value = format!("{n:0>60000}").repeat(2);
                broker.produce(id, &value).await.expect("acknowledged");
                expected.push(value);
            }
            room.stop(broker).await;
            let broker = room.open(&room.env.process(), &room.disk, small()).await.expect("starts");
            let partition = broker.partition(id);
            let began = room.env.monotonic();
            let readers: Vec<_> = (0..20)
                .map(|n| {
                    let partition = partition.clone();
                    broker.env.spawn("reader", async move { values(&partition, n).await })
                })
                .collect();
            for (n, read) in join_all(readers.into_iter().map(floe_env::Task::join)).await.into_iter().enumerate() {
                assert_eq!(read.expect("no panic"), expected[n..]);
            }
            assert!(room.env.monotonic() - began < Duration::from_secs(1), "nobody waited for room");
            assert!(broker.engine.status().cached_bytes <= cache_bytes, "{:?}", broker.engine.status());
        });
    }
}
