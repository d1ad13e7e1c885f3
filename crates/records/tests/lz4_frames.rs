//! Every shape of lz4 frame that a client's library may write is read, and frames that are wrong are refused.

use std::io::Write;

use bytes::Bytes;
use floe_records::{BatchError, Codec};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

fn sample() -> Vec<u8> {
    (0..700_000_u32).flat_map(|number| (number / 7 % 1000).to_le_bytes()).take(1_500_000).collect()
}

fn frame(info: FrameInfo, raw: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    for part in raw.chunks(10_000) {
        encoder.write_all(part).expect("written to memory");
    }
    encoder.finish().expect("written to memory")
}

fn read(stored: Vec<u8>) -> Result<Bytes, BatchError> {
    Codec::Lz4.decompress(&stored.into(), 2 << 20)
}

#[test]
fn frames_of_every_block_size_mode_and_checksum_are_read() {
    let raw = sample();
    for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        for mode in [BlockMode::Independent, BlockMode::Linked] {
            for flags in 0..8 {
                let info = FrameInfo::new()
                    .block_size(size)
                    .block_mode(mode)
                    .block_checksums(flags & 1 != 0)
                    .content_checksum(flags & 2 != 0)
                    .content_size((flags & 4 != 0).then_some(raw.len() as u64));
                assert_eq!(read(frame(info, &raw)).as_deref(), Ok(&raw[..]), "{size:?} {mode:?} {flags}");
            }
        }
    }
}

#[test]
fn a_frame_with_all_checksums_survives_no_bit_flip() {
    let raw: Vec<u8> = (0..60_u32).flat_map(|number| (number / 9).to_le_bytes()).collect();
    let info = FrameInfo::new().block_checksums(true).content_checksum(true).content_size(Some(raw.len() as u64));
    let whole = frame(info, &raw);
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(read(flipped), Err(BatchError::Decompress { .. })), "bit {bit}");
    }
    for len in 0..whole.len() {
        assert!(read(whole[..len].to_vec()).is_err(), "cut to {len}");
    }
    assert!(read([&whole[..], b"x"].concat()).is_err(), "bytes behind the frame");
}
