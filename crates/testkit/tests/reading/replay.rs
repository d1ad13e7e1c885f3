//! One consumer, many consumers, slow ones; and the tail beside them.

use crate::support::{VALUE, append, options, replay, run, steady, value};
use floe_log::{EngineOptions, ReadRequest};
use floe_testkit::store_faults::{FaultRule, StoreFault, StoreOp};
use futures::future::join_all;
use std::time::Duration;

#[test]
fn one_consumer_keeps_many_large_requests_under_way() {
    run(1, steady(), async |room| {
        let (broker, ids) = room.history(1, 800, 160, options()).await;
        let mut seen = (0, 0);
        room.reads(&mut seen);
        let began = room.env.monotonic();
        let bytes = replay(&room.env, &broker.partition(ids[0]), 0, 800, Duration::ZERO).await;
        let seconds = (room.env.monotonic() - began).as_secs_f64();
        let (requests, fetched) = room.reads(&mut seen);
        assert!(bytes >= 800 * VALUE as u64);
        // One connection brings 63 MB/s in requests of 8 MiB.
        let rate = bytes as f64 / 1e6 / seconds;
        assert!(rate > 3.0 * 63.0, "{rate:.0} MB/s");
        assert!(requests <= 40 + 5, "{requests} requests for 200 MB in 5 packs");
        assert!(fetched < bytes + bytes / 10, "{fetched} bytes fetched for {bytes}");
        let status = broker.engine.status();
        assert!(status.cached_bytes <= broker.engine.options().cache_bytes, "{status:?}");
    });
}

#[test]
fn small_segments_in_many_packs_are_read_ahead_across() {
    run(2, steady(), async |room| {
        // 60 packs with one batch of each partition.
        let (broker, ids) = room.history(3, 60, 1, options()).await;
        let began = room.env.monotonic();
        replay(&room.env, &broker.partition(ids[1]), 0, 60, Duration::ZERO).await;
        let took = room.env.monotonic() - began;
        // One behind the other: a footer and a block of each, 33 + 33 ms.
        assert!(took < Duration::from_millis(60 * 66 / 3), "{took:?}");
    });
}

#[test]
fn a_slow_consumer_never_waits_and_takes_no_more_than_it_needs() {
    run(3, steady(), async |room| {
        let (broker, ids) = room.history(1, 480, 160, options()).await;
        let partition = broker.partition(ids[0]);
        replay(&room.env, &partition, 0, 200, Duration::from_millis(50)).await;
        let began = room.env.monotonic();
        replay(&room.env, &partition, 200, 320, Duration::from_millis(50)).await;
        let took = room.env.monotonic() - began;
        assert!(took < Duration::from_millis(30 * 50 + 200), "{took:?} for 30 to 40 reads with 50 ms between them");
        let ahead = broker.engine.status().cached_ahead_bytes;
        assert!(ahead <= 40 << 20, "{ahead} bytes ahead of one who takes 20 MB/s");
    });
}

#[test]
fn consumers_share_the_memory_and_none_is_left_behind() {
    run(4, steady(), async |room| {
        let small = EngineOptions { cache_bytes: 32 << 20, ..options() };
        let (broker, ids) = room.history(8, 100, 25, small).await;
        let mut seen = (0, 0);
        room.reads(&mut seen);
        let began = room.env.monotonic();
        let readers = ids.iter().map(|id| {
            let (env, partition) = (room.env.clone(), broker.partition(*id));
            async move {
                let bytes = replay(&env, &partition, 0, 100, Duration::ZERO).await;
                (bytes, env.monotonic())
            }
        });
        let done = join_all(readers).await;
        let times: Vec<f64> = done.iter().map(|(_, at)| (*at - began).as_secs_f64()).collect();
        let (first, last) = (times.iter().copied().fold(f64::MAX, f64::min), times.iter().copied().fold(0.0, f64::max));
        assert!(last < 1.5 * first, "{times:?}");
        let (_, fetched) = room.reads(&mut seen);
        let bytes: u64 = done.iter().map(|(bytes, _)| bytes).sum();
        assert!(fetched < bytes + bytes / 5, "nothing is fetched twice: {fetched} for {bytes}");
        assert!(bytes as f64 / 1e6 / last > 300.0, "{:.0} MB/s in all", bytes as f64 / 1e6 / last);
        assert!(broker.engine.status().cached_bytes <= 32 << 20);
    });
}

#[test]
fn t33_the_tail_does_not_notice_replaying_consumers() {
    run(5, steady(), async |room| {
        let (broker, ids) = room.history(8, 100, 25, options()).await;
        let mut tails = Vec::new();
        for replaying in [false, true] {
            let readers: Vec<_> = ids[1..]
                .iter()
                .filter(|_| replaying)
                .flat_map(|id| (0..10).map(|n| (*id, n * 10)))
                .map(|(id, from)| {
                    let (env, partition) = (room.env.clone(), broker.partition(id));
                    broker.env.spawn("replay", async move { replay(&env, &partition, from, 100, Duration::ZERO).await })
                })
                .collect();
            let partition = broker.partition(ids[0]);
            let mut slowest = Duration::ZERO;
            for n in 0..20 {
                let began = room.env.monotonic();
                let end = append(&partition, &value(n));
                partition.committed(end).await.expect("acknowledged");
                let read = partition.read(ReadRequest::new(end - 1, 1)).await.expect("readable");
                assert_eq!(read.batches.len(), 1);
                slowest = slowest.max(room.env.monotonic() - began);
            }
            tails.push(slowest);
            join_all(readers.into_iter().map(floe_env::Task::join)).await;
        }
        assert!(tails[1] <= tails[0] + Duration::from_millis(10), "{tails:?}: alone, and beside 70 consumers of history");
    });
}

#[test]
fn an_answer_that_does_not_come_is_not_waited_for() {
    run(6, steady(), async |room| {
        let (broker, ids) = room.history(1, 800, 160, options()).await;
        let partition = broker.partition(ids[0]);
        // Enough to know what is usual.
        for n in 0..400 {
            partition.read(ReadRequest::new(799 - n, 1)).await.expect("readable");
        }
        room.backend.rules().add(FaultRule { op: Some(StoreOp::Read), prefix: String::new(), fault: StoreFault::Hang, count: 1 });
        let began = room.env.monotonic();
        partition.read(ReadRequest::new(330, 1)).await.expect("readable");
        let took = room.env.monotonic() - began;
        assert!(took < Duration::from_millis(200), "{took:?}");
        assert_eq!(broker.store.metrics().hedges(), 1);
    });
}
