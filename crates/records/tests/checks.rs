//! What a producer may send, and what a builder may be given.

use bytes::{Bytes, BytesMut};
use floe_records::{BatchBuilder, BatchError, Codec, Record, ValidateOptions, recompress, records, stamp, validate, verify};

const OPTIONS: ValidateOptions = ValidateOptions { max_bytes: 1 << 20, allow_zstd: true };

fn two_records(builder: BatchBuilder) -> Bytes {
    let mut builder = builder;
    builder.append(5, Some(b"k"), Some(b"v")).expect("fits");
    builder.append(6, None, Some(b"w")).expect("fits");
    builder.build()
}

fn check(batch: &Bytes) -> Result<(), BatchError> {
    validate(batch, &verify(batch).expect("a built batch verifies"), &OPTIONS)
}

/// The batch with some header bytes changed and its checksum made right.
fn with(batch: &Bytes, at: usize, field: &[u8]) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[at..at + field.len()].copy_from_slice(field);
    let crc = crc_fast::crc32_iscsi(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

#[test]
fn batches_of_producers_of_every_kind_are_accepted() {
    for codec in Codec::ALL {
        assert_eq!(check(&two_records(BatchBuilder::new(codec))), Ok(()));
        assert_eq!(check(&two_records(BatchBuilder::new(codec).producer(0, 0, 0))), Ok(()));
        assert_eq!(check(&two_records(BatchBuilder::new(codec).producer(9, 3, i32::MAX).transactional())), Ok(()));
    }
}

#[test]
fn what_clients_must_not_send_is_refused_with_its_reason() {
    let plain = two_records(BatchBuilder::new(Codec::None));
    let invalid = |batch: &Bytes| matches!(check(batch), Err(BatchError::Invalid { .. }));
    assert!(invalid(&two_records(BatchBuilder::new(Codec::None).control())));
    assert!(invalid(&two_records(BatchBuilder::new(Codec::None).base_offset(1))));
    assert!(invalid(&two_records(BatchBuilder::new(Codec::None).transactional())), "transactional without a producer");
    assert!(invalid(&two_records(BatchBuilder::new(Codec::None).producer(5, -1, 0))));
    assert!(invalid(&two_records(BatchBuilder::new(Codec::None).producer(5, 0, -1))));
    assert!(invalid(&two_records(BatchBuilder::new(Codec::None).producer(-2, 0, 0))));
    assert!(invalid(&with(&plain, 21, &[0, 0x40])), "a delete horizon is compaction's");
    assert!(invalid(&with(&plain, 21, &[1, 0])), "an unknown attribute");
    assert_eq!(check(&with(&plain, 21, &[0, 5])), Err(BatchError::UnknownCodec { bits: 5 }));
    assert_eq!(check(&two_records(BatchBuilder::new(Codec::None).log_append_time(7))), Err(BatchError::TimestampTypeFromClient));
    let header = verify(&plain).unwrap();
    let small = ValidateOptions { max_bytes: plain.len() - 1, allow_zstd: true };
    assert_eq!(validate(&plain, &header, &small), Err(BatchError::BatchTooLarge { len: plain.len(), limit: plain.len() - 1 }));
}

#[test]
fn zstd_is_refused_where_the_request_does_not_know_it() {
    let batch = two_records(BatchBuilder::new(Codec::Zstd));
    let header = verify(&batch).unwrap();
    let refused = validate(&batch, &header, &ValidateOptions { allow_zstd: false, ..OPTIONS });
    assert_eq!(refused, Err(BatchError::CodecNotAllowed { codec: Codec::Zstd }));
}

#[test]
fn counts_that_contradict_the_offsets_are_refused() {
    let plain = two_records(BatchBuilder::new(Codec::None));
    for (delta, count) in [(1_i32, 3_i32), (0, 2), (-1, 0), (1, -1), (i32::MAX, i32::MIN)] {
        let batch = with(&with(&plain, 23, &delta.to_be_bytes()), 57, &count.to_be_bytes());
        assert_eq!(verify(&batch), Err(BatchError::Counts { record_count: count, last_offset_delta: delta }));
    }
    // What compaction may leave is whole, but no producer may send it.
    for (delta, count) in [(1_i32, 1_i32), (1, 0), (2, 2)] {
        let batch = with(&with(&plain, 23, &delta.to_be_bytes()), 57, &count.to_be_bytes());
        assert_eq!(check(&batch), Err(BatchError::Counts { record_count: count, last_offset_delta: delta }));
    }
}

#[test]
fn sequences_wrap_from_the_greatest_to_zero() {
    let header = |base| verify(&two_records(BatchBuilder::new(Codec::None).producer(1, 0, base))).unwrap();
    assert_eq!(header(7).last_sequence(), 8);
    assert_eq!(header(i32::MAX - 1).last_sequence(), i32::MAX);
    assert_eq!(header(i32::MAX).last_sequence(), 0);
    assert_eq!(header(-1).last_sequence(), -1);
}

#[test]
fn offsets_at_the_end_of_their_range_do_not_overflow() {
    let mut batch = BytesMut::from(&two_records(BatchBuilder::new(Codec::None))[..]);
    stamp(&mut batch, i64::MAX, 0);
    let batch = batch.freeze();
    assert_eq!(verify(&batch).unwrap().end_offset(), i64::MAX);
    let read: Result<Vec<Record>, _> = records(&batch, 1000).unwrap().collect();
    assert!(matches!(read, Err(BatchError::Record { .. })));
}

#[test]
fn an_empty_batch_stands_for_its_offsets_under_any_codec() {
    for codec in Codec::ALL {
        let batch = BatchBuilder::new(codec).base_offset(40).producer(3, 1, 8).last_offset(44).build();
        let header = verify(&batch).unwrap();
        assert_eq!((header.base_offset, header.end_offset(), header.record_count, header.last_sequence()), (40, 45, 0, 12));
        assert_eq!(records(&batch, 0).unwrap().count(), 0);
        assert_eq!(recompress(&batch, Codec::Gzip, 0), Ok(batch));
    }
}

#[test]
fn a_builder_refuses_what_a_batch_cannot_hold_and_stays_as_it_was() {
    let mut builder = BatchBuilder::new(Codec::None).base_offset(10);
    let at = |offset, timestamp| Record { offset, timestamp, ..Record::default() };
    builder.push(&at(12, i64::MIN)).unwrap();
    for refused in [at(12, 0), at(11, 0), at(13 + (1 << 31), 0), at(13, 1)] {
        assert!(matches!(builder.push(&refused), Err(BatchError::Build { .. })), "{refused:?}");
    }
    builder.push(&at(14, -1)).unwrap();
    assert_eq!((builder.len(), builder.next_offset()), (2, 15));
    let batch = builder.build();
    assert_eq!(records(&batch, 1000).unwrap().map(|record| record.unwrap().offset).collect::<Vec<_>>(), [12, 14]);
}

#[test]
fn codecs_are_known_by_kafkas_names_and_numbers() {
    for (number, codec) in Codec::ALL.into_iter().enumerate() {
        assert_eq!(Codec::from_name(codec.name()), Some(codec));
        assert_eq!(Codec::from_attributes(number as i16 | 0x18), Ok(codec));
    }
    assert_eq!(Codec::from_name("uncompressed"), Some(Codec::None));
    assert_eq!(Codec::from_name("brotli"), None);
}

#[test]
fn raw_snappy_as_librdkafka_writes_it_is_read() {
    let raw = b"floe floe floe floe floe".repeat(50);
    let stored = Bytes::from(snap::raw::Encoder::new().compress_vec(&raw).unwrap());
    assert_eq!(Codec::Snappy.decompress(&stored, raw.len()).as_deref(), Ok(&raw[..]));
}
