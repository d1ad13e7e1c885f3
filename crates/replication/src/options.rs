//! Bounds of what goes between brokers.

use std::time::Duration;

/// Sizes and time limits. The defaults are for brokers of one region.
#[derive(Debug, Clone)]
pub struct ReplicationOptions {
    /// For a connection to be made.
    pub connect_timeout: Duration,
    /// For a single question and its answer.
    pub call_timeout: Duration,
    /// For a standby to open its replica, which may have to be read and its end written anew.
    pub attach_timeout: Duration,
    /// For more of what was sent to become durable, beyond which the standby is let go and dialled again.
    pub ack_timeout: Duration,
    /// How often a silent peer is asked for a sign of life, and how long it may take: a frozen one is noticed after both.
    pub keep_alive: Duration,
    /// The pause before a standby is dialled again, doubled each time up to the second.
    pub redial: (Duration, Duration),
    /// How long nothing comes before a standby keeps on its disk how much is durable.
    pub quiet: Duration,
    /// Most connections to a server.
    pub connections: usize,
    /// Most streams of one connection.
    pub streams: u32,
    /// Bytes of one message, give or take a header.
    pub piece_bytes: usize,
    /// Bytes of the WAL kept in memory for standbys that have not acknowledged them; who is further behind is filled up from files.
    pub ring_bytes: u64,
    /// Bytes that may be sent to a standby and not be durable there yet: its server says so.
    pub window_bytes: u64,
}

impl Default for ReplicationOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            call_timeout: Duration::from_secs(5),
            attach_timeout: Duration::from_secs(60),
            ack_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(1),
            redial: (Duration::from_millis(50), Duration::from_secs(2)),
            quiet: Duration::from_millis(200),
            connections: 64,
            streams: 32,
            piece_bytes: 512 << 10,
            ring_bytes: 8 << 20,
            window_bytes: 8 << 20,
        }
    }
}

impl ReplicationOptions {
    /// The largest message that is taken.
    pub(crate) fn message_bytes(&self) -> usize {
        self.piece_bytes.saturating_mul(2).saturating_add(64 << 10)
    }
}
