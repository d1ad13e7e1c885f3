//! Looking for entries behind a bad one: what tells a torn end from damage (T67).
//!
//! An entry proves that all before its group was synced when it was written. So when one is found behind a bad entry whose
//! mark lies above it, that one was durable once, and is damaged. Entries of the bad one's own group prove nothing: the pages
//! of an unsynced group may reach the disk in any order.
//!
//! Behind a bad entry no length can be trusted: every byte position is a candidate. It counts when an entry's header stands
//! there whose checksum holds and that names this WAL and this very position - nothing that a recycled file still holds, and
//! nothing inside of a batch does, but by design.

use crate::{WalError, files::FILE_HEADER, replay::Place};
use floe_formats::{ENTRY_PREFIX_LEN, EntryHeader, wal_entry::ENTRY_MAGIC};
use floe_types::Lsn;

/// Bytes read at a time.
const WINDOW: u64 = 1 << 20;
/// Bytes that are looked at together for the magic's first byte.
const BLOCK: usize = 256;

/// What lies behind a bad entry in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Traces {
    /// An entry that names its own place was found.
    pub(crate) any: bool,
    /// The first such entry that was written when everything up to `above` was durable, and more than `above`.
    pub(crate) proof: Option<Lsn>,
}

/// Looks through the file from byte `from` on, until a proof is found that `bad` was durable once.
pub(crate) async fn look(place: &Place, from: u64, bad: Lsn) -> Result<Traces, WalError> {
    let mut traces = Traces::default();
    let (mut at, len) = (from, place.file.len());
    while at + ENTRY_PREFIX_LEN as u64 <= len {
        let window = place.read(at, WINDOW.min(len - at)).await?;
        let mut next = 0;
        while let Some(found) = find_magic(&window, next) {
            if found + ENTRY_PREFIX_LEN > window.len() {
                break;
            }
            let lsn = Lsn(place.start.0 + (at + found as u64 - FILE_HEADER));
            if let Some(header) = window.get(found..).and_then(|bytes| EntryHeader::parse(bytes).ok())
                && place.is_ours(&header, lsn)
            {
                traces.any = true;
                if header.synced > bad {
                    traces.proof = Some(lsn);
                    return Ok(traces);
                }
            }
            next = found + 1;
        }
        // The next window begins so early that no header is cut in two.
        at += window.len() as u64 - (ENTRY_PREFIX_LEN as u64 - 1);
    }
    Ok(traces)
}

/// The first position at or behind `from` where an entry's magic stands. Blocks without its first byte are passed over fast.
fn find_magic(bytes: &[u8], from: usize) -> Option<usize> {
    let width = ENTRY_MAGIC.len();
    let mut at = from;
    while at + width <= bytes.len() {
        let block_end = (at + BLOCK).min(bytes.len());
        if bytes[at..block_end].contains(&ENTRY_MAGIC[0]) {
            let with_overlap = &bytes[at..(block_end + width - 1).min(bytes.len())];
            if let Some(found) = with_overlap.windows(width).position(|w| w == ENTRY_MAGIC) {
                return Some(at + found);
            }
        }
        at = block_end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_magic_is_found_wherever_it_stands(before in 0_usize..600, after in 0_usize..300, from in 0_usize..600, noise: u8) {
            let noise = if noise % 2 == 0 { ENTRY_MAGIC[0] } else { 0 };
            let mut bytes = vec![noise; before];
            bytes.extend_from_slice(ENTRY_MAGIC);
            bytes.extend(std::iter::repeat_n(noise, after));
            prop_assert_eq!(find_magic(&bytes, from), (from <= before).then_some(before));
        }
    }
}
