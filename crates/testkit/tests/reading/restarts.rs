//! The cache on disk, from the outside: a restarted broker reads history without the store.

use crate::support::{options, replay, run};
use floe_env::Disk;
use floe_log::EngineOptions;
use floe_testkit::shaped::Shape;
use std::time::Duration;

#[test]
fn what_was_read_before_a_restart_is_not_fetched_again() {
    run(7, Shape::none(), async |room| {
        let cached = |bytes| EngineOptions { disk_cache_bytes: bytes, ..options() };
        let (broker, ids) = room.history(1, 60, 20, cached(64 << 20)).await;
        let mut seen = (0, 0);
        let slow = Duration::from_millis(200);
        let bytes = replay(&room.env, &broker.partition(ids[0]), 0, 60, slow).await;
        room.stop(broker).await;
        let mut fetched = Vec::new();
        for (budget, delete) in [(64 << 20, false), (256 << 20, false), (8 << 20, false), (64 << 20, true)] {
            if delete {
                for file in room.disk.list("cache").await.expect("it is there") {
                    room.disk.remove(&format!("cache/{}", file.name)).await.expect("removed");
                }
            }
            let broker = room.start(cached(budget)).await;
            room.env.sleep(Duration::from_secs(1)).await;
            room.reads(&mut seen);
            assert_eq!(replay(&room.env, &broker.partition(ids[0]), 0, 60, slow).await, bytes, "{budget}, {delete}");
            fetched.push(room.reads(&mut seen).1);
            assert!(broker.engine.status().disk_cached_bytes <= budget);
            room.stop(broker).await;
        }
        assert!(fetched[0] < bytes / 100 && fetched[1] < bytes / 100, "footers only: {fetched:?} of {bytes}");
        assert!(fetched[2] > bytes / 4, "it does not fit: {fetched:?}");
        assert!(fetched[3] >= bytes, "{fetched:?}");
    });
}
