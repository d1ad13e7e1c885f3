//! WAL files and entries.

use crate::{samples, strategies};
use bytes::BytesMut;
use floe_formats::{
    ENTRY_HEADER_LEN, ENTRY_PREFIX_LEN, EntryHeader, FormatError, Kind, WalFileHeader,
    checksum::crc32c,
    wal_entry::{append_entry, decode_entry, encode_entry_header, is_blank, verify_payload},
};
use floe_types::{ErrorKind, Lsn};
use proptest::prelude::*;

fn encoded(header: &EntryHeader, batch: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    append_entry(&mut out, header, batch).expect("a whole batch");
    out
}

#[test]
fn an_entry_stamps_the_batch_as_it_copies_it() {
    let (header, stamped) = samples::entry(4096, 100, b"records");
    let mut as_produced = stamped.to_vec();
    as_produced[..8].fill(0);
    as_produced[12..16].fill(0xff);
    let bytes = encoded(&header, &as_produced);
    assert_eq!(decode_entry(&bytes), Ok((header, stamped.as_ref())));
    assert_eq!((bytes.len() as u64, header.end()), (header.total_len(), Lsn(4096 + bytes.len() as u64)));
}

#[test]
fn a_header_encoded_alone_is_the_one_encoded_with_its_batch() {
    let (header, batch) = samples::entry(4096, 100, b"records");
    let mut alone = BytesMut::new();
    encode_entry_header(&mut alone, &header, batch.first_chunk().expect("21 bytes"));
    assert_eq!(alone, encoded(&header, &batch)[..ENTRY_HEADER_LEN]);
}

#[test]
fn the_header_is_checked_without_the_rest_of_the_batch() {
    let (header, batch) = samples::entry(4096, 100, &[9; 500]);
    let bytes = encoded(&header, &batch);
    assert_eq!(EntryHeader::parse(&bytes[..ENTRY_PREFIX_LEN]), Ok(header));
    let error = EntryHeader::parse(&bytes[..ENTRY_PREFIX_LEN - 1]).expect_err("one byte short");
    assert_eq!(error, FormatError::Truncated { what: "WAL entry", needed: 109, found: 108 });
    let error = decode_entry(&bytes[..bytes.len() - 1]).expect_err("one byte short");
    assert_eq!(error, FormatError::Truncated { what: "WAL entry", needed: header.total_len(), found: header.total_len() - 1 });
}

#[test]
fn what_follows_an_entry_is_not_looked_at() {
    let (header, batch) = samples::entry(4096, 100, b"records");
    let mut bytes = encoded(&header, &batch);
    bytes.extend_from_slice(&[0xaa; 300]);
    assert_eq!(decode_entry(&bytes), Ok((header, batch.as_ref())));
}

#[test]
fn every_byte_of_an_entry_is_under_one_checksum_or_the_other() {
    let (header, batch) = samples::entry(4096, 100, b"records");
    let whole = encoded(&header, &batch);
    for at in 0..whole.len() {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 0x10;
        let error = decode_entry(&bytes).expect_err("damaged");
        match (at, error) {
            (0..4, FormatError::WrongMagic { what: "WAL entry", .. }) => {}
            (4..ENTRY_PREFIX_LEN, FormatError::Checksum { what: "WAL entry", .. }) => {}
            (ENTRY_PREFIX_LEN.., FormatError::Checksum { what: "batch of a WAL entry", .. }) => {}
            (at, error) => panic!("byte {at}: {error:?}"),
        }
    }
}

#[test]
fn zeros_are_no_entry() {
    assert!(is_blank(&[0; 4096]));
    assert!(matches!(decode_entry(&[0; 4096]), Err(FormatError::WrongMagic { .. })));
    let (header, batch) = samples::entry(0, 0, b"");
    assert!(!is_blank(&encoded(&header, &batch)));
}

#[test]
fn an_entry_whose_batch_says_otherwise_is_malformed() {
    let (header, batch) = samples::entry(4096, 100, b"records");
    let other = EntryHeader { base_offset: 101, ..header };
    let mut bytes = BytesMut::new();
    encode_entry_header(&mut bytes, &other, batch.first_chunk().expect("21 bytes"));
    bytes.extend_from_slice(&batch);
    assert!(matches!(decode_entry(&bytes), Err(FormatError::Malformed { what: "WAL entry", at: 88, .. })));
}

#[test]
fn a_batch_that_is_not_as_long_as_said_is_not_written() {
    let (header, batch) = samples::entry(4096, 100, b"records");
    for bad in [&batch[..batch.len() - 1], &batch[..60], &batch[..20]] {
        let mut out = BytesMut::new();
        let error = append_entry(&mut out, &header, bad).expect_err("refused");
        assert_eq!((error.kind(), out.len()), (ErrorKind::Bug, 0));
    }
}

#[test]
fn an_entry_of_a_kind_still_to_come_is_told_from_damage() {
    let (header, batch) = samples::entry(4096, 100, b"records");
    let mut bytes = encoded(&header, &batch).to_vec();
    bytes[80] = 2;
    let crc = crc32c(&bytes[8..ENTRY_PREFIX_LEN]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    let error = EntryHeader::parse(&bytes).expect_err("kind 2");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[test]
fn a_newer_wal_file_is_named() {
    let mut bytes = samples::WAL_FILE.to_bytes();
    bytes[4] = 3;
    let crc = crc32c(&bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(WalFileHeader::parse(&bytes), Err(FormatError::NewerVersion { kind: Kind::WalFile, found: 3, known: 1 }));
}

#[test]
fn a_payload_is_checked_by_its_own_crc() {
    let (_, batch) = samples::entry(0, 0, b"records");
    assert_eq!(verify_payload(&batch), Ok(()));
    assert!(matches!(verify_payload(&batch[..20]), Err(FormatError::Truncated { .. })));
    assert!(matches!(verify_payload(&batch[..60]), Err(FormatError::Checksum { .. })));
}

proptest! {
    #[test]
    fn entries_read_back_as_written((header, batch) in strategies::entry()) {
        let bytes = encoded(&header, &batch);
        prop_assert_eq!(decode_entry(&bytes), Ok((header, batch.as_ref())));
    }

    #[test]
    fn file_headers_read_back_as_written(header in strategies::wal_file_header()) {
        prop_assert_eq!(WalFileHeader::parse(&header.to_bytes()), Ok(header));
    }
}
