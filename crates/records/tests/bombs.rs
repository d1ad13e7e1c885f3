//! T41: whatever compressed bytes declare, memory stays within the limit. One test in a program of its own, since it looks at the
//! process's memory: what is resident, and the address space, where an allocation shows even if it is never touched.

use std::io::Write;

use bytes::Bytes;
use floe_records::{BatchError, Codec};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

const LIMIT: usize = 1 << 20;
/// What the bombs hold: far more than the slack below.
const BOMB_MIB: usize = 256;
/// Memory that may come and go beside the limit: codec contexts, the allocator's own.
const RESIDENT_SLACK_KIB: u64 = 4 << 10;
/// Address space alike, where an allocator's arena shows as 64 MiB twice.
const ADDRESS_SLACK_KIB: u64 = 160 << 10;

/// A line of the process's status, in KiB.
fn status_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs is there");
    let line = status.lines().find(|line| line.starts_with(name)).expect("the kernel tells it");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("in KiB")
}

/// Makes the peak of resident memory (`VmHWM:`) what is resident now; see proc_pid_clear_refs(5).
#[expect(clippy::disallowed_methods, reason = "the kernel's own file, not the disk")]
fn reset_peak() {
    let file = std::fs::OpenOptions::new().write(true).open("/proc/self/clear_refs");
    file.and_then(|mut file| file.write_all(b"5")).expect("a process may reset its own peak");
}

fn fill(mut writer: impl Write) {
    let zeros = vec![0; 1 << 20];
    for _ in 0..BOMB_MIB {
        writer.write_all(&zeros).expect("written to memory");
    }
}

fn gzip_bomb() -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    fill(&mut encoder);
    encoder.finish().expect("written to memory").into()
}

fn lz4_bomb(mode: BlockMode) -> Bytes {
    let info = FrameInfo::new().block_size(BlockSize::Max4MB).block_mode(mode);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    fill(&mut encoder);
    encoder.finish().expect("written to memory").into()
}

fn zstd_bomb() -> Bytes {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).expect("a context");
    fill(&mut encoder);
    encoder.finish().expect("written to memory").into()
}

/// A raw block: a declared length, then one literal byte.
fn snappy_liar(declared: &[u8]) -> Bytes {
    [declared, &[0, b'a']].concat().into()
}

fn snappy_bomb() -> Bytes {
    let chunk = Codec::Snappy.compress(&[0; 32 << 10]);
    let (head, chunk) = chunk.split_at(16);
    let mut bomb = head.to_vec();
    (0..BOMB_MIB * 32).for_each(|_| bomb.extend_from_slice(chunk));
    bomb.into()
}

/// A zstd frame that declares a content of `len` bytes in one segment, and an empty last block.
fn zstd_liar(len: u64) -> Bytes {
    [&[0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000][..], &len.to_le_bytes(), &[1, 0, 0]].concat().into()
}

/// A zstd frame that asks for a window of 128 MiB and holds one byte.
fn zstd_wide_window() -> Bytes {
    Bytes::from_static(&[0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3, 9, 0, 0, b'a'])
}

#[test]
fn t41_bombs_and_liars_never_allocate_beyond_the_limit() {
    let bombs = [
        (Codec::Gzip, gzip_bomb()),
        (Codec::Lz4, lz4_bomb(BlockMode::Independent)),
        (Codec::Lz4, lz4_bomb(BlockMode::Linked)),
        (Codec::Zstd, zstd_bomb()),
        (Codec::Snappy, snappy_bomb()),
    ];
    let liars = [
        (Codec::Snappy, snappy_liar(&[0xff, 0xff, 0xff, 0xff, 0x0f])),
        (Codec::Snappy, snappy_liar(&[0x80, 0x80, 0x40])),
        (Codec::Zstd, zstd_liar(1 << 40)),
        (Codec::Zstd, zstd_liar(LIMIT as u64)),
    ];
    for codec in Codec::ALL {
        let round = codec.decompress(&codec.compress(&[0; 100_000]), LIMIT).expect("contexts are made before measuring");
        assert_eq!(round.len(), 100_000);
    }
    reset_peak();
    let (resident, address_space) = (status_kib("VmRSS:"), status_kib("VmSize:"));
    for (codec, bomb) in &bombs {
        for limit in [LIMIT, 0, 1, 100_001] {
            assert_eq!(codec.decompress(bomb, limit), Err(BatchError::TooLarge { limit }), "{codec}");
        }
    }
    for (codec, liar) in &liars {
        codec.decompress(liar, LIMIT).expect_err("a liar is refused");
    }
    let (_, liar) = &liars[0];
    Codec::Snappy.decompress(liar, usize::MAX).expect_err("4 GiB cannot come of three bytes, whatever is allowed");
    assert_eq!(Codec::Zstd.decompress(&zstd_wide_window(), LIMIT), Ok(Bytes::from_static(b"a")), "a wide window needs no memory");
    let grown = status_kib("VmHWM:").saturating_sub(resident);
    let allocated = status_kib("VmPeak:").saturating_sub(address_space);
    println!("under a limit of {} KiB: {grown} KiB resident, {allocated} KiB of address space", LIMIT >> 10);
    assert!(grown < (LIMIT as u64 >> 10) + RESIDENT_SLACK_KIB);
    assert!(allocated < (LIMIT as u64 >> 10) + ADDRESS_SLACK_KIB);
}
