//! The messages, as generated, and what turns them into this workspace's types.

use crate::ReplicationError;
use bytes::Bytes;
use floe_types::Lsn;
use floe_wal::{HeldWal, WalError};
use std::collections::VecDeque;

#[allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated"
)]
mod generated {
    tonic::include_proto!("floe.replication.v1");
}
pub(crate) use generated::{replication_client::ReplicationClient, replication_server, *};

/// An id as 16 bytes, big-endian.
pub(crate) fn id_bytes(id: u128) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

/// None for what is no id.
pub(crate) fn parse_id(bytes: &[u8]) -> Option<u128> {
    bytes.try_into().ok().map(u128::from_be_bytes)
}

impl From<HeldWal> for Held {
    fn from(held: HeldWal) -> Self {
        Self { generation: held.generation.0, trimmed: held.trimmed.0, acknowledged: held.acknowledged.0 }
    }
}

impl From<&Held> for HeldWal {
    fn from(held: &Held) -> Self {
        Self { generation: floe_types::Generation(held.generation), trimmed: Lsn(held.trimmed), acknowledged: Lsn(held.acknowledged) }
    }
}

impl Refused {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into(), expected: 0 }
    }
}

impl From<&WalError> for Refused {
    fn from(error: &WalError) -> Self {
        let (reason, expected) = match error {
            WalError::Sealed { .. } => (Reason::Sealed, 0),
            WalError::Full { .. } | WalError::TooLarge { .. } => (Reason::Full, 0),
            WalError::Failed { .. } => (Reason::Failed, 0),
            WalError::Damaged { .. } | WalError::Format { .. } => (Reason::Damaged, 0),
            WalError::Unexpected { expected, .. } => (Reason::Unexpected, expected.0),
            WalError::Missing { .. } => (Reason::Missing, 0),
            WalError::Closed => (Reason::Closed, 0),
            WalError::Disk { .. } => (Reason::DiskError, 0),
            WalError::Invalid { .. } | WalError::Trimmed { .. } | WalError::NotDurable { .. } => (Reason::Invalid, 0),
        };
        Self { reason: reason.into(), message: error.to_string(), expected }
    }
}

/// Cuts what begins at `start` into messages of about `most` bytes. Nothing is copied.
pub(crate) fn cut(start: Lsn, parts: Vec<Bytes>, most: usize) -> VecDeque<Data> {
    let (mut pieces, mut at) = (VecDeque::new(), start.0);
    let mut piece = Data { start: at, parts: Vec::new() };
    let mut bytes = 0;
    for mut part in parts {
        while !part.is_empty() {
            let step = part.split_to(part.len().min(most - bytes));
            bytes += step.len();
            at += step.len() as u64;
            piece.parts.push(step);
            if bytes == most {
                pieces.push_back(std::mem::replace(&mut piece, Data { start: at, parts: Vec::new() }));
                bytes = 0;
            }
        }
    }
    if bytes > 0 {
        pieces.push_back(piece);
    }
    pieces
}

/// What must be there in every message of this version.
pub(crate) fn required<T>(field: Option<T>, peer: &str, what: &'static str) -> Result<T, ReplicationError> {
    field.ok_or_else(|| ReplicationError::Protocol { peer: peer.into(), what: format!("its answer lacks {what}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn what_is_cut_is_the_same_bytes_in_messages_of_bounded_size() {
        let parts: Vec<Bytes> = [3_usize, 0, 10, 1, 25, 7].iter().map(|len| Bytes::from(vec![u8::try_from(*len).unwrap(); *len])).collect();
        let whole = parts.concat();
        let end = |piece: &Data| piece.start + piece.parts.iter().map(|part| part.len() as u64).sum::<u64>();
        for most in 1..50 {
            let pieces = cut(Lsn(100), parts.clone(), most);
            let mut at = 100;
            for piece in &pieces {
                assert_eq!(piece.start, at);
                at = end(piece);
                assert!((1..=most as u64).contains(&(at - piece.start)));
            }
            assert_eq!(pieces.iter().flat_map(|piece| piece.parts.concat()).collect::<Vec<u8>>(), whole);
        }
        assert!(cut(Lsn(1), vec![], 5).is_empty());
    }
}
