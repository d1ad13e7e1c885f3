//! An hour without the object store, in simulation, with every allocated byte counted.

#![expect(clippy::print_stdout, reason = "a run says what it showed")]

use floe_testkit::simulation::{Hour, hour_without_store};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// What memory may swing by from the moment when everything is full: requests on their way, and the buffers of what is tried again.
const SWING: u64 = 320 << 10;

struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: usize, sign: isize) {
    // A thread that is ending has no counter any more, and nobody who reads it.
    let _ = LIVE.try_with(|live| live.set(live.get() + sign * isize::try_from(bytes).unwrap_or(isize::MAX)));
}

/// Bytes that this thread, and so its run, holds.
fn memory() -> u64 {
    u64::try_from(LIVE.get()).unwrap_or(0)
}

#[expect(unsafe_code, reason = "a global allocator cannot be written without")]
// SAFETY: every call is passed on to `System` unchanged; counting touches thread-local cells only and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: as above; `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: as above; `at` came from `System`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn lived_through(seed: u64) -> Hour {
    let hour = hour_without_store(seed, memory).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    println!("seed {seed}: {hour:?}");
    assert!(hour.acknowledged > 1000 && hour.refused > 1000, "seed {seed} did little: {hour:?}");
    assert!(hour.memory_at_most < hour.memory_when_full + SWING, "seed {seed}: memory grows: {hour:?}");
    hour
}

#[test]
fn an_hour_without_a_store_that_turns_requests_away_loses_doubles_and_piles_up_nothing() {
    lived_through(1);
}

#[test]
fn an_hour_without_a_store_that_never_answers_loses_doubles_and_piles_up_nothing() {
    lived_through(4);
}

#[test]
fn a_broker_that_loses_its_power_at_the_end_of_the_hour_has_everything_that_its_disk_vouched_for() {
    lived_through(2);
    lived_through(3);
}

#[test]
fn the_same_hour_again_is_the_same_hour() {
    let counted = |hour: Hour| (hour.full_after, hour.acknowledged, hour.refused);
    assert_eq!(counted(lived_through(5)), counted(lived_through(5)));
}
