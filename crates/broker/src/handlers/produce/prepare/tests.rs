//! What a batch is refused for, and when its records have to be looked at.

use super::*;
use crate::topic_config::CompressionType;
use floe_records::BatchBuilder;

const SETTINGS: TopicSettings = TopicSettings {
    max_message_bytes: 1_000,
    timestamp_type: TimestampType::CreateTime,
    timestamp_before_max: i64::MAX,
    timestamp_after_max: 3_600_000,
    compression: CompressionType::Producer,
    is_compacted: false,
};
const NOW: i64 = 1_700_000_000_000;

fn header(timestamps: &[i64]) -> BatchHeader {
    let mut builder = BatchBuilder::new(Codec::None);
    for timestamp in timestamps {
        builder.append(*timestamp, None, Some(b"x")).expect("it fits");
    }
    BatchHeader::parse(&builder.build()).expect("well formed")
}

#[test]
fn with_the_defaults_only_the_far_future_is_refused_and_no_record_is_looked_at() {
    for fine in [&[0, 5][..], &[NOW], &[NOW + 3_600_000], &[NO_TIMESTAMP]] {
        assert_eq!(check_times(&SETTINGS, &header(fine), NOW), Ok(false), "{fine:?}");
    }
    let refusal = check_times(&SETTINGS, &header(&[NOW, NOW + 3_600_001]), NOW).expect_err("refused");
    assert_eq!(refusal.code, ErrorCode::InvalidTimestamp);
    assert!(refusal.message.contains(&(NOW + 3_600_001).to_string()), "{}", refusal.message);
}

#[test]
fn a_lower_bound_needs_the_records_unless_the_header_says_enough() {
    let settings = TopicSettings { timestamp_before_max: 1_000, ..SETTINGS };
    assert_eq!(check_times(&settings, &header(&[NOW]), NOW), Ok(true));
    assert_eq!(check_times(&settings, &header(&[NO_TIMESTAMP]), NOW), Ok(false), "records without a time are never too old");
    assert!(check_times(&settings, &header(&[NOW - 2_000]), NOW).is_err(), "even the newest is too old");
}

#[test]
fn the_records_to_blame_are_named_and_not_more_than_a_few() {
    let mut builder = BatchBuilder::new(Codec::Gzip);
    for n in 0..3_000 {
        builder.append(if n % 2 == 0 { NOW } else { 5 }, None, None).expect("it fits");
    }
    let batch = builder.build();
    let refused = check_records(&batch, NOW, 1 << 20).expect_err("refused");
    assert_eq!(refused.records.iter().map(|(index, _)| *index).collect::<Vec<_>>(), (0..1_000).map(|n| 2 * n + 1).collect::<Vec<_>>());
    assert!(check_records(&batch, 5, 1 << 20).is_ok());
    let bomb = check_records(&batch, NOW, 100).expect_err("more than may be decompressed (T41)");
    assert_eq!(bomb.refusal.code, ErrorCode::MessageTooLarge);
}

#[test]
fn records_without_a_key_are_named_and_not_more_than_a_few() {
    for codec in [Codec::None, Codec::Zstd] {
        let mut builder = BatchBuilder::new(codec);
        for n in 0..3_000 {
            builder.append(NOW, (n % 2 == 0).then_some(b"key".as_slice()), None).expect("it fits");
        }
        let refused = check_keys(&builder.build(), 1 << 20).expect_err("refused");
        assert_eq!(refused.refusal.code, ErrorCode::InvalidRecord);
        assert_eq!(refused.records.iter().map(|(index, _)| *index).collect::<Vec<_>>(), (0..1_000).map(|n| 2 * n + 1).collect::<Vec<_>>());
    }
    let mut builder = BatchBuilder::new(Codec::Lz4);
    builder.append(NOW, Some(b""), None).expect("it fits");
    assert!(check_keys(&builder.build(), 1 << 20).is_ok(), "an empty key is a key");
}
