//! Packs: built without a copy, read by tail, by footer and by block, and understood without anything else.

use crate::{
    samples::{self, WRITER, meta, slice, whole},
    strategies,
};
use bytes::Bytes;
use floe_formats::{
    Block, BlockCodec, FormatError, PackBuilder, PackKind, PackRef, PackTail, SegmentMeta, TRAILER_LEN, decode_footer, decode_tail,
    open_block, verify_pack,
};
use floe_records::Batches;
use floe_types::{ErrorKind, Incarnation, SlotNumber};
use proptest::prelude::*;

fn builder() -> PackBuilder {
    PackBuilder::new(WRITER, PackKind::Shared, Incarnation(7), Some(SlotNumber(3)))
}

#[test]
fn batches_are_not_copied() {
    let batch = slice(0, 7, 1, &[7; 1000]);
    let place = batch.bytes.as_ptr();
    let mut pack = builder();
    pack.add_segment(meta(0, 0), vec![batch]).expect("one batch");
    let built = pack.finish(None, SlotNumber(0)).expect("small");
    assert_eq!(built.payload[1].as_ptr(), place);
}

#[test]
fn blocks_take_batches_up_to_the_target_and_a_larger_batch_is_its_own() {
    let len = slice(0, 7, 1, &[0; 39]).bytes.len();
    assert_eq!(len, 100);
    let mut pack = builder().block_target(250);
    let sizes = [39, 39, 39, 900, 39];
    let batches: Vec<_> = (0..).zip(sizes).map(|(offset, size)| slice(offset, 7, 1, &vec![0; size])).collect();
    pack.add_segment(meta(0, 0), batches).expect("in order");
    let built = pack.finish(None, SlotNumber(0)).expect("small");
    let blocks = &built.footer.segments[0].blocks;
    let shape: Vec<_> = blocks.iter().map(|block| (block.len, block.base_offset, block.end_offset)).collect();
    assert_eq!(shape, [(200, 0, 2), (100, 2, 3), (961, 3, 4), (100, 4, 5)]);
    assert_eq!(verify_pack(&whole(&built)).map(|(_, footer)| footer), Ok(built.footer.clone()));
}

#[test]
fn what_a_pack_cannot_hold_is_refused_and_leaves_it_as_it_was() {
    let mut pack = builder();
    let disorder = vec![slice(5, 7, 1, b""), slice(4, 7, 1, b"")];
    let mut short = slice(0, 7, 1, b"");
    short.bytes = short.bytes.slice(..20);
    for bad in [disorder, vec![slice(-1, 7, 1, b"")], vec![short]] {
        let error = pack.add_segment(meta(0, 0), bad).expect_err("refused");
        assert_eq!((error.kind(), pack.is_empty(), pack.len()), (ErrorKind::Bug, true, 64), "{error}");
    }
}

#[test]
fn t38_a_segment_that_was_begun_stands_for_its_range_whatever_batches_it_gets() {
    let mut pack = builder().block_target(250);
    pack.begin_segment(meta(0, 0), 20);
    for batches in [vec![slice(3, 7, 2, b"aa")], vec![], vec![slice(5, 7, 1, b"bb"), slice(9, 7, 3, b"cc")]] {
        pack.extend_segment(&batches).expect("in order");
    }
    let before = pack.len();
    for bad in [slice(11, 7, 1, b""), slice(18, 7, 3, b"")] {
        assert_eq!(pack.extend_segment(&[bad]).map_err(|error| error.kind()), Err(ErrorKind::Bug));
    }
    assert_eq!(pack.len(), before, "what is refused leaves it as it was");
    pack.begin_segment(meta(0, 20), 30);
    let built = pack.finish(None, SlotNumber(0)).expect("small");
    let shape: Vec<_> =
        built.footer.segments.iter().map(|s| (s.base_offset, s.end_offset, s.records, s.blocks.len(), s.max_timestamp)).collect();
    assert_eq!(shape, [(0, 20, 6, 2, samples::NOW + 9), (20, 30, 0, 0, -1)]);
    assert_eq!(verify_pack(&whole(&built)).map(|(_, footer)| footer), Ok(built.footer.clone()));
    let alone = PackBuilder::new(WRITER, PackKind::Shared, Incarnation(7), None).extend_segment(&[]);
    assert_eq!(alone.map_err(|error| error.kind()), Err(ErrorKind::Bug), "none was begun");
}

#[test]
fn a_segment_ends_where_it_is_told_to_but_never_before_its_batches_do() {
    let mut pack = builder();
    assert_eq!(pack.end_segment(0).map_err(|error| error.kind()), Err(ErrorKind::Bug), "none was begun");
    pack.begin_segment(meta(0, 2), 20);
    assert_eq!(pack.end_segment(1).map_err(|error| error.kind()), Err(ErrorKind::Bug), "before it begins");
    pack.extend_segment(&[slice(3, 7, 2, b"aa")]).expect("in order");
    for bad in [4, 21] {
        assert_eq!(pack.end_segment(bad).map_err(|error| error.kind()), Err(ErrorKind::Bug), "{bad}");
    }
    pack.end_segment(9).expect("behind its batches");
    assert_eq!(pack.extend_segment(&[slice(9, 7, 1, b"bb")]).map_err(|error| error.kind()), Err(ErrorKind::Bug), "beyond its end");
    pack.begin_segment(meta(0, 9), 20);
    let built = pack.finish(None, SlotNumber(0)).expect("small");
    let shape: Vec<_> = built.footer.segments.iter().map(|s| (s.base_offset, s.end_offset, s.records)).collect();
    assert_eq!(shape, [(2, 9, 2), (9, 20, 0)]);
    assert_eq!(verify_pack(&whole(&built)).map(|(_, footer)| footer), Ok(built.footer.clone()));
}

#[test]
fn a_segment_that_goes_on_is_the_same_as_one_that_came_at_once() {
    let batches = [slice(3, 7, 2, b"aa"), slice(5, 7, 1, b"bb"), slice(9, 7, 3, b"cc")];
    let small = || builder().block_target(1);
    let mut once = small();
    once.add_segment(meta(0, 3), batches.to_vec()).expect("in order");
    let (mut steps, whole_meta) = (small(), meta(0, 3));
    let [first, rest @ ..] = &batches;
    let bare = SegmentMeta { events: vec![], producers: vec![], ..whole_meta.clone() };
    steps.add_segment(bare, vec![first.clone()]).expect("one batch");
    for batch in rest {
        steps.continue_segment(std::slice::from_ref(batch)).expect("it follows");
    }
    let refused = steps.continue_segment(&batches[..1]).map_err(|error| error.kind());
    assert_eq!(refused, Err(ErrorKind::Bug), "it does not follow");
    steps.tell_of_segment(whole_meta.events, whole_meta.producers);
    let built = |pack: PackBuilder| whole(&pack.finish(None, SlotNumber(0)).expect("small"));
    assert_eq!(built(steps), built(once));
    assert_eq!(small().continue_segment(&batches).map_err(|error| error.kind()), Err(ErrorKind::Bug), "none was begun");
}

#[test]
fn an_index_line_finds_the_footer_by_one_exact_range() {
    let built = samples::shared_pack();
    let bytes = whole(&built);
    let refs: Vec<_> = built.segment_refs(PackRef::Slot { incarnation: Incarnation(7), slot: SlotNumber(3) }).collect();
    assert_eq!(refs.len(), 2);
    for (partition, segment) in refs {
        let range = segment.footer_range();
        let footer = decode_footer(&bytes[range.start as usize..range.end as usize]).expect("exactly the footer");
        assert_eq!(
            footer.segments_of(partition).map(|s| (s.base_offset, s.end_offset)).collect::<Vec<_>>(),
            [(segment.base_offset, segment.end_offset)]
        );
    }
}

#[test]
fn a_block_is_found_by_offset_and_in_a_gap_the_next_one_is() {
    let mut pack = builder().block_target(1);
    pack.add_segment(meta(0, 0), vec![slice(0, 7, 2, b""), slice(5, 7, 5, b"")]).expect("in order, with a gap");
    let built = pack.finish(None, SlotNumber(0)).expect("small");
    let at = |offset| built.footer.segments[0].block_at(offset).map(|block| block.base_offset);
    assert_eq!([at(0), at(1), at(2), at(4), at(5), at(9), at(10)], [Some(0), Some(0), Some(5), Some(5), Some(5), Some(5), None]);
}

#[test]
fn a_block_that_does_not_decompress_to_its_length_is_damaged() {
    for codec in [BlockCodec::Lz4, BlockCodec::Zstd] {
        let pack = samples::compressed_pack(codec);
        let (bytes, block) = (whole(&pack), pack.footer.segments[0].blocks[0].clone());
        let stored = bytes.slice(block.position as usize..block.range().end as usize);
        assert_eq!(block.codec, codec);
        assert_eq!(open_block(&block, &stored).expect("sound").len(), block.raw_len as usize);
        for raw_len in [block.raw_len - 1, block.raw_len + 1] {
            let error = open_block(&Block { raw_len, ..block.clone() }, &stored).expect_err("another length");
            assert!(matches!(error, FormatError::Malformed { .. }), "{error:?}");
        }
        let garbage = Bytes::from_static(b"compressed");
        let crc = floe_formats::checksum::crc32c(&garbage);
        let error = open_block(&Block { len: 10, crc, ..block }, &garbage).expect_err("no frame");
        assert!(matches!(error, FormatError::Malformed { .. }), "{error:?}");
    }
}

#[test]
fn only_batches_that_no_producer_compressed_are_compressed() {
    let raw = |offset| samples::slice(offset, 7, 1, &[b'r'; 400]);
    let mut zstd = raw(101);
    let mut bytes = zstd.bytes.to_vec();
    bytes[22] |= 4;
    let crc = floe_formats::checksum::crc32c(&bytes[floe_records::CRC_START..]);
    bytes[floe_records::CRC_START - 4..floe_records::CRC_START].copy_from_slice(&crc.to_be_bytes());
    zstd.bytes = bytes.into();
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(400)
    .collect();
    let batches = vec![raw(100), zstd, raw(102), samples::slice(103, 7, 1, &noise)];
    let mut pack = builder().compression(BlockCodec::Lz4).block_target(470);
    pack.add_segment(samples::meta(0, 100), batches.clone()).expect("in order");
    let built = pack.finish(None, SlotNumber(0)).expect("small");
    let bytes = whole(&built);
    verify_pack(&bytes).expect("sound");
    let blocks = &built.footer.segments[0].blocks;
    let codecs: Vec<BlockCodec> = blocks.iter().map(|block| block.codec).collect();
    assert_eq!(codecs, [BlockCodec::Lz4, BlockCodec::None, BlockCodec::Lz4, BlockCodec::None], "the last one would gain nothing");
    let raw: Vec<Bytes> =
        blocks.iter().map(|b| open_block(b, &bytes.slice(b.position as usize..b.range().end as usize)).expect("sound")).collect();
    assert_eq!(raw, batches.iter().map(|batch| batch.bytes.clone()).collect::<Vec<_>>());
    let expected: u64 = batches.iter().map(|batch| batch.bytes.len() as u64).sum();
    assert_eq!(built.footer.segments[0].bytes, expected, "a segment's bytes are what readers get");
}

#[test]
fn t31_a_pack_tells_its_records_without_key_index_or_catalog() {
    let (header, footer) = verify_pack(&whole(&samples::shared_pack())).expect("sound");
    assert_eq!((header.writer, footer.incarnation, footer.slot), (WRITER, Incarnation(7), Some(SlotNumber(3))));
    let bytes = whole(&samples::shared_pack());
    let segment = &footer.segments[0];
    let mut found = Vec::new();
    for block in &segment.blocks {
        let batches = open_block(block, &bytes.slice(block.position as usize..block.range().end as usize)).expect("sound");
        for batch in Batches::new(batches) {
            let (header, _) = batch.expect("whole batches");
            found.push((header.base_offset, header.end_offset(), header.leader_epoch));
        }
    }
    assert_eq!(found, [(100, 102, 7), (102, 103, 7), (103, 108, 7)], "batches carry their offsets and epochs themselves");
    assert_eq!(
        (segment.partition, segment.epoch, segment.base_offset, segment.end_offset, segment.records),
        (samples::partition(0), 7, 100, 108, 8)
    );
}

#[test]
fn t31_every_object_says_what_it_is_and_who_wrote_it() {
    for sample in samples::all().into_iter().filter(|sample| !sample.name.starts_with("wal")) {
        let header = floe_formats::peek(&sample.bytes).expect("sound");
        assert_eq!(header.writer, WRITER, "{}", sample.name);
        let kind = header.kind.name().split(' ').next().expect("a name");
        assert!(sample.name.starts_with(kind), "{} says it is a {}", sample.name, header.kind);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn packs_read_back_as_built_from_any_length_of_tail(plan in strategies::pack_plan(), tail in 0usize..4096) {
        let mut pack = builder().block_target(plan.block_target).compression(plan.codec);
        for (meta, batches) in plan.segments.clone() {
            pack.add_segment(meta, batches).expect("strategies give what a pack can hold");
        }
        let built = pack.finish(plan.wal_from, plan.front).expect("small");
        let bytes = whole(&built);
        prop_assert_eq!(bytes.len() as u64, built.pack_len);
        prop_assert_eq!(verify_pack(&bytes).map(|(_, footer)| footer), Ok(built.footer.clone()));
        let tail = tail.clamp(TRAILER_LEN, bytes.len());
        match decode_tail(&bytes[bytes.len() - tail..], built.pack_len).expect("sound") {
            PackTail::Footer(_, footer) => prop_assert_eq!(&footer, &built.footer),
            PackTail::Before(trailer) => {
                let range = trailer.footer_range();
                prop_assert!(tail < TRAILER_LEN + built.footer_len as usize);
                prop_assert_eq!(decode_footer(&bytes[range.start as usize..range.end as usize]), Ok(built.footer.clone()));
            }
        }
        for ((_, batches), segment) in plan.segments.iter().zip(&built.footer.segments) {
            let expected = batches.iter().map(|batch| batch.bytes.as_ref()).collect::<Vec<_>>().concat();
            let stored: Vec<Bytes> =
                segment.blocks.iter().map(|b| open_block(b, &bytes.slice(b.position as usize..b.range().end as usize)).expect("sound")).collect();
            prop_assert_eq!(stored.concat(), expected);
        }
    }
}
