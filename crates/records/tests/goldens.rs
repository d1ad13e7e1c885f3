//! Batches that real clients wrote, read by this crate.

mod support;

use bytes::Bytes;
use floe_records::{
    BatchHeader, Codec, Record, TimedOffset, TimestampType, ValidateOptions, max_timestamp_offset, records, validate, verify,
};
use support::{GOLDENS, golden};

/// Far above what any golden needs.
const LIMIT: usize = 4 << 20;

fn all_records(batch: &Bytes) -> Vec<Record> {
    records(batch, LIMIT).and_then(Iterator::collect).expect("a golden is right")
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// What `java_*` and `python_*` of the five codecs hold.
fn three_records(base_offset: i64) -> Vec<Record> {
    let headers = vec![(bytes("h"), Some(bytes("1"))), (bytes("h"), Some(bytes("2"))), (bytes("n"), None)];
    vec![
        Record { offset: base_offset, timestamp: 1_700_000_000_000, key: Some(bytes("k0")), value: Some(bytes("a value")), headers },
        Record { offset: base_offset + 1, timestamp: 1_699_999_999_000, ..Record::default() },
        Record {
            offset: base_offset + 2,
            timestamp: 1_700_000_005_000,
            key: Some(bytes("")),
            value: Some(bytes(&"floe ".repeat(40))),
            headers: vec![(bytes(""), Some(bytes("")))],
        },
    ]
}

#[test]
fn every_golden_verifies_and_its_header_encodes_to_the_same_bytes() {
    for (name, _) in GOLDENS {
        let batch = golden(name);
        let header = verify(&batch).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(header.encode(), batch[..61], "{name}");
        assert_eq!(header.total_len(), batch.len(), "{name}");
    }
}

#[test]
fn the_java_clients_batches_are_read_for_every_codec() {
    for codec in Codec::ALL {
        let batch = golden(&format!("java_{codec}"));
        let header = verify(&batch).unwrap();
        assert_eq!(header.codec(), Ok(codec));
        assert_eq!((header.base_offset, header.last_offset(), header.end_offset()), (100, 102, 103));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence, header.last_sequence()), (4242, 3, 7, 9));
        assert_eq!((header.leader_epoch, header.base_timestamp, header.max_timestamp), (5, 1_700_000_000_000, 1_700_000_005_000));
        assert!(!header.is_control() && !header.is_transactional());
        assert_eq!(all_records(&batch), three_records(100), "{codec}");
    }
}

#[test]
fn the_python_clients_batches_are_read_for_every_codec() {
    for codec in Codec::ALL {
        let batch = golden(&format!("python_{codec}"));
        let header = verify(&batch).unwrap();
        assert_eq!((header.codec(), header.has_producer_id(), header.last_sequence()), (Ok(codec), false, -1));
        assert_eq!(validate(&batch, &header, &ValidateOptions { max_bytes: 1 << 20, allow_zstd: true }), Ok(()));
        assert_eq!(all_records(&batch), three_records(0), "{codec}");
    }
}

#[test]
fn librdkafkas_batches_are_read_for_every_codec() {
    for codec in Codec::ALL {
        let batch = golden(&format!("librdkafka_{codec}"));
        let header = verify(&batch).unwrap();
        assert_eq!((header.codec(), header.has_producer_id(), header.end_offset()), (Ok(codec), false, 3));
        assert_eq!(validate(&batch, &header, &ValidateOptions { max_bytes: 1 << 20, allow_zstd: true }), Ok(()));
        let headers = vec![(bytes("h"), Some(bytes("1"))), (bytes("h"), Some(bytes("2")))];
        let expected = (0..3).map(|number| Record {
            offset: number,
            timestamp: header.base_timestamp,
            key: Some(bytes(&format!("k{number}"))),
            value: Some(if number == 0 { bytes("a value") } else { bytes(&"floe ".repeat(40)) }),
            headers: headers.clone(),
        });
        assert_eq!(all_records(&batch), expected.collect::<Vec<_>>(), "{codec}");
    }
    assert_ne!(&golden("librdkafka_snappy")[61..62], &[0x82], "it sends raw snappy, without snappy-java's framing");
}

#[test]
fn records_of_a_log_append_time_batch_have_its_time() {
    let batch = golden("java_log_append_time_transactional");
    let header = verify(&batch).unwrap();
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    assert!(header.is_transactional());
    assert!(all_records(&batch).iter().all(|record| record.timestamp == 1_700_000_009_999));
    assert_eq!(max_timestamp_offset(&batch, LIMIT), Ok(Some(TimedOffset { offset: 100, timestamp: 1_700_000_009_999 })));
}

#[test]
fn batches_of_many_compressed_blocks_are_read() {
    for name in ["java_lz4_many_blocks", "java_zstd_many_blocks"] {
        let records = all_records(&golden(name));
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].value, Some(bytes(&"0123456789abcdef".repeat(12500))), "{name}");
    }
}

#[test]
fn a_commit_marker_is_a_control_batch_of_one_record() {
    let batch = golden("java_commit_marker");
    let header: BatchHeader = verify(&batch).unwrap();
    assert!(header.is_control() && header.is_transactional());
    let records = all_records(&batch);
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].offset, records[0].key.as_deref()), (55, Some(&[0, 0, 0, 1][..])), "version 0, type 1: commit");
    assert_eq!(records[0].value.as_deref(), Some(&[0, 0, 0, 0, 0, 9][..]), "version 0, coordinator epoch 9");
}

#[test]
fn a_batch_that_compaction_emptied_keeps_its_offsets_and_producer() {
    let batch = golden("java_compacted_empty");
    let header = verify(&batch).unwrap();
    assert_eq!((header.base_offset, header.last_offset(), header.record_count), (100, 102, 0));
    assert_eq!((header.producer_id, header.base_sequence, header.last_sequence()), (4242, 7, 9));
    assert_eq!(all_records(&batch), []);
    assert_eq!(max_timestamp_offset(&batch, LIMIT), Ok(None));
}

#[test]
fn a_batch_with_gaps_keeps_them() {
    let batch = golden("java_gaps");
    let header = verify(&batch).unwrap();
    assert_eq!((header.base_offset, header.end_offset(), header.record_count), (100, 110, 2));
    assert_eq!(all_records(&batch).iter().map(|record| record.offset).collect::<Vec<_>>(), [103, 109]);
}
