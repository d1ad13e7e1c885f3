//! Entries of a WAL that come from another broker, in pieces: put together again, and checked before anything is done with them.
//!
//! Whoever sends may cut anywhere, so that a message is bounded whatever a batch is; at most one entry and one piece are held here. A
//! length is believed only when the header's checksum holds.

use crate::{ReplayedEntry, WalError, replay::Parts};
use bytes::Bytes;
use floe_formats::{ENTRY_HEADER_LEN, ENTRY_PREFIX_LEN, EntryHeader, wal_entry::verify_payload};
use floe_types::{Generation, Incarnation, Lsn};

/// The entries of one WAL from one LSN on.
#[derive(Debug)]
pub struct Incoming {
    wal: (Incarnation, Generation),
    /// Where the next entry starts, and where the next piece has to.
    next_entry: Lsn,
    next_piece: Lsn,
    parts: Parts,
}

impl Incoming {
    #[must_use]
    pub fn new(incarnation: Incarnation, generation: Generation, start: Lsn) -> Self {
        Self { wal: (incarnation, generation), next_entry: start, next_piece: start, parts: Parts::default() }
    }

    /// Takes the piece that begins at `at`. Whole entries are to be taken out before the next one.
    ///
    /// # Errors
    /// `Unexpected`: it does not go on where the last one ended.
    pub fn push(&mut self, at: Lsn, piece: Bytes) -> Result<(), WalError> {
        if at != self.next_piece {
            return Err(WalError::Unexpected { at, expected: self.next_piece });
        }
        self.next_piece = Lsn(at.0.saturating_add(piece.len() as u64));
        if !piece.is_empty() {
            self.parts.push(piece);
        }
        Ok(())
    }

    /// The next whole entry; none until more has come.
    ///
    /// # Errors
    /// `Damaged`: what came is no entry, or its checksum does not hold. `Unexpected`: it is of another WAL or place. `Format`.
    pub fn next_entry(&mut self) -> Result<Option<ReplayedEntry>, WalError> {
        if self.parts.bytes < ENTRY_PREFIX_LEN {
            return Ok(None);
        }
        let at = self.next_entry;
        let damaged = |error: floe_formats::FormatError| WalError::Damaged { at, proof: format!("what came over the network: {error}") };
        let header = EntryHeader::parse(&self.parts.peek(ENTRY_PREFIX_LEN)).map_err(damaged)?;
        if header.lsn != at || (header.incarnation, header.generation) != self.wal {
            return Err(WalError::Unexpected { at: header.lsn, expected: at });
        }
        let Some(total) = usize::try_from(header.total_len()).ok().filter(|total| *total <= self.parts.bytes) else { return Ok(None) };
        let batch = self.parts.take(total).slice(ENTRY_HEADER_LEN..);
        verify_payload(&batch).map_err(damaged)?;
        self.next_entry = header.end();
        Ok(Some(ReplayedEntry { header, batch }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{GENERATION, INCARNATION, foreign_entries};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_come_out_whole_however_they_were_cut(cuts in prop::collection::vec(1_usize..900, 1..200), from in 0_u64..10_000) {
            let entries = foreign_entries(Lsn(from), 12, |n| 30 + n * 97);
            let stream: Vec<u8> = entries.iter().flat_map(|(bytes, _)| bytes.to_vec()).collect();
            let stream = Bytes::from(stream);
            let (mut incoming, mut at, mut found) = (Incoming::new(INCARNATION, GENERATION, Lsn(from)), 0, Vec::new());
            for cut in cuts.iter().cycle() {
                let piece = stream.slice(at..(at + cut).min(stream.len()));
                incoming.push(Lsn(from + at as u64), piece.clone()).unwrap();
                at += piece.len();
                while let Some(entry) = incoming.next_entry().unwrap() {
                    found.push((entry.header.lsn, entry.batch));
                }
                if at == stream.len() {
                    break;
                }
            }
            let sent: Vec<_> = entries.iter().map(|(_, entry)| (entry.header.lsn, entry.batch.clone())).collect();
            prop_assert_eq!(found, sent);
        }

        #[test]
        fn a_flipped_bit_is_never_taken_for_an_entry(position in 0_usize..2_000, bit in 0_u8..8) {
            let entries = foreign_entries(Lsn(0), 4, |_| 400);
            let mut stream: Vec<u8> = entries.iter().flat_map(|(bytes, _)| bytes.to_vec()).collect();
            let position = position % stream.len();
            stream[position] ^= 1 << bit;
            let mut incoming = Incoming::new(INCARNATION, GENERATION, Lsn(0));
            incoming.push(Lsn(0), stream.into()).unwrap();
            let mut whole = 0;
            let refused = loop {
                match incoming.next_entry() {
                    Ok(Some(entry)) => {
                        prop_assert_eq!(&entry.batch, &entries[whole].1.batch);
                        whole += 1;
                    }
                    Ok(None) => break false,
                    Err(_) => break true,
                }
            };
            prop_assert!(refused && whole < 4, "{whole} entries came through");
        }
    }

    #[test]
    fn a_gap_a_repetition_and_another_wal_are_refused_with_what_was_expected() {
        let entries = foreign_entries(Lsn(0), 2, |_| 100);
        let end = entries[0].1.header.end();
        let mut incoming = Incoming::new(INCARNATION, GENERATION, Lsn(0));
        incoming.push(Lsn(0), entries[0].0.clone()).unwrap();
        assert!(incoming.next_entry().unwrap().is_some());
        for at in [Lsn(0), Lsn(end.0 - 1), Lsn(end.0 + 1)] {
            let refused = incoming.push(at, entries[1].0.clone()).unwrap_err();
            assert!(matches!(refused, WalError::Unexpected { expected, .. } if expected == end), "{refused}");
        }
        let mut other = Incoming::new(Incarnation(INCARNATION.0 + 1), GENERATION, Lsn(0));
        other.push(Lsn(0), entries[0].0.clone()).unwrap();
        assert!(matches!(other.next_entry(), Err(WalError::Unexpected { .. })));
    }
}
