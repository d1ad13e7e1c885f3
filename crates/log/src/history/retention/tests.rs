//! Which segments go: by age, by size, with odd clocks and odd timestamps.

use super::{Expiry, Known, Retention};
use floe_formats::{PackRef, SegmentRef, Topic};
use floe_types::{Incarnation, SlotNumber, TopicId};
use std::collections::BTreeMap;

/// Segments of ten records and 100 bytes each, with these greatest timestamps.
fn segments(timestamps: &[i64]) -> Vec<SegmentRef> {
    let segment = |(at, timestamp): (i64, &i64)| SegmentRef {
        pack: PackRef::Slot { incarnation: Incarnation(1), slot: SlotNumber(0) },
        pack_len: 1000,
        footer_len: 10,
        base_offset: at * 10,
        end_offset: at * 10 + 10,
        epoch: 1,
        max_timestamp: *timestamp,
        bytes: 100,
    };
    (0..).zip(timestamps).map(segment).collect()
}

/// How far the log may begin later.
fn expired<'a>(
    segments: impl Iterator<Item = &'a SegmentRef> + Clone,
    retention: Retention,
    now_ms: i64,
    known: Option<Known>,
) -> Option<i64> {
    let mut expiry = Expiry::new(retention, now_ms, known, segments.clone().map(|segment| segment.bytes).sum());
    let _kept = segments.map(|segment| expiry.take(segment)).find(|taken| !taken);
    expiry.start()
}

fn by_age(timestamps: &[i64], ms: i64, now_ms: i64) -> Option<i64> {
    expired(segments(timestamps).iter(), Retention { ms: Some(ms), bytes: None }, now_ms, None)
}

#[test]
fn segments_go_by_age_from_the_oldest_on() {
    assert_eq!(by_age(&[1000, 2000, 3000], 500, 2600), Some(20));
    assert_eq!(by_age(&[1000, 2000, 3000], 500, 1500), None, "exactly as old as allowed is not too old");
    assert_eq!(by_age(&[1000, 2000, 3000], 0, 9000), Some(30), "0 keeps nothing that is flushed");
    assert_eq!(by_age(&[3000, 1000, 2000], 500, 2600), None, "what is young keeps what follows it");
}

#[test]
fn t25_no_timestamp_and_no_clock_makes_live_data_look_expired() {
    assert_eq!(by_age(&[i64::MAX, 1000], 500, 2_000), None, "from the future");
    assert_eq!(by_age(&[1000], i64::MAX, i64::MAX), None, "kept for ever, in other words");
    assert_eq!(by_age(&[1000], 500, i64::MIN), None, "a clock before all time");
    assert_eq!(by_age(&[1000], 500, 900), None, "a clock that was set back");
    let month = 31 * 24 * 3600 * 1000;
    assert!(month > i64::from(i32::MAX), "more milliseconds than 32 bits count");
    assert_eq!(by_age(&[1000, 1000 + month], month, month + 900), None);
    assert_eq!(by_age(&[1000, 1000 + month], month, month + 1001), Some(10));
}

#[test]
fn records_without_timestamps_are_as_old_as_they_are_known() {
    let retention = Retention { ms: Some(500), bytes: None };
    let of = |timestamps: &[i64], known| expired(segments(timestamps).iter(), retention, 10_000, known);
    for odd in [-1, -2, i64::MIN] {
        assert_eq!(of(&[odd, odd], None), None, "nothing is known of their age");
        assert_eq!(of(&[odd, odd], Some(Known { end: 10, at_ms: 9_000 })), Some(10), "the second came later");
        assert_eq!(of(&[odd, odd], Some(Known { end: 20, at_ms: 9_800 })), None);
    }
}

#[test]
fn segments_go_by_size_until_no_more_than_asked_for_would_be_lost() {
    let by_size = |bytes| expired(segments(&[1, 2, 3]).iter(), Retention { ms: None, bytes: Some(bytes) }, 0, None);
    assert_eq!(by_size(300), None);
    assert_eq!(by_size(201), None, "never less than what is to be kept");
    assert_eq!(by_size(200), Some(10));
    assert_eq!(by_size(0), Some(30));
}

#[test]
fn settings_that_keep_everything_are_understood() {
    let of = |settings: &[(&str, &str)]| {
        let configs: BTreeMap<_, _> = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Retention::of(&Topic { id: TopicId(1), name: "t".into(), partitions: 1, configs, created_ms: 0 })
    };
    assert_eq!(of(&[]), Retention::default());
    assert_eq!(of(&[("retention.ms", "-1"), ("retention.bytes", "-1")]), Retention::default());
    assert_eq!(of(&[("retention.ms", "a week"), ("retention.bytes", "")]), Retention::default(), "what cannot be read keeps everything");
    assert_eq!(of(&[("retention.ms", "5"), ("cleanup.policy", "compact")]), Retention::default());
    let both = Retention { ms: Some(5), bytes: Some(6) };
    assert_eq!(of(&[("retention.ms", "5"), ("retention.bytes", "6"), ("cleanup.policy", "compact,delete")]), both);
}
