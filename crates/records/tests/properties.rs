//! What is built is what is read, whatever the codec; edits change only what they say.

use bytes::{Bytes, BytesMut};
use floe_records::{
    BatchBuilder, Batches, Codec, Record, TimedOffset, TimestampType, first_offset_at_or_after, first_without_key, max_timestamp_offset,
    recompress, records, set_log_append_time, stamp, verify,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

const LIMIT: usize = 4 << 20;

fn some_bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..60),
        1 => (any::<u8>(), 0..200_000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
    .prop_map(Bytes::from)
}

/// Few header keys, so that duplicates are the rule.
fn some_header() -> impl Strategy<Value = (Bytes, Option<Bytes>)> {
    (select(vec!["", "a", "b"]), option::of(vec(any::<u8>(), 0..20).prop_map(Bytes::from)))
        .prop_map(|(key, value)| (Bytes::from_static(key.as_bytes()), value))
}

fn some_record() -> impl Strategy<Value = (i64, Record)> {
    let timestamp = prop_oneof![3 => 1_700_000_000_000..1_700_000_001_000_i64, 1 => Just(-1), 1 => 0..i64::MAX];
    (0..3_i64, timestamp, option::of(some_bytes()), option::of(some_bytes()), vec(some_header(), 0..6))
        .prop_map(|(gap, timestamp, key, value, headers)| (gap, Record { offset: 0, timestamp, key, value, headers }))
}

fn some_records() -> impl Strategy<Value = Vec<Record>> {
    (0..1_i64 << 60, vec(some_record(), 1..12)).prop_map(|(mut offset, records)| {
        let placed = records.into_iter().map(|(gap, record)| {
            offset += gap + 1;
            Record { offset, ..record }
        });
        placed.collect()
    })
}

fn some_codec() -> impl Strategy<Value = Codec> {
    select(Codec::ALL.to_vec())
}

fn build(codec: Codec, records: &[Record]) -> Bytes {
    let mut builder = BatchBuilder::new(codec).base_offset(records[0].offset - 1).producer(77, 2, 5).leader_epoch(3);
    for record in records {
        builder.push(record).expect("generated records fit");
    }
    builder.build()
}

fn read(batch: &Bytes) -> Vec<Record> {
    records(batch, LIMIT).and_then(Iterator::collect).expect("a built batch is right")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_built_batch_verifies_and_gives_its_records_back(codec in some_codec(), expected in some_records()) {
        let batch = build(codec, &expected);
        let header = verify(&batch).unwrap();
        prop_assert_eq!(header.codec(), Ok(codec));
        prop_assert_eq!(header.base_offset, expected[0].offset - 1);
        prop_assert_eq!(header.last_offset(), expected[expected.len() - 1].offset);
        prop_assert_eq!(header.record_count as usize, expected.len());
        prop_assert_eq!(header.max_timestamp, expected.iter().map(|record| record.timestamp).max().unwrap());
        prop_assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence, header.leader_epoch), (77, 2, 5, 3));
        prop_assert_eq!(&header.encode()[..], &batch[..61]);
        prop_assert_eq!(read(&batch), expected);
    }

    #[test]
    fn recompressing_changes_codec_length_and_checksum_only(from in some_codec(), to in some_codec(), expected in some_records()) {
        let batch = build(from, &expected);
        let again = recompress(&batch, to, LIMIT).unwrap();
        let (mut before, after) = (verify(&batch).unwrap(), verify(&again).unwrap());
        prop_assert_eq!(after.codec(), Ok(to));
        prop_assert_eq!(read(&again), expected);
        before.batch_length = after.batch_length;
        before.crc = after.crc;
        before.attributes = after.attributes;
        prop_assert_eq!(before, after);
        if from == to {
            prop_assert_eq!(batch, again);
        }
    }

    #[test]
    fn stamping_keeps_the_checksum_and_moves_the_records(codec in some_codec(), expected in some_records(), base in 0..1_i64 << 60, epoch: i32) {
        let batch = build(codec, &expected);
        let mut stamped = BytesMut::from(&batch[..]);
        stamp(&mut stamped, base, epoch);
        let stamped = stamped.freeze();
        let header = verify(&stamped).unwrap();
        prop_assert_eq!((header.base_offset, header.leader_epoch), (base, epoch));
        prop_assert_eq!(&stamped[12 + 4..], &batch[12 + 4..]);
        let moved = expected.iter().map(|record| record.offset - expected[0].offset + 1 + base);
        prop_assert!(read(&stamped).iter().map(|record| record.offset).eq(moved));
    }

    #[test]
    fn log_append_time_is_what_every_record_then_has(codec in some_codec(), expected in some_records(), now in 0..1_i64 << 60) {
        let mut batch = BytesMut::from(&build(codec, &expected)[..]);
        set_log_append_time(&mut batch, now);
        let batch = batch.freeze();
        let header = verify(&batch).unwrap();
        prop_assert_eq!((header.timestamp_type(), header.max_timestamp), (TimestampType::LogAppendTime, now));
        let stamped: Vec<Record> = expected.into_iter().map(|record| Record { timestamp: now, ..record }).collect();
        prop_assert_eq!(max_timestamp_offset(&batch, LIMIT), Ok(Some(TimedOffset { offset: stamped[0].offset, timestamp: now })));
        prop_assert_eq!(read(&batch), stamped);
    }

    #[test]
    fn searches_by_time_agree_with_reading_everything(codec in some_codec(), expected in some_records(), at in any::<prop::sample::Index>(), shift in -1..2_i64) {
        let batch = build(codec, &expected);
        let sought = expected[at.index(expected.len())].timestamp.saturating_add(shift);
        let timed = |record: &Record| TimedOffset { offset: record.offset, timestamp: record.timestamp };
        let first = expected.iter().find(|record| record.timestamp >= sought).map(timed);
        prop_assert_eq!(first_offset_at_or_after(&batch, sought, LIMIT), Ok(first));
        let greatest = expected.iter().map(|record| record.timestamp).max().unwrap();
        let latest = expected.iter().find(|record| record.timestamp == greatest && greatest != -1).map(timed);
        prop_assert_eq!(max_timestamp_offset(&batch, LIMIT), Ok(latest));
        prop_assert_eq!(first_without_key(&batch, LIMIT), Ok(expected.iter().position(|record| record.key.is_none())));
    }

    #[test]
    fn concatenated_batches_are_walked_without_copying(parts in vec((some_codec(), some_records()), 0..5), cut in 1..61_usize) {
        let batches: Vec<Bytes> = parts.iter().map(|(codec, records)| build(*codec, records)).collect();
        let all = Bytes::from(batches.concat());
        let walked: Vec<Bytes> = Batches::new(all.clone()).map(|batch| batch.unwrap().1).collect();
        prop_assert_eq!(&walked, &batches);
        for batch in &walked {
            prop_assert!(all.as_ptr_range().contains(&batch.as_ptr()));
        }
        if let Some((last, whole)) = batches.split_last() {
            let mut walk = Batches::new(all.slice(..all.len() - cut));
            for batch in whole {
                prop_assert_eq!(&walk.next().unwrap().unwrap().1, batch);
            }
            prop_assert!(walk.next().unwrap().is_err());
            prop_assert!(walk.next().is_none());
            prop_assert_eq!(walk.rest(), &last.slice(..last.len() - cut));
        }
    }

    #[test]
    fn codecs_give_back_what_they_were_given_and_keep_exactly_to_the_limit(codec in some_codec(), parts in vec(some_bytes(), 0..8)) {
        let raw = Bytes::from(parts.concat());
        let stored = codec.compress(&raw);
        prop_assert_eq!(codec.decompress(&stored, raw.len()).unwrap(), &raw);
        prop_assert_eq!(codec.decompress(&stored, usize::MAX).unwrap(), &raw);
        if !raw.is_empty() {
            let limit = raw.len() - 1;
            prop_assert_eq!(codec.decompress(&stored, limit), Err(floe_records::BatchError::TooLarge { limit }));
        }
    }
}

#[test]
fn records_of_an_uncompressed_batch_are_slices_of_it() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(5, Some(b"key"), Some(b"value")).unwrap();
    let batch = builder.build();
    let record = records(&batch, LIMIT).unwrap().next().unwrap().unwrap();
    for slice in [record.key.unwrap(), record.value.unwrap()] {
        assert!(batch.as_ptr_range().contains(&slice.as_ptr()));
    }
}
