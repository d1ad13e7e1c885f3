//! What is left of a batch: offsets, timestamps, headers and producers stay; tombstones say until when.

use super::*;
use crate::{Codec, Record};

const LIMIT: usize = 1 << 20;

fn record(offset: i64, key: Option<&str>, value: Option<&str>) -> Record {
    let own = |text: Option<&str>| text.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    let header = |value: &str| (Bytes::from_static(b"h"), Some(Bytes::copy_from_slice(value.as_bytes())));
    Record { offset, timestamp: 5_000 + offset, key: own(key), value: own(value), headers: vec![header("1"), header("2"), header("1")] }
}

fn batch(codec: Codec, records: &[Record]) -> Bytes {
    let mut builder = BatchBuilder::new(codec).base_offset(100).leader_epoch(3).producer(7, 1, 40);
    for record in records {
        builder.push(record).unwrap();
    }
    builder.last_offset(109).build()
}

fn read(batch: &Bytes) -> Vec<Record> {
    crate::verify(batch).unwrap();
    records(batch, LIMIT).unwrap().map(Result::unwrap).collect()
}

#[test]
fn what_stays_keeps_its_offset_its_time_and_all_its_headers() {
    let all = [record(100, Some("a"), Some("1")), record(103, Some("b"), Some("2")), record(104, None, Some("3"))];
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let before = batch(codec, &all);
        let Left::Batch(after) = retain(&before, LIMIT, 0, |record| record.offset != 100).unwrap() else { panic!("one is gone") };
        assert_eq!(read(&after), all[1..]);
        let (before, after) = (BatchHeader::parse(&before).unwrap(), BatchHeader::parse(&after).unwrap());
        assert_eq!((after.base_offset, after.last_offset(), after.leader_epoch), (100, 109, 3));
        assert_eq!((after.producer_id, after.producer_epoch, after.base_sequence, after.last_sequence()), (7, 1, 40, 49));
        assert_eq!((after.attributes, after.delete_horizon()), (before.attributes, None));
    }
}

#[test]
fn a_batch_that_loses_nothing_is_the_same_and_one_that_loses_all_is_nothing() {
    let before = batch(Codec::Lz4, &[record(100, Some("a"), Some("1"))]);
    assert_eq!(retain(&before, LIMIT, 0, |_| true), Ok(Left::Same));
    assert_eq!(retain(&before, LIMIT, 0, |_| false), Ok(Left::Nothing));
}

#[test]
fn a_batch_with_tombstones_says_until_when_and_keeps_saying_it() {
    let all = [record(100, Some("a"), None), record(101, Some("b"), Some("2")), record(102, None, None)];
    let before = batch(Codec::None, &all);
    let Left::Batch(marked) = retain(&before, LIMIT, 77_000, |_| true).unwrap() else { panic!("it says until when") };
    assert_eq!(BatchHeader::parse(&marked).unwrap().delete_horizon(), Some(77_000));
    assert_eq!(read(&marked), all, "timestamps, too");
    assert_eq!(BatchHeader::parse(&marked).unwrap().max_timestamp, 5_102);
    assert_eq!(retain(&marked, LIMIT, 99_000, |_| true), Ok(Left::Same), "the first word counts");
    let Left::Batch(less) = retain(&marked, LIMIT, 99_000, |record| record.offset != 101).unwrap() else { panic!("one is gone") };
    assert_eq!(BatchHeader::parse(&less).unwrap().delete_horizon(), Some(77_000));
    assert_eq!(read(&less), [all[0].clone(), all[2].clone()]);
}

#[test]
fn records_of_append_time_keep_it() {
    let mut builder = BatchBuilder::new(Codec::None).log_append_time(9_999);
    for key in ["a", "b"] {
        builder.append(1, Some(key.as_bytes()), None).unwrap();
    }
    let Left::Batch(left) = retain(&builder.build(), LIMIT, 12_345, |record| record.offset == 1).unwrap() else { panic!("one is gone") };
    let header = BatchHeader::parse(&left).unwrap();
    assert_eq!(
        (header.timestamp_type(), header.max_timestamp, header.delete_horizon()),
        (TimestampType::LogAppendTime, 9_999, Some(12_345))
    );
    assert_eq!(read(&left)[0].timestamp, 9_999);
}

#[test]
fn tombstones_are_records_with_a_key_and_no_value() {
    let mut seen = Vec::new();
    let all = [record(100, Some("a"), None), record(101, Some("b"), Some("")), record(102, None, None)];
    keyed_records(&batch(Codec::Zstd, &all), LIMIT, |record| seen.push((record.offset, record.key.is_some(), record.is_tombstone)))
        .unwrap();
    assert_eq!(seen, [(100, true, true), (101, true, false), (102, false, false)]);
}

#[test]
fn a_broken_batch_is_an_error() {
    let mut broken = batch(Codec::None, &[record(100, Some("a"), Some("1"))]).to_vec();
    broken.truncate(70);
    assert!(keyed_records(&Bytes::from(broken), LIMIT, |_| {}).is_err());
}
