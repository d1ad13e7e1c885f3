//! Walking concatenated batches without copying them.

use bytes::Bytes;

use crate::{BatchError, BatchHeader};

/// Iterates over the batches in a buffer, as slices of it. Checks magic and length only: call [`crate::verify`] on what is not yet trusted.
/// After an error (a cut last batch is [`BatchError::Truncated`]) it ends; [`Batches::rest`] then holds what was not understood.
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
    failed: bool,
}

impl Batches {
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes, failed: false }
    }

    /// The bytes not yet returned.
    pub fn rest(&self) -> &Bytes {
        &self.rest
    }

    fn split_first(&mut self) -> Result<(BatchHeader, Bytes), BatchError> {
        let header = BatchHeader::parse(&self.rest)?;
        let need = header.total_len();
        if self.rest.len() < need {
            return Err(BatchError::Truncated { have: self.rest.len(), need });
        }
        Ok((header, self.rest.split_to(need)))
    }
}

impl Iterator for Batches {
    type Item = Result<(BatchHeader, Bytes), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        let next = self.split_first();
        self.failed = next.is_err();
        Some(next)
    }
}

impl std::iter::FusedIterator for Batches {}
