//! A buffer that grows with what is decompressed into it and never beyond a limit.

use super::Failure;

/// Smallest capacity worth asking for.
const MIN_CAPACITY: usize = 1024;

/// Decompressed bytes so far, with their bound.
#[derive(Debug)]
pub(super) struct Output {
    bytes: Vec<u8>,
    limit: usize,
}

impl Output {
    /// `expected` is a guess that saves growing; it is cut to the limit.
    pub(super) fn new(limit: usize, expected: usize) -> Self {
        Self { bytes: Vec::with_capacity(expected.min(limit)), limit }
    }

    /// Bytes that may still be added.
    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.bytes.len())
    }

    /// Appends `len` zeros and returns what was there before and the zeros, to be decompressed into.
    pub(super) fn grow(&mut self, len: usize) -> Result<(&[u8], &mut [u8]), Failure> {
        self.reserve(len)?;
        let before = self.bytes.len();
        self.bytes.resize(before.saturating_add(len), 0);
        let (old, new) = self.bytes.split_at_mut(before);
        Ok((old, new))
    }

    /// Gives the last `unused` bytes back.
    pub(super) fn shrink(&mut self, unused: usize) {
        self.bytes.truncate(self.bytes.len().saturating_sub(unused));
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.reserve(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Capacity doubles, but stays within the limit.
    fn reserve(&mut self, len: usize) -> Result<(), Failure> {
        if len > self.room() {
            return Err(Failure::Full);
        }
        let need = self.bytes.len().saturating_add(len);
        if need > self.bytes.capacity() {
            let capacity = self.bytes.capacity().saturating_mul(2).max(need).max(MIN_CAPACITY).min(self.limit);
            self.bytes.reserve_exact(capacity.saturating_sub(self.bytes.len()));
        }
        Ok(())
    }
}
