//! What is not as it was written is an error, and the error says what and where.

use crate::samples::{self, WRITER};
use bytes::Bytes;
use floe_formats::{
    CatalogVersion, Claim, FormatError, Kind, ObjectHeader, PackTail, Seal, SlotTail, Stop, TRAILER_LEN, decode, decode_footer,
    decode_slot_tail, decode_tail, decode_trailer, encode, open_block, peek,
};
use floe_types::{ErrorKind, Incarnation};

const STOP: Stop = Stop { by: Incarnation(8) };

/// An object whose header is right for whatever stands in it.
fn sealed(kind: Kind, version: u16, body: &[u8]) -> Bytes {
    let header =
        ObjectHeader { kind, version, writer: WRITER, body_len: body.len() as u64, body_crc: floe_formats::checksum::crc32c(body) };
    [&header.to_bytes(), body].concat().into()
}

/// `bytes` with the header's fields changed and its checksum made right again.
fn with_header(bytes: &Bytes, at: usize, field: &[u8]) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at..at + field.len()].copy_from_slice(field);
    let crc = floe_formats::checksum::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    bytes.into()
}

#[test]
fn t30_every_truncation_is_an_error() {
    for sample in samples::all() {
        for len in 0..sample.bytes.len() {
            let error = (sample.read)(&sample.bytes.slice(..len)).expect_err("it is cut short");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{} cut to {len}: {error}", sample.name);
        }
    }
}

#[test]
fn t30_every_flipped_bit_is_an_error() {
    for sample in samples::all() {
        for bit in 0..sample.bytes.len() * 8 {
            let mut bytes = sample.bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = (sample.read)(&bytes.into()).expect_err("a bit is flipped");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{} with bit {bit} flipped: {error}", sample.name);
        }
    }
}

#[test]
fn trailing_bytes_are_an_error_of_their_own() {
    for sample in samples::all().into_iter().filter(|sample| !sample.name.starts_with("wal")) {
        let longer: Bytes = [sample.bytes.as_ref(), b"!"].concat().into();
        let error = (sample.read)(&longer).expect_err("a byte too many");
        assert!(matches!(error, FormatError::TrailingBytes { extra: 1, .. }), "{}: {error:?}", sample.name);
    }
}

#[test]
fn t30_a_pack_damaged_behind_its_header_is_never_served() {
    let pack = samples::shared_pack();
    let whole = samples::whole(&pack);
    let (footer_at, trailer_at) = (whole.len() - TRAILER_LEN - pack.footer_len as usize, whole.len() - TRAILER_LEN);
    for bit in 64 * 8..whole.len() * 8 {
        let mut bytes = whole.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let bytes = Bytes::from(bytes);
        let tail = decode_tail(&bytes[footer_at..], bytes.len() as u64);
        if bit / 8 >= footer_at {
            assert!(tail.is_err(), "bit {bit} of footer or trailer");
            continue;
        }
        let Ok(PackTail::Footer(_, footer)) = tail else { panic!("footer and trailer are sound: {tail:?}") };
        let hit = |block: &&floe_formats::Block| block.range().contains(&(bit as u64 / 8));
        let block = footer.segments.iter().flat_map(|segment| &segment.blocks).find(hit).expect("every byte is in a block");
        let stored = bytes.slice(block.position as usize..block.range().end as usize);
        assert!(matches!(open_block(block, &stored), Err(FormatError::Checksum { at, .. }) if at == block.position), "bit {bit}");
    }
    for len in 0..TRAILER_LEN {
        assert!(matches!(decode_trailer(&whole[trailer_at..trailer_at + len], len as u64), Err(FormatError::Truncated { .. })));
    }
    for len in 0..pack.footer_len as usize {
        assert!(decode_footer(&whole[footer_at..footer_at + len]).is_err(), "footer cut to {len}");
    }
}

#[test]
fn a_pack_of_another_length_than_it_was_written_with_is_refused() {
    let whole = samples::whole(&samples::shared_pack());
    let len = whole.len() as u64;
    assert_eq!(decode_trailer(&whole, len - 1), Err(FormatError::Truncated { what: "pack", needed: len, found: len - 1 }));
    assert_eq!(decode_trailer(&whole, len + 5), Err(FormatError::TrailingBytes { what: "pack", at: len, extra: 5 }));
}

#[test]
fn another_magic_is_told_from_damage() {
    let mut bytes = encode(&WRITER, &STOP).to_vec();
    bytes[..4].copy_from_slice(b"PAR1");
    let error = decode::<Stop>(&bytes.into()).expect_err("not ours");
    assert!(matches!(&error, FormatError::WrongMagic { found, .. } if found == b"PAR1"), "{error:?}");
    assert_eq!(error.to_string(), "object header at byte 0 begins with [50, 41, 52, 31], not with its magic [46, 4c, 4f, 45]");
}

#[test]
fn a_newer_version_is_named_and_is_no_damage() {
    let newer = with_header(&encode(&WRITER, &samples::claim()), 6, &9u16.to_le_bytes());
    let error = decode::<Claim>(&newer).expect_err("version 9 is not known");
    assert_eq!(error, FormatError::NewerVersion { kind: Kind::Claim, found: 9, known: 1 });
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.to_string(), "claim has format version 9, this program knows versions up to 1: use a newer floe");
    assert!(peek(&newer).is_ok(), "what it is can still be told");
}

#[test]
fn a_newer_pack_is_named_whichever_part_is_read_first() {
    let pack = samples::shared_pack();
    let newer = FormatError::NewerVersion { kind: Kind::Pack, found: 3, known: 2 };
    let whole = samples::whole(&pack);
    assert_eq!(floe_formats::verify_pack(&with_header(&whole, 6, &[3, 0])), Err(newer.clone()));
    let (footer_at, trailer_at) = (whole.len() - TRAILER_LEN - pack.footer_len as usize, whole.len() - TRAILER_LEN);
    let resealed = |range: std::ops::Range<usize>| {
        let mut part = whole[range].to_vec();
        part[4] = 3;
        let (covered, crc) = part.split_last_chunk_mut::<4>().expect("it ends in a checksum");
        *crc = floe_formats::checksum::crc32c(covered).to_le_bytes();
        part
    };
    assert_eq!(decode_footer(&resealed(footer_at..trailer_at)), Err(newer.clone()));
    assert_eq!(decode_trailer(&resealed(trailer_at..whole.len()), whole.len() as u64), Err(newer));
}

#[test]
fn a_version_that_never_existed_is_malformed() {
    let error = decode::<Stop>(&with_header(&encode(&WRITER, &STOP), 6, &[0, 0])).expect_err("versions count from 1");
    assert!(matches!(error, FormatError::Malformed { what: "stop", .. }), "{error:?}");
}

#[test]
fn an_unknown_kind_asks_for_a_newer_program() {
    for number in [0u16, 11, 15, 999] {
        let bytes = with_header(&encode(&WRITER, &STOP), 4, &number.to_le_bytes());
        let error = peek(&bytes).expect_err("no such kind");
        assert_eq!((error.kind(), &error), (ErrorKind::Invalid, &FormatError::UnknownKind { found: number }));
    }
}

#[test]
fn another_kind_of_object_is_never_taken_for_the_one_asked_for() {
    let stop = encode(&WRITER, &STOP);
    assert_eq!(decode::<Seal>(&stop), Err(FormatError::WrongKind { expected: Kind::Seal, found: Kind::Stop }));
    let claim = encode(&WRITER, &samples::claim());
    assert_eq!(decode_slot_tail(&claim, claim.len() as u64), Err(FormatError::WrongKind { expected: Kind::Pack, found: Kind::Claim }));
}

#[test]
fn a_slot_is_read_from_its_tail_whatever_it_holds() {
    let stop = encode(&WRITER, &STOP);
    let Ok(SlotTail::Stop(header, read)) = decode_slot_tail(&stop, stop.len() as u64) else { panic!("a stop") };
    assert_eq!((header.writer, read), (WRITER, STOP));
    let pack = samples::shared_pack();
    let whole = samples::whole(&pack);
    for tail in [whole.clone(), whole.slice(64..)] {
        let read = decode_slot_tail(&tail, whole.len() as u64).expect("a sound pack");
        assert!(matches!(read, SlotTail::Pack(PackTail::Footer(_, footer)) if footer == pack.footer));
    }
}

#[test]
fn reserved_bytes_are_zero_until_a_version_uses_them() {
    for at in 52..60 {
        let error = peek(&with_header(&encode(&WRITER, &STOP), at, &[1])).expect_err("reserved");
        assert!(matches!(error, FormatError::Malformed { what: "object header", at: 52, .. }), "{error:?}");
    }
}

#[test]
fn a_body_with_a_right_checksum_and_wrong_contents_is_malformed_and_says_where() {
    let unended = decode::<Stop>(&sealed(Kind::Stop, 1, &[0xff])).expect_err("a number without an end");
    assert_eq!(unended, FormatError::Malformed { what: "stop", at: 64, problem: "it ends in the middle of a field" });
    let longer = decode::<Stop>(&sealed(Kind::Stop, 1, &[8, 0])).expect_err("a byte behind the last field");
    assert_eq!(longer, FormatError::TrailingBytes { what: "stop", at: 65, extra: 1 });
    let variant = decode::<CatalogVersion>(&sealed(Kind::Catalog, 1, &[1, 2])).expect_err("no such variant");
    assert!(matches!(variant, FormatError::Malformed { what: "catalog version", .. }), "{variant:?}");
    let variant = decode::<CatalogVersion>(&sealed(Kind::Catalog, 2, &[1, 2])).expect_err("no such variant");
    assert!(matches!(variant, FormatError::Malformed { what: "catalog version", .. }), "{variant:?}");
}

#[test]
fn contradictions_are_found_behind_a_right_checksum() {
    // An index whose front lies behind what it covers: incarnation, number, front, covers, no base, no partitions.
    let error = decode::<floe_formats::Index>(&sealed(Kind::Index, 1, &[7, 0, 5, 4, 0, 0])).expect_err("contradiction");
    let problem = "the front lies behind the slots that the index covers";
    assert_eq!(error, FormatError::Malformed { what: "index", at: 64, problem });
}
