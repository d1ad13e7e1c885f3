//! A successor that is slow, and an owner that deletes the row in front of it (R6).

use crate::support::{Room, append, batch, object, run};
use floe_env::sim::SimDisk;
use floe_env::{Disk, Mutant, set_mutant};
use floe_formats::keys;
use floe_log::{Engine, EngineOptions};
use floe_objstore::{Store, StoreOptions};
use floe_testkit::store_faults::StoreOp;
use floe_types::{Incarnation, Offset};
use std::cell::Cell;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

const FIRST: i64 = 20;
const SECOND: i64 = 100;

fn settling() -> EngineOptions {
    EngineOptions { settle_bytes: 2_000, settle_least_bytes: 500, settle_check: Duration::from_secs(1), index_every_slots: 2, ..object() }
}

/// The successor reads an index and stands still; the owner goes on until the slots behind that index are deleted. Where the successor
/// then takes the log to end.
fn end_as_the_successor_sees_it(mutant: Option<Mutant>) -> Offset {
    let end = Cell::new(-1);
    set_mutant(mutant);
    run(async {
        let room = Room::new(63);
        let owner = room.start(settling()).await;
        let id = owner.topic("t", &[]).await;
        let fill = async |count: i64| {
            for _ in 0..count {
                append(&owner.partition(id), &batch(&[(room.env.now_ms(), "a value of some length")])).await.expect("appended");
                room.pass(Duration::from_millis(20)).await;
            }
            room.pass(Duration::from_secs(10)).await;
        };
        fill(FIRST).await;

        let still = Arc::new(AtomicBool::new(false));
        let stops = still.clone();
        room.store.then(Some(StoreOp::Read), &keys::indexes_prefix(Incarnation(1)), 0, move || stops.store(true, Relaxed));
        let successor = room.env.process();
        let store = Store::new(successor.clone(), room.store.backend(), StoreOptions::default());
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(&room.env));
        let mut opening = Box::pin(Engine::open(successor, store, disk, settling()));
        let opened = poll_fn(|context| if still.load(Relaxed) { Poll::Pending } else { opening.as_mut().poll(context) });
        let meanwhile = async {
            room.pass(Duration::from_secs(5)).await;
            assert!(still.load(Relaxed), "it stands still");
            fill(SECOND).await;
            let left = room.store.peek_keys(&keys::slots_prefix(Incarnation(1))).len();
            assert!(left < 60, "most of the row is deleted: {left} slots are left");
            still.store(false, Relaxed);
            room.pass(Duration::from_millis(1)).await;
        };
        let (engine, ()) = tokio::join!(opened, meanwhile);
        end.set(engine.expect("it starts").partition(id).expect("it is led here").offsets().end);
    });
    set_mutant(None);
    end.get()
}

#[test]
fn t63_a_stop_below_the_front_does_not_count() {
    assert_eq!(end_as_the_successor_sees_it(None), FIRST + SECOND);
    let lost = end_as_the_successor_sees_it(Some(Mutant::FrontNotChecked));
    assert!(lost < FIRST + SECOND, "without the check acknowledged records are missing, and this test sees it: {lost}");
}
