//! Past the page cache: writes to files that are made at full length and then written front to back, and large reads.
//!
//! The kernel's copy into fresh pages costs more than all else that is done to a log's bytes, and nobody reads them there: memory serves the
//! tail. So the bytes are gathered in one aligned buffer per disk and written from it. A write that ends within a block
//! keeps that block's bytes, because the next one begins there; what follows them in the block becomes zero. What was written so is not in
//! the cache either: whoever reads much of it back reads from the disk, and the cache's small read-ahead would make that slow.
//!
//! Offsets, lengths and memory are multiples of [`BLOCK`]: no logical block of a disk is larger. File systems that refuse are written through the page cache as ever. Syncing is the caller's.

use crate::disk::BLOCK;
use parking_lot::Mutex;
use rustix::fs::OFlags;
use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::AsRawFd,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

/// Most bytes of one write.
const MOST: usize = 4 << 20;
/// How much is zeroed at a time: little, since whoever syncs meanwhile waits for it.
const ZEROES: usize = 256 << 10;

/// Memory that begins at a multiple of [`BLOCK`].
#[derive(Debug, Default)]
pub(super) struct Aligned {
    memory: Vec<u8>,
    start: usize,
}

impl Aligned {
    /// `len` bytes of any content, a multiple of [`BLOCK`]. Memory grows, and is kept.
    fn take(&mut self, len: usize) -> &mut [u8] {
        if self.memory.len() < self.start + len {
            self.memory = vec![0; len + BLOCK];
            self.start = self.memory.as_ptr().align_offset(BLOCK).min(BLOCK);
        }
        &mut self.memory[self.start..self.start + len]
    }
}

/// Reads `len` bytes at `offset`, which the file has; `None` where that cannot be done past the page cache.
///
/// # Errors
/// The disk's own.
#[expect(clippy::disallowed_methods, reason = "part of the door")]
pub(super) fn read(file: &File, offset: u64, len: usize) -> io::Result<Option<bytes::Bytes>> {
    let flags = i32::try_from(OFlags::DIRECT.bits()).map_err(io::Error::other)?;
    // The very file, whatever its name is by now.
    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    let Ok(direct) = OpenOptions::new().read(true).custom_flags(flags).open(itself) else { return Ok(None) };
    let lead = usize::try_from(offset % BLOCK as u64).map_err(io::Error::other)?;
    let (first, wanted) = (offset - lead as u64, lead + len);
    let span = wanted.next_multiple_of(BLOCK);
    let mut memory = vec![0; span + BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK).min(BLOCK);
    let mut filled = 0;
    while filled < wanted {
        match direct.read_at(&mut memory[start + filled..start + span], first + filled as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Not for this file system, or not from where a short read ended.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(bytes::Bytes::from(memory).slice(start + lead..start + wanted)))
}

/// The bytes of the block that the last write ended in.
#[derive(Debug)]
struct Tail {
    /// Where the last write ended.
    end: u64,
    bytes: Vec<u8>,
}

/// A file opened for writes past the page cache.
#[derive(Debug)]
pub(super) struct Direct {
    file: File,
    buffer: Arc<Mutex<Aligned>>,
    tail: Mutex<Option<Tail>>,
}

impl Direct {
    /// Opens and zeroes a file of `len` bytes; `None` where that cannot be done past the page cache.
    ///
    /// # Errors
    /// The disk's own: no space, a failed write.
    #[expect(clippy::disallowed_methods, reason = "part of the door")]
    pub(super) fn zeroed(place: &Path, len: u64, buffer: &Arc<Mutex<Aligned>>) -> io::Result<Option<Self>> {
        let flags = i32::try_from(OFlags::DIRECT.bits()).map_err(io::Error::other)?;
        if len == 0 || !len.is_multiple_of(BLOCK as u64) {
            return Ok(None);
        }
        let Ok(file) = OpenOptions::new().write(true).custom_flags(flags).open(place) else { return Ok(None) };
        let mut memory = Aligned::default();
        let zeroes = memory.take(ZEROES);
        let mut at = 0;
        while at < len {
            let step = usize::try_from(len - at).unwrap_or(ZEROES).min(ZEROES);
            match file.write_all_at(&zeroes[..step], at) {
                Ok(()) => at += step as u64,
                Err(error) if at == 0 && error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Self { file, buffer: Arc::clone(buffer), tail: Mutex::new(None) }))
    }

    /// Writes `parts` at `offset`, one behind the other; `cached` is the same file, to read from. Bytes behind them, up to the next
    /// block, become zero.
    pub(super) fn write(&self, cached: &File, offset: u64, parts: &[bytes::Bytes]) -> io::Result<()> {
        let len = parts.iter().map(bytes::Bytes::len).sum::<usize>();
        if len == 0 {
            return Ok(());
        }
        let mut tail = self.tail.lock();
        let before = tail.take();
        let lead = usize::try_from(offset % BLOCK as u64).map_err(io::Error::other)?;
        let mut memory = self.buffer.lock();
        let buffer = memory.take((lead + len).next_multiple_of(BLOCK).min(MOST));
        match before {
            Some(kept) if kept.end == offset => buffer[..lead].copy_from_slice(&kept.bytes),
            _ => cached.read_exact_at(&mut buffer[..lead], offset - lead as u64)?,
        }
        let (mut at, mut filled) = (offset - lead as u64, lead);
        for part in parts {
            let mut rest: &[u8] = part;
            while !rest.is_empty() {
                let step = rest.len().min(buffer.len() - filled);
                buffer[filled..filled + step].copy_from_slice(&rest[..step]);
                (rest, filled) = (&rest[step..], filled + step);
                if filled == buffer.len() {
                    self.file.write_all_at(buffer, at)?;
                    (at, filled) = (at + filled as u64, 0);
                }
            }
        }
        let padded = filled.next_multiple_of(BLOCK);
        buffer[filled..padded].fill(0);
        self.file.write_all_at(&buffer[..padded], at)?;
        let kept = buffer[filled - filled % BLOCK..filled].to_vec();
        *tail = Some(Tail { end: offset + len as u64, bytes: kept });
        Ok(())
    }
}
