//! Where a file grows: in pieces, so that it is never moved as a whole, and held until it is created in one request.

use bytes::Bytes;
use floe_objstore::Payload;
use std::io;

/// Bytes of a piece.
const PIECE: usize = 1 << 20;

#[derive(Debug, Default)]
pub(crate) struct Sink {
    full: Vec<Vec<u8>>,
    last: Vec<u8>,
}

impl Sink {
    /// The body, with `header` in place of the bytes behind the first four.
    pub(crate) fn into_body(self, header: &[u8]) -> Payload {
        let mut pieces = self.full;
        pieces.push(self.last);
        if let Some(place) = pieces.first_mut().and_then(|first| first.get_mut(4..4 + header.len())) {
            place.copy_from_slice(header);
        }
        pieces.into_iter().map(Bytes::from).collect::<Vec<_>>().into()
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.last.len() >= PIECE {
            self.full.push(std::mem::take(&mut self.last));
        }
        if self.last.capacity() == 0 {
            self.last.reserve_exact(PIECE);
        }
        let room = PIECE - self.last.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.last.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_is_written_in_any_pieces_is_one_body_with_the_header_in_its_place() {
        let all: Vec<u8> = (0..3 * PIECE + 17).map(|at| (at % 251) as u8).collect();
        let mut sink = Sink::default();
        let mut rest = all.as_slice();
        for len in [1, 3, PIECE - 1, 1, 5, PIECE, usize::MAX] {
            let (now, then) = rest.split_at(len.min(rest.len()));
            sink.write_all(now).unwrap();
            rest = then;
        }
        let body = sink.into_body(b"HEAD").to_bytes();
        let mut expected = all;
        expected[4..8].copy_from_slice(b"HEAD");
        assert_eq!(body.as_ref(), expected);
    }
}
