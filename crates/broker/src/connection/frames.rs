//! Frames from a socket. A frame's bytes are charged to the budget of all connections before its body is read, and a
//! length from the wire is checked before anything is sized by it (T41).
//!
//! Small frames are read many at a time, a large one straight into the buffer that becomes the frame: nothing is
//! copied. Beyond the frame that is charged, a connection that waits for its client holds at most [`READ_AHEAD`] bytes.

use super::close::{Close, time_for};
use crate::budget::{ByteBudget, Held};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use floe_env::Env;
use floe_protocol::frame::{SIZE_LEN, parse_size};
use futures::FutureExt;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes read beyond the frame at hand.
const READ_AHEAD: usize = 16 << 10;

/// Room for what an idle client says first.
const IDLE_CAPACITY: usize = 2 << 10;

/// What a reader of frames goes by.
#[derive(Debug, Clone)]
pub(crate) struct FrameLimits {
    pub(crate) max_bytes: usize,
    pub(crate) idle: Duration,
    pub(crate) receive: Duration,
    pub(crate) budget: ByteBudget,
}

/// A request as it came, with its share of the budget.
#[derive(Debug)]
pub(crate) struct ReceivedFrame {
    pub(crate) bytes: Bytes,
    pub(crate) held: Held,
}

#[derive(Debug)]
pub(crate) struct Frames<R> {
    source: Source<R>,
    env: Env,
    limits: FrameLimits,
}

/// The socket, and what was read from it.
#[derive(Debug)]
struct Source<R> {
    reader: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(crate) fn new(reader: R, env: Env, limits: FrameLimits) -> Self {
        Self { source: Source { reader, buffer: BytesMut::new() }, env, limits }
    }

    /// The next frame, without its size. Cancelled, it loses no bytes that were read.
    ///
    /// # Errors
    /// Every error ends the connection.
    pub(crate) async fn next(&mut self) -> Result<ReceivedFrame, Close> {
        let size = self.size().await?;
        let held = match self.limits.budget.try_acquire(size) {
            Some(held) => held,
            None => {
                self.source.give_up_capacity();
                self.limits.budget.acquire(size).await
            }
        };
        let within = time_for(self.limits.receive, size);
        let late = |_| Close::SlowRequest { size, within };
        self.env.timeout(within, self.source.fill(SIZE_LEN + size)).await.map_err(late)??;
        self.source.buffer.advance(SIZE_LEN);
        Ok(ReceivedFrame { bytes: self.source.buffer.split_to(size).freeze(), held })
    }

    /// Waits for the size of the next frame, and leaves it in the buffer.
    async fn size(&mut self) -> Result<usize, Close> {
        if self.source.buffer.is_empty() {
            let idle = self.limits.idle;
            self.env.timeout(idle, self.source.read_ahead()).await.map_err(|_| Close::Idle(idle))??;
        }
        let within = self.limits.receive;
        let late = |_| Close::SlowRequest { size: SIZE_LEN, within };
        let prefix = loop {
            if let Some(prefix) = self.source.buffer.first_chunk::<SIZE_LEN>() {
                break *prefix;
            }
            self.env.timeout(within, self.source.read_ahead()).await.map_err(late)??;
        };
        Ok(parse_size(prefix, self.limits.max_bytes)?)
    }

    /// Returns when the client has closed its side without having sent anything more. Once it has sent something, only
    /// [`Frames::next`] can tell, and this never returns. Cancellation safe.
    pub(crate) async fn closed(&mut self) -> Close {
        if self.source.buffer.is_empty()
            && let Err(close) = self.source.read_ahead().await
        {
            return close;
        }
        std::future::pending().await
    }
}

impl<R: AsyncRead + Unpin> Source<R> {
    /// Reads on until `need` bytes are there.
    async fn fill(&mut self, need: usize) -> Result<(), Close> {
        while self.buffer.len() < need {
            let missing = need - self.buffer.len();
            self.buffer.reserve(missing);
            self.read(missing).await?;
        }
        Ok(())
    }

    /// Reads what has come, up to [`READ_AHEAD`]. If that is nothing, a large buffer is given up before waiting.
    async fn read_ahead(&mut self) -> Result<(), Close> {
        self.buffer.reserve(READ_AHEAD);
        if let Some(ready) = self.read(READ_AHEAD).now_or_never() {
            return ready;
        }
        self.give_up_capacity();
        self.buffer.reserve(IDLE_CAPACITY);
        self.read(READ_AHEAD).await
    }

    /// One read of at most `limit` bytes into the capacity that is there.
    async fn read(&mut self, limit: usize) -> Result<(), Close> {
        let before = self.buffer.len();
        match self.reader.read_buf(&mut (&mut self.buffer).limit(limit)).await? {
            0 if before == 0 => Err(Close::ByClient),
            0 => Err(Close::InRequest),
            _ => Ok(()),
        }
    }

    /// Moves the few bytes that are left to a buffer of their size.
    fn give_up_capacity(&mut self) {
        self.buffer = BytesMut::from(self.buffer.as_ref());
    }
}

#[cfg(test)]
mod tests;
