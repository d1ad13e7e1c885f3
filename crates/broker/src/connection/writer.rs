//! The writing half: answers leave in the order of their requests, many at once where they are ready, and stored
//! batches are written from where they lie.

use super::close::{Close, time_for};
use bytes::{Buf, Bytes};
use floe_env::Env;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Pieces in one system call.
const SLICES: usize = 64;

/// Chunks on their way out.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, chunks: Vec<Bytes>) {
        self.bytes += chunks.iter().map(Bytes::len).sum::<usize>();
        self.chunks.extend(chunks);
    }

    /// Bytes not yet written.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// Writes everything. Not cancellation safe: a cancelled write leaves half a frame on the wire.
    ///
    /// # Errors
    /// The client did not take it in time, or the connection broke.
    pub(crate) async fn write<W: AsyncWrite + Unpin>(&mut self, writer: &mut W, env: &Env, base: Duration) -> Result<(), Close> {
        let size = self.bytes;
        let within = time_for(base, size);
        let written = env.timeout(within, self.write_all(writer)).await;
        written.map_err(|_| Close::SlowReader { size, within })?.map_err(Close::Io)
    }

    async fn write_all<W: AsyncWrite + Unpin>(&mut self, writer: &mut W) -> io::Result<()> {
        while self.bytes > 0 {
            let written = {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let count = self.chunks.iter().zip(&mut slices).map(|(chunk, slice)| *slice = IoSlice::new(chunk)).count();
                writer.write_vectored(&slices[..count]).await?
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.advance(written);
        }
        Ok(())
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(chunk) = self.chunks.front_mut() {
            if chunk.len() > written {
                chunk.advance(written);
                return;
            }
            written -= chunk.len();
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn many_chunks_leave_in_order_through_a_narrow_pipe() {
        let chunks: Vec<Bytes> = (0..500_u32).map(|n| Bytes::from(vec![n as u8; (n % 37) as usize])).collect();
        let expected = chunks.concat();
        let (mut near, mut far) = tokio::io::duplex(11);
        let mut outbox = Outbox::default();
        outbox.push(chunks);
        assert_eq!(outbox.len(), expected.len());
        let env = Env::real();
        let write = async {
            outbox.write(&mut near, &env, Duration::from_secs(60)).await.unwrap();
            drop(near);
        };
        let mut got = Vec::new();
        let ((), read) = tokio::join!(write, far.read_to_end(&mut got));
        read.unwrap();
        assert_eq!(got, expected);
    }
}
