//! Windows of readers on a clock of the test's.

use super::*;
use floe_types::TopicId;

const BUDGET: u64 = 96 << 20;
/// What one alone gets of it: a request may go a little beyond its plan.
const ALL: u64 = BUDGET - BUDGET / 8;
const READ: u64 = 1 << 20;

fn partition(index: i32) -> PartitionId {
    PartitionId { topic: TopicId(7), index }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Reads `count` times 100 offsets of 1 MiB, one every `every` milliseconds. The window at the end.
fn read(streams: &Streams, index: i32, count: i64, every: u64, waited: bool) -> u64 {
    let mut last = None;
    for n in 0..count {
        let reading = streams.begin(partition(index), n * 100, ms(n as u64 * every));
        let done = Done { reach: (n + 1) * 100, bytes: READ, waited, fetch_time: ms(150) };
        streams.finish(&reading, done, BUDGET);
        last = Some(reading);
    }
    let last = last.expect("something was read");
    streams.0.lock().with(&last, |stream| stream.window).expect("it is remembered")
}

#[test]
fn one_read_alone_fetches_nothing_ahead() {
    let streams = Streams::default();
    assert_eq!(read(&streams, 0, 1, 10, true), 0);
    let reading = streams.begin(partition(0), 5000, ms(1));
    assert_eq!(streams.plan(&reading, 5100), None, "a jump is no stream");
}

#[test]
fn a_reader_who_waits_gets_all_of_his_share_soon() {
    assert_eq!(read(&Streams::default(), 0, 6, 10, true), ALL);
}

#[test]
fn a_reader_with_a_pace_gets_what_the_store_needs_to_keep_it() {
    // 10 MB/s against 150 ms: little, so that comfort decides. 300 MB/s: 2 x 45 MB.
    let slow = read(&Streams::default(), 0, 200, 100, false);
    assert!((COMFORT..COMFORT + 8).contains(&slow), "{slow}: what is more goes by eighths");
    let fast = read(&Streams::default(), 0, 200, 4, false);
    assert!((60 << 20..ALL).contains(&fast), "{fast}");
}

#[test]
fn readers_share_the_budget_in_equal_parts_and_who_has_gone_gives_his_back() {
    let streams = Streams::default();
    let mut windows = Vec::new();
    for n in 0..20_i64 {
        for index in 0..8 {
            let reading = streams.begin(partition(index), n * 100, ms(n as u64 * 200 + index as u64));
            let done = Done { reach: (n + 1) * 100, bytes: READ, waited: true, fetch_time: ms(150) };
            streams.finish(&reading, done, BUDGET);
            windows.push(streams.0.lock().with(&reading, |stream| stream.window).expect("it is remembered"));
        }
    }
    assert_eq!(windows[windows.len() - 8..], [ALL / 8; 8]);
    let reading = streams.begin(partition(3), 2000, ms(60_000));
    streams.finish(&reading, Done { reach: 2100, bytes: READ, waited: true, fetch_time: ms(150) }, BUDGET);
    let reading = streams.begin(partition(3), 2100, ms(60_200));
    streams.finish(&reading, Done { reach: 2200, bytes: READ, waited: true, fetch_time: ms(150) }, BUDGET);
    assert!(streams.0.lock().with(&reading, |stream| stream.window).expect("it is remembered") > ALL / 8);
}

#[test]
fn plans_go_on_where_the_last_one_ended_and_one_at_a_time() {
    let streams = Streams::default();
    read(&streams, 0, 9, 10, true);
    let reading = streams.begin(partition(0), 900, ms(100));
    let plan = streams.plan(&reading, 1000).expect("a window is there");
    assert_eq!(plan, Plan { from: 1000, bytes: ALL, quantum: QUANTUM });
    assert_eq!(streams.plan(&reading, 1000), None, "one at a time");
    streams.planned(&reading, 2000, QUANTUM);
    streams.planned(&reading, 5000, ALL - QUANTUM - QUANTUM / 2);
    streams.walked(&reading);
    assert_eq!(streams.plan(&reading, 1000), None, "less than one request is left");
    // However much his reads brought: blocks that they share are counted in each of them.
    streams.finish(&reading, Done { reach: 1999, bytes: QUANTUM, waited: true, fetch_time: ms(150) }, BUDGET);
    assert_eq!(streams.plan(&reading, 1999), None, "all of it is held for him still");
    streams.finish(&reading, Done { reach: 2000, bytes: 1, waited: true, fetch_time: ms(150) }, BUDGET);
    let plan = streams.plan(&reading, 2000).expect("the reader has gone on");
    assert_eq!(plan.from, 5000);
    streams.walked(&reading);
    // He overtakes what was planned.
    streams.finish(&reading, Done { reach: 9000, bytes: 1, waited: true, fetch_time: ms(150) }, BUDGET);
    assert_eq!(streams.plan(&reading, 9100).map(|plan| (plan.from, plan.bytes)), Some((9100, ALL)));
}

#[test]
fn what_is_remembered_is_bounded() {
    let streams = Streams::default();
    for n in 0..10_000_i64 {
        streams.begin(partition((n % 300) as i32), n * 1_000_000, ms(n as u64));
    }
    let table = streams.0.lock();
    assert!(table.count <= MOST && table.streams.values().all(|all| all.len() <= MOST_OF_PARTITION));
    assert_eq!(table.count, table.streams.values().map(Vec::len).sum::<usize>());
}
